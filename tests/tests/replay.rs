//! A captured datagram never opens anything again: not elsewhere, not later, not after any accident.

use std::time::Duration;

use lab::{A, B, Clock, Config, Lab, Reaction, SERVER, SSH, Spad, Synchronised};

const CLOSED: Duration = Duration::from_secs(3);
const DAY: Duration = Duration::from_secs(86_400);

/// A seals a datagram and uses it once; `captured` is what somebody on the path has of it.
fn use_once(lab: &Lab) {
    lab.seal(A, "captured", &[]);
    assert_eq!(lab.send(A, "captured", &lab.spa_target()), Reaction::Silence);
    lab.opens(A, SSH);
}

fn is_worthless(lab: &Lab) {
    for host in [A, B] {
        assert_eq!(lab.send(host, "captured", &lab.spa_target()), Reaction::Silence);
        lab.stays_shut(host, SSH);
    }
    assert!(lab.grants().is_empty());
}

/// Nobody was locked out by what was done against replays.
fn honest_knocks_still_open(lab: &Lab) {
    lab.knock(A);
    lab.opens(A, SSH);
}

#[test]
fn the_same_bytes_open_once_from_wherever_they_come() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    use_once(&lab);
    // While the door is open, a copy from elsewhere opens none for its sender.
    assert_eq!(lab.send(B, "captured", &lab.spa_target()), Reaction::Silence);
    lab.stays_shut(B, SSH);
    lab.shuts(A, SSH, CLOSED);
    is_worthless(&lab);
    assert!(spad.lines(&["reason=replayed"]).len() <= 1, "{}", spad.log());
    honest_knocks_still_open(&lab);
}

#[test]
fn nor_after_everything_was_killed_and_started_again() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = lab.guard_ssh();
    use_once(&lab);
    spad.kill();
    let mut spad = lab.spad();
    lab.shuts(A, SSH, CLOSED);
    is_worthless(&lab);
    is_worthless(&lab);
    spad.says("reason=replayed");
    // Four refusals, one line: whoever replays cannot fill the log.
    assert_eq!(spad.lines(&["reason=replayed"]).len(), 1, "{}", spad.log());
    assert_eq!(spad.stop(), Some(0));
    let spad = lab.spad();
    is_worthless(&lab);
    spad.reload();
    spad.says_times("serving", 2);
    is_worthless(&lab);
    honest_knocks_still_open(&lab);
}

#[test]
fn nor_after_a_step_of_the_clock_in_either_direction() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    lab.profile("laptop");
    let clock = Clock::new(&lab, "clock");
    // The kernel swears that the clock is right: then old entries may be forgotten.
    clock.kernel_says(Synchronised::Yes);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let mut spad = lab.spad_by(&clock);
    use_once(&lab);
    lab.shuts(A, SSH, CLOSED);
    for restart in [false, true] {
        let again = |spad: Spad| if restart { again(&lab, spad, &clock) } else { spad };
        clock.ahead(DAY);
        spad = again(spad);
        is_worthless(&lab);
        clock.behind(DAY);
        spad = again(spad);
        is_worthless(&lab);
        clock.ahead(Duration::ZERO);
        spad = again(spad);
        is_worthless(&lab);
    }
    honest_knocks_still_open(&lab);
    drop(spad);
}

fn again(lab: &Lab, mut spad: Spad, clock: &Clock) -> Spad {
    spad.kill();
    lab.spad_by(clock)
}

#[test]
fn a_copy_forwarded_first_opens_nothing_and_burns_nothing() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    lab.seal(A, "stated", &["-a", A.v4]);
    assert_eq!(lab.send(B, "stated", &lab.spa_target()), Reaction::Silence);
    lab.stays_shut(B, SSH);
    lab.stays_shut(A, SSH);
    assert_eq!(lab.send(A, "stated", &lab.spa_target()), Reaction::Silence);
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);
}

#[test]
fn a_datagram_withheld_on_the_path_cannot_undo_a_close() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    lab.seal(A, "captured", &[]);
    lab.knock(A);
    lab.opens(A, SSH);
    lab.knock_with(A, &["-4", "--close"]);
    lab.shuts(A, SSH, Duration::from_secs(1));
    is_worthless(&lab);
    spad.says("reason=old");
    honest_knocks_still_open(&lab);
}
