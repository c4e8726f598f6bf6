//! Scan, knock, scan, wait, scan; and what one knock opens, for whom and how long.

use std::time::{Duration, Instant};

use lab::{A, B, Config, Extra, Lab, NAT, NAT_A, NAT_B, Reaction, SERVER, SSH, SSH6, eventually};

/// The window of two seconds and the one second that it may take to close.
const CLOSED: Duration = Duration::from_secs(3);
/// A window of two seconds cannot have closed by then.
const NOT_YET: Duration = Duration::from_millis(1500);

#[test]
fn a_scanner_sees_nothing_a_knock_opens_for_one_and_the_window_closes_it() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    let spa_port = lab.spa_port().to_string();
    // Everything else on this host is closed, which nmap only counts.
    assert_eq!(lab.scan(A, &["-p-"], SERVER.v4), ["22/tcp filtered"]);
    assert_eq!(lab.scan(A, &["-sU", "-p", &spa_port], SERVER.v4), [format!("{spa_port}/udp open|filtered")]);

    lab.knock(A);
    let knocked = Instant::now();
    lab.opens(A, SSH);
    assert_eq!(lab.scan(A, &["-p", "22"], SERVER.v4), ["22/tcp open"]);
    assert_eq!(lab.scan(B, &["-p", "22"], SERVER.v4), ["22/tcp filtered"]);
    assert_eq!(lab.grants(), ["10.77.0.2 . tcp . 22"]);

    lab.shuts(A, SSH, CLOSED.saturating_sub(knocked.elapsed()));
    assert!(knocked.elapsed() > NOT_YET);
    assert_eq!(lab.scan(A, &["-p", "22"], SERVER.v4), ["22/tcp filtered"]);
    assert!(lab.grants().is_empty());
}

#[test]
fn the_same_holds_by_ipv6() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    assert_eq!(lab.scan(A, &["-6", "-p", "22,23"], SERVER.v6), ["22/tcp filtered", "23/tcp closed"]);
    lab.knock_with(A, &["-6"]);
    let knocked = Instant::now();
    lab.opens(A, SSH6);
    lab.stays_shut(B, SSH6);
    lab.stays_shut(A, SSH);
    assert_eq!(lab.grants(), ["fd77::2 . tcp . 22"]);
    lab.shuts(A, SSH6, CLOSED.saturating_sub(knocked.elapsed()));
    assert!(knocked.elapsed() > NOT_YET);
}

#[test]
fn a_knock_at_a_name_opens_both_families() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    lab.knock_with(A, &["-D", "server.test", "-A", "tcp/22"]);
    lab.opens(A, SSH);
    lab.opens(A, SSH6);
    lab.stays_shut(B, SSH);
    lab.stays_shut(B, SSH6);
}

#[test]
fn an_established_session_lives_on_when_the_window_ends() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    lab.knock(A);
    lab.opens(A, SSH);
    let mut session = lab.session(A, SSH);
    lab.shuts(A, SSH, CLOSED);
    assert!(session.lives());
    lab.stays_shut(A, SSH);
    assert!(session.lives());
}

#[test]
fn sessions_older_than_the_guard_live_on() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let mut sessions = [lab.session(B, SSH), lab.session(B, SSH6)];
    let _spad = lab.spad();
    lab.stays_shut(B, SSH);
    for session in &mut sessions {
        assert!(session.lives());
    }
}

#[test]
fn one_knock_opens_several_services_and_no_other() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::protecting(&["tcp/22", "tcp/443", "udp/5353"]));
    lab.profile_with("laptop", &["--open", "tcp/22,tcp/443,udp/5353"]);
    let _services = lab.serve(SERVER, &["tcp/22", "tcp/443", "udp/5353"]);
    let _spad = lab.spad();
    assert!(!lab.ask(A, "10.77.0.1:5353", 0));
    lab.knock_with(A, &["-4", "-A", "tcp/22,udp/5353"]);
    lab.opens(A, SSH);
    assert!(lab.ask(A, "10.77.0.1:5353", 1000));
    lab.stays_shut(A, "10.77.0.1:443");
}

#[test]
fn a_udp_door_closes_with_its_window_whatever_goes_through_it() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::protecting(&["udp/5353"]));
    lab.profile_with("laptop", &["--open", "udp/5353"]);
    let _services = lab.serve(SERVER, &["udp/5353"]);
    let _spad = lab.spad();
    lab.knock(A);
    assert!(lab.ask(A, "10.77.0.1:5353", 1000));
    eventually("the window ends", CLOSED, || !lab.ask(A, "10.77.0.1:5353", 0));
}

