//! The laboratory itself: can it tell open from closed from filtered, and does it vanish?

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lab::{
    A, B, BOX, Clock, Extra, INNER, Lab, NAT, NAT_A, NAT_B, Reaction, SERVER, Synchronised, eventually,
};

const SOON: Duration = Duration::from_secs(5);

/// A guard made by hand, which lets in what is in a set.
const GUARD: &str = "nft -f - <<'END'
table inet spad {
  set grants4 { type ipv4_addr . inet_proto . inet_service; flags timeout; }
  set grants6 { type ipv6_addr . inet_proto . inet_service; flags timeout; }
  chain guard { type filter hook prerouting priority -150; policy accept;
    iif lo accept
    meta l4proto tcp ct direction original ct state established accept
    fib daddr type local th dport { 22, 53 } goto doors
  }
  chain doors {
    ip saddr . meta l4proto . th dport @grants4 accept
    ip6 saddr . meta l4proto . th dport @grants6 accept
    drop
  }
}
END";

const OPEN: &str =
    "nft add element inet spad grants4 '{ 10.77.0.2 . tcp . 22 timeout 1s comment \"by hand\" }'
    nft add element inet spad grants6 '{ fd77::2 . tcp . 22 timeout 1s }'
    nft add element inet spad grants4 '{ 10.77.0.2 . udp . 53 timeout 1s }'";

#[test]
fn open_closed_and_filtered_are_told_apart() {
    let Some(lab) = Lab::new() else { return };
    let _services = lab.serve(SERVER, &["tcp/22", "tcp/80", "udp/53"]);
    assert_eq!(lab.probe(A, "10.77.0.1:22"), "open");
    assert_eq!(lab.probe(A, "[fd77::1]:22"), "open");
    assert_eq!(lab.probe(A, "10.77.0.1:23"), "closed");
    lab.sh(SERVER, GUARD);
    assert_eq!(lab.probe(A, "10.77.0.1:22"), "filtered");
    lab.stays_shut(A, "[fd77::1]:22");
    assert_eq!(
        lab.scan(A, &["-p", "22,23,80"], SERVER.v4),
        ["22/tcp filtered", "23/tcp closed", "80/tcp open"],
        "nmap agrees"
    );
    assert!(!lab.ask(A, "10.77.0.1:53", 0));
    assert!(lab.grants().is_empty());

    lab.sh(SERVER, OPEN);
    assert_eq!(lab.grants(), ["10.77.0.2 . tcp . 22", "10.77.0.2 . udp . 53", "fd77::2 . tcp . 22"]);
    lab.opens(A, "10.77.0.1:22");
    lab.opens(A, "[fd77::1]:22");
    assert!(lab.ask(A, "10.77.0.1:53", 500));
    lab.stays_shut(B, "10.77.0.1:22");
    let mut session = lab.session(A, "10.77.0.1:22");
    lab.shuts(A, "10.77.0.1:22", SOON);
    assert!(session.lives(), "an established session lives on");
}

#[test]
fn a_datagram_meets_silence_an_answer_or_a_refusal() {
    let Some(lab) = Lab::new() else { return };
    let _services = lab.serve(SERVER, &["udp/53", "udp/54"]);
    lab.sh(SERVER, GUARD);
    lab.write("datagram", "hello");
    assert_eq!(lab.send(A, "datagram", "10.77.0.1:53"), Reaction::Silence);
    assert_eq!(lab.send(A, "datagram", "10.77.0.1:54"), Reaction::Answer);
    assert_eq!(lab.send(A, "datagram", "10.77.0.1:55"), Reaction::Refusal);
}

#[test]
fn routers_containers_and_nat_carry_packets() {
    let Some(lab) = Lab::with(&[Extra::Inner, Extra::Box, Extra::Nat]) else { return };
    let _services = [SERVER, INNER, BOX, A].map(|host| lab.serve(host, &["tcp/80"]));
    let ways = [
        (A, "10.79.0.2:80", "a routed host"),
        (INNER, "10.77.0.2:80", "a routed host's way out"),
        (A, "[fd79::2]:80", "a routed host by IPv6"),
        (A, "10.77.0.1:8080", "a published port"),
        (BOX, "10.77.0.2:80", "a container's way out"),
        (NAT_A, "10.77.0.1:80", "a client behind NAT"),
        (NAT_B, "10.77.0.1:80", "another client behind NAT"),
        (SERVER, "127.0.0.1:80", "loopback"),
        (SERVER, "10.77.0.1:80", "the host's own address"),
    ];
    for (host, target, why) in ways {
        assert_eq!(lab.probe(host, target), "open", "{why}");
    }
    lab.sh(
        SERVER,
        "nft 'table ip n { chain c { type filter hook prerouting priority 0; ip saddr 10.77.0.4 drop; }; }'",
    );
    assert_eq!(lab.probe(NAT_A, "10.77.0.1:80"), "filtered", "it comes from {}", NAT.v4);
}

#[test]
fn the_clock_of_a_running_program_can_be_stepped() {
    let Some(lab) = Lab::new() else { return };
    let clock = Clock::new(&lab, "clock");
    clock.ahead(Duration::from_secs(86_400));
    let seconds = |environment: &[String]| {
        let mut command = lab.command_with(SERVER, environment, "date");
        let out = command.arg("+%s").output().expect("date runs").stdout;
        String::from_utf8_lossy(&out).trim().parse::<i64>().expect("a number")
    };
    let ahead = seconds(&clock.environment()) - seconds(&[]);
    assert!((86_399..=86_401).contains(&ahead), "{ahead}");

    // One program that looks at the clock twice: before and after the step.
    let mut command = lab.command_with(SERVER, &clock.environment(), "bash");
    command.args(["-c", "printf '%(%s)T\\n' -1; read; printf '%(%s)T\\n' -1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = command.spawn().expect("bash runs");
    let mut out = program.stdout.take().expect("asked for");
    let mut first = [0; 11];
    std::io::Read::read_exact(&mut out, &mut first).expect("a line");
    clock.behind(Duration::from_secs(86_400));
    clock.kernel_says(Synchronised::Yes);
    drop(program.stdin.take());
    let second = std::io::read_to_string(out).expect("another line");
    let number = |text: &str| text.trim().parse::<i64>().expect("a number");
    let step = number(&String::from_utf8_lossy(&first)) - number(&second);
    assert!((172_799..=172_801).contains(&step), "{step}");
    program.wait().expect("it ends");
}

#[test]
fn nothing_is_left_when_a_test_is_killed() {
    if Lab::new().is_none() {
        return;
    }
    let test = std::env::current_exe().expect("a path");
    let mut other = Command::new(test)
        .args(["--exact", "holds_a_laboratory_until_it_is_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test starts");
    let out = std::io::BufReader::new(other.stdout.take().expect("asked for"));
    let anchor = std::io::BufRead::lines(out)
        .map_while(Result::ok)
        .find_map(|line| line.split("anchor=").nth(1).map(str::to_owned))
        .expect("it says its anchor");
    let anchor = Path::new("/proc").join(anchor.trim());
    assert!(anchor.exists());
    other.kill().expect("it runs");
    other.wait().expect("it ends");
    eventually("the laboratory is gone", SOON, || !anchor.exists());
}

#[test]
#[ignore = "a part of nothing_is_left_when_a_test_is_killed"]
fn holds_a_laboratory_until_it_is_killed() {
    let Some(lab) = Lab::new() else { return };
    let _services = lab.serve(SERVER, &["tcp/22"]);
    println!("\nanchor={}", lab.anchor());
    std::thread::sleep(Duration::from_secs(60));
}
