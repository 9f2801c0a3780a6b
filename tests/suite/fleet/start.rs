//! Several begin at once.

use std::fs;
use std::thread;

use super::records::Records;
use super::{FULL, LOST, OK, SetUp, config, quiet_port, records::record, wait_for};
use crate::harness::tcp_proxy::ROW;
use crate::harness::{Client, Gateway, Postgres, Upstream, run};

#[test]
fn migrations_at_once_are_one_migration() {
    let server = Postgres::start();
    for _ in 0..3 {
        let url = server.create_database();
        let folder = tempfile::tempdir().unwrap();
        let text = config("http://127.0.0.1:9", 8080, &format!("{{database: '{url}'}}"), "");
        fs::write(folder.path().join("keygate.yaml"), text).unwrap();
        let done: Vec<_> = thread::scope(|scope| {
            let begun: Vec<_> =
                (0..4).map(|_| scope.spawn(|| run::keygate(folder.path(), &["migrate"], ""))).collect();
            begun.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(done.iter().all(|run| run.code == Some(0)), "{done:?}");
        let records = Records::of(&url);
        assert_eq!(records.add(&[record(FULL)]), records.head());
    }
}

#[test]
fn a_load_that_breaks_off_puts_nothing_in_force() {
    let set_up = SetUp { replicas: 1, ..SetUp::default() };
    let mut fleet = set_up.prepare();
    let names: Vec<_> = (0..2_000)
        .map(|at| (format!("row{at}"), format!("row{at}-0123456789abcdefghijklmnopqrst")))
        .collect();
    fleet.records.add(&names.iter().map(|(id, secret)| record((id, secret))).collect::<Vec<_>>());
    fleet.replicas.push(fleet.new_replica_behind(&set_up, |network| network.cut_at_nth(ROW, 1_000)));
    let replica = &fleet.replicas[0];
    replica.gateway.address("data");
    for (_, secret) in names.iter().step_by(100) {
        replica.expect(secret, 503, Some("key_store_unavailable"));
    }
    replica.network.pass();
    replica.wait_until(FULL.1, 200, None);
    for (_, secret) in names.iter().step_by(100) {
        replica.expect(secret, 200, None);
    }
    fleet.revoke("row1999");
    fleet.expect_everywhere(&names[1_999].1, 401, Some("key_revoked"));
}

#[test]
fn gateways_that_start_at_once_on_no_file_share_one_database() {
    let upstream = Upstream::with_streams(OK);
    let shared = tempfile::tempdir().unwrap();
    let file = shared.path().join("keygate.db");
    let keys = format!("{{database: 'sqlite:{}'}}", file.display());
    let ports = [quiet_port(), quiet_port(), quiet_port()];
    let gateways: Vec<_> = ports
        .iter()
        .map(|port| {
            let text = config(&upstream.url(), *port, &keys, "");
            Gateway::spawn(&[("keygate.yaml", &text)], |command| command)
        })
        .collect();
    for gateway in &gateways {
        gateway.address("data");
    }
    let records = Records::of(&format!("sqlite:{}", file.display()));
    records.add(&[record(FULL), record(LOST)]);
    let ask = |gateway: &Gateway, secret| {
        Client::connect(gateway.address("data")).exchange(super::request("/any/thing", secret)).status()
    };
    for gateway in &gateways {
        wait_for("the new keys", || ask(gateway, LOST.1) == 200);
    }
    wait_for("three replicas", || records.replicas().len() == 3);
    fs::write(shared.path().join("keygate.yaml"), config(&upstream.url(), 8080, &keys, "")).unwrap();
    let revoke = ["keys", "revoke", LOST.0, "--wait", "30s"];
    let done = run::keygate(shared.path(), &revoke, "").expect_success();
    assert!(done.stderr.contains("3/3"), "{done:?}");
    for gateway in &gateways {
        assert_eq!(ask(gateway, LOST.1), 401);
    }
}

#[test]
fn a_role_that_is_missing_is_told_with_its_remedy() {
    let server = Postgres::start();
    let name = server.create_named_database();
    let folder = tempfile::tempdir().unwrap();
    let migrated = format!("{{database: '{}'}}", server.url_as("postgres", &name));
    fs::write(folder.path().join("keygate.yaml"), config("http://127.0.0.1:9", 8080, &migrated, "")).unwrap();
    run::keygate(folder.path(), &["migrate"], "").expect_success();
    let keys = format!("{{database: '{}'}}", server.url_as("late_comer", &name));
    let gateway = Gateway::spawn(
        &[("keygate.yaml", &config("http://127.0.0.1:9", quiet_port(), &keys, ""))],
        |command| command,
    );
    let told = gateway.wait_for_line("nothing is in force yet");
    assert!(
        told.contains("role \"late_comer\" does not exist")
            && told.contains("deploy/postgres/roles.sql")
            && told.contains("the database does not let this gateway in")
            && !told.contains("away"),
        "{told}"
    );
    server.psql(&name, "CREATE ROLE late_comer LOGIN SUPERUSER");
    gateway.wait_for_line("the database answers again");
    let output = gateway.output();
    assert!(!output.contains("stale"), "{output}");
}
