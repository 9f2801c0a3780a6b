//! The guide: its lines are run as they stand, in front of an API that answers everything.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Command,
};

use crate::harness::{Upstream, run};

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// The shell blocks of the page, in their order, as one script.
fn script() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/adoption.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = page.split("\n```sh\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    // A gateway that outlived a failed line would hold the test up.
    let start = "trap 'jobs -p | xargs --no-run-if-empty kill' EXIT\n".to_owned();
    blocks.fold(start, |script, block| script + block + "\n")
}

#[test]
fn the_guide_takes_an_api_from_a_description_to_enforcing() {
    let api = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes");
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_keygate")).parent().unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-m", "-c", &script()]).current_dir(folder.path());
    shell.env("PATH", format!("{}:{}", program.display(), env::var("PATH").unwrap())).env("NO_PROXY", "*");
    shell
        .env("API", api.url())
        .env("GATE", free_address().to_string())
        .env("HEALTH", free_address().to_string());
    let run::Run { code, stdout, stderr } = run::run(&mut shell, "");
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    let mut rest = stdout.as_str();
    for expected in [
        "METHOD",
        "/projects/{projectId}/tasks",
        "admin",
        "ok: ",
        "Refused to every key:",
        "404 not_found",
        "/projects/beta/tasks/export",
        "not every request that was answered has a route",
        "A key is needed for:",
        "What each client needs:",
        "192.0.2.7",
        "\n200\n200\n200\n",
        "Recorded by routes that observe:",
        "401 key_missing",
        "403 scope_insufficient",
        "key_missing",
        "\n200\n",
    ] {
        let at = rest.find(expected);
        let at =
            at.unwrap_or_else(|| panic!("no {expected:?} after what came before it in\n{stdout}\n{stderr}"));
        rest = &rest[at + expected.len().min(expected.trim_end().len())..];
    }
    assert!(stderr.contains("forwards what it would refuse"), "{stderr}");
}
