//! What junk costs the daemon, and how much of it is lost at a high rate.

use std::time::Duration;

use super::{Bench, microseconds};
use crate::report::{Better, Report};
use crate::tools::{Contestant, Junk};
use crate::usage::processor_time;
use crate::wire::Flood;

const TABLE: &str = "side-by-side";
const ONE: &str = "junk at 500/s, 1 profile: CPU of the daemon, µs a datagram";
const MANY: &str = "the same, 1 000 profiles at 100/s (spad: 10 000 at 500/s), µs a datagram";
const FAST: &str = "junk at 100 000/s, 1 profile: lost by the daemon, %";
const FAST_CPU: &str = "junk at 100 000/s, 1 profile: CPU of the daemon, % of a core";

/// All four rows.
pub fn run(bench: &Bench, report: &mut Report) {
    let titles = [ONE, MANY, FAST, FAST_CPU].map(|title| (TABLE, title.to_owned()));
    for _ in 0..bench.rounds(3) {
        for contestant in bench.present(report, &titles) {
            let who = contestant.name();
            let cost = cost(bench, contestant, 1, Junk::Random, 500);
            report.row(TABLE, ONE, Better::Less).measured(who, [cost]);
            if who == "knockd" {
                report.row(TABLE, MANY, Better::Less).missing(who, "it has no profiles");
            } else {
                let (profiles, rate) = match who {
                    "spad" => (10_000, 500),
                    _ => (1000, 100),
                };
                let cost = self::cost(bench, contestant, profiles, Junk::Random, rate);
                report.row(TABLE, MANY, Better::Less).measured(who, [cost]);
            }
            let (lost, busy) = fast(bench, contestant, 100_000);
            report.row(TABLE, FAST, Better::Less).measured(who, [lost]);
            report.row(TABLE, FAST_CPU, Better::Less).measured(who, [busy]);
        }
    }
    // What else a stranger can send; only spad has all of it.
    if let Some(spad) = bench.contestants.last() {
        for kind in Junk::ALL {
            let title = format!("{} at 5 000/s, µs a datagram", kind.name());
            for _ in 0..bench.rounds(3) {
                let cost = cost(bench, &**spad, 1, kind, 5000);
                report.row("junk", title.clone(), Better::Less).measured("CPU of spad", [cost]);
            }
        }
    }
}

/// Processor time for each datagram at this rate, without what the daemon needs when nothing comes.
pub fn cost(bench: &Bench, contestant: &dyn Contestant, profiles: usize, kind: Junk, rate: u32) -> f64 {
    let span = Duration::from_millis(if bench.quick { 1000 } else { 1500 });
    let daemon = contestant.serve(&bench.arena, profiles);
    let junk = contestant.junk(&bench.arena, kind, profiles).expect("asked of those who have it");
    let used = || processor_time(&daemon.processes());
    // Nothing of its start is left to do.
    std::thread::sleep(Duration::from_millis(700));
    let before = used();
    std::thread::sleep(span);
    let idle = used() - before;
    let flood = Flood::begin(&bench.arena.client_host(), junk, Some(rate));
    std::thread::sleep(Duration::from_millis(100));
    let before = used();
    std::thread::sleep(span);
    let busy = used() - before;
    let _ = flood.end();
    microseconds(busy.saturating_sub(idle)) / (f64::from(rate) * span.as_secs_f64())
}

/// Percent lost, and percent of a core, at this rate.
fn fast(bench: &Bench, contestant: &dyn Contestant, rate: u32) -> (f64, f64) {
    let span = Duration::from_millis(if bench.quick { 500 } else { 1500 });
    let daemon = contestant.serve(&bench.arena, 1);
    let junk = contestant.junk(&bench.arena, Junk::Random, 1).expect("everybody has this");
    std::thread::sleep(Duration::from_millis(200));
    let before = contestant.lost(&daemon);
    let before = if contestant.name() == "fwknopd -U" { before } else { 0 };
    let used = processor_time(&daemon.processes());
    let flood = Flood::begin(&bench.arena.client_host(), junk, Some(rate));
    std::thread::sleep(span);
    let (sent, took) = flood.end();
    let used = processor_time(&daemon.processes()) - used;
    let lost = contestant.lost(&daemon) - before;
    (100.0 * lost as f64 / sent as f64, 100.0 * used.as_secs_f64() / took.as_secs_f64())
}
