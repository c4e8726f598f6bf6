//! What junk costs the daemon, and how much of it is lost at a high rate.

use std::time::Duration;

use super::{Bench, microseconds, stations};
use crate::report::{Better, Report};
use crate::tools::{Contestant, Junk};
use crate::usage::{effort, processor_time};
use crate::wire::Flood;

const TABLE: &str = "side-by-side";
const ONE: &str = "junk at 500/s, 1 profile: CPU of the daemon, µs a datagram";
const MANY: &str = "the same, 1 000 profiles at 100/s (spad: 10 000 at 500/s), µs a datagram";
const KERNEL: &str = "what the kernel's filter needs for it beside that, µs a datagram";
const FAST: &str = "junk at 100 000/s, 1 profile: lost by the daemon, %";
const FAST_CPU: &str = "junk at 100 000/s, 1 profile: CPU of the daemon, % of a core";

/// All five rows, and the table of what else a stranger can send.
pub fn run(bench: &Bench, report: &mut Report) {
    let titles = [ONE, MANY, FAST, FAST_CPU].map(|title| (TABLE, title.to_owned()));
    for _ in 0..bench.rounds(3) {
        for contestant in bench.present(report, &titles) {
            let who = contestant.name();
            let cost = cost(bench, contestant, 1, Junk::Random, 500);
            let row =
                report.row(TABLE, ONE, Better::Less).short("junk datagram: processor time of the daemon, µs");
            row.measured(who, [cost.time]);
            if who == "knockd" {
                report.row(TABLE, MANY, Better::Less).missing(who, "it has no profiles");
            } else {
                let (profiles, rate) = match who {
                    "spad" => (10_000, 500),
                    _ => (1000, 100),
                };
                let cost = self::cost(bench, contestant, profiles, Junk::Random, rate);
                report.row(TABLE, MANY, Better::Less).measured(who, [cost.time]);
            }
            let kernel = report.row(TABLE, KERNEL, Better::Less).short("… and of the kernel's filter, µs");
            match who {
                "spad" => kernel.measured(who, stations::turn_away(1, 100).into_iter().map(microseconds)),
                _ => kernel.missing(who, "its daemon looks"),
            }
            let (lost, busy) = fast(bench, contestant, 100_000);
            report.row(TABLE, FAST, Better::Less).measured(who, [lost]);
            report.row(TABLE, FAST_CPU, Better::Less).measured(who, [busy]);
        }
    }
    // What else a stranger can send; only spad has all of it.
    if let Some(spad) = bench.contestants.last() {
        for kind in Junk::ALL {
            for _ in 0..bench.rounds(3) {
                let cost = cost(bench, &**spad, 1, kind, 5000);
                let row = report.row("junk", format!("{} at 5 000/s", kind.name()), Better::Less);
                row.measured("a: CPU of spad, µs a datagram", [cost.time]);
                row.measured("b: times that a process of spad ran, for 1 000 datagrams", [cost.runs]);
            }
        }
    }
}

/// What a daemon did for junk.
pub struct Cost {
    /// Processor time for each datagram, µs, without what the daemon needs when nothing comes.
    pub time: f64,
    /// How often one of its processes ran, for a thousand datagrams. It is counted, so even where the time is too short
    /// for the clock, 0 means 0.
    pub runs: f64,
}

/// Processor time and runs for each datagram at this rate. Quiet and junk take turns, so that whatever the daemon has to
/// do besides falls on both.
pub fn cost(bench: &Bench, contestant: &dyn Contestant, profiles: usize, kind: Junk, rate: u32) -> Cost {
    let turns = if bench.quick { 2 } else { 4 };
    let span = Duration::from_millis(300);
    let daemon = contestant.serve(&bench.arena, profiles);
    let junk = contestant.junk(&bench.arena, kind, profiles).expect("asked of those who have it");
    // Nothing of its start is left to do.
    std::thread::sleep(Duration::from_millis(700));
    let processes = daemon.processes();
    let during = || {
        let before = effort(&processes);
        std::thread::sleep(span);
        let after = effort(&processes);
        (microseconds(after.time - before.time), after.runs as f64 - before.runs as f64)
    };
    let (mut time, mut runs, mut datagrams) = (0.0, 0.0, 0);
    for _ in 0..turns {
        let idle = during();
        let flood = Flood::begin(&bench.arena.client_host(), junk.clone(), Some(rate));
        let busy = during();
        datagrams += flood.end().0;
        (time, runs) = (time + busy.0 - idle.0, runs + busy.1 - idle.1);
    }
    let datagrams = datagrams as f64;
    Cost { time: time / datagrams, runs: runs * 1e3 / datagrams }
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
