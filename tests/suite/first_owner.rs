//! How somebody gets in where nobody is owner yet, and how others are invited: by links that work once.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::harness::{Gateway, people::gateway_with, run::keygate};

/// A gateway on an empty database.
fn start() -> Gateway {
    gateway_with(&[], "routes: [{path: '/{*rest}', methods: {'*': write}}]\n")
}

#[test]
fn without_an_owner_a_link_is_in_a_file_for_the_operator_alone() {
    let mut gate = start();
    let file = gate.folder().join("state/first-owner-link");
    let told = gate.wait_for_line("nobody is owner yet");
    assert!(told.contains("first-owner-link"), "{told}");
    let link = fs::read_to_string(&file).unwrap();
    assert!(link.starts_with(&format!("http://{}/welcome/", gate.address("admin"))), "{link}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let token = link.trim().rsplit('/').next().unwrap();
    assert!(!gate.output().contains(token), "a link is no business of a log");

    // At another port it is another gateway, which leaves the link alone that somebody may be about to use.
    gate.restart();
    let told = gate.wait_for_line("nobody is owner yet");
    assert!(told.contains("another gateway"), "{told}");
    assert_eq!(fs::read_to_string(&file).unwrap(), link);

    keygate(
        gate.folder(),
        &["people", "create", "ada", "--email", "ada@example.com", "--role", "owner", "--wait", "0"],
        "",
    )
    .expect_success();
    gate.restart();
    while file.exists() {
        std::thread::yield_now();
    }
}

#[test]
fn people_are_invited_at_the_command_line() {
    let gate = start();
    let run = |arguments: &[&str]| keygate(gate.folder(), arguments, "");
    run(&["people", "create", "ada", "--email", "ada@example.com", "--role", "owner"]).expect_success();
    let invited = run(&["people", "invite", "ada"]).expect_success();
    assert!(invited.stdout.starts_with("/invitation/"), "{}", invited.stdout);
    assert!(invited.stderr.contains("works once"), "{}", invited.stderr);
    assert_ne!(run(&["people", "invite", "ada"]).expect_success().stdout, invited.stdout);

    run(&["people", "create", "bob", "--email", "bob@example.com", "--role", "admin"]).expect_success();
    let upwards = run(&["people", "invite", "ada", "--as", "bob"]);
    assert_eq!(upwards.code, Some(2), "whoever invites an owner could become one: {}", upwards.stderr);
    assert_eq!(run(&["people", "invite", "eve"]).code, Some(2));
}
