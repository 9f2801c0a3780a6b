//! What a receipt says of three replicas that hear of everything, and what then is so.

use std::sync::atomic::{AtomicBool, Ordering};

use keygate::policy::principal::Role;

use super::records::{person, record};
use super::{FULL, Fleet, LOST, Replica, request};
use crate::harness::Client;

/// The head of a request for a WebSocket, without its end.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn a_revocation_is_in_force_on_every_replica_before_its_receipt() {
    let fleet = Fleet::start();
    let mut kept: Vec<_> = fleet.replicas.iter().map(kept_connection).collect();

    let receipt = fleet.revoke(LOST.0);
    assert_eq!(receipt.answer["revision"].as_u64(), Some(fleet.records.head()));
    let slowest = receipt.answer["confirmed"].as_array().unwrap().iter().map(|one| &one["ms"]);
    assert!(slowest.clone().count() == 3 && slowest.clone().all(serde_json::Value::is_u64), "{receipt:?}");

    fleet.expect_everywhere(LOST.1, 401, Some("key_revoked"));
    for client in &mut kept {
        assert_eq!(client.exchange(request("/any/thing", LOST.1)).status(), 401);
    }
    fleet.expect_everywhere(FULL.1, 200, None);

    let again = fleet.change(&["keys", "revoke", LOST.0], "30s");
    again.expect_confirmed(3);
}

#[test]
fn open_streams_of_a_revoked_key_are_closed_and_counted() {
    let fleet = Fleet::start();
    let [first, second, third] = &fleet.replicas[..] else { unreachable!() };
    let mut chunks = stream(first, LOST.1);
    let mut socket = websocket(second, LOST.1);
    let mut other = stream(third, FULL.1);

    assert_eq!(fleet.revoke(LOST.0).streams_closed(), 2);
    let rest = chunks.read_to_end();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the answer seems whole: {rest:?}");
    let close = socket.read_to_end();
    assert_eq!((close[0], &close[2..4]), (0x88, &[0x03, 0xf0][..]), "no close frame with 1008: {close:?}");
    assert_eq!(fleet.revoke(FULL.0).streams_closed(), 1);
    other.read_to_end();
}

#[test]
fn what_became_of_a_person_is_in_force_everywhere_before_the_receipt() {
    let fleet = Fleet::start();
    let owner = "ada";
    fleet.records.put_person(&person(owner, Role::Admin));
    let secret = "adas-0123456789abcdefghijklmnopqrstuv";
    let mut key = record(("adas", secret));
    key.owner = Some(keygate::keys::record::PersonId::parse(owner).unwrap());
    fleet.records.add(&[key]);
    fleet.wait_until_caught_up();
    let patch = |replica: &Replica| {
        let request = request("/projects/alpha", secret).replacen("GET", "PATCH", 1);
        Client::connect(replica.address).exchange(request).status()
    };
    let patched = || fleet.replicas.iter().map(patch).collect::<Vec<_>>();
    let change = |arguments: &[&str]| fleet.change_everywhere(arguments);
    assert_eq!(patched(), [200; 3]);

    change(&["people", "update", owner, "--role", "viewer"]);
    assert_eq!(patched(), [403; 3]);
    fleet.expect_everywhere(secret, 200, None);
    change(&["people", "update", owner, "--role", "admin"]);
    assert_eq!(patched(), [200; 3], "what was granted grows back");
    change(&["people", "update", owner, "--project", "beta"]);
    assert_eq!(patched(), [404; 3]);
    change(&["people", "update", owner, "--all-projects"]);
    assert_eq!(patched(), [200; 3]);
    change(&["people", "disable", owner]);
    fleet.expect_everywhere(secret, 401, Some("key_owner_disabled"));
    change(&["people", "enable", owner]);
    fleet.expect_everywhere(secret, 200, None);
}

#[test]
fn a_rotated_key_has_its_new_secret_everywhere_and_the_old_one_nowhere() {
    let fleet = Fleet::start();
    let secret = fleet.change_everywhere(&["keys", "rotate", LOST.0, "--overlap", "0"]);
    fleet.expect_everywhere(secret.trim_end(), 200, None);
    for replica in &fleet.replicas {
        assert_eq!(replica.ask(LOST.1).status(), 401);
    }
}

#[test]
fn ten_thousand_keys_in_one_import_disturb_nobody() {
    let fleet = Fleet::start();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stopping = StopWhenDropped(&stop);
        let asking: Vec<_> = fleet
            .replicas
            .iter()
            .map(|replica| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut client = Client::connect(replica.address);
                    while !stop.load(Ordering::Acquire) {
                        let answer = client.exchange(request("/any/thing", FULL.1));
                        assert_eq!(answer.status(), 200, "{answer:?}");
                    }
                })
            })
            .collect();
        let names: Vec<_> = (0..10_000)
            .map(|at| (format!("many{at}"), format!("many{at}-0123456789abcdefghijklmnop")))
            .collect();
        let keys: Vec<_> = names.iter().map(|(id, secret)| record((id, secret))).collect();
        fleet.records.add(&keys);
        let (_, last) = names.last().unwrap();
        fleet.replicas.iter().for_each(|replica| replica.wait_until(last, 200, None));
        fleet.revoke("many0");
        drop(stopping);
        for thread in asking {
            thread.join().unwrap();
        }
    });
    fleet.expect_everywhere("many0-0123456789abcdefghijklmnop", 401, Some("key_revoked"));
    fleet.expect_everywhere("many1-0123456789abcdefghijklmnop", 200, None);
}

/// Ends the threads that look at it, also where the test fails.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A connection that has sent a good request.
fn kept_connection(replica: &Replica) -> Client {
    let mut client = Client::connect(replica.address);
    assert_eq!(client.exchange(request("/any/thing", LOST.1)).status(), 200);
    client
}

/// A chunked answer that has begun.
fn stream(replica: &Replica, secret: &str) -> Client {
    let mut client = Client::connect(replica.address);
    assert_eq!(client.send(request("/any/stream", secret)).response_head().status(), 200);
    assert_eq!(client.take(8), b"3\r\none\r\n");
    client
}

/// A WebSocket that is open.
fn websocket(replica: &Replica, secret: &str) -> Client {
    let mut client = Client::connect(replica.address);
    let request = request("/ws", secret).replace("\r\n\r\n", &format!("\r\n{UPGRADE}\r\n"));
    assert_eq!(client.send(request).response_head().status(), 101);
    client
}
