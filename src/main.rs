//! The `keygate` binary: hands over to [`keygate::cli`].

/// Heads, bodies and snapshots are many small and a few large pieces, made on one thread and freed on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    keygate::cli::run()
}
