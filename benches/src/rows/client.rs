//! The clients by themselves.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Bench, milliseconds};
use crate::arena::{ADDRESS, Arena};
use crate::report::{Better, Report};

const TABLE: &str = "side-by-side";
const EXIT: &str = "client, from exec to exit, literal address, one datagram (spa-client --copies 1), ms";
const COPIES: &str = "the same, as spa-client sends by itself: a second after a pause of 50 to 150 ms";
const FIRST: &str = "client, from exec to its first packet on the wire, ms";
const NOTHING: &str = "a program that does nothing (/bin/true), from exec to exit, ms";

/// All four rows.
pub fn run(bench: &Bench, report: &mut Report) {
    let runs = if bench.quick { 10 } else { 60 };
    let titles = [EXIT, COPIES, FIRST].map(|title| (TABLE, title.to_owned()));
    let client = bench.arena.clients(1)[0];
    // All clients first, then all again: whatever slows the machine slows each of them.
    for _ in 0..runs {
        for contestant in bench.present(report, &titles) {
            if contestant.name() == "fwknopd -U" {
                for title in [EXIT, COPIES, FIRST] {
                    report.row(TABLE, title, Better::Less).missing("fwknopd -U", "the same client");
                }
                continue;
            }
            let run = |arguments: &[&str]| {
                bench.arena.at_client(|| {
                    Arena::use_source(client);
                    let mut command = contestant.client(client);
                    command.args(arguments);
                    time(command, true)
                })
            };
            let once: &[&str] = if contestant.name() == "spad" { &["--copies", "1"] } else { &[] };
            let (exit, first) = run(once);
            let row = report.row(TABLE, EXIT, Better::Less).short("client, start to end, one datagram, ms");
            row.measured(contestant.name(), [exit]);
            let copies = report.row(TABLE, COPIES, Better::Less);
            match contestant.name() {
                "spad" => copies.measured("spad", [run(&[]).0]),
                who => copies.missing(who, "sends once"),
            }
            report.row(TABLE, FIRST, Better::Less).measured(contestant.name(), first);
        }
        let (exit, _) = bench.arena.at_client(|| time(Command::new("true"), false));
        report.row(TABLE, NOTHING, Better::Less).measured("spad", [exit]);
    }
}

/// Milliseconds to its exit, and to its first packet if it sends one: seen by a raw socket on the wire.
fn time(mut command: Command, sends: bool) -> (f64, Option<f64>) {
    let wire = crate::wire::Wiretap::open(ADDRESS);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut running = command.spawn().expect("the client is installed");
    let first = sends.then(|| wire.first(Duration::from_millis(100))).flatten();
    let first = first.map(|at| milliseconds(at - start));
    running.wait().expect("it ends");
    (milliseconds(start.elapsed()), first)
}
