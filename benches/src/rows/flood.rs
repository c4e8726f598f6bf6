//! Valid knocks while one core sends junk as fast as it can.

use std::time::{Duration, Instant};

use super::{Bench, milliseconds};
use crate::doors::Doors;
use crate::report::{Better, Report};
use crate::stats::Sample;
use crate::tools::{Contestant, Junk};
use crate::wire::{Flood, Sender};

const TABLE: &str = "side-by-side";
const OPENED: &str = "under a flood of random junk from one core: of 20 knocks let in";
const LATENCY: &str = "under that flood: knock to first connection of those, ms";
const RATE: &str = "that flood, thousand datagrams a second";
const KNOCKS: usize = 20;
const LIMIT: Duration = Duration::from_millis(600);

struct Outcome {
    opened: f64,
    times: Vec<f64>,
    thousands: f64,
    lost: f64,
}

/// All rows: random junk for everybody, the other kinds for spad.
pub fn run(bench: &Bench, report: &mut Report) {
    let titles = [OPENED, LATENCY, RATE].map(|title| (TABLE, title.to_owned()));
    for _ in 0..bench.rounds(2) {
        for contestant in bench.present(report, &titles) {
            let who = contestant.name();
            let outcome = flood(bench, contestant, Junk::Random);
            let row =
                report.row(TABLE, OPENED, Better::More).short("20 knocks during a flood of junk: let in");
            row.measured(who, [outcome.opened]);
            report.row(TABLE, LATENCY, Better::Less).measured(who, outcome.times);
            report.row(TABLE, RATE, Better::More).measured(who, [outcome.thousands]);
        }
        for kind in Junk::ALL {
            for contestant in bench.present(report, &[]) {
                if contestant.name() != "spad" {
                    continue;
                }
                let outcome = flood(bench, contestant, kind);
                let p95 = outcome.times.iter().copied().collect::<Sample>().quantile(0.95);
                let row = report.row("floods", kind.name(), Better::More);
                row.measured("a: thousand/s", [outcome.thousands]);
                row.measured("b: of 20 let in", [outcome.opened]);
                row.measured("c: knock to connection, ms", outcome.times);
                row.measured("d: its p95, ms", [p95]);
                row.measured("e: frames lost, %", [outcome.lost]);
            }
        }
    }
}

fn flood(bench: &Bench, contestant: &dyn Contestant, kind: Junk) -> Outcome {
    let daemon = contestant.serve(&bench.arena, 1);
    let junk = contestant.junk(&bench.arena, kind, 1).expect("asked of those who have it");
    let clients = bench.arena.clients(KNOCKS);
    let knocks = contestant.knocks(&bench.arena, &clients, 1);
    let flood = Flood::begin(&bench.arena.client_host(), junk, None);
    std::thread::sleep(Duration::from_millis(200));
    let before = contestant.lost(&daemon);
    let before = if contestant.name() == "fwknopd -U" { before } else { 0 };
    let times = bench.arena.at_client(|| {
        let (doors, sender) = (Doors::new(), Sender::new());
        let mut times = Vec::new();
        for (client, knock) in clients.iter().zip(&knocks) {
            std::thread::sleep(Duration::from_millis(23));
            let start = Instant::now();
            sender.send(knock);
            let open = doors.first_open(*client, start + LIMIT);
            times.extend(open.map(|open| milliseconds(open - start)));
        }
        times
    });
    let (sent, took) = flood.end();
    let lost = 100.0 * (contestant.lost(&daemon) - before) as f64 / sent as f64;
    let thousands = sent as f64 / took.as_secs_f64() / 1e3;
    Outcome { opened: times.len() as f64, times, thousands, lost }
}
