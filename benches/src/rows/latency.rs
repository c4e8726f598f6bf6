//! From the knock to the first accepted TCP connection, for an address that never knocked before.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{Bench, milliseconds};
use crate::arena::Arena;
use crate::doors::Doors;
use crate::report::{Better, Report};
use crate::tools::Contestant;
use crate::wire::Sender;

const TABLE: &str = "side-by-side";
const OWN: &str = "knock to first accepted TCP connection, own client, from its start, ms";
const READY: &str = "the same, ready packet, from its sending, ms";
const PER_TURN: usize = 12;
const LIMIT: Duration = Duration::from_secs(2);

/// Both rows.
pub fn run(bench: &Bench, report: &mut Report) {
    let titles = [(TABLE, OWN.to_owned()), (TABLE, READY.to_owned())];
    for _ in 0..bench.rounds(5) {
        for contestant in bench.present(report, &titles) {
            let daemon = contestant.serve(&bench.arena, 1);
            let (own, ready) =
                bench.arena.at_client(|| (own(bench, contestant), ready(bench, contestant, 1)));
            drop(daemon);
            report.row(TABLE, OWN, Better::Less).measured(contestant.name(), own);
            let row =
                report.row(TABLE, READY, Better::Less).short("knock to first accepted TCP connection, ms");
            row.measured(contestant.name(), ready);
        }
    }
}

fn own(bench: &Bench, contestant: &dyn Contestant) -> Vec<f64> {
    let (doors, mut times) = (Doors::new(), Vec::new());
    for client in bench.arena.clients(PER_TURN) {
        Arena::use_source(client);
        assert!(!doors.is_open(client), "{}: the door must be shut", contestant.name());
        let mut command = contestant.client(client);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let mut running = command.spawn().expect("the client is installed");
        let open = doors.first_open(client, start + LIMIT);
        assert!(running.wait().is_ok_and(|status| status.success()), "{}'s client", contestant.name());
        times.extend(open.map(|open| milliseconds(open - start)));
    }
    times
}

/// Knocks from memory, one after the other, each time until the door is open.
pub fn ready(bench: &Bench, contestant: &dyn Contestant, profiles: usize) -> Vec<f64> {
    let clients = bench.arena.clients(PER_TURN);
    let knocks = contestant.knocks(&bench.arena, &clients, profiles);
    let (doors, sender) = (Doors::new(), Sender::new());
    let mut times = Vec::new();
    for (client, knock) in clients.into_iter().zip(knocks) {
        assert!(!doors.is_open(client), "{}: the door must be shut", contestant.name());
        // Long enough that the daemon sleeps.
        std::thread::sleep(Duration::from_millis(7));
        let start = Instant::now();
        sender.send(&knock);
        let open = doors.first_open(client, start + LIMIT);
        times.extend(open.map(|open| milliseconds(open - start)));
    }
    times
}
