//! What `bench/chaos`, `bench/propagation` and `bench/store` ask of a fleet: `fleet-client COMMAND …`, each of which
//! prints one JSON object.
//!
//! - `seed DATABASE COUNT FILE`: makes the tables and so many keys, and writes `ID SECRET` lines to FILE.
//! - `chaos FILE CONNECTIONS TARGET…`: sends requests for these keys to every target until its input ends, and counts who
//!   was admitted although a receipt had said that nobody is. Lines `revoking N` and `confirmed N` (a line of FILE,
//!   from 0) say what is known; `count` prints how many requests there were after receipts.
//! - `propagation DATABASE FILE COUNT TARGET…`: revokes the first keys of FILE one after the other, and tells how long
//!   after each commit all targets had acknowledged and were seen to refuse.
//! - `load DATABASE`: loads every key into memory, then changes one at a time.
//! - `pulse DATABASE FILE CHANGES RATE TARGET`: a constant load on the target, and changes of other keys meanwhile.

mod chaos;
mod client;
mod database;
mod propagation;
mod pulse;

use std::error::Error;

type Outcome = Result<serde_json::Value, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match &arguments[..] {
        ["seed", database, count, file] => database::seed(database, count.parse()?, file),
        ["chaos", file, connections, targets @ ..] => chaos::run(file, connections.parse()?, targets),
        ["propagation", database, file, count, targets @ ..] => {
            propagation::run(database, file, count.parse()?, targets)
        }
        ["load", database] => database::load(database),
        ["pulse", database, file, changes, rate, target] => {
            pulse::run(database, file, changes.parse()?, rate.parse()?, target)
        }
        _ => return Err("see the head of bench/fleet_client/main.rs".into()),
    }?;
    print(&outcome);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it is what the command is for")]
fn print(value: &serde_json::Value) {
    println!("{value}");
}
