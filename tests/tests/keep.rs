//! `spa-client keep`: a door that stays open for as long as it runs, wherever the client is, and is shut at its end.

use std::thread;
use std::time::Duration;

use lab::{A, B, Config, Host, Lab, Running, SERVER, SSH, Spad, longest_stretch, now};
use rustix::process::Signal;

/// More than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How soon a new address has to be let in.
const SOON: Duration = Duration::from_secs(2);

/// A guarded service, and a profile whose window is this long.
fn site(window: &str) -> Option<(Lab, Running, Spad)> {
    let lab = Lab::new()?;
    lab.configure(&Config::default());
    lab.profile_with("laptop", &["--open", "tcp/22", "--window", window]);
    let service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    Some((lab, service, spad))
}

fn keep(lab: &Lab, host: Host) -> Running {
    let running = lab.start_client(host, &["keep", "four.test"], "kept");
    lab.wait_for("kept", "asked four.test (10.77.0.1) to open tcp/22");
    running
}

#[test]
fn a_window_of_three_seconds_is_held_for_ten_and_shut_at_the_end() {
    let Some((lab, _service, _spad)) = site("3s") else { return };
    lab.stays_shut(A, SSH);
    let mut kept = keep(&lab, A);
    lab.opens(A, SSH);
    let watch = lab.watch(A, &[SSH]);
    let begun = now();
    thread::sleep(Duration::from_secs(10));
    let held = longest_stretch(watch.open_after(0, begun));
    assert!(
        held > Duration::from_millis(9_500),
        "open without a gap for {held:?} only\n{}",
        lab.read("kept")
    );
    lab.stays_shut(B, SSH);

    kept.signal(Signal::TERM);
    assert_eq!(kept.wait(PATIENCE).code(), Some(0), "{}", lab.read("kept"));
    let took = lab.shuts(A, SSH, Duration::from_secs(1));
    assert!(lab.read("kept").contains("asked four.test to close tcp/22"), "{}", lab.read("kept"));
    // The next window would have lasted for another second at least.
    assert!(took < Duration::from_millis(800), "{took:?}");
    assert_eq!(lab.read("kept").lines().count(), 2, "one line for each event: {}", lab.read("kept"));
}

#[test]
fn each_signal_that_ends_a_program_shuts_the_door() {
    for signal in [Signal::INT, Signal::HUP] {
        let Some((lab, _service, spad)) = site("1m") else { return };
        let mut kept = keep(&lab, A);
        lab.opens(A, SSH);
        kept.signal(signal);
        assert_eq!(kept.wait(PATIENCE).code(), Some(0), "{signal:?}");
        lab.shuts(A, SSH, SOON);
        spad.says("closed");
    }
}

#[test]
fn a_new_address_is_let_in_within_two_seconds() {
    let Some((lab, _service, _spad)) = site("1m") else { return };
    let _kept = keep(&lab, A);
    lab.opens(A, SSH);
    lab.sh(A, "ip addr del 10.77.0.2/24 dev eth0; ip addr add 10.77.0.22/24 dev eth0");
    lab::eventually("the new address is let in", SOON, || lab.probe(A, SSH) == "open");
    let said = lab.wait_for("kept", "this machine's address changed: asked four.test");
    assert!(lab.grants().iter().any(|grant| grant.starts_with("10.77.0.22 ")), "{:?}", lab.grants());
    assert!(!said.contains("default route"), "one change, one line: {said}");
    lab.stays_shut(B, SSH);
}

#[test]
fn without_a_route_it_waits_and_says_so_once() {
    let Some((lab, _service, _spad)) = site("2s") else { return };
    let mut kept = keep(&lab, A);
    lab.opens(A, SSH);
    lab.sh(A, "ip link set eth0 down");
    lab.wait_for("kept", "no route leads to the server");
    // Longer than the window, so that it was tried more than once.
    thread::sleep(Duration::from_secs(3));
    let said = lab.read("kept");
    assert_eq!(said.matches("no route").count(), 1, "{said}");
    assert!(kept.ended().is_none(), "{said}");
    lab.sh(A, "ip link set eth0 up");
    lab::eventually("it is open again", SOON, || lab.probe(A, SSH) == "open");
    lab.wait_for("kept", "there is a route again: asked four.test");

    // An end without a route says that nothing was shut.
    lab.sh(A, "ip link set eth0 down");
    lab::eventually("it is lost again", PATIENCE, || lab.read("kept").matches("no route").count() == 2);
    kept.signal(Signal::TERM);
    assert_eq!(kept.wait(PATIENCE).code(), Some(5), "{}", lab.read("kept"));
    assert!(lab.read("kept").contains("hint: the door shuts when its window ends"), "{}", lab.read("kept"));
}

#[test]
fn who_slept_through_the_end_of_the_window_knocks_at_once() {
    let Some((lab, _service, _spad)) = site("2s") else { return };
    let kept = keep(&lab, A);
    lab.opens(A, SSH);
    kept.signal(Signal::STOP);
    lab.shuts(A, SSH, Duration::from_secs(5));
    thread::sleep(Duration::from_secs(2));
    kept.resume();
    lab::eventually("it is open again", Duration::from_secs(1), || lab.probe(A, SSH) == "open");
    lab.wait_for("kept", "this machine slept: asked four.test");
}

#[test]
fn what_does_not_go_with_keep_is_refused_before_anything_is_sent() {
    let Some((lab, _service, _spad)) = site("2s") else { return };
    lab.count_datagrams(A);
    for arguments in
        [&["--once", "keep"][..], &["keep", "--wait"], &["--close", "keep"], &["--dry-run", "keep"]]
    {
        let done = lab.client(A, arguments);
        assert_eq!((done.status, done.err.lines().count()), (Some(2), 1), "{arguments:?}: {}", done.text());
    }
    assert_eq!(lab.datagrams(A), 0);
}
