//! The starter with real children: who dies, who is started again, and when.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::daemon::{Daemon, SECOND, send};
use common::{eventually, root, user_namespaces};
use rustix::process::Signal;

const MONITOR: &str = "monitor";
const WORKER: &str = "worker";
const SOON: Duration = Duration::from_millis(200);

/// Makes a daemon that serves, or returns where that is not permitted.
macro_rules! serving {
    ($name:literal, $config:literal) => {
        match root() {
            true => Daemon::serving($name, $config),
            false => return,
        }
    };
}

#[test]
fn a_killed_worker_is_replaced_at_once_and_the_monitor_stays() {
    let daemon = serving!("worker-killed", "serve");
    let (monitor, worker) = (daemon.only(MONITOR), daemon.only(WORKER));
    send(worker, Signal::KILL);
    let took = daemon.wait_for_new(WORKER, &[worker], SOON);
    println!("a new worker after {took:?}");
    daemon.wait_for_log("took over", 2);
    assert_eq!(daemon.only(MONITOR), monitor);
}

#[test]
fn a_killed_monitor_takes_its_worker_along_and_both_are_replaced_at_once() {
    let daemon = serving!("monitor-killed", "serve");
    let (monitor, worker) = (daemon.only(MONITOR), daemon.only(WORKER));
    send(monitor, Signal::KILL);
    let took = daemon.wait_for_new(MONITOR, &[monitor], SOON) + daemon.wait_for_new(WORKER, &[worker], SOON);
    println!("both anew after {took:?}");
    daemon.wait_for_log("took over", 2);
    daemon.wait_for_log("worker ends", 1);
    assert_ne!((daemon.only(MONITOR), daemon.only(WORKER)), (monitor, worker));
}

#[test]
fn asked_to_end_it_leaves_nothing_within_a_second() {
    for (name, signal) in [("term", Signal::TERM), ("int", Signal::INT)] {
        if !root() {
            return;
        }
        let mut daemon = Daemon::serving(name, "serve");
        daemon.signal(signal);
        let (status, took) = daemon.wait_for_end(SECOND);
        assert_eq!(status.code(), Some(0), "{signal:?}");
        assert!(daemon.log().contains("worker ends"), "it could flush: {}", daemon.log());
        println!("ended after {took:?}");
    }
}

#[test]
fn a_killed_starter_leaves_nothing() {
    let mut daemon = serving!("starter-killed", "serve");
    daemon.signal(Signal::KILL);
    daemon.wait_for_end(SECOND);
    assert!(daemon.log().contains("worker ends"), "the worker could flush");
}

#[test]
fn children_do_not_hear_the_signals_meant_for_the_starter() {
    let daemon = serving!("deaf", "serve");
    let before = (daemon.only(MONITOR), daemon.only(WORKER));
    for signal in [Signal::INT, Signal::HUP, Signal::TERM] {
        send(before.0, signal);
        send(before.1, signal);
    }
    std::thread::sleep(SOON);
    assert_eq!((daemon.only(MONITOR), daemon.only(WORKER)), before);
}

