//! Three hundred clients knock at the same moment.

use std::time::{Duration, Instant};

use super::{Bench, milliseconds};
use crate::doors::Doors;
use crate::report::{Better, Report};
use crate::usage;
use crate::wire::Sender;

const TABLE: &str = "side-by-side";
const CLIENTS: usize = 300;
const OPENED: &str = "300 clients at once: of them let in";
const LAST: &str = "300 clients at once: until the last of those, ms";
const MEMORY: &str = "memory right after that, MiB (PSS)";
const LIMIT: Duration = Duration::from_secs(8);
/// Nobody was let in for so long: the others will not be either.
const OVER: Duration = Duration::from_millis(2000);

/// All three rows.
pub fn run(bench: &Bench, report: &mut Report) {
    let titles = [OPENED, LAST, MEMORY].map(|title| (TABLE, title.to_owned()));
    for _ in 0..bench.rounds(3) {
        for contestant in bench.present(report, &titles) {
            let daemon = contestant.serve(&bench.arena, 1);
            let clients = bench.arena.clients(CLIENTS);
            let knocks = contestant.knocks(&bench.arena, &clients, 1).concat();
            let (start, seen) = bench.arena.at_client(|| {
                let (doors, sender) = (Doors::new(), Sender::new());
                let start = Instant::now();
                sender.send(&knocks);
                let seen = doors.sweep(&clients, start + LIMIT, OVER);
                (start, seen)
            });
            let memory = usage::memory(&daemon.processes());
            drop(daemon);
            let who = contestant.name();
            let opened = seen.len() as f64;
            let row = report.row(TABLE, OPENED, Better::More).short("300 clients at once: let in");
            row.measured(who, [opened]);
            let last = seen.values().max().map(|last| milliseconds(*last - start));
            let row = report.row(TABLE, LAST, Better::Less).short("… until the last of those, ms");
            row.measured(who, last);
            report.row(TABLE, MEMORY, Better::Less).measured(who, [memory]);
        }
    }
}
