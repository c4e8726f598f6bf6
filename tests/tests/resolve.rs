//! `spa-client -a resolve`: the own address as a real STUN server tells it, behind a real address translation.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use lab::{A, B, Config, Extra, Lab, NAT_A, Running, SERVER, SSH, Spad, skip};

const TOOL: &str = "/usr/bin/turnserver";

/// A guarded service, a STUN server beside it, and a client behind address translation.
fn site() -> Option<(Lab, Spad, [Running; 2])> {
    let lab = Lab::with(&[Extra::Nat])?;
    if !Path::new(TOOL).exists() {
        skip("no STUN server (Debian: coturn)");
        return None;
    }
    lab.configure(&Config::default());
    lab.profile("laptop");
    let service = lab.serve(SERVER, &["tcp/22"]);
    let mut stun = lab.command(SERVER, TOOL);
    stun.args(["-n", "--stun-only", "--no-auth", "--no-tls", "--no-dtls", "--no-cli", "--log-file=stdout"]);
    stun.args(["--listening-ip=10.77.0.1", "--listening-ip=fd77::1", "--pidfile=/run/lab/turnserver.pid"]);
    stun.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let stun = lab.start(stun);
    // It also listens by TCP.
    lab::eventually("the STUN server listens", Duration::from_secs(20), || {
        ["10.77.0.1:3478", "[fd77::1]:3478"].iter().all(|place| lab.probe(SERVER, place) == "open")
    });
    let spad = lab.spad();
    Some((lab, spad, [service, stun]))
}

#[test]
fn the_translated_address_is_stated_and_opens() {
    let Some((lab, spad, _running)) = site() else { return };
    let arguments = ["-4", "-a", "resolve", "--stun", "server.test"];
    let said = lab.client(NAT_A, &[&arguments[..], &["--dry-run"]].concat()).ok().out;
    assert!(said.contains(" udp, for 10.77.0.4\n"), "{said}");
    // Whereas this machine itself has no address that the server could see.
    let said = lab.client(NAT_A, &["-4", "--dry-run"]).ok().out;
    assert!(said.contains("for whoever it comes from (10.78.1.2 or what that is translated to)"), "{said}");
    lab.client(NAT_A, &arguments).ok();
    lab.opens(NAT_A, SSH);
    spad.says("opened tcp/22 for 10.77.0.4");

    // Both families at once; and where one has no STUN server, it is as without.
    let both = lab.client(A, &["-a", "resolve", "--stun", "server.test:3478", "--dry-run"]).ok().out;
    assert!(both.contains("for 10.77.0.2\n") && both.contains("for fd77::2\n"), "{both}");
    let one = lab.client(A, &["-a", "resolve", "--stun", "10.77.0.1", "--dry-run"]).ok().out;
    assert!(one.contains("for 10.77.0.2\n") && one.contains("for whoever it comes from (fd77::2"), "{one}");
}

#[test]
fn whoever_sends_a_copy_first_from_elsewhere_gets_nothing() {
    let Some((lab, spad, _running)) = site() else { return };
    let sealed = Lab::inside("held-up");
    let keep = ["-4", "--dry-run", "--save-packet", &sealed];
    lab.client(NAT_A, &[&keep[..], &["-a", "resolve", "--stun", "server.test"]].concat()).ok();
    let _ = lab.send(B, "held-up", &lab.spa_target());
    spad.says("reason=address");
    lab.stays_shut(B, SSH);
    // Nor is the owner's burnt by it.
    let _ = lab.send(NAT_A, "held-up", &lab.spa_target());
    lab.opens(NAT_A, SSH);

    // Without it, the door is his: that is what makes the difference.
    lab.shuts(NAT_A, SSH, Duration::from_secs(10));
    lab.client(NAT_A, &[&keep[..], &["-a", "source"]].concat()).ok();
    let _ = lab.send(B, "held-up", &lab.spa_target());
    lab.opens(B, SSH);
}

#[test]
fn a_stun_server_that_says_nothing_is_told_in_time_and_nothing_is_sent() {
    let Some((lab, _spad, _running)) = site() else { return };
    lab.count_datagrams(NAT_A);
    let begun = Instant::now();
    // Nobody listens there.
    let done = lab.client(NAT_A, &["-4", "-a", "resolve", "--stun", "10.77.0.1:3999"]);
    assert_eq!(done.status, Some(6), "{}", done.text());
    assert!(
        done.err.contains("the STUN server 10.77.0.1 told no address of this machine within 3 s"),
        "{}",
        done.err
    );
    assert!(done.err.contains("hint: ") && done.err.lines().count() == 2, "{}", done.err);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    for (arguments, named) in
        [(&["-a", "resolve"][..], "name one with --stun"), (&["--stun", "server.test"], "is for -a resolve")]
    {
        let done = lab.client(NAT_A, arguments);
        assert_eq!((done.status, done.err.lines().count()), (Some(2), 1), "{}", done.text());
        assert!(done.err.contains(named), "{}", done.err);
    }
    assert_eq!(lab.datagrams(NAT_A), 0);
}
