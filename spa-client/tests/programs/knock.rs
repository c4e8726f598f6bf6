//! What `spa-client` sends, to whom, and what it says.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::scratch::{Listener, Scratch};

#[test]
fn a_knock_is_two_datagrams_that_have_nothing_in_common() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22,udp/51820");
    let done = scratch.client("").ok();
    assert_eq!(done.out, "asked 127.0.0.1 to open tcp/22,udp/51820 for 30s\n");
    assert_eq!(done.err, "");
    let heard = listener.heard();
    let [first, second] = heard.as_slice() else { panic!("{} datagrams", heard.len()) };
    assert!(heard.iter().all(|datagram| (256..=640).contains(&datagram.len())));
    assert_ne!(first[..40], second[..40]);
}

#[test]
fn as_many_copies_are_sent_as_are_asked_for_and_one_needs_no_pause() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22");
    for copies in [1, 3] {
        scratch.client(&format!("--copies {copies}")).ok();
        assert_eq!(listener.heard().len(), copies, "--copies {copies}");
    }
    let done = scratch.client("--dry-run --copies 1").ok();
    assert!(done.out.contains("sizes     1 datagram of 256"), "{}", done.out);
    // The pause is 50 ms at least. The machine may be busy: the quickest of some counts.
    let quickest = (0..20)
        .map(|_| {
            let start = Instant::now();
            scratch.client("--copies 1").ok();
            start.elapsed()
        })
        .min();
    assert!(quickest < Some(Duration::from_millis(50)), "{quickest:?}");
    for wrong in ["0", "6", "two", "-1"] {
        let done = scratch.client(&format!("--copies={wrong}"));
        let said = (done.status, done.err.as_str());
        assert_eq!(said, (2, "spa-client: --copies <NUMBER>: use a number from 1 to 5\n"), "{wrong}");
    }
}

#[test]
fn a_dry_run_tells_all_and_sends_nothing() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22 --freshness monotonic");
    let before = scratch.files();
    let done = scratch.client("--dry-run -a 192.0.2.7 -w 1m -A udp/51820").ok();
    let port = listener.port();
    for part in [
        "dry run: nothing is sent".to_owned(),
        "profile   laptop (/".to_owned(),
        format!("to        127.0.0.1:{port} udp, for 192.0.2.7\n"),
        "asks to   open udp/51820\n".to_owned(),
        "window    1m\n".to_owned(),
        "time      20".to_owned(),
        "sizes     2 datagrams of 256 to 640 bytes".to_owned(),
    ] {
        assert!(done.out.contains(&part), "{part}\n{}", done.out);
    }
    assert_eq!(
        done.err,
        "spa-client: the profile laptop was not made for udp/51820: the server may refuse\n"
    );
    let done = scratch.client("--dry-run --close").ok();
    assert!(
        done.out.contains("asks to   close everything that this profile opened\n")
            && !done.out.contains("window")
    );
    assert!(listener.heard().is_empty());
    assert_eq!(scratch.files(), before, "no file was touched");
}

#[test]
fn a_door_for_one_connection_is_for_tcp() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22,udp/51820");
    let done = scratch.client("--once -A tcp/22").ok();
    assert_eq!(done.out, "asked 127.0.0.1 to open tcp/22 for one connection within 30s\n");
    assert_eq!(listener.heard().len(), 2);
    scratch.client("--once").failed(2, "--once is for TCP, which has handshakes, and not for udp/51820");
    assert!(listener.heard().is_empty());
}

#[test]
fn a_packet_is_saved_with_or_without_being_sent() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22");
    let done = scratch.client("--dry-run --save-packet packet").ok();
    let saved = fs::read(scratch.path("packet")).unwrap();
    assert!(
        done.out.ends_with(&format!("saved     one datagram of {} bytes to packet\n", saved.len())),
        "{}",
        done.out
    );
    assert!((256..=640).contains(&saved.len()) && listener.heard().is_empty());
    assert_eq!(scratch.mode("packet"), 0o600);

    scratch.client("--save-packet packet").ok();
    let heard = listener.heard();
    assert_eq!(heard.len(), 2);
    assert_eq!(fs::read(scratch.path("packet")).unwrap(), heard[0]);

    scratch.client("--save-packet missing/packet").failed(1, "cannot write missing/packet");
    assert!(listener.heard().is_empty(), "what cannot be saved is not sent");
}