#[test]
fn a_reload_starts_a_worker_beside_and_only_retirement_ends_the_first() {
    let daemon = serving!("reload", "serve");
    let (monitor, old) = (daemon.only(MONITOR), daemon.only(WORKER));
    // "slow": the monitor closes the old worker's channel 3 s after the new one took over.
    daemon.configure("slow");
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("took over", 2);
    for _ in 0..20 {
        let workers = daemon.processes(WORKER);
        assert!(workers.len() == 2 && workers.contains(&old), "both live: {workers:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    eventually(5 * SECOND, "the old one ends", || !daemon.processes(WORKER).contains(&old));
    assert!(daemon.log().contains("worker ends"), "by itself");
    assert_ne!(daemon.only(WORKER), old);
    assert_eq!(daemon.only(MONITOR), monitor);
}

#[test]
fn a_retired_worker_that_does_not_end_is_killed_after_five_seconds() {
    let daemon = serving!("stubborn", "stubborn");
    let old = daemon.only(WORKER);
    daemon.configure("serve");
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("took over", 2);
    let took = eventually(6 * SECOND, "the old one is killed", || !daemon.processes(WORKER).contains(&old));
    assert!(took > 4 * SECOND, "{took:?}");
    daemon.only(WORKER);
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let daemon = serving!("bad-reload", "serve");
    let before = (daemon.only(MONITOR), daemon.only(WORKER));
    let bad = ["exit 3", "crash early", "refuse", "refuse stubborn"];
    for (count, config) in bad.into_iter().enumerate() {
        daemon.configure(config);
        daemon.signal(Signal::HUP);
        daemon.wait_for_log("reload refused", count + 1);
    }
    std::fs::remove_file(daemon.path().join("spad.toml")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("reload refused", bad.len() + 1);
    eventually(6 * SECOND, "those turned away are gone", || daemon.processes(WORKER).len() == 1);
    assert_eq!((daemon.only(MONITOR), daemon.only(WORKER)), before);
    assert_eq!(daemon.log().matches("reload refused").count(), bad.len() + 1, "each said once, tried once");
    daemon.configure("serve");
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("took over", 2);
}

#[test]
fn reloads_in_a_row_end_with_one_worker_and_the_last_configuration() {
    let daemon = serving!("reloads", "serve");
    for round in 0..20 {
        daemon.configure(&format!("round {round}"));
        daemon.signal(Signal::HUP);
        std::thread::sleep(Duration::from_millis(3));
    }
    daemon.wait_for_log("worker reads round 19", 1);
    eventually(2 * SECOND, "one worker", || daemon.processes(WORKER).len() == 1);
    assert!(daemon.log().matches("worker reads").count() < 10, "they were taken together");
}

#[test]
fn a_crash_loop_is_held_to_one_start_a_second() {
    for (name, config) in [("crash-early", "crash early"), ("crash-late", "crash late")] {
        if !root() {
            return;
        }
        let mut daemon = Daemon::start(name, config);
        // 0, 0.1, 0.3, 0.7, 1.5, 2.5, 3.5, 4.5 s …
        std::thread::sleep(5 * SECOND);
        let starts = daemon.log().matches("worker reads").count();
        assert!((7..=9).contains(&starts), "{name}: {starts} starts in 5 s");
        daemon.configure("serve");
        let reached = daemon.log().matches("took over").count();
        daemon.wait_for_log("took over", reached + 1);
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait_for_end(SECOND).0.code(), Some(0));
    }
}

#[test]
fn what_cannot_be_started_the_first_time_ends_with_its_status_and_leaves_nothing() {
    if !root() {
        return;
    }
    for (name, config, status) in [("first-config", "exit 3", 3), ("first-firewall", "firewall", 4)] {
        let mut daemon = Daemon::start(name, config);
        assert_eq!(daemon.wait_for_end(2 * SECOND).0.code(), Some(status), "{config}: {}", daemon.log());
        assert_eq!(daemon.log().matches("started").count(), 2, "no second attempt: {}", daemon.log());
    }
    let without = ["setpriv", "--bounding-set=-net_admin"];
    let mut daemon = Daemon::start_by(&without, "first-capability", "serve");
    assert_eq!(daemon.wait_for_end(2 * SECOND).0.code(), Some(5), "{}", daemon.log());
    // The script removes the file named after --config, then becomes the daemon.
    let gone = ["sh", "-c", "rm \"$2\"; exec \"$0\" \"$@\""];
    let mut daemon = Daemon::start_by(&gone, "first-gone", "serve");
    assert_eq!(daemon.wait_for_end(2 * SECOND).0.code(), Some(3), "{}", daemon.log());
    assert!(daemon.log().contains("cannot be opened"), "{}", daemon.log());
}

#[test]
fn a_monitor_that_lets_go_of_the_starter_is_killed_before_another_is_started() {
    let daemon = serving!("let-go", "serve");
    let monitor = daemon.only(MONITOR);
    daemon.configure("let go");
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("monitor lets go", 1);
    daemon.configure("serve");
    std::thread::sleep(SECOND);
    assert_eq!(daemon.only(MONITOR), monitor);
    daemon.wait_for_log("took over", 2);
    assert_ne!(daemon.only(MONITOR), monitor);
}

#[test]
fn a_frozen_daemon_still_ends_when_asked() {
    let mut daemon = serving!("frozen", "serve");
    send(daemon.only(MONITOR), Signal::STOP);
    send(daemon.only(WORKER), Signal::STOP);
    daemon.signal(Signal::TERM);
    let (status, took) = daemon.wait_for_end(5 * SECOND);
    assert!(status.code() == Some(0) && took > 2 * SECOND, "{status}, {took:?}");
}

#[test]
fn a_waiting_starter_uses_no_processor_time() {
    let daemon = serving!("idle", "serve");
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.starter.id())).unwrap();
        let numbers: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        numbers[11].parse::<u64>().unwrap() + numbers[12].parse::<u64>().unwrap()
    };
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.starter.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = (ticks(), switches());
    std::thread::sleep(SECOND);
    assert!(ticks() - before.0 <= 1, "clock ticks in a second");
    assert!(switches() - before.1 <= 2, "wake-ups in a second");
}

#[test]
fn it_runs_in_a_user_namespace_with_one_uid() {
    if !user_namespaces() {
        return;
    }
    let mut daemon = Daemon::start_by(&["unshare", "-Urn"], "userns", "serve");
    daemon.wait_for_log("took over", 1);
    assert!(daemon.log().contains("the only user of this user namespace"));
    let worker = daemon.only(WORKER);
    send(worker, Signal::KILL);
    daemon.wait_for_new(WORKER, &[worker], SOON);
    daemon.wait_for_log("took over", 2);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_for_end(SECOND).0.code(), Some(0));
}
