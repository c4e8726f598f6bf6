//! The surroundings as the sealed monitor sees them, in a network namespace of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use common::{PROGRAM, root};

#[test]
fn a_sealed_monitor_sees_interfaces_addresses_and_default_routes_change() {
    if !root() {
        return;
    }
    let mut monitor = Command::new("unshare")
        .args(["-n", PROGRAM, "probe-monitor", "look"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ask = monitor.stdin.take().unwrap();
    let mut lines = BufReader::new(monitor.stderr.take().unwrap()).lines();
    let mut line = || loop {
        let line = lines.next().unwrap().unwrap();
        if let Some(seen) = line.strip_prefix("look: ") {
            break seen.to_owned();
        }
    };
    let ip = |words: &str| {
        let target = monitor.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &target, "-n", "ip"]).args(words.split(' '));
        assert!(command.status().unwrap().success(), "ip {words}");
    };
    let now = line();
    for part in
        [r#""lo": Present { index: 1, up: false }"#, r#""gone0": Missing"#, "any: true", "addresses: {}"]
    {
        assert!(now.contains(part), "{part} in {now}");
    }
    #[rustfmt::skip]
    let steps = [
        // command, is in, is not in, why
        ("link set lo up",                          "up: true",             "up: false",   "an interface comes up"),
        ("link add gone0 type veth peer name far0", r#""gone0": Present"#,  "Missing",     "an interface that was missing"),
        ("addr add 10.9.8.7/24 dev gone0",          "10.9.8.7",             "far0",        "an address"),
        ("link set gone0 up",                       r#"up: true"#,          "up: false",   "up"),
        ("link set far0 up",                        "on_link: {(fe80::",    "on_link: {}", "link-local addresses, each with its interface"),
        ("-6 addr add fd09::7/64 dev gone0 nodad",  "fd09::7",              "far0",        "an IPv6 address"),
        ("addr add 10.1.1.1 peer 10.1.1.2 dev lo",  "10.1.1.1",             "10.1.1.2",    "a far end is not the host"),
        ("-6 route add default dev far0",           r#""far0": Present"#,   "Missing",     "an IPv6 default route leads elsewhere"),
        ("-6 route del default dev far0",           "fd09::7",              "far0",        "and no longer"),
        ("route add default via 10.9.8.1",          r#""gone0": Present"#,  "far0",        "an IPv4 default route"),
        ("link del far0",                           r#""gone0": Missing"#,  "fd09::7",     "the interface vanishes with its addresses"),
    ];
    for (command, is, is_not, why) in steps {
        ip(command);
        writeln!(ask).unwrap();
        assert!(line().starts_with("true"), "told: {why}");
        let mut now = line();
        // What the kernel does by itself afterwards, such as giving a link-local address, is told a moment later.
        for _ in 0..3 {
            if now.contains(is) && !now.contains(is_not) {
                break;
            }
            writeln!(ask).unwrap();
            line();
            now = line();
        }
        assert!(now.contains(is), "{why}: {is} in {now}");
        assert!(!now.contains(is_not), "{why}: no {is_not} in {now}");
    }
    // Re-created under its name it is another interface.
    ip("link add gone0 type veth peer name far0");
    writeln!(ask).unwrap();
    line();
    assert!(line().contains(r#""gone0": Present"#));
    drop(ask);
    assert!(monitor.wait().unwrap().success());
}