#[test]
fn the_command_line_comes_before_the_profile() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22");
    let other = Listener::new("127.0.0.1:0");
    scratch.client(&format!("-p {}", other.port())).ok();
    assert_eq!((listener.heard().len(), other.heard().len()), (0, 2));
    scratch.client("-D 127.0.0.2").ok();
    assert_eq!(listener.heard().len(), 0);

    if let Ok(socket) = std::net::UdpSocket::bind("[::1]:0") {
        drop(socket);
        let six = Listener::new("[::1]:0");
        let done = scratch.client(&format!("-D ::1 -v -A tcp/22 -w 45s -p {}", six.port())).ok();
        assert_eq!(six.heard().len(), 2);
        assert_eq!(done.out, "asked ::1 to open tcp/22 for 45s\n");
        let told: Vec<&str> = done.err.lines().collect();
        assert_eq!(told.len(), 2);
        for line in told {
            let words: Vec<&str> = line.split(' ').collect();
            let [time, from, "->", to, size, "bytes"] = words.as_slice() else { panic!("{line}") };
            assert!(time.ends_with('Z') && time.len() == 24, "{time}");
            assert!(from.starts_with("[::1]:") && *to == format!("[::1]:{}", six.port()), "{line}");
            assert!((256..=640).contains(&size.parse::<usize>().unwrap()));
        }
    }
}

#[test]
fn a_name_is_looked_up_and_each_of_its_addresses_is_used() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22");
    let done = scratch.client("-D localhost -4").ok();
    assert_eq!(done.out, "asked localhost (127.0.0.1) to open tcp/22 for 30s\n");
    assert_eq!(listener.heard().len(), 2);
    let done = scratch.client("-D no-such-host.invalid");
    // A resolver that cannot be reached may take its time; both are told.
    if done.status != 6 {
        done.failed(4, "no address is known for no-such-host.invalid");
    }
    scratch.client("-D 127.0.0.1 -6").failed(4, "127.0.0.1 has no IPv6 address");
    scratch.client("-D ::1 -4").failed(4, "::1 has no IPv4 address");
    assert!(listener.heard().is_empty());
}

#[test]
fn without_a_route_nothing_is_claimed() {
    let scratch = Scratch::new();
    scratch.profile("laptop", "--open tcp/22");
    // A network namespace of its own has no route at all, not even a loopback that is up.
    let mut inside = Command::new("unshare");
    inside.args(["--user", "--map-root-user", "--net", env!("CARGO_BIN_EXE_spa-client"), "-D", "192.0.2.1"]);
    let output = inside.env("HOME", scratch.path("home")).output().expect("util-linux is installed");
    let error = String::from_utf8(output.stderr).unwrap();
    if error.starts_with("unshare:") {
        assert!(std::env::var_os("CI").is_none(), "in CI namespaces can be made: {error}");
        eprintln!("SKIPPED: no namespace can be made here: {error}");
        return;
    }
    assert_eq!(output.status.code(), Some(5), "{error}");
    assert!(
        error.starts_with("spa-client: no route leads to any address of the server\n  hint: "),
        "{error}"
    );
}

#[test]
fn a_clock_that_is_wrong_is_told() {
    let scratch = Scratch::new();
    scratch.profile("laptop", "--open tcp/22 --freshness clock");
    let file = "home/.config/spa/profiles/laptop.spa.toml";
    let text = scratch.read(file);
    let created = text.lines().find(|line| line.starts_with("created")).unwrap();
    scratch.write(file, text.replace(created, "created = 2099-01-01T00:00:00Z"), 0o600);
    let done = scratch.client("").ok();
    assert!(done.err.starts_with("spa-client: this machine's clock says 20"), "{}", done.err);
    assert!(
        done.err.ends_with("made at 2099-01-01T00:00:00.000Z: set the clock, or the server will refuse\n")
    );
    assert_eq!(scratch.client("-q").ok().err, "");
}

#[test]
fn quiet_is_quiet_and_a_closed_pipe_is_no_failure() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22");
    let done = scratch.client("-q -A tcp/99").ok();
    assert_eq!((done.out.as_str(), done.err.as_str()), ("", ""));
    assert_eq!(listener.heard().len(), 2);
    for (program, arguments) in [
        ("spa-client", "-v -A tcp/99"),
        ("spa-client", "--help"),
        ("spa-keygen", "--help"),
        ("spa-keygen", "phone --server a --open tcp/22 --config-dir etc --state-dir state"),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = scratch.command(program);
        command
            .args(arguments.split_whitespace())
            .stdout(writer.try_clone().unwrap())
            .stderr(Stdio::from(writer));
        assert!(command.status().unwrap().success(), "{program} {arguments}");
    }
    assert_eq!(listener.heard().len(), 2);
    assert!(scratch.path("phone.spa.toml").exists());
}
