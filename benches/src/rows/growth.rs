//! How each cost of spad grows: with profiles, open doors, remembered requests, interfaces.

use std::time::{Duration, Instant};

use lab::SERVER;

use super::{Bench, junk, latency};
use crate::report::{Better, Report};
use crate::tools::{Contestant, Junk, Spad};
use crate::usage::memory;
use crate::wire::{Sender, wait_until};

const KNOCK: &str = "a: knock to first connection, ms";
const JUNK: &str = "b: junk at 500/s, µs a datagram";
/// How many interfaces, and the names of the daemons that listen on them.
const INTERFACES: [(usize, &str); 3] = [(1, "one"), (4, "four"), (16, "sixteen")];
const MEMORY: &str = "c: memory, MiB (PSS)";

/// All of it.
pub fn run(bench: &Bench, report: &mut Report) {
    let Some(spad) = bench.contestants.last() else { return };
    for _ in 0..bench.rounds(2) {
        for profiles in [1, 1000, 10_000, 100_000] {
            let daemon = spad.serve(&bench.arena, profiles);
            let times = bench.arena.at_client(|| latency::ready(bench, &**spad, profiles));
            let row = report.row(
                "growth",
                format!("{profiles} profile{}", if profiles == 1 { "" } else { "s" }),
                Better::Less,
            );
            row.measured(KNOCK, times);
            row.measured(MEMORY, [memory(&daemon.processes())]);
            drop(daemon);
            let cost = junk::cost(bench, &**spad, profiles, Junk::Random, 500);
            report
                .row(
                    "growth",
                    format!("{profiles} profile{}", if profiles == 1 { "" } else { "s" }),
                    Better::Less,
                )
                .measured(JUNK, [cost.time]);
        }
        for doors in [1000, 10_000, 40_000] {
            open_doors(bench, &**spad, doors, report);
        }
    }
    for (interfaces, label) in INTERFACES {
        with_interfaces(bench, interfaces, label, report);
    }
}

/// With so many doors open, and as many requests remembered.
fn open_doors(bench: &Bench, spad: &dyn Contestant, doors: usize, report: &mut Report) {
    let clients = bench.arena.clients(doors);
    let knocks = spad.knocks(&bench.arena, &clients, 1000);
    let daemon = spad.serve(&bench.arena, 1000);
    let times = bench.arena.at_client(|| {
        let (sender, start) = (Sender::new(), Instant::now());
        for (n, knock) in knocks.iter().enumerate() {
            wait_until(start + Duration::from_micros(200) * u32::try_from(n).expect("few"));
            sender.send(knock);
        }
        std::thread::sleep(Duration::from_millis(300));
        latency::ready(bench, spad, 1000)
    });
    let opened = daemon.said(spad.accepted());
    let title = format!("1 000 profiles, {doors} doors open");
    let row = report.row("growth", title, Better::Less);
    row.measured(KNOCK, times);
    row.measured(MEMORY, [memory(&daemon.processes())]);
    row.measured("d: doors opened", [opened as f64]);
}

/// With so many interfaces to listen on, of which one brings all knocks.
fn with_interfaces(bench: &Bench, interfaces: usize, label: &'static str, report: &mut Report) {
    let mut names = vec!["\"eth1\"".to_owned()];
    let (mut make, mut remove) = (String::new(), String::new());
    for n in 1..interfaces {
        make.push_str(&format!("ip link add more{n} type veth peer name peer{n}; ip link set more{n} up; ip link set peer{n} up; "));
        remove.push_str(&format!("ip link del more{n}; "));
        names.push(format!("\"more{n}\""));
    }
    let _ = bench.arena.lab().sh(SERVER, &format!("true; {make}"));
    let mut spad = Spad::new(&bench.arena, label);
    spad.interfaces = names.join(", ");
    for _ in 0..bench.rounds(2) {
        let daemon = spad.serve(&bench.arena, 1);
        let times = bench.arena.at_client(|| latency::ready(bench, &spad, 1));
        let title = format!("1 profile, {interfaces} interface{}", if interfaces == 1 { "" } else { "s" });
        let row = report.row("growth", title.clone(), Better::Less);
        row.measured(KNOCK, times);
        row.measured(MEMORY, [memory(&daemon.processes())]);
        drop(daemon);
        let cost = junk::cost(bench, &spad, 1, Junk::Random, 500);
        report.row("growth", title, Better::Less).measured(JUNK, [cost.time]);
    }
    let _ = bench.arena.lab().sh(SERVER, &format!("true; {remove}"));
}
