//! Receipts: who gets one, what it says, and that nothing else than a fresh request ever draws a packet from the server.

use std::time::Duration;

use lab::{
    A, B, Clock, Config, Extra, Host, Lab, NAT_A, NAT_B, Reaction, Running, SERVER, SSH, SSH6, Spad,
    eventually,
};
use rustix::process::Signal;

const ALLOWED: &str = "[ceiling]\nreceipts = true\n";
const SOON: Duration = Duration::from_secs(10);

/// An echo service at tcp/22, guarded by spad, and the profile `laptop`, both of which may have receipts.
fn guarded(lab: &Lab) -> (Running, Spad) {
    lab.configure(&Config { more: ALLOWED, ..Config::default() });
    lab.profile_with("laptop", &["--open", "tcp/22", "--receipt"]);
    let service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    has_sender(&spad);
    count(lab);
    (service, spad)
}

fn has_sender(spad: &Spad) {
    // Named so once its first steps are done.
    let comm = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let sealed = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        comm(*pid).trim() == "spad-sender" && status.contains("Seccomp:\t2")
    };
    eventually("a sender is there", SOON, || spad.role("sender").iter().any(sealed));
}

/// Counts all that the server sends by UDP or ICMP, and what of it is larger than any receipt. Neighbour discovery is not
/// about datagrams.
fn count(lab: &Lab) {
    lab.sh(
        SERVER,
        "nft -f - <<'END'\ntable inet wire {\n counter every { }\n counter large { }\n chain out {\n \
         type filter hook output priority 0;\n icmpv6 type { 133-137, 143 } return\n \
         udp length > 184 counter name large\n meta l4proto { udp, icmp, ipv6-icmp } counter name every\n }\n}\nEND",
    );
}

fn counted(lab: &Lab, name: &str) -> u64 {
    let counter = lab.sh(SERVER, &format!("nft list counter inet wire {name}"));
    let packets = counter.split_whitespace().skip_while(|word| *word != "packets").nth(1);
    packets.and_then(|number| number.parse().ok()).expect("the server counts")
}

/// All that the server has sent.
fn sent(lab: &Lab) -> u64 {
    counted(lab, "every")
}

fn knock(lab: &Lab, host: Host, options: &[&str]) -> lab::Done {
    lab.client(host, &[&["--profile", "laptop"], options].concat())
}

#[test]
fn a_knock_is_told_until_when_the_door_is_open_and_for_whom() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = guarded(&lab);
    for (family, ssh, own) in [("-4", SSH, "for 10.77.0.2\n"), ("-6", SSH6, "for fd77::2\n")] {
        let before = sent(&lab);
        let done = knock(&lab, A, &[family]).ok();
        assert!(done.out.contains("open until ") && done.out.ends_with(own), "{}", done.text());
        lab.opens(A, ssh);
        assert_eq!(sent(&lab) - before, 1, "{family}");
    }
    // Each family of one command has its own.
    let done = knock(&lab, A, &[]).ok();
    assert_eq!(done.out.matches("open until ").count(), 2, "{}", done.text());
    let done = knock(&lab, A, &["--close", "-4"]).ok();
    assert!(done.out.ends_with("done, for 10.77.0.2\n"), "{}", done.text());
    lab.shuts(A, SSH, SOON);
    assert_eq!(counted(&lab, "large"), 0);
}

#[test]
fn a_client_behind_nat_is_told_the_address_that_the_server_sees() {
    let Some(lab) = Lab::with(&[Extra::Nat]) else { return };
    let (_service, _spad) = guarded(&lab);
    let done = knock(&lab, NAT_A, &["-4"]).ok();
    assert!(done.out.ends_with("for 10.77.0.4\n"), "{}", done.text());
}

