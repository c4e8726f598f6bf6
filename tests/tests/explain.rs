//! `spad explain`: a capture file is judged as the daemon would have, and nothing is changed by that.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lab::{A, B, Config, Done, Host, Lab, SERVER, SSH};
use serde_json::Value;

/// A file of libpcap; each packet with the second in which it came.
fn pcap(link: u32, packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let word = |value: u64| u32::try_from(value).expect("it fits").to_le_bytes();
    let mut file = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(word(65_535));
    file.extend(link.to_le_bytes());
    for (second, frame) in packets {
        let length = word(frame.len() as u64);
        file.extend([word(*second), word(0), length, length].concat());
        file.extend(frame);
    }
    file
}

/// An IPv4 packet with a UDP datagram.
fn udp(source: Host, port: u16, payload: &[u8]) -> Vec<u8> {
    let length = |more: usize| u16::try_from(payload.len() + more).expect("it fits").to_be_bytes();
    let octets = |host: Host| match host.v4.parse().expect("an address") {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(_) => panic!("an IPv4 address"),
    };
    let mut packet = vec![0x45, 0];
    packet.extend(length(28));
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend([octets(source), octets(SERVER)].concat());
    packet.extend([40_000_u16.to_be_bytes(), port.to_be_bytes(), length(8), [0, 0]].concat());
    packet.extend(payload);
    packet
}

fn ethernet(packet: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &[8, 0], packet].concat()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn explain(lab: &Lab, options: &[&str]) -> Done {
    let file = Lab::inside("knocks.pcap");
    lab.spad_command(&[&["explain", &file], options].concat())
}

/// Verdict and reason of each.
fn verdicts(done: &Done) -> Vec<String> {
    let read = |line: &str| {
        let finding: Value = serde_json::from_str(line).expect("a line is an object");
        let reason = finding["reason"].as_str().or(finding["verdict"].as_str());
        format!("{} {}", finding["profile"].as_str().unwrap_or("-"), reason.expect("one of both"))
    };
    done.out.lines().map(read).collect()
}

#[test]
fn every_datagram_of_a_file_has_its_verdict_and_nothing_is_changed() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    let port = lab.spa_port();
    lab.seal(A, "one", &[]);
    let one = lab.bytes("one");
    let mut broken = one.clone();
    *broken.last_mut().expect("it has bytes") ^= 1;
    let second = now();
    let packets = [
        (second, udp(A, port, &one)),
        (second, udp(A, port, &one)),
        (second, udp(A, port, &broken)),
        (second, udp(B, port, &[7; 300])),
        (second, udp(B, port, b"short")),
        (second, udp(B, port + 1, &one)),
    ];
    let expected = ["laptop admitted", "laptop replayed", "- mac", "- header", "- length"];

    let state = || {
        let files = ["state/journal.a", "state/journal.b", "etc/site.toml", "etc/profiles/laptop.toml"];
        (files.map(|file| lab.bytes(file)), lab.table())
    };
    let before = state();
    for link in [101, 1] {
        let framed = packets.clone().map(|(at, packet)| match link {
            1 => (at, ethernet(&packet)),
            _ => (at, packet),
        });
        lab.write("knocks.pcap", pcap(link, &framed));
        let done = explain(&lab, &["--json"]).ok();
        assert_eq!(verdicts(&done), expected, "link {link}: {}", done.out);
    }
    let lines = explain(&lab, &[]).ok();
    let opens = format!("admitted profile=laptop: opens tcp/22 for {} for 2s", A.v4);
    assert!(lines.out.contains(&opens), "{}", lines.out);
    assert!(
        lines.out.ends_with(&format!("5 datagrams to udp/{port}, 1 of them admitted; 1 other packets\n"))
    );
    assert_eq!(state(), before, "nothing was written, and no door opened");

    // The clock of the operator's choice.
    let later = explain(&lab, &["--json", "--at", "2199-01-01T00:00:00Z"]).ok();
    assert_eq!(verdicts(&later)[..2], ["laptop skewed", "laptop skewed"], "{}", later.out);

    // The knock was not used up by having been explained; once it was used, a copy of the journal says so.
    lab.send(A, "one", &lab.spa_target());
    lab.opens(A, SSH);
    lab.sh(SERVER, "cp -r /run/lab/state /run/lab/copy");
    let copied = lab.bytes("copy/journal.a");
    let known = explain(&lab, &["--json", "--journal", &Lab::inside("copy")]).ok();
    assert_eq!(verdicts(&known)[..2], ["laptop replayed", "laptop replayed"], "{}", known.out);
    assert_eq!(lab.bytes("copy/journal.a"), copied);
}

#[test]
fn what_the_ceiling_and_the_profile_forbid_is_said_and_a_file_of_another_kind_refused() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    lab.profile_with("guest", &["--open", "tcp/22,tcp/80", "--window", "2s"]);
    let out = Lab::inside("guest.bin");
    lab.client(A, &["--profile", "guest", "-4", "--dry-run", "--save-packet", &out]).ok();
    lab.seal(A, "old", &[]);
    let second = now();
    let late = second + Duration::from_secs(61 + 60).as_secs();
    let port = lab.spa_port();
    let packets = [(second, udp(A, port, &lab.bytes("guest.bin"))), (late, udp(A, port, &lab.bytes("old")))];
    lab.write("knocks.pcap", pcap(101, &packets));
    let done = explain(&lab, &[]).ok();
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(lines[0].contains("does not open tcp/80") && lines[0].contains("opens tcp/22"), "{}", done.out);
    assert!(lines[1].contains("dropped profile=laptop reason=skewed"), "{}", done.out);

    for (what, contents) in [("noise", &b"neither"[..]), ("nothing", b"")] {
        fs::write(lab.path("knocks.pcap"), contents).expect("the laboratory has room");
        let refused = explain(&lab, &[]);
        assert_eq!(refused.status, Some(3), "{what}: {}", refused.text());
        assert!(refused.err.contains("tcpdump -w"), "{what}: {}", refused.err);
    }
    let no_journal = explain(&lab, &["--journal", "/nonexistent"]);
    assert_eq!(no_journal.status, Some(3), "{}", no_journal.text());
}

#[test]
fn an_invocation_is_explained_by_the_lists_of_profile_and_action() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config {
        more: "[action.wake]\nargv = [\"/bin/true\"]\narguments = [\"nas1\"]\n",
        ..Config::default()
    });
    lab.profile("laptop");
    let half = lab.read("etc/profiles/laptop.toml");
    lab.write("etc/profiles/laptop.toml", format!("{half}invoke = [\"wake\"]\n"));
    let port = lab.spa_port();
    let mut packets = Vec::new();
    for (n, words) in [&["wake", "nas1"][..], &["wake"], &["wake", "nas2"], &["halt"]].iter().enumerate() {
        let file = format!("sealed{n}");
        lab.seal(A, &file, &[&["--invoke"], *words].concat());
        packets.push((now(), ethernet(&udp(A, port, &lab.bytes(&file)))));
    }
    lab.write("knocks.pcap", pcap(1, &packets));
    let done = explain(&lab, &["--json"]);
    let expected = ["laptop admitted", "laptop admitted", "laptop forbidden", "laptop forbidden"];
    assert_eq!(verdicts(&done), expected, "{}", done.text());
    assert!(
        done.out.contains("\"invokes wake nas1\"") && done.out.contains("\"invokes wake\""),
        "{}",
        done.out
    );
}
