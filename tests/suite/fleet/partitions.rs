//! The network between a replica and its database fails, in part or wholly.

use std::time::Duration;

use super::{FULL, Fleet, LOST, REJECT, Replica, SetUp, record, wait_for};
use crate::harness::tcp_proxy::NOTIFICATION;

type Fault = fn(&Replica);

#[test]
fn a_change_that_is_not_heard_is_found_all_the_same() {
    let faults: [(&str, Fault); 5] = [
        ("half open", |replica| replica.listening.black_hole()),
        ("lost on the way", |replica| replica.listening.lose(NOTIFICATION)),
        ("cut between commit and notification", |replica| replica.listening.cut_at(NOTIFICATION)),
        ("refused", |replica| replica.listening.refuse()),
        ("held back", |replica| replica.listening.hold()),
    ];
    let fleet = Fleet::start();
    for (at, (what, fault)) in faults.into_iter().enumerate() {
        let (id, secret) = (format!("deaf{at}"), format!("deaf{at}-0123456789abcdefghijklmnopqrst"));
        fleet.records.add(&[record((&id, &secret))]);
        fleet.wait_until_caught_up();
        println!("{what}");
        fleet.replicas.iter().for_each(fault);
        fleet.revoke(&id);
        fleet.expect_everywhere(&secret, 401, Some("key_revoked"));
        fleet.replicas.iter().for_each(Replica::rejoin);
    }
}

#[test]
fn a_confirmation_that_is_lost_is_given_again() {
    let fleet = Fleet::start();
    let cut = &fleet.replicas[1];
    cut.network.cut_at_statement("INSERT INTO acknowledgements");
    let revision = fleet.records.revoke(LOST.0).unwrap();
    cut.wait_until(LOST.1, 401, Some("key_revoked"));
    cut.rejoin();
    wait_for("every confirmation", || fleet.records.acknowledgements(revision).len() == 3);
}

#[test]
fn a_pooler_that_passes_no_notification_on_delays_changes_only() {
    let fleet = SetUp { replicas: 1, listen_url: false, ..SetUp::default() }.start();
    fleet.replicas[0].network.lose(NOTIFICATION);
    fleet.revoke(LOST.0);
    fleet.expect_everywhere(LOST.1, 401, Some("key_revoked"));
}

#[test]
fn a_slow_network_delays_the_receipt_and_no_request() {
    let fleet = Fleet::start();
    fleet.replicas[1].network.delay(Duration::from_millis(150));
    fleet.replicas[1].listening.delay(Duration::from_millis(150));
    fleet.revoke(LOST.0);
    fleet.expect_everywhere(LOST.1, 401, Some("key_revoked"));
}

#[test]
fn connections_that_break_again_and_again_cost_no_change() {
    let fleet = Fleet::start();
    for at in 0..10 {
        let (id, secret) = (format!("cut{at}"), format!("cut{at}-0123456789abcdefghijklmnopqrstu"));
        fleet.records.add(&[record((&id, &secret))]);
        fleet.wait_until_caught_up();
        for replica in &fleet.replicas {
            replica.network.cut();
            replica.listening.cut();
        }
        fleet.revoke(&id);
        fleet.expect_everywhere(&secret, 401, Some("key_revoked"));
    }
}

#[test]
fn with_serve_a_replica_cut_off_serves_on_and_the_receipt_names_it() {
    let fleet = Fleet::start();
    let lonely = &fleet.replicas[1];
    lonely.isolate();
    fleet.change(&["keys", "revoke", LOST.0], "2s").expect_pending(lonely);
    lonely.expect(FULL.1, 200, None);
    lonely.expect(LOST.1, 200, None);
    for replica in [&fleet.replicas[0], &fleet.replicas[2]] {
        replica.expect(LOST.1, 401, Some("key_revoked"));
    }
    lonely.rejoin();
    lonely.wait_until(LOST.1, 401, Some("key_revoked"));
    fleet.change(&["keys", "revoke", LOST.0], "30s").expect_confirmed(3);
}

#[test]
fn with_reject_a_lease_that_ran_out_is_a_confirmation() {
    let fleet = SetUp { config: REJECT, ..SetUp::default() }.start();
    let lonely = &fleet.replicas[2];
    lonely.isolate();
    let receipt = fleet.change(&["keys", "revoke", LOST.0], "30s");
    receipt.expect_confirmed(3);
    lonely.expect(LOST.1, 503, Some("key_store_unavailable"));
    lonely.expect(FULL.1, 503, Some("key_store_unavailable"));
    fleet.replicas[0].expect(LOST.1, 401, Some("key_revoked"));
    fleet.replicas[0].expect(FULL.1, 200, None);

    lonely.rejoin();
    wait_for("the replica to come back", || {
        let status = lonely.ask(LOST.1).status();
        assert!(status == 503 || status == 401, "{status} for a revoked key");
        lonely.ask(FULL.1).status() == 200
    });
    lonely.expect(LOST.1, 401, Some("key_revoked"));
    fleet.revoke(FULL.0);
}

#[test]
fn with_all_replicas_cut_off_none_is_counted() {
    let fleet = Fleet::start();
    fleet.replicas.iter().for_each(Replica::isolate);
    let receipt = fleet.change(&["keys", "revoke", LOST.0], "2s");
    assert_eq!((receipt.code, receipt.names("pending").len()), (Some(3), 3), "{receipt:?}");
    fleet.expect_everywhere(LOST.1, 200, None);
    fleet.replicas.iter().for_each(Replica::rejoin);
    fleet.replicas.iter().for_each(|replica| replica.wait_until(LOST.1, 401, Some("key_revoked")));
}