#[test]
fn what_a_receipt_taught_binds_the_next_knock_to_the_address_that_the_server_sees() {
    let Some(lab) = Lab::with(&[Extra::Nat]) else { return };
    let (_service, spad) = guarded(&lab);
    let learnt = ["-4", "-a", "learnt"];
    let unknown = knock(&lab, NAT_A, &learnt);
    assert_eq!(unknown.status, Some(1), "{}", unknown.text());
    assert!(unknown.err.contains("no receipt of server.test has told yet"), "{}", unknown.err);

    knock(&lab, NAT_A, &["-4", "-a", "source"]).ok();
    let said = knock(&lab, NAT_A, &[&learnt[..], &["--dry-run"]].concat()).ok().out;
    assert!(said.contains("for 10.77.0.4"), "{said}");
    // Not so in another network, where the own address is another.
    let elsewhere = knock(&lab, NAT_B, &learnt);
    assert_eq!(elsewhere.status, Some(1), "{}", elsewhere.text());

    knock(&lab, NAT_A, &["-4", "--close"]).ok();
    lab.shuts(NAT_A, SSH, SOON);
    let sealed = Lab::inside("held-up");
    knock(&lab, NAT_A, &[&learnt[..], &["--dry-run", "--save-packet", &sealed]].concat()).ok();
    let _ = lab.send(B, "held-up", &lab.spa_target());
    spad.says("reason=address");
    lab.stays_shut(B, SSH);
    knock(&lab, NAT_A, &learnt).ok();
    lab.opens(NAT_A, SSH);
}

#[test]
fn a_refusal_by_policy_is_told_with_its_reason_and_a_status_of_its_own() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { more: ALLOWED, ..Config::default() });
    lab.profile_with("laptop", &["--open", "tcp/22,tcp/23", "--receipt"]);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    has_sender(&spad);
    count(&lab);
    #[rustfmt::skip]
    let rows: [(&[&str], &str); 4] = [
        (&["-4", "-A", "tcp/80"],                    "may not open all of these services"),
        (&["-4", "-A", "tcp/22", "--forward", "10.9.9.9:22"], "may not lead to this target"),
        // One of the two is not protected: the profile has it, the ceiling does not.
        (&["-4"],                                    "the server's own limits"),
        (&["-6", "-A", "tcp/23"],                    "the server's own limits"),
    ];
    for (options, reason) in rows {
        let done = knock(&lab, A, options);
        assert_eq!(done.status, Some(9), "{options:?}: {}", done.text());
        assert!(done.err.contains(reason) && done.err.contains("hint: "), "{options:?}: {}", done.text());
        assert!(!done.out.contains("open until"), "{options:?}: {}", done.text());
    }
    assert_eq!(sent(&lab), rows.len() as u64);
}

#[test]
fn a_clock_that_is_off_is_told_before_it_is_refused() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guarded(&lab);
    // Made long ago, so that a clock may be behind.
    let halves = "/run/lab/etc/profiles/laptop.toml /run/lab/home/.config/spa/profiles/laptop.spa.toml";
    lab.sh(SERVER, &format!("sed -i 's/^created = .*/created = 2020-01-01T00:00:00Z/' {halves}"));
    spad.reload();
    spad.says_times("serving", 2);
    let clock = Clock::new(&lab, "clients");
    let knock = || lab.client_with(A, &clock.environment(), &["--profile", "laptop", "-4"]);
    clock.ahead(Duration::from_secs(40));
    let done = knock().ok();
    assert!(done.err.contains("your clock is 40s ahead; at 1m it will be refused"), "{}", done.text());
    clock.behind(Duration::from_secs(20));
    let done = knock().ok();
    assert!(done.err.contains("your clock is 20s behind"), "{}", done.text());
    clock.behind(Duration::from_secs(3));
    let done = knock().ok();
    assert_eq!(done.err, "", "{}", done.text());
    // Beyond the skew nothing is said any more: it could be somebody's replay.
    let before = sent(&lab);
    clock.ahead(Duration::from_secs(70));
    let done = knock().ok();
    assert!(done.out.contains("no receipt came"), "{}", done.text());
    assert_eq!(sent(&lab), before);
}

