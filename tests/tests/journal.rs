//! The journal lost, torn, copied or shared: no accident of it makes a captured datagram good again.

use std::fs;
use std::time::Duration;

use lab::{A, B, Clock, Config, Lab, Reaction, SERVER, SSH, Spad, Synchronised, eventually};

const FILES: [&str; 2] = ["state/journal.a", "state/journal.b"];

/// The server guards tcp/22, A opened it with `captured`, and everything was killed.
fn opened_and_killed(lab: &Lab, config: &Config) -> lab::Running {
    lab.configure(config);
    lab.profile("laptop");
    let service = lab.serve(SERVER, &["tcp/22"]);
    let mut spad = lab.spad();
    lab.seal(A, "captured", &[]);
    assert_eq!(lab.send(A, "captured", &lab.spa_target()), Reaction::Silence);
    lab.opens(A, SSH);
    spad.kill();
    lab.sh(SERVER, "nft flush set inet spad grants4");
    service
}

fn is_worthless(lab: &Lab) {
    for host in [A, B] {
        assert_eq!(lab.send(host, "captured", &lab.spa_target()), Reaction::Silence);
    }
    lab.stays_shut(A, SSH);
    assert!(lab.grants().is_empty());
}

fn lose_the_journal(lab: &Lab) {
    for file in FILES {
        fs::remove_file(lab.path(file)).expect("a journal has two files");
    }
}

fn honest_knocks_open_within(lab: &Lab, time: Duration) {
    eventually("an honest knock opens", time, || {
        lab.knock(A);
        lab.probe(A, SSH) == "open"
    });
}

#[test]
fn without_its_journal_nothing_is_admitted_until_no_old_datagram_can_be_fresh() {
    let Some(lab) = Lab::new() else { return };
    let config = Config { skew: "4s", ..Config::default() };
    let _service = opened_and_killed(&lab, &config);
    lose_the_journal(&lab);
    // Killed and started again while it holds off: the second start holds off, too.
    let mut spad = lab.spad();
    spad.kill();
    let _spad = lab.spad();
    is_worthless(&lab);
    honest_knocks_open_within(&lab, Duration::from_secs(8));
}

#[test]
fn while_nobody_vouches_for_the_clock_a_lost_journal_stays_unsettled() {
    let Some(lab) = Lab::new() else { return };
    let config = Config { clock: "synchronised", skew: "2s", ..Config::default() };
    let _service = opened_and_killed(&lab, &config);
    lose_the_journal(&lab);
    let clock = Clock::new(&lab, "clock");
    clock.kernel_says(Synchronised::No);
    let spad = lab.spad_by(&clock);
    spad.says("unsettled");
    is_worthless(&lab);
    lab.knock(A);
    std::thread::sleep(Duration::from_secs(3));
    lab.knock(A);
    lab.stays_shut(A, SSH);
    clock.kernel_says(Synchronised::Yes);
    honest_knocks_open_within(&lab, Duration::from_secs(8));
}

#[test]
fn a_torn_journal_never_admits_again() {
    let Some(lab) = Lab::new() else { return };
    let _service = opened_and_killed(&lab, &Config::default());
    let whole = FILES.map(|file| lab.bytes(file));
    // Where the used part of the longer file ends: there a power cut tears.
    let used = whole.iter().filter_map(|bytes| bytes.iter().rposition(|byte| *byte != 0)).max().unwrap_or(0);
    type Accident = fn(&mut Vec<u8>, usize);
    #[rustfmt::skip]
    let accidents: [(&str, bool, Accident); 8] = [
        // what happened, whether the machine went down, too (which empties /run), and what is left
        ("nothing",                    true,  |_, _| ()),
        ("empty",                      true,  |bytes, _| bytes.clear()),
        ("cut in the last record",     true,  |bytes, used| bytes.truncate(used)),
        ("cut in the header",          true,  |bytes, _| bytes.truncate(10)),
        ("one bit of the last record", true,  |bytes, used| flip(bytes, used)),
        ("one bit of the header",      true,  |bytes, _| flip(bytes, 5)),
        ("all ones",                   true,  |bytes, _| bytes.fill(0xff)),
        // As if it had never been flushed: only what /run knows tells that it was.
        ("last record zeroed",         false, |bytes, used| zero(bytes, used.saturating_sub(15)..used + 1)),
    ];
    for (name, went_down, accident) in accidents {
        for (file, bytes) in FILES.iter().zip(&whole) {
            let mut bytes = bytes.clone();
            accident(&mut bytes, used);
            lab.write(file, bytes);
        }
        if went_down {
            lab.sh(SERVER, "rm -rf /run/spad");
        }
        let spad = lab.spad();
        eprintln!("journal: {name}");
        is_worthless(&lab);
        assert_eq!(spad.lines(&["unsettled"]).is_empty(), name == "nothing", "{}", spad.log());
    }
}

fn zero(bytes: &mut [u8], range: std::ops::Range<usize>) {
    bytes.iter_mut().take(range.end).skip(range.start).for_each(|byte| *byte = 0);
}

fn flip(bytes: &mut [u8], at: usize) {
    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 4);
}

#[test]
fn a_site_that_was_copied_to_another_machine_is_refused() {
    let Some(lab) = Lab::new() else { return };
    let _service = opened_and_killed(&lab, &Config::default());
    lab.write("machine-id", "fedcba9876543210fedcba9876543210\n");
    for done in [lab.spad_command(&["check"]), refused(&lab)] {
        assert_eq!(done.status, Some(3), "{}", done.text());
        assert!(done.text().contains("site.toml"), "{}", done.text());
        assert!(done.text().contains("machine"), "{}", done.text());
        assert!(done.text().contains("spa-keygen"), "no cure in {}", done.text());
    }
}

/// A start that must fail: its end and its log.
fn refused(lab: &Lab) -> lab::Done {
    let mut spad = lab.start_spad(&[]);
    let status = spad.starter().wait(Duration::from_secs(5));
    lab::Done { status: status.code(), out: String::new(), err: spad.log() }
}

#[test]
fn two_daemons_never_share_a_journal() {
    let Some(lab) = Lab::new() else { return };
    let (_service, first) = lab.guard_ssh();
    let second: Spad = lab.start_spad(&[]);
    lab.seal(A, "captured", &[]);
    assert_eq!(lab.send(A, "captured", &lab.spa_target()), Reaction::Silence);
    lab.opens(A, SSH);
    lab.shuts(A, SSH, Duration::from_secs(3));
    is_worthless(&lab);
    assert!(second.lines(&["serving"]).is_empty(), "{}", second.log());
    assert_eq!(first.lines(&["opened"]).len(), 1, "{}", first.log());
}

#[test]
fn a_monotonic_profile_whose_memory_is_lost_stays_shut() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { skew: "1s", ..Config::default() });
    lab.profile_with("laptop", &["--open", "tcp/22", "--freshness", "monotonic"]);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let mut spad = lab.spad();
    lab.knock(A);
    lab.opens(A, SSH);
    spad.kill();
    lose_the_journal(&lab);
    let spad = lab.spad();
    lab.shuts(A, SSH, Duration::from_secs(3));
    lab.knock(A);
    lab.stays_shut(A, SSH);
    spad.says("laptop");
    // A new profile is the cure.
    lab.profile_with("phone", &["--open", "tcp/22", "--freshness", "monotonic"]);
    spad.reload();
    spad.says_times("serving", 2);
    lab.knock_with(A, &["-4", "--profile", "phone"]);
    lab.opens(A, SSH);
}
