//! Monotonic profiles: the client's times never go back, whatever its clock does.

use std::fs;

use spa_core::gate::Verdict;
use spa_core::reject::Reject;

use crate::admitted::{gate, judge};
use crate::scratch::Scratch;

const PROFILE: &str = "home/.config/spa/profiles/laptop.spa.toml";
const LAST: &str = "home/.config/spa/profiles/laptop.spa.last";
const CLIENT: &str = "198.51.100.7:40000";

fn last(scratch: &Scratch) -> u64 {
    scratch.read(LAST).trim().parse().unwrap()
}

#[test]
fn the_time_used_is_kept_and_none_that_is_earlier_is_sealed() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22 --freshness monotonic");
    let mut gate = gate(&scratch, "laptop");
    let mut knock = || {
        scratch.client("").ok();
        match judge(&mut gate, &listener.heard()[0], CLIENT) {
            Verdict::Admit(admission) => Ok(admission.time().get()),
            Verdict::Drop(dropped) => Err(dropped.reject),
        }
    };
    let first = knock().unwrap();
    assert_eq!(last(&scratch), first);
    assert_eq!(scratch.mode(LAST), 0o600);

    // As if this clock had been a century ahead and was set right since.
    let ahead = first + 100 * 365 * 24 * 3_600_000;
    scratch.write(LAST, format!("{ahead}\n"), 0o600);
    assert_eq!(knock(), Ok(ahead + 1));
    assert_eq!(last(&scratch), ahead + 1);
    assert_eq!(knock(), Ok(ahead + 2));

    // Without its memory the client falls behind, and the server notices.
    fs::remove_file(scratch.path(LAST)).unwrap();
    assert_eq!(knock(), Err(Reject::Old));
}

#[test]
fn a_client_whose_clock_is_behind_begins_at_the_making_of_its_profile() {
    let scratch = Scratch::new();
    scratch.profile("laptop", "--open tcp/22 --freshness monotonic");
    let text = scratch.read(PROFILE);
    let created = text.lines().find(|line| line.starts_with("created")).unwrap();
    scratch.write(PROFILE, text.replace(created, "created = 2099-01-01T00:00:00Z"), 0o600);
    let done = scratch.client("").ok();
    assert_eq!(done.err, "", "such a clock is no fault here");
    assert_eq!(last(&scratch), 4_070_908_800_001);
}

#[test]
fn times_are_used_up_by_whatever_is_sealed_and_by_nothing_else() {
    let scratch = Scratch::new();
    scratch.profile("laptop", "--open tcp/22 --freshness monotonic");
    scratch.client("--dry-run").ok();
    assert!(!scratch.path(LAST).exists());
    scratch.client("--dry-run --save-packet packet").ok();
    let saved = last(&scratch);
    scratch.client("-A tcp/22 --dry-run").ok();
    assert_eq!(last(&scratch), saved);
}

#[test]
fn commands_at_once_take_different_times() {
    let scratch = Scratch::new();
    scratch.profile("laptop", "--open tcp/22 --freshness monotonic");
    let ahead = 4_000_000_000_000_u64;
    scratch.write(LAST, ahead.to_string(), 0o600);
    let started: Vec<_> = (0..8).map(|_| scratch.command("spa-client").arg("-q").spawn().unwrap()).collect();
    for mut child in started {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(last(&scratch), ahead + 8);
}

#[test]
fn a_memory_that_cannot_be_read_is_no_reason_to_guess() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22 --freshness monotonic");
    for text in ["", "soon", "-1", "281474976710656", "99999999999999999999"] {
        scratch.write(LAST, text, 0o600);
        let done = scratch.client("").failed(3, "the last time used is not known");
        assert!(done.err.contains("if this machine's clock is right: rm "), "{}", done.err);
    }
    fs::remove_file(scratch.path(LAST)).unwrap();
    fs::create_dir(scratch.path(LAST)).unwrap();
    scratch.client("").failed(3, "the last time used is not known");
    assert!(listener.heard().is_empty());
}
