//! The `keygate` binary: hands over to [`keygate::cli`].

fn main() -> std::process::ExitCode {
    keygate::cli::run()
}