#[test]
fn nothing_but_a_fresh_request_of_its_own_sender_draws_a_packet() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = guarded(&lab);
    let target = lab.spa_target();
    let draws_nothing = |what: &str| {
        let before = sent(&lab);
        for host in [A, B] {
            assert_eq!(lab.send(host, "attack", &target), Reaction::Silence, "{what} from {}", host.name);
        }
        assert_eq!(sent(&lab), before, "{what}");
    };
    let attack = |bytes: &[u8]| lab.write("attack", bytes);

    // Sealed for B: whoever else delivers it gets nothing, and B's own copy is still good.
    lab.seal(B, "stated", &["--receipt", "-a", B.v4]);
    attack(&lab.bytes("stated"));
    assert_eq!(lab.send(A, "attack", &target), Reaction::Silence);
    assert_eq!(sent(&lab), 0, "forwarded from elsewhere");
    assert_eq!(lab.send(B, "attack", &target), Reaction::Answer);
    assert_eq!(sent(&lab), 1);
    draws_nothing("a replay");

    lab.seal(A, "fresh", &["--receipt"]);
    let fresh = lab.bytes("fresh");
    for at in [0, 15, 16, 20, 23, 24, fresh.len() / 2, fresh.len() - 33, fresh.len() - 32, fresh.len() - 1] {
        let mut changed = fresh.clone();
        changed[at] ^= 1;
        attack(&changed);
        draws_nothing(&format!("byte {at} changed"));
    }
    for (bytes, what) in [
        (&fresh[..fresh.len() - 1], "cut"),
        (&[&fresh[..], &[0]].concat(), "lengthened"),
        (&[&fresh[..24], &[7; 300]].concat(), "a copied header"),
        (&[0; 300], "zeros"),
        (&[], "nothing"),
        (&[7; 140], "something of the length of a receipt"),
    ] {
        attack(bytes);
        draws_nothing(what);
    }
    // By clocks that are too far off, in either direction.
    let clock = Clock::new(&lab, "clients");
    for ahead in [true, false] {
        if ahead {
            clock.ahead(Duration::from_secs(90))
        } else {
            clock.behind(Duration::from_secs(90))
        };
        let path = Lab::inside("attack");
        let options = ["--profile", "laptop", "-4", "--receipt", "--dry-run", "--save-packet", &path];
        lab.client_with(A, &clock.environment(), &options).ok();
        draws_nothing("a skewed clock");
    }
    // A request that states what never opens.
    for address in ["10.77.0.1", "10.77.0.9"] {
        lab.seal(A, "attack", &["--receipt", "-a", address]);
        draws_nothing(address);
    }
    // One that asks for none.
    lab.profile_with("quiet", &["--open", "tcp/22"]);
    spad.reload();
    spad.says_times("serving", 2);
    for asks in [&[][..], &["--receipt"]] {
        let path = Lab::inside("attack");
        let knock = ["--profile", "quiet", "-4", "--dry-run", "--save-packet", &path];
        lab.client(A, &[&knock[..], asks].concat()).ok();
        draws_nothing("a profile that may have none");
    }
    // After the journal was lost nothing is admitted, so nothing is said.
    assert_eq!(spad.stop(), Some(0));
    lab.sh(SERVER, "rm /run/lab/state/*journal*");
    let config = lab.read("etc/spad.toml").replace("clock = \"trusted\"", "clock = \"synchronised\"");
    lab.write("etc/spad.toml", config);
    let spad = lab.spad();
    has_sender(&spad);
    attack(&fresh);
    draws_nothing("an unsettled journal");
    assert_eq!(counted(&lab, "large"), 0);
}

#[test]
fn of_all_copies_of_a_command_one_is_answered() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = guarded(&lab);
    lab.seal(A, "captured", &["--receipt"]);
    assert_eq!(lab.send(A, "captured", &lab.spa_target()), Reaction::Answer);
    for host in [A, B, A] {
        assert_eq!(lab.send(host, "captured", &lab.spa_target()), Reaction::Silence);
    }
    assert_eq!(sent(&lab), 1);
}

#[test]
fn nothing_is_sent_and_nothing_raw_is_held_unless_all_three_say_so() {
    let Some(lab) = Lab::new() else { return };
    #[rustfmt::skip]
    let rows: [(&str, &[&str], &[&str], &str); 3] = [
        ("",      &["--open", "tcp/22", "--receipt"], &["-4"],              "the ceiling does not"),
        (ALLOWED, &["--open", "tcp/22"],              &["-4", "--receipt"], "the profile does not"),
        (ALLOWED, &["--open", "tcp/22"],              &["-4"],              "nobody asks"),
    ];
    let _service = lab.serve(SERVER, &["tcp/22"]);
    count(&lab);
    for (number, (more, profile, options, why)) in rows.into_iter().enumerate() {
        lab.configure(&Config { more, ..Config::default() });
        let name = format!("laptop{number}");
        lab.profile_with(&name, profile);
        let mut spad = lab.spad();
        let done = lab.client(A, &[&["--profile", &name], options].concat()).ok();
        lab.opens(A, SSH);
        let asked = number < 2;
        assert_eq!(done.out.contains("no receipt came"), asked, "{why}: {}", done.text());
        if more.is_empty() {
            assert_eq!(spad.role("sender"), [0; 0], "{why}");
            assert_eq!(lab.sh(SERVER, "cat /proc/net/raw /proc/net/raw6").lines().count(), 2, "{why}");
        }
        assert_eq!(spad.stop(), Some(0));
    }
    assert_eq!(sent(&lab), 0);
    // And `spad check` says what a profile waits for in vain.
    lab.configure(&Config::default());
    let said = lab.spad_command(&["check"]).text();
    assert!(said.contains("laptop0") && said.contains("ceiling.receipts"), "{said}");
}

