//! Floods: what strangers send in masses wakes nobody or costs little, and whoever knocks meanwhile is let in.

use std::time::Duration;

use lab::{A, B, Clock, Config, Lab, SERVER, SSH, Spad, eventually};
use rustix::process::Signal;

/// The first bytes of a captured datagram that pass the check word, whatever stands behind them.
const HEADER: usize = 24;
/// A whole datagram.
const ALL: usize = usize::MAX;

/// How often the worker went to sleep: once for each time it was woken.
fn sleeps(spad: &Spad) -> u64 {
    let [worker] = spad.role("worker")[..] else { panic!("one worker") };
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).expect("the kernel counts")
}

/// Sleeps of the worker during 600 datagrams at a rate at which each would wake it.
fn woken_by(lab: &Lab, spad: &Spad, kept: usize) -> u64 {
    let before = sleeps(spad);
    let mut flood = lab.flood(B, "captured", kept, 600, 3000);
    assert!(flood.wait(Duration::from_secs(10)).success());
    sleeps(spad) - before
}

#[test]
fn junk_wakes_nobody_and_a_captured_header_does() {
    for interface in ["eth0", "any"] {
        let Some(lab) = Lab::new() else { return };
        let (_service, spad) = lab.guard_ssh();
        lab.configure(&Config { interfaces: vec![interface], ..Config::default() });
        spad.reload();
        spad.says_times("serving", 2);
        eventually("the old worker has gone", Duration::from_secs(5), || spad.role("worker").len() == 1);
        lab.seal(A, "captured", &[]);
        let junk = woken_by(&lab, &spad, 0);
        assert!(junk < 10, "{interface}: woken {junk} times by junk:\n{}", spad.log());
        // That shows something only if it can be seen.
        let captured = woken_by(&lab, &spad, HEADER);
        assert!(captured > 60, "{interface}: woken {captured} times by what passes the check word");
        lab.knock(A);
        lab.opens(A, SSH);
    }
}

#[test]
fn where_the_kernel_has_no_room_for_the_program_the_worker_looks() {
    #[rustfmt::skip]
    let rows = [
        // net.core.optmem_max, the kernel looks, why
        (20_480, true,  "what older kernels have"),
        (8_000,  false, "too little: libpcap's filter stays"),
    ];
    for (room, in_kernel, why) in rows {
        let Some(lab) = Lab::new() else { return };
        let limit = "/proc/sys/net/core/optmem_max";
        if lab.run(SERVER, "test", &["-w", limit]).status != Some(0) {
            // An older kernel has one limit for the whole machine, the first of these; the test above passes with it.
            return;
        }
        lab.sh(SERVER, &format!("echo {room} >{limit}"));
        let (_service, spad) = lab.guard_ssh();
        lab.seal(A, "captured", &[]);
        let woken = woken_by(&lab, &spad, 0);
        assert_eq!(woken < 10, in_kernel, "{room} bytes, {why}: woken {woken} times");
        lab.knock(A);
        lab.opens(A, SSH);
    }
}

#[test]
fn whoever_knocks_during_a_flood_is_let_in() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = lab.guard_ssh();
    let clock = Clock::new(&lab, "ten-minutes-ago");
    clock.behind(Duration::from_secs(600));
    let stale = ["--profile", "laptop", "-4", "--dry-run", "--save-packet", &Lab::inside("stale")];
    lab.client_with(A, &clock.environment(), &stale).ok();
    lab.seal(A, "captured", &[]);
    lab.seal(A, "replay", &[]);
    let _ = lab.send(B, "replay", &lab.spa_target());
    lab.opens(B, SSH);
    #[rustfmt::skip]
    let floods = [
        // file, bytes kept, what it is
        ("captured", 0,      "junk"),
        ("captured", HEADER, "junk behind a captured header"),
        ("replay",   ALL,    "exact replays"),
        ("stale",    ALL,    "stale replays"),
    ];
    for (file, kept, what) in floods {
        let flood = lab.flood(B, file, kept, 1_000_000, 20_000);
        lab.knock_with(A, &["-4", "-w", "1s"]);
        lab.opens(A, SSH);
        drop(flood);
        eventually(&format!("shut again after {what}"), Duration::from_secs(5), || {
            lab.probe(A, SSH) != "open"
        });
    }
    // One line for the replays, one for the stale, at most one for lost frames; and what the knocks themselves say.
    assert!(spad.lines(&["refused"]).len() <= 2, "{}", spad.log());
    assert_eq!(spad.stop(), Some(0));
    assert!(
        !spad.lines(&["judged:", " mac=", " replayed=", " skewed=", " lost="]).is_empty(),
        "{}",
        spad.log()
    );
    assert!(spad.lines(&["judged:", " header="]).is_empty(), "the kernel keeps them: {}", spad.log());
}

#[test]
fn frames_that_found_no_room_are_told_in_one_line() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    lab.seal(A, "captured", &[]);
    spad.signal_role("worker", Signal::STOP);
    let mut flood = lab.flood(B, "captured", HEADER, 20_000, 100_000);
    assert!(flood.wait(Duration::from_secs(20)).success());
    spad.signal_role("worker", Signal::CONT);
    spad.says("lost frames=");
    lab.knock(A);
    lab.opens(A, SSH);
    assert_eq!(spad.lines(&["lost frames="]).len(), 1, "{}", spad.log());
}
