//! Replicas stop, die, and come anew, at the worst of times.

use std::thread;

use rustix::process::Signal;

use super::records::record;
use super::{FULL, Fleet, LOST, REJECT, SetUp, request};
use crate::harness::Client;

#[test]
fn a_paused_replica_is_named_and_admits_nothing_after_the_receipt() {
    let fleet = Fleet::start();
    let paused = &fleet.replicas[0];
    paused.gateway.signal(Signal::STOP);
    fleet.change(&["keys", "revoke", LOST.0], "2s").expect_pending(paused);
    let confirming = thread::scope(|scope| {
        let waiting = scope.spawn(|| fleet.change(&["keys", "revoke", LOST.0], "30s"));
        paused.gateway.signal(Signal::CONT);
        waiting.join().unwrap()
    });
    confirming.expect_confirmed(3);
    fleet.expect_everywhere(LOST.1, 401, Some("key_revoked"));
}

#[test]
fn with_reject_a_paused_replica_wakes_up_closed() {
    let fleet = SetUp { config: REJECT, ..SetUp::default() }.start();
    let paused = &fleet.replicas[0];
    let mut kept = Client::connect(paused.address);
    assert_eq!(kept.exchange(request("/any/thing", LOST.1)).status(), 200);
    paused.gateway.signal(Signal::STOP);
    fleet.change(&["keys", "revoke", LOST.0], "30s").expect_confirmed(3);

    // They wait in its sockets when it wakes up, and are the first that it sees.
    let mut fresh: Vec<_> = (0..50)
        .map(|_| {
            let mut client = Client::connect(paused.address);
            client.send(request("/any/thing", LOST.1));
            client
        })
        .collect();
    kept.send(request("/any/thing", LOST.1));
    paused.gateway.signal(Signal::CONT);
    fresh.push(kept);
    for mut client in fresh {
        let status = client.response().status();
        assert!(status == 503 || status == 401, "{status} for a revoked key");
    }
    paused.wait_until(FULL.1, 200, None);
    paused.expect(LOST.1, 401, Some("key_revoked"));
}

#[test]
fn a_replica_that_died_and_came_back_in_its_place_is_not_waited_for() {
    let mut fleet = Fleet::start();
    fleet.replicas[1].gateway.restart();
    fleet.replicas[1].wait_until(LOST.1, 200, None);
    fleet.wait_until_caught_up();
    fleet.revoke(LOST.0);
    fleet.expect_everywhere(LOST.1, 401, Some("key_revoked"));
}

#[test]
fn a_replica_that_stopped_in_good_order_is_not_waited_for() {
    let mut fleet = Fleet::start();
    fleet.replicas.remove(1).stop();
    fleet.revoke(LOST.0);
}

#[test]
fn a_replica_that_died_is_named_until_an_operator_says_that_it_is_gone() {
    let mut fleet = Fleet::start();
    let mut dead = fleet.replicas.remove(1);
    dead.gateway.signal(Signal::KILL);
    dead.gateway.wait();
    fleet.change(&["keys", "revoke", LOST.0], "2s").expect_pending(&dead);
    fleet.expect_everywhere(LOST.1, 401, Some("key_revoked"));
    let told = fleet.keygate(&["keys", "revoke", LOST.0, "--wait", "1s"]);
    assert_eq!(told.code, Some(3));
    assert!(told.stderr.contains("in force on 2/3 replicas"), "{told:?}");
    assert!(dead.is_named_in(std::slice::from_ref(&told.stderr)), "{told:?}");
}

#[test]
fn a_replica_that_starts_during_a_revocation_never_serves_the_key_after_the_receipt() {
    let set_up = SetUp { replicas: 1, ..SetUp::default() };
    let mut fleet = set_up.prepare();
    fleet.add_replica(&set_up);
    for at in 0..8 {
        let (id, secret) = (format!("race{at}"), format!("race{at}-0123456789abcdefghijklmnopqrst"));
        fleet.records.add(&[record((&id, &secret))]);
        let mut fresh = fleet.new_replica(&set_up);
        let receipt = fleet.change(&["keys", "revoke", &id], "30s");
        assert_eq!(receipt.code, Some(0), "{receipt:?}");
        // It may not listen yet: whenever it does, the key is refused, or nobody can tell.
        fresh.gateway.address("data");
        let status = fresh.ask(&secret).status();
        assert!(status == 401 || status == 503, "{status} for a revoked key");
        fresh.wait_until(&secret, 401, Some("key_revoked"));
        fresh.stop();
    }
}