#[test]
fn a_sender_that_hangs_or_dies_costs_receipts_and_no_door() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guarded(&lab);
    spad.signal_role("sender", Signal::STOP);
    for _ in 0..3 {
        let done = knock(&lab, A, &["-4"]).ok();
        assert!(done.out.contains("no receipt came"), "{}", done.text());
        lab.opens(A, SSH);
    }
    spad.kill_role("sender");
    knock(&lab, A, &["-4"]).ok();
    lab.opens(A, SSH);
    spad.says("the sender ended");
    has_sender(&spad);
    eventually("receipts come again", SOON, || knock(&lab, A, &["-4"]).out.contains("open until"));
    assert_eq!(spad.lines(&["serving"]).len(), 1, "nothing else was started anew: {}", spad.log());
}

#[test]
fn a_reload_starts_the_sender_and_ends_it() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = guarded(&lab);
    lab.configure(&Config::default());
    spad.reload();
    spad.says_times("serving", 2);
    eventually("it is gone", SOON, || spad.role("sender").is_empty());
    assert!(spad.lines(&["the sender ended"]).is_empty(), "as it was to: {}", spad.log());
    assert!(knock(&lab, A, &["-4"]).ok().out.contains("no receipt came"));
    lab.configure(&Config { more: ALLOWED, ..Config::default() });
    spad.reload();
    spad.says_times("serving", 3);
    has_sender(&spad);
    assert!(knock(&lab, A, &["-4"]).ok().out.contains("open until"));
    spad.kill_role("monitor");
    spad.says_times("serving", 4);
    has_sender(&spad);
    assert!(knock(&lab, A, &["-4"]).ok().out.contains("open until"));
    assert_eq!(spad.role("sender").len(), 1);
    assert_eq!(spad.stop(), Some(0));
    assert!(spad.lines(&["ERROR"]).is_empty(), "{}", spad.log());
}

#[test]
fn rules_that_forbid_sending_cost_one_line_and_no_door() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guarded(&lab);
    lab.sh(
        SERVER,
        "nft 'add table inet own; add chain inet own out { type filter hook output priority 10; }; \
         add rule inet own out meta l4proto udp drop'",
    );
    for _ in 0..3 {
        assert!(knock(&lab, A, &["-4"]).ok().out.contains("no receipt came"));
        lab.opens(A, SSH);
    }
    assert_eq!(spad.lines(&["receipts cannot be sent"]).len(), 1, "{}", spad.log());
    lab.sh(SERVER, "nft delete table inet own");
    assert!(knock(&lab, A, &["-4"]).ok().out.contains("open until"));
}

#[test]
fn a_receipt_is_smaller_than_any_request_whatever_is_drawn() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = guarded(&lab);
    for _ in 0..40 {
        lab.seal(A, "one", &["--receipt"]);
        assert_eq!(lab.send(A, "one", &lab.spa_target()), Reaction::Answer);
    }
    assert_eq!((sent(&lab), counted(&lab, "large")), (40, 0));
}

#[test]
fn the_sender_has_no_rights_and_two_sockets_that_hear_nothing() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guarded(&lab);
    let pid = spad.role("sender")[0];
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{set}: {status}");
    }
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    // Both raw sockets of the server are its own; whatever UDP comes in, neither has anything to read.
    assert_eq!(lab.send(A, "etc/spad.toml", "10.77.0.1:9"), Reaction::Refusal, "the host answers as it did");
    for table in ["/proc/net/raw", "/proc/net/raw6"] {
        let raw = lab.sh(SERVER, &format!("cat {table}"));
        let lines: Vec<&str> = raw.lines().skip(1).collect();
        assert_eq!(lines.len(), 1, "{raw}");
        let queues = lines[0].split_whitespace().find(|word| word.len() == 17 && word.as_bytes()[8] == b':');
        assert_eq!(queues, Some("00000000:00000000"), "{raw}");
    }
    assert!(
        !lab.sh(SERVER, "cat /proc/net/udp /proc/net/udp6").contains(&format!(":{:04X} ", lab.spa_port()))
    );
}
