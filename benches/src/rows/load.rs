//! Loading many profiles, and reading them anew while knocks come.

use std::time::{Duration, Instant};

use super::Bench;
use crate::doors::Doors;
use crate::report::{Better, Report};
use crate::usage::memory;
use crate::wire::{Sender, wait_until};

/// Everything about spad only: the others have nothing that compares.
pub fn run(bench: &Bench, report: &mut Report) {
    let Some(spad) = bench.contestants.last() else { return };
    for _ in 0..bench.rounds(3) {
        for profiles in [1, 10_000, 100_000] {
            let daemon = spad.serve(&bench.arena, profiles);
            let row = report.row(
                "load",
                format!("{profiles} profile{}", if profiles == 1 { "" } else { "s" }),
                Better::Less,
            );
            row.measured("a: start until it serves, s", [daemon.took.as_secs_f64()]);
            std::thread::sleep(Duration::from_millis(300));
            row.measured("c: memory, MiB (PSS)", [memory(&daemon.processes())]);
            let start = Instant::now();
            daemon.reload();
            while daemon.said("serving") < 2 && start.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_millis(2));
            }
            row.measured("b: reload until the new ones count, s", [start.elapsed().as_secs_f64()]);
        }
    }
    const TITLE: &str = "three reloads with 10 000 profiles while 1 000 knocks come at 500/s";
    for _ in 0..bench.rounds(3) {
        let clients = bench.arena.clients(1000);
        let knocks = spad.knocks(&bench.arena, &clients, 10_000);
        let daemon = spad.serve(&bench.arena, 10_000);
        let lost = bench.arena.at_client(|| {
            let (sender, start) = (Sender::new(), Instant::now());
            for (n, knock) in knocks.iter().enumerate() {
                wait_until(start + Duration::from_millis(2) * u32::try_from(n).expect("few"));
                sender.send(knock);
                if [200, 500, 800].contains(&n) {
                    daemon.reload();
                }
            }
            let end = Instant::now() + Duration::from_secs(3);
            (clients.len() - Doors::new().sweep(&clients, end, Duration::from_secs(1)).len()) as f64
        });
        report.row("reload", TITLE, Better::Less).measured("knocks lost", [lost]);
        report.row("reload", TITLE, Better::Less).measured("reloads", [daemon.said("serving") as f64 - 1.0]);
    }
}
