//! Resident memory at rest.

use std::time::Duration;

use super::Bench;
use crate::report::{Better, Report};
use crate::usage::memory;

const TABLE: &str = "side-by-side";
const ONE: &str = "memory, all processes with the ring, 1 profile, MiB (PSS)";
const MANY: &str = "the same, 10 000 profiles, MiB (PSS)";

/// Both rows.
pub fn run(bench: &Bench, report: &mut Report) {
    let titles = [ONE, MANY].map(|title| (TABLE, title.to_owned()));
    for _ in 0..bench.rounds(1) {
        for contestant in bench.present(report, &titles) {
            for (title, profiles) in [(ONE, 1), (MANY, 10_000)] {
                if contestant.name() == "knockd" && profiles > 1 {
                    report.row(TABLE, title, Better::Less).missing("knockd", "it has no profiles");
                    continue;
                }
                let daemon = contestant.serve(&bench.arena, profiles);
                std::thread::sleep(Duration::from_millis(400));
                let memory = memory(&daemon.processes());
                let row = report.row(TABLE, title, Better::Less);
                if profiles == 1 {
                    row.short("memory of all processes, MiB");
                }
                row.measured(contestant.name(), [memory]);
            }
        }
    }
}
