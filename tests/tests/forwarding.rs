//! Doors of a gateway that lead to inner hosts, with real programs: what the conformance suite asks of each backend is
//! here asked of the whole.

use std::time::Duration;

use lab::{A, B, BOX, Config, Extra, Host, INNER, Lab, SERVER, Spad, eventually};

const SECOND: Duration = Duration::from_secs(1);

/// The outer port by both families, which nothing on the gateway itself serves.
const OUTER: &str = "10.77.0.1:8443";
const OUTER6: &str = "[fd77::1]:8443";

/// What the operator allows.
const TARGETS: &str = "forward = [\"10.79.0.2:443\", \"[fd79::2]:443\", \"10.80.0.2:22\"]\n";

/// A gateway with two inner hosts; the backend as spad.toml has it.
fn gateway(backend: &str, targets: &str) -> Option<Lab> {
    let lab = Lab::with(&[Extra::Inner, Extra::Box])?;
    configure(&lab, backend, targets);
    Some(lab)
}

fn configure(lab: &Lab, backend: &str, targets: &str) {
    let text = Config::protecting(&["tcp/8443", "tcp/9443"]).text();
    let text = text.replace("backend = \"nftables\"\n", &format!("backend = \"{backend}\"\n{targets}"));
    lab.write("etc/spad.toml", text);
}

/// A profile for tcp/8443 with more lines in the server's half.
fn profile(lab: &Lab, name: &str, lines: &str) {
    lab.profile_with(name, &["--open", "tcp/8443", "--window", "30s", "--max-window", "1m"]);
    let file = format!("etc/profiles/{name}.toml");
    let text = lab.read(&file);
    lab.write(&file, format!("{text}{lines}"));
}

/// Who is connected to a port of a host, as that host sees it.
fn senders(lab: &Lab, host: Host, port: u16) -> Vec<String> {
    let listed = lab.sh(host, &format!("ss -Htn state established sport = :{port}"));
    let peer = |line: &str| {
        line.split_whitespace().nth(3).map(|end| end.replace("::ffff:", "").replace(['[', ']'], ""))
    };
    listed.lines().filter_map(peer).collect()
}

fn is_refused(spad: &Spad, why: &str) {
    spad.says(why);
}

#[test]
fn a_gateway_leads_a_client_to_the_inner_host_that_it_asks_for() {
    let Some(lab) = gateway("nftables", TARGETS) else { return };
    profile(&lab, "laptop", TARGETS);
    let _web = lab.serve(INNER, &["tcp/443"]);
    let _ssh = lab.serve(BOX, &["tcp/22"]);
    let mut spad = lab.spad();
    lab.stays_shut(A, OUTER);
    lab.knock_with(A, &["--forward", "10.79.0.2:443"]);
    lab.opens(A, OUTER);
    lab.stays_shut(B, OUTER);
    lab.stays_shut(A, OUTER6);
    spad.says("opened tcp/8443 for 10.77.0.2 to 10.79.0.2:443 profile=laptop window=30s");
    let mut session = lab.session(A, OUTER);
    assert!(session.lives());
    let seen = senders(&lab, INNER, 443);
    assert!(seen.iter().any(|peer| peer.starts_with("10.77.0.2:")), "by its own address: {seen:?}");
    lab.knock_with(A, &["--forward", "[fd79::2]:443"]);
    lab.opens(A, OUTER6);

    // Whoever is killed, the doors lead where they led.
    spad.kill_role("monitor");
    spad.says_times("serving", 2);
    lab.opens(A, OUTER);
    lab.opens(A, OUTER6);
    lab.sh(SERVER, "nft flush ruleset");
    spad.says("putting it back");
    eventually("the doors are back", SECOND, || {
        lab.probe(A, OUTER) == "open" && lab.probe(B, OUTER) == "filtered"
    });

    // The same profile asks for another host, by the same port.
    lab.knock_with(A, &["--forward", "10.80.0.2:22"]);
    spad.says("opened tcp/8443 for 10.77.0.2 to 10.80.0.2:22");
    let mut other = lab.session(A, OUTER);
    assert!(other.lives());
    assert_eq!(senders(&lab, BOX, 22).len(), 1, "at the other host");
    lab.knock_with(A, &["--close", "-4"]);
    lab.shuts(A, OUTER, SECOND);
    assert!(other.lives(), "a session lives on");
    lab.knock_with(A, &["--close", "-6"]);
    lab.shuts(A, OUTER6, SECOND);
    assert_eq!(spad.stop(), Some(0));
    lab.spad_command(&["teardown"]).ok();
    assert!(!lab.sh(SERVER, "nft list ruleset").contains("spad"));
}

