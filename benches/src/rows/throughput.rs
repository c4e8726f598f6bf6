//! Many valid knocks of many profiles from many addresses.

use std::time::{Duration, Instant};

use super::Bench;
use crate::report::{Better, Report};
use crate::tools::Contestant;
use crate::wire::{Sender, wait_until};

const TABLE: &str = "side-by-side";
const RATE: &str =
    "knocks of 1 000 profiles from as many addresses: accepted a second, when more are offered";
const SUSTAINED: &str = "10 000 knocks of 1 000 profiles from 10 000 addresses at 5 000/s: accepted";

/// How many knocks each is offered, and how many a second: several times what it can take.
fn offer(who: &str) -> (usize, u32) {
    match who {
        "fwknopd pcap" | "fwknopd -U" => (900, 450),
        "knockd" => (3000, 2000),
        _ => (30_000, 30_000),
    }
}

/// Both rows.
pub fn run(bench: &Bench, report: &mut Report) {
    for _ in 0..bench.rounds(2) {
        for contestant in bench.present(report, &[(TABLE, RATE.to_owned())]) {
            let (knocks, rate) = offer(contestant.name());
            let (accepted, took) = accept(bench, contestant, knocks, rate);
            let row = report.row(TABLE, RATE, Better::More).short("knocks accepted a second");
            row.measured(contestant.name(), [accepted as f64 / took.as_secs_f64()]);
        }
        if let Some(spad) = bench.contestants.last() {
            let (accepted, _) = accept(bench, &**spad, 10_000, 5000);
            let row = report.row(TABLE, SUSTAINED, Better::More);
            row.measured("spad", [accepted as f64]);
            for who in ["fwknopd pcap", "fwknopd -U", "knockd"] {
                row.missing(who, "above its rate");
            }
        }
    }
}

/// How many were accepted, and how long it took from the first knock to the last that was.
fn accept(bench: &Bench, contestant: &dyn Contestant, count: usize, rate: u32) -> (usize, Duration) {
    let clients = bench.arena.clients(count);
    let knocks = contestant.knocks(&bench.arena, &clients, 1000);
    let daemon = contestant.serve(&bench.arena, 1000);
    bench.arena.at_client(|| {
        let sender = Sender::new();
        let start = Instant::now();
        // In bursts of 5 ms, as the queue of any network brings them.
        let batch = (rate as usize / 200).max(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                bench.arena.client_host().enter();
                for (n, knocks) in knocks.chunks(batch).enumerate() {
                    wait_until(start + Duration::from_secs_f64((n * batch) as f64 / f64::from(rate)));
                    sender.send(&knocks.concat());
                }
            });
            let (mut accepted, mut last) = (0, start);
            let quiet = Duration::from_millis(1500);
            let offered = Duration::from_secs_f64(count as f64 / f64::from(rate));
            while accepted < count && (last.elapsed() < quiet || start.elapsed() < offered) {
                std::thread::sleep(Duration::from_millis(50));
                let now = daemon.said(contestant.accepted());
                if now > accepted {
                    (accepted, last) = (now, Instant::now());
                }
                if start.elapsed() > Duration::from_secs(8) {
                    break;
                }
            }
            (accepted, last - start)
        })
    })
}
