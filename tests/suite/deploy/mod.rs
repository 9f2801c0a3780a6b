//! What is shipped besides the binary: that `deploy/` and the Dockerfile fit the gateway and one another.

mod compose;
mod kubernetes;
mod rolling;
mod systemd;

use std::{fs, path::Path, process::Command, time::Duration};

use keygate::config::{self, Config, Surroundings};

use crate::{
    fixture,
    harness::{Postgres, Upstream, run},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a script of `tests/deploy` makes of `input`.
fn script(name: &str, arguments: &[&str], input: &str) -> run::Run {
    let mut python = Command::new(run::test_tool("python"));
    python.arg(root().join("tests/deploy").join(name)).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
    run::run(&mut python, input)
}

/// A config as a gateway would read it in the folder `folder`.
fn parsed(folder: &Path, text: &str) -> Config {
    let surroundings = Surroundings {
        variable: &|name| match name {
            "DATABASE_ROLE" => Some("role".to_owned()),
            _ => name.starts_with("DATABASE").then(|| "postgres://role@database/keygate".to_owned()),
        },
        read: &|_, _| Ok(b"secret".to_vec()),
        ..Surroundings::of_process("keygate-00000000")
    };
    config::parse(&folder.join("keygate.yaml"), text.as_bytes(), &surroundings).result.unwrap()
}

/// How long a gateway with this config may take from SIGTERM to its end.
fn drained_within(config: &Config) -> Duration {
    config.shutdown.delay + config.shutdown.deadline
}

/// `psql` runs a file of statements in Keygate's database, as `role`.
fn psql_file(server: &Postgres, role: &str, database: &str, file: &Path) -> run::Run {
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname"]);
    run::run(psql.arg(server.url_as(role, database)).arg("--file").arg(file), "")
}

#[test]
fn the_image_runs_as_a_number_and_starts_commands_that_there_are() {
    let dockerfile = read("Dockerfile");
    let last_stage = dockerfile.rsplit("\nFROM ").next().unwrap();
    assert!(last_stage.starts_with("scratch\n"), "{last_stage}");
    let instruction = |name: &str| {
        let lines: Vec<_> = last_stage.lines().filter_map(|line| line.strip_prefix(name)).collect();
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
        lines[0].trim()
    };
    assert_eq!(instruction("USER "), "65532:65532");
    assert_eq!(instruction("ENTRYPOINT "), r#"["/keygate"]"#);
    let list = |text: &str| serde_json::from_str::<Vec<String>>(text).unwrap();
    let command = list(instruction("CMD "));
    let (_, check) = instruction("HEALTHCHECK ").split_once(" CMD ").unwrap();
    for command in [command.join(" "), list(check)[1..].join(" ")] {
        let mut arguments: Vec<_> = command.split(' ').collect();
        arguments.push("--help");
        run::keygate(root(), &arguments, "").expect_success();
    }
}

#[test]
fn stop_does_what_sigterm_does_and_leaves_other_programs_alone() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let mut gateway = fixture::gateway(&upstream);
    let stop = |pid: u32| run::keygate(root(), &["stop", "--pid", &pid.to_string()], "");
    for other in [std::process::id(), u32::try_from(i32::MAX).unwrap()] {
        let refused = stop(other);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.starts_with(&format!("keygate: process {other}: ")), "{refused:?}");
    }
    for wrong in ["0", "-1", "self", "4294967296"] {
        assert_eq!(run::keygate(root(), &["stop", "--pid", wrong], "").code, Some(2), "{wrong}");
    }
    assert_eq!(gateway.connect().exchange(fixture::request("GET /any/a", &[], "")).status(), 200);
    stop(gateway.id()).expect_success();
    let (status, output) = gateway.wait();
    assert!(status.success(), "{output}");
    assert!(output.contains("stopping: not ready any more"), "{output}");
}