#[test]
fn a_forward_ends_with_its_window_whoever_lives() {
    let Some(lab) = gateway("nftables", TARGETS) else { return };
    profile(&lab, "laptop", TARGETS);
    let _web = lab.serve(INNER, &["tcp/443"]);
    let mut spad = lab.spad();
    lab.knock_with(A, &["--forward", "10.79.0.2:443", "-w", "2s"]);
    lab.opens(A, OUTER);
    let mut session = lab.session(A, OUTER);
    spad.kill();
    let took = lab.shuts(A, OUTER, 4 * SECOND);
    println!("shut {took:?} after everything was killed");
    assert!(session.lives(), "begun in the window");
}

#[test]
fn what_neither_profile_nor_operator_names_is_not_led_to() {
    let Some(lab) = gateway("nftables", "forward = [\"10.79.0.2:443\"]\n") else { return };
    profile(&lab, "laptop", "forward = [\"10.79.0.2:443\", \"10.80.0.2:22\"]\n");
    lab.profile_with("plain", &["--open", "tcp/8443"]);
    profile(&lab, "masked", "forward = [\"10.79.0.2:443\"]\nforward_source = \"10.79.0.9\"\n");
    profile(&lab, "phone", "forward = [\"10.79.0.2:443\"]\nforward_source = \"masquerade\"\n");
    let _inner = [lab.serve(INNER, &["tcp/443"]), lab.serve(BOX, &["tcp/22"])];
    let spad = lab.spad();
    #[rustfmt::skip]
    let rows = [
        // profile, target, part of the reason
        ("plain",  "10.79.0.2:443", "asked for a target that is not in the profile's forward"),
        ("laptop", "10.79.0.2:22",  "asked for a target that is not in the profile's forward"),
        ("laptop", "10.80.0.2:22",  "the target is not among firewall.forward in spad.toml"),
        ("masked", "10.79.0.2:443", "not among firewall.forward_sources in spad.toml"),
    ];
    for (name, target, why) in rows {
        lab.knock_with(A, &["--profile", name, "--forward", target, "-A", "tcp/8443"]);
        is_refused(&spad, why);
        lab.stays_shut(A, OUTER);
    }
    assert_eq!(lab.grants(), Vec::<String>::new());
    // One port of one address leads one way: who comes second waits.
    lab.knock_with(A, &["--forward", "10.79.0.2:443"]);
    lab.opens(A, OUTER);
    lab.knock_with(A, &["--profile", "phone", "--forward", "10.79.0.2:443"]);
    is_refused(&spad, "the same port leads elsewhere for that address");
    let _session = lab.session(A, OUTER);
    assert!(senders(&lab, INNER, 443).iter().any(|peer| peer.starts_with("10.77.0.2:")), "as it was");
    lab.knock_with(B, &["--profile", "phone", "--forward", "10.79.0.2:443"]);
    lab.opens(B, OUTER);
}

#[test]
fn the_client_says_what_it_will_not_send() {
    let Some(lab) = gateway("nftables", TARGETS) else { return };
    profile(&lab, "laptop", TARGETS);
    #[rustfmt::skip]
    let rows = [
        // arguments, part of what it says
        (vec!["--forward", "127.0.0.1:22"],                              "cannot be a target"),
        (vec!["--forward", "10.0.0.0/24:22"],                            "is not a target"),
        (vec!["--forward", "10.0.0.5:22", "-A", "tcp/1,tcp/2"],          "one service"),
        (vec!["--forward", "10.0.0.5:22", "-6"],                         "within its address family"),
        (vec!["--forward", "[fd00::5]:22", "-4"],                        "within its address family"),
        (vec!["--forward", "[fd00::5]:22", "-D", "10.77.0.1"],           "no IPv6 address"),
        (vec!["--forward", "10.0.0.5:22", "--close"],                    "cannot be used with"),
    ];
    for (arguments, says) in rows {
        let done = lab.client(A, &[&["--profile", "laptop"], arguments.as_slice()].concat());
        assert!(done.status != Some(0) && done.err.contains(says), "{arguments:?}: {}", done.err);
    }
}

