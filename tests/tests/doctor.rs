//! `spad doctor` on a living server: nothing bad where all is well, and each fault found by its name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use lab::{A, B, Clock, Config, Done, Extra, Lab, SERVER, SSH, Spad, Synchronised, eventually};

/// What makes a healthy host of the server, besides spad: all that is not meant for everybody is dropped.
const HOST: &str = "table inet host {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        iif lo accept
        meta l4proto ipv6-icmp accept
        tcp dport { 22, 80 } accept
    }
}";

const GUARD: &str = "backend = \"nftables\"\nmode = \"guard\"\n";

fn load(lab: &Lab, text: &str) {
    lab.write("rules.nft", text);
    lab.sh(SERVER, &format!("nft -f {}", Lab::inside("rules.nft")));
}

fn doctor(lab: &Lab, options: &[&str]) -> Done {
    lab.spad_command(&[&["doctor"], options].concat())
}

/// A doctor's visit that must find this to be bad, in one line that holds all the words, and nothing else.
fn finds(lab: &Lab, id: &str, words: &[&str]) {
    let done = doctor(lab, &[]);
    assert_eq!(done.status, Some(6), "{id}: {}", done.text());
    let is_it = |line: &&str| {
        line.starts_with(&format!("BAD   {id}: ")) && words.iter().all(|word| line.contains(word))
    };
    assert!(done.out.lines().any(|line| is_it(&line)), "no {id} with {words:?} in:\n{}", done.text());
}

/// Waits: what was mended may take the daemon a moment.
fn is_well(lab: &Lab) {
    let mut done = doctor(lab, &[]);
    let mut tries = 0;
    while done.status != Some(0) && tries < 20 {
        std::thread::sleep(Duration::from_millis(100));
        done = doctor(lab, &[]);
        tries += 1;
    }
    assert_eq!(done.status, Some(0), "{}", done.text());
}

fn healthy(lab: &Lab) -> (impl Sized + use<>, Spad) {
    load(lab, HOST);
    lab.guard_ssh()
}

#[test]
fn a_healthy_host_has_nothing_bad_and_nothing_is_changed_by_the_look() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = healthy(&lab);
    lab.knock_with(A, &["-4", "-w", "1m"]);
    lab.opens(A, SSH);
    let before = (lab.sh(SERVER, "nft -s list ruleset | sed 's/ expires [0-9a-z]*//'"), spad.processes());
    let journal = lab.bytes("state/journal.a");
    let done = doctor(&lab, &[]);
    assert_eq!(done.status, Some(0), "{}", done.text());
    assert!(!done.out.contains("BAD"), "{}", done.out);
    for id in ["guard", "stranger", "knock", "daemon", "capture", "scan", "way-round", "listener", "clock"] {
        assert!(done.out.contains(&format!("ok    {id}: ")), "{id}:\n{}", done.out);
    }
    assert!(done.out.lines().last().is_some_and(|line| line.starts_with("0 bad, ")), "{}", done.out);
    let after = (lab.sh(SERVER, "nft -s list ruleset | sed 's/ expires [0-9a-z]*//'"), spad.processes());
    assert_eq!(after, before);
    assert_eq!(lab.bytes("state/journal.a"), journal);
    assert_eq!(spad.lines(&["serving"]).len(), 1, "no new worker:\n{}", spad.log());
}
