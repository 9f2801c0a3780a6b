//! What is kept on disk is damaged or of another world; the database goes back in time.

use std::fs;

use super::records::record;
use super::{FULL, Fleet, LOST, Replica, SetUp};
use crate::harness::Client;

#[test]
fn a_damaged_snapshot_is_told_and_never_believed() {
    let mut fleet = SetUp { replicas: 1, ..SetUp::default() }.start();
    fleet.replicas[0].stop();
    let kept = fleet.replicas[0].snapshot();
    let good = fs::read(&kept).unwrap();
    fleet.server.stop();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    let damages = [
        ("empty", Vec::new()),
        ("a stub", good[..good.len().min(10)].to_vec()),
        ("half", good[..good.len() / 2].to_vec()),
        ("all but a byte", good[..good.len() - 1].to_vec()),
        ("a byte more", [&good[..], b"x"].concat()),
        ("another first byte", flipped(0)),
        ("another version", flipped(8)),
        ("a flipped bit in the head", flipped(40)),
        ("a flipped bit within", flipped(good.len() / 2)),
        ("a flipped bit at the end", flipped(good.len() - 1)),
        ("noise", vec![0xa5; good.len()]),
    ];
    for (what, bytes) in damages {
        println!("{what}");
        fs::write(&kept, bytes).unwrap();
        let gateway = &mut fleet.replicas[0].gateway;
        gateway.restart();
        gateway.wait_for_line("what was kept on disk is of no use");
        fleet.expect_everywhere(FULL.1, 503, Some("key_store_unavailable"));
        assert!(!fleet.replicas[0].gateway.output().contains("panicked"));
    }
    fs::write(&kept, good).unwrap();
    fleet.replicas[0].gateway.restart();
    fleet.expect_everywhere(FULL.1, 200, None);
}

#[test]
fn a_snapshot_of_another_database_or_of_other_scopes_is_not_believed() {
    let mut fleet = SetUp { replicas: 1, ..SetUp::default() }.start();
    fleet.replicas[0].stop();
    fleet.server.stop();
    let config = fs::read_to_string(fleet.replicas[0].gateway.folder().join("keygate.yaml")).unwrap();
    let other_database = config.replace("/db0", "/db7");
    let other_scopes = config.replacen(
        "routes:",
        "scopes: {read: {}, write: {}, admin: {implies: [write]}}\nrole_caps: {owner: all, admin: all, member: [write], viewer: [read]}\nroutes:",
        1,
    );
    assert!(other_database != config && other_scopes != config);
    fleet.replicas[0].gateway.replace("keygate.yaml", &other_database);
    fleet.replicas[0].gateway.restart();
    fleet.expect_everywhere(FULL.1, 503, Some("key_store_unavailable"));

    // Scopes are kept by their names: what they imply is read from the config of now.
    fleet.replicas[0].gateway.replace("keygate.yaml", &other_scopes);
    fleet.replicas[0].gateway.restart();
    let status = fleet.replicas[0].ask(FULL.1).status();
    assert!(status == 403 || status == 503, "{status}: `admin` no longer implies `read`");
    fleet.server.start_again();
    fleet.replicas[0].wait_until(FULL.1, 403, Some("scope_insufficient"));
}

#[test]
fn an_old_backup_gives_no_revoked_key_back() {
    let mut fleet = Fleet::start();
    let dump = fleet.dump();
    fleet.revoke(LOST.0);
    fleet.restore(&dump);
    for replica in &fleet.replicas {
        replica.gateway.wait_for_line("went back, as after a restore");
        replica.gateway.wait_for_line("the database lists revoked keys as good");
        replica.expect(LOST.1, 401, Some("key_revoked"));
        replica.expect(FULL.1, 200, None);
    }
    // What it saw revoked it keeps in its `state:` folder.
    fleet.replicas[0].gateway.restart();
    fleet.replicas[0].wait_until(FULL.1, 200, None);
    fleet.replicas[0].expect(LOST.1, 401, Some("key_revoked"));
    fleet.wait_until_caught_up();
    fleet.revoke(FULL.0);
}

#[test]
fn an_edit_by_hand_gives_no_revoked_key_back() {
    let fleet = Fleet::start();
    fleet.revoke(LOST.0);
    fleet.write_by_hand(LOST.0, "revoked_at = NULL, revoked_by = NULL, revoked_reason = NULL");
    fleet.wait_until_caught_up();
    for replica in &fleet.replicas {
        replica.gateway.wait_for_line("the database lists revoked keys as good");
        replica.expect(LOST.1, 401, Some("key_revoked"));
        assert_eq!(undone(replica), "1");
    }
    fleet.revoke(LOST.0);
    for replica in &fleet.replicas {
        replica.expect(LOST.1, 401, Some("key_revoked"));
        assert_eq!(undone(replica), "0");
    }
}

/// How many keys a replica says are good again that it saw revoked.
fn undone(replica: &Replica) -> String {
    let mut client = Client::connect(replica.gateway.address("health"));
    let metrics = client.exchange("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let name = "\nkeygate_revocations_undone ";
    metrics.text().split_once(name).unwrap().1.lines().next().unwrap().to_owned()
}

#[test]
fn records_that_make_no_sense_are_left_out_and_told() {
    let fleet = Fleet::start();
    let names: Vec<_> =
        (0..3).map(|at| (format!("odd{at}"), format!("odd{at}-0123456789abcdefghijklmnopqrstu"))).collect();
    fleet.records.add(&names.iter().map(|(id, secret)| record((id, secret))).collect::<Vec<_>>());
    fleet.wait_until_caught_up();
    for (id, name) in [("odd0", "E'a\\nb\\x1b[31m'"), ("odd1", "repeat('x', 10000)")] {
        fleet.write_by_hand(id, &format!("name = {name}"));
    }
    for replica in &fleet.replicas {
        for id in ["odd0", "odd1"] {
            replica.gateway.wait_for_line(&format!("makes no sense: \"{id}\""));
        }
        replica.wait_until(&names[0].1, 401, Some("key_unknown"));
        replica.wait_until(&names[1].1, 401, Some("key_unknown"));
        replica.expect(&names[2].1, 200, None);
        let output = replica.gateway.output();
        assert!(!output.contains('\u{1b}') && !output.contains(&"x".repeat(1000)), "{output}");
    }
    fleet.revoke("odd2");
    fleet.expect_everywhere(&names[2].1, 401, Some("key_revoked"));
    fleet.expect_everywhere(FULL.1, 200, None);
}