#[test]
fn iptables_leads_to_inner_hosts_too() {
    for (backend, infix) in [("iptables-nft", "-nft"), ("iptables-legacy", "-legacy")] {
        let sources = format!("{TARGETS}forward_sources = [\"10.79.0.1\"]\n");
        let Some(lab) = gateway(backend, &sources) else { return };
        profile(&lab, "laptop", &format!("{TARGETS}forward_source = \"masquerade\"\n"));
        profile(&lab, "desk", "forward = [\"10.79.0.2:443\"]\nforward_source = \"10.79.0.1\"\n");
        let _web = lab.serve(INNER, &["tcp/443"]);
        let _ssh = lab.serve(BOX, &["tcp/22"]);
        let mut spad = lab.spad();
        lab.stays_shut(A, OUTER);
        lab.knock_with(A, &["--forward", "10.79.0.2:443"]);
        lab.opens(A, OUTER);
        lab.stays_shut(B, OUTER);
        let mut session = lab.session(A, OUTER);
        let seen = senders(&lab, INNER, 443);
        assert!(seen.iter().any(|peer| peer.starts_with("10.79.0.1:")), "{backend}: masqueraded: {seen:?}");
        lab.knock_with(B, &["--profile", "desk", "--forward", "10.79.0.2:443"]);
        lab.opens(B, OUTER);
        lab.knock_with(A, &["--forward", "[fd79::2]:443"]);
        lab.opens(A, OUTER6);

        spad.kill_role("monitor");
        spad.says_times("serving", 2);
        lab.opens(A, OUTER);
        for program in ["iptables", "ip6tables"] {
            lab.sh(SERVER, &format!("{program}{infix} --wait=20 -t nat -F PREROUTING"));
        }
        spad.says("putting it back");
        eventually("the door is back", SECOND, || lab.probe(A, OUTER) == "open");
        lab.knock_with(A, &["--close", "-4"]);
        lab.shuts(A, OUTER, SECOND);
        assert!(session.lives(), "{backend}: a session lives on");

        // Fewer targets, by a reload: what led there is shut, the rest is not.
        configure(&lab, backend, "forward = [\"10.79.0.2:443\"]\nforward_sources = [\"10.79.0.1\"]\n");
        spad.reload();
        spad.says_times("serving", 3);
        lab.stays_shut(A, OUTER6);
        lab.opens(B, OUTER);
        assert_eq!(spad.stop(), Some(0));
        lab.spad_command(&["teardown"]).ok();
        let left = lab.sh(SERVER, &format!("iptables{infix}-save; ip6tables{infix}-save; ipset list -n"));
        assert!(!left.to_lowercase().contains("spad"), "{backend}: {left}");
    }
}

#[test]
fn check_says_what_would_hold_a_forward_back() {
    let Some(lab) = gateway("nftables", "forward = [\"10.79.0.2:443\"]\nforward_sources = [\"10.79.0.9\"]\n")
    else {
        return;
    };
    profile(&lab, "laptop", "forward = [\"10.79.0.2:22\"]\n");
    lab.sh(SERVER, "echo 0 > /proc/sys/net/ipv4/ip_forward");
    lab.write(
        "rules.nft",
        "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }",
    );
    lab.sh(SERVER, &format!("nft -f {}", Lab::inside("rules.nft")));
    let said = lab.spad_command(&["check"]).ok().out;
    for part in [
        "sysctl -w net.ipv4.ip_forward=1",
        "ip filter FORWARD: its policy is drop, and no rule there is seen to accept what is led to 10.79.0.2:443",
        "profile laptop leads to 10.79.0.2:22, which firewall.forward",
        "10.79.0.9 is no address of this host",
        "map @targets4",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    // This host itself is no inner host: by the back door its guarded ports would be open.
    configure(&lab, "nftables", "forward = [\"10.77.0.1:22\"]\n");
    let done = lab.spad_command(&["check"]);
    assert!(done.status != Some(0) && done.err.contains("10.77.0.1:22 is this host itself"), "{}", done.err);
    let spad = lab.start_spad(&[]);
    spad.says("10.77.0.1:22 is this host itself");
}

#[test]
fn a_routed_inner_host_needs_no_forward() {
    let Some(lab) = Lab::with(&[Extra::Inner]) else { return };
    lab.configure(&Config::protecting(&["tcp/443@10.79.0.2", "tcp/443@fd79::2"]));
    lab.profile_with("laptop", &["--open", "tcp/443", "--window", "30s"]);
    let _web = lab.serve(INNER, &["tcp/443"]);
    let _spad = lab.spad();
    for target in ["10.79.0.2:443", "[fd79::2]:443"] {
        lab.stays_shut(A, target);
    }
    lab.knock_with(A, &[]);
    for target in ["10.79.0.2:443", "[fd79::2]:443"] {
        lab.opens(A, target);
        lab.stays_shut(B, target);
    }
}