#[test]
fn a_second_knock_extends_the_window_and_leaves_one_element() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    lab.knock(A);
    lab.opens(A, SSH);
    std::thread::sleep(Duration::from_millis(1300));
    lab.knock(A);
    let knocked = Instant::now();
    spad.says_times("opened", 2);
    assert_eq!(lab.grants().len(), 1);
    std::thread::sleep(Duration::from_millis(1300));
    assert_eq!(lab.probe(A, SSH), "open", "2.6 s after the first knock, 1.3 s after the second");
    lab.shuts(A, SSH, CLOSED.saturating_sub(knocked.elapsed()));
}

#[test]
fn no_profile_shortens_or_closes_what_another_opened() {
    let Some(lab) = Lab::new() else { return };
    lab.profile_with("phone", &["--open", "tcp/22", "--window", "1s"]);
    let (_service, spad) = lab.guard_ssh();
    lab.knock_with(A, &["-4", "-w", "20s"]);
    lab.opens(A, SSH);
    lab.knock_with(A, &["-4", "--profile", "phone"]);
    spad.says("profile=phone");
    std::thread::sleep(Duration::from_millis(1300));
    assert_eq!(lab.probe(A, SSH), "open", "the phone's second is over, the laptop's twenty are not");

    lab.knock_with(A, &["-4", "--profile", "phone"]);
    lab.knock_with(A, &["-4", "--profile", "phone", "--close"]);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(lab.probe(A, SSH), "open", "the phone closes its own door, which is the laptop's too");
    lab.knock_with(A, &["-4", "--close"]);
    lab.shuts(A, SSH, Duration::from_secs(1));
    spad.says("closed");
}

#[test]
fn a_wish_is_cut_to_the_longest_window() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { more: "[ceiling]\nmax_window = \"2s\"", ..Config::default() });
    lab.profile_with("phone", &["--open", "tcp/22", "--window", "1s", "--max-window", "1s"]);
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let _spad = lab.spad();
    for (profile, longest) in [("phone", Duration::from_secs(2)), ("laptop", CLOSED)] {
        lab.knock_with(A, &["-4", "--profile", profile, "-w", "1h"]);
        lab.opens(A, SSH);
        lab.shuts(A, SSH, longest);
    }
}

#[test]
fn a_service_that_the_profile_may_not_open_stays_shut() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::protecting(&["tcp/22", "tcp/443"]));
    lab.profile("laptop");
    let _services = lab.serve(SERVER, &["tcp/22", "tcp/443"]);
    let spad = lab.spad();
    let _ = lab.client(A, &["--profile", "laptop", "-4", "-A", "tcp/443"]);
    lab.stays_shut(A, "10.77.0.1:443");
    lab.stays_shut(A, SSH);
    spad.says("reason=forbidden");
}

#[test]
fn strangers_get_silence_and_leave_no_trace() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    let target = lab.spa_target();
    lab.seal(A, "sealed", &[]);
    let sealed = lab.bytes("sealed");
    let last = sealed.len() - 1;
    // Sizes around the limits, then honest bytes with one bit wrong: nonce, header, body, MAC.
    let junk = [0, 1, 255, 256, 1232, 1233, 1400].map(|length| vec![0x5a; length]);
    let flipped = [0, 20, 60, last].map(|at| {
        let mut bytes = sealed.clone();
        bytes[at] ^= 1;
        bytes
    });
    let cut = [sealed[..last].to_vec(), [&sealed[..], &[0]].concat()];
    for bytes in junk.into_iter().chain(flipped).chain(cut) {
        lab.write("junk", &bytes);
        assert_eq!(lab.send(A, "junk", &target), Reaction::Silence, "{} bytes", bytes.len());
    }
    assert!(lab.grants().is_empty());
    assert!(spad.lines(&["refused"]).is_empty(), "{}", spad.log());
    assert!(spad.log().lines().count() < 5, "{}", spad.log());
    // The damaged copies did not burn the whole one.
    assert_eq!(lab.send(A, "sealed", &target), Reaction::Silence, "nor is a client answered");
    lab.opens(A, SSH);
}

#[test]
fn neighbours_behind_one_address_share_the_door() {
    let Some(lab) = Lab::with(&[Extra::Nat]) else { return };
    let (_service, _spad) = lab.guard_ssh();
    lab.stays_shut(NAT_A, SSH);
    lab.knock(NAT_A);
    lab.opens(NAT_A, SSH);
    // Not a promise but the truth, as the README says it.
    lab.opens(NAT_B, SSH);
    assert_eq!(lab.grants(), [format!("{} . tcp . 22", NAT.v4)]);
    lab.stays_shut(A, SSH);
}
