//! `keygate audit` on every store: who changed what.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::Value;

use crate::harness::{
    Postgres,
    store_place::{StorePlace, on_every_store},
};

fn make_key(place: &StorePlace, name: &str) -> String {
    let create = ["keys", "create", "--name", name, "--scope", "read", "--all-projects"];
    place.json(&create)["id"].as_str().unwrap().to_owned()
}

/// The lines that `keygate audit ARGUMENTS…` writes as JSON.
fn lines(place: &StorePlace, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["audit"], arguments, &["--output", "json"]].concat();
    let done = place.run(&arguments).expect_success();
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["id"].as_str().unwrap()).collect()
}

#[test]
fn what_was_changed_is_told_in_its_order() {
    on_every_store(|place| {
        let made: Vec<_> = ["one", "two", "three"].map(|name| make_key(place, name)).to_vec();
        place.run(&["keys", "revoke", &made[0], "--reason", "printed"]).expect_success();
        place.run(&["people", "create", "ada", "--email", "a@b.c", "--role", "owner"]).expect_success();

        let all = lines(place, &["export"]);
        let expected = [&made[..], &made[..1], &["ada".to_owned()]].concat();
        assert_eq!(ids(&all), expected);
        let told = |at: usize| ["command", "record", "what"].map(|field| all[at][field].as_str().unwrap());
        assert_eq!(told(3), ["keys revoke", "key", "revoked: printed"]);
        assert_eq!(told(4)[..2], ["people create", "person"]);
        assert!(all[0]["actor"].as_str().unwrap().contains("uid"));
        let revisions: Vec<_> = all.iter().filter_map(|line| line["revision"].as_u64()).collect();
        assert_eq!(revisions, if place.url.is_some() { vec![1, 2, 3, 4, 5] } else { vec![] });

        assert_eq!(ids(&lines(place, &["tail", "-n", "2"])), [&made[0], "ada"]);
        assert_eq!(ids(&lines(place, &["export", "--record", "person"])), ["ada"]);
        assert_eq!(ids(&lines(place, &["export", "--id", &made[0]])), [&made[0], &made[0]]);
        assert_eq!(lines(place, &["export", "--actor", "nobody"]), Vec::<Value>::new());
        assert_eq!(lines(place, &["export", "--since", "1h"]).len(), 5);
        assert_eq!(lines(place, &["export", "--until", "1h"]).len(), 0);
        assert_eq!(
            lines(place, &["export", "--as", "ada"]).len(),
            5,
            "an owner sees what became of what is theirs"
        );
        place.run(&["people", "create", "bob", "--email", "b@b.c", "--role", "member"]).expect_success();
        let since = all[4]["at"].as_str().unwrap();
        assert!(ids(&lines(place, &["tail", "--since", since])).contains(&"ada"));
        let table = place.run(&["audit", "tail", "-n", "1"]).expect_success().stdout;
        assert!(table.contains("people create  person bob") && table.lines().count() == 1, "{table}");
        for (arguments, expected) in [
            (&["audit", "export", "--since", "soon"][..], "--since: this is no date"),
            (&["audit", "tail", "--as", "bob"], "bob is member"),
        ] {
            let refused = place.run(arguments);
            assert!(refused.code == Some(2) && refused.stderr.contains(expected), "{}", refused.stderr);
        }
    });
}

#[test]
fn a_tail_goes_on_with_what_comes() {
    on_every_store(|place| {
        let first = make_key(place, "one");
        let mut tail = place.command(&["audit", "tail", "--follow", "--output", "json", "-n", "5"]);
        let mut tail = tail.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
        let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(next()["id"], first);
        for name in ["two", "three"] {
            let id = make_key(place, name);
            assert_eq!(next()["id"], id);
        }
        tail.kill().unwrap();
        tail.wait().unwrap();
    });
}

#[test]
fn a_tail_waits_for_a_database_that_is_away() {
    let mut server = Postgres::start();
    let place = StorePlace::postgres(&server);
    let mut tail = place.command(&["audit", "tail", "--follow", "--output", "json"]);
    let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(tail.stderr.take().unwrap()).lines();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let first = make_key(&place, "one");
    assert!(lines.next().unwrap().unwrap().contains(&first));
    server.stop();
    assert!(told.next().unwrap().unwrap().contains("waiting for it"));
    server.start_again();
    let second = make_key(&place, "two");
    assert!(lines.next().unwrap().unwrap().contains(&second));
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn values_drive_no_terminal() {
    let place = StorePlace::key_file();
    let log = place.folder.path().join("state/audit.log");
    let line = "{\"time\":\"2026-11-21T10:00:00Z\",\"event\":\"changed\",\"uid\":0,\"command\":\"keys create\",\
        \"record\":\"key\",\"id\":\"k\\u001b[2J\\u202ex\\u009b\",\"what\":\"a\\nforged\"}\n";
    fs::write(&log, format!("{line}{{\"time\":\"19\n{{\"half\":")).unwrap();
    let is_safe = |text: &str| !text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
    for output in ["json", "table"] {
        for command in ["tail", "export"] {
            let shown = place.run(&["audit", command, "--output", output]).expect_success().stdout;
            assert!(is_safe(&shown) && shown.lines().count() == 1, "{shown:?}");
        }
    }
    let read: Value = serde_json::from_str(&place.run(&["audit", "export"]).stdout).unwrap();
    assert_eq!((&read["id"], &read["what"]), (&"k\u{1b}[2J\u{202e}x\u{9b}".into(), &"a\nforged".into()));
}

#[test]
fn without_a_log_there_is_nothing_to_show() {
    let place = StorePlace::key_file();
    assert_eq!(place.run(&["audit", "tail"]).expect_success().stdout, "");
    let bare = place.run(&["audit", "tail", "--file", "keys.yaml"]);
    assert!(bare.code == Some(2) && bare.stderr.contains("without a `state:` folder"), "{}", bare.stderr);
}
