//! For whom a door opens, if not for one address: a network, some source ports, a host of one link; and how many doors.

use std::time::Duration;

use lab::{A, B, Config, Extra, Host, INNER, Lab, SERVER, SSH, SSH6, eventually};

const SECOND: Duration = Duration::from_secs(1);

/// Adds lines to the server's half of a profile.
fn amend(lab: &Lab, profile: &str, lines: &str) {
    let file = format!("etc/profiles/{profile}.toml");
    lab.write(&file, format!("{}{lines}\n", lab.read(&file)));
}

/// Writes spad.toml with this for `firewall.backend`.
fn configure(lab: &Lab, backend: &str, config: &Config) {
    let line = format!("backend = \"{backend}\"");
    lab.write("etc/spad.toml", config.text().replace("backend = \"nftables\"", &line));
}

fn with_prefixes(more: &'static str) -> Config {
    Config { more, ..Config::default() }
}

const PREFIXES: &str = "[ceiling]\nprefixes = [\"ipv4/16\", \"ipv4/24\", \"ipv6/64\"]";

/// Three devices with windows of a minute: `wide` asks for a /16, `net` for a /24 or /64, `laptop` for itself.
fn three(lab: &Lab) {
    for (name, lengths) in
        [("wide", "[\"ipv4/16\"]"), ("net", "[\"ipv4/24\", \"ipv6/64\"]"), ("laptop", "[]")]
    {
        lab.profile_with(name, &["--open", "tcp/22", "--window", "1m"]);
        amend(lab, name, &format!("prefixes = {lengths}"));
    }
}

#[test]
fn a_prefix_opens_for_a_network_and_prefixes_do_not_collide() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&with_prefixes(PREFIXES));
    three(&lab);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    let ask = |profile: &str, whom: &str| lab.knock_with(A, &["--profile", profile, "-a", whom]);
    let close = |profile: &str| lab.knock_with(A, &["-4", "--profile", profile, "--close"]);

    // The network first, a host in it, and a network around it.
    ask("net", "10.77.0.0/24");
    lab.opens(B, SSH);
    spad.says("opened tcp/22 for 10.77.0.0/24 profile=net");
    ask("laptop", A.v4);
    ask("wide", "10.77.0.0/16");
    spad.says("opened tcp/22 for 10.77.0.0/16 profile=wide");
    close("net");
    spad.says("closed tcp/22 for 10.77.0.0/24");
    lab.opens(B, SSH);
    ask("net", "10.77.0.0/24");
    close("wide");
    spad.says("closed tcp/22 for 10.77.0.0/16");
    lab.opens(B, SSH);

    // A monitor that starts anew takes them over.
    spad.kill_role("monitor");
    spad.says_times("serving", 2);
    assert!(spad.lines(&["serving", "open=2"]).len() == 1, "{}", spad.log());
    lab.opens(B, SSH);
    close("net");
    lab.shuts(B, SSH, SECOND);
    lab.opens(A, SSH);
    close("laptop");
    lab.shuts(A, SSH, SECOND);

    // IPv6, and the end of the window.
    lab.knock_with(A, &["--profile", "net", "-w", "2s", "-a", "fd77::/64"]);
    lab.opens(B, "[fd77::1]:22");
    lab.stays_shut(B, SSH);
    lab.shuts(B, "[fd77::1]:22", 3 * SECOND);

    // A length that spad.toml no longer has.
    ask("net", "10.77.0.0/24");
    lab.opens(B, SSH);
    lab.configure(&with_prefixes("[ceiling]\nprefixes = [\"ipv4/16\"]"));
    spad.reload();
    spad.says("closed tcp/22 for 10.77.0.0/24: spad.toml no longer allows it");
    lab.shuts(B, SSH, SECOND);
    ask("net", "10.77.0.0/24");
    spad.says("a prefix of this length is not among ceiling.prefixes in spad.toml");
    lab.stays_shut(B, SSH);
    let check = lab.spad_command(&["check"]).ok().out;
    assert!(
        check.contains("profile net may open for prefixes of ipv4/24, which is not among ceiling.prefixes"),
        "{check}"
    );
}

#[test]
fn a_prefix_that_is_not_allowed_opens_nothing() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&with_prefixes(PREFIXES));
    three(&lab);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    #[rustfmt::skip]
    let rows = [
        // profile, for whom, reason in the log
        ("laptop", "10.77.0.0/24",  "asked for a prefix of a length that the profile does not allow"),
        ("net",    "10.77.0.0/16",  "asked for a prefix of a length that the profile does not allow"),
        ("wide",   "10.78.0.0/16",  "the stated address is not the packet's source"),
    ];
    for (profile, whom, reason) in rows {
        lab.knock_with(A, &["--profile", profile, "-a", whom]);
        spad.says(reason);
        lab.stays_shut(A, SSH);
        lab.stays_shut(B, SSH);
    }
}

#[test]
fn a_datagram_that_states_a_prefix_opens_once_whoever_in_it_delivers_it() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&with_prefixes(PREFIXES));
    lab.profile_with("laptop", &["--open", "tcp/22", "--window", "2s"]);
    amend(&lab, "laptop", "prefixes = [\"ipv4/24\"]");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let _spad = lab.spad();
    lab.seal(A, "datagram", &["-a", "10.77.0.0/24"]);
    lab.send(B, "datagram", &lab.spa_target());
    lab.opens(A, SSH);
    lab.shuts(A, SSH, 3 * SECOND);
    for host in [A, B] {
        lab.send(host, "datagram", &lab.spa_target());
        lab.stays_shut(host, SSH);
    }
}

#[test]
fn a_source_port_alone_passes() {
    for backend in ["nftables", "iptables-nft", "iptables-legacy"] {
        let Some(lab) = Lab::new() else { return };
        configure(&lab, backend, &Config::default());
        lab.profile_with("laptop", &["--open", "tcp/22", "--window", "1m"]);
        let _service = lab.serve(SERVER, &["tcp/22"]);
        let spad = lab.spad();
        let from = |host, port, to| lab.probe_from(host, port, to);
        assert_eq!(from(A, 40_001, SSH), "filtered", "{backend}: before the knock");
        lab.knock_with(A, &["-4", "-w", "1m", "--source-port", "40000-40002"]);
        spad.says("opened tcp/22 for 10.77.0.2 from ports 40000-40002 profile=laptop");
        eventually("the door is open", SECOND, || from(A, 40_001, SSH) == "open");
        assert_eq!(from(A, 40_002, SSH), "open", "{backend}");
        assert_eq!(from(A, 40_003, SSH), "filtered", "{backend}: another port");
        assert_eq!(from(B, 40_001, SSH), "filtered", "{backend}: another address");
        assert_eq!(from(A, 40_001, SSH6), "filtered", "{backend}: another family");
        spad.kill_role("monitor");
        spad.says_times("serving", 2);
        lab.knock_with(A, &["-4", "--close"]);
        spad.says("closed tcp/22 for 10.77.0.2 from ports 40000-40002");
        assert_eq!(from(A, 40_001, SSH), "filtered", "{backend}: closed");

        // IPv6, and the end of the window.
        lab.knock_with(A, &["-6", "-w", "3s", "--source-port", "40010"]);
        eventually("the door is open", SECOND, || from(A, 40_010, SSH6) == "open");
        assert_eq!(from(A, 40_011, SSH6), "filtered", "{backend}: another port");
        spad.says("closed tcp/22 for fd77::2 from port 40010");
        assert_eq!(from(A, 40_010, SSH6), "filtered", "{backend}: after its window");
    }
}

/// Gives the server, a client on the switch and one behind it the same link-local addresses on two links.
fn two_links(lab: &Lab) {
    for (host, interface, address) in [
        (SERVER, "eth0", "fe80::1"),
        (SERVER, "eth1", "fe80::1"),
        (A, "eth0", "fe80::99"),
        (INNER, "eth0", "fe80::99"),
    ] {
        lab.sh(
            host,
            &format!(
                "ip addr flush dev {interface} scope link; ip addr add {address}/64 dev {interface} nodad"
            ),
        );
    }
    lab.sh(B, "ip addr flush dev eth0 scope link; ip addr add fe80::98/64 dev eth0 nodad");
}

/// The server's ssh port by its link-local address, as a host on one of its links sees it.
fn on_link(lab: &Lab, host: Host) -> String {
    format!("[fe80::1%{}]:22", lab.sh(host, "cat /sys/class/net/eth0/ifindex").trim())
}

#[test]
fn a_link_local_knock_opens_on_its_link_only() {
    for (backend, interfaces) in [
        ("nftables", vec!["eth0", "eth1"]),
        ("nftables", vec!["any"]),
        ("iptables-nft", vec!["eth0", "eth1"]),
        ("iptables-legacy", vec!["any"]),
    ] {
        let Some(lab) = Lab::with(&[Extra::Inner]) else { return };
        two_links(&lab);
        configure(&lab, backend, &Config { interfaces, ..Config::default() });
        lab.profile_with("laptop", &["--open", "tcp/22", "--window", "1m"]);
        let _service = lab.serve(SERVER, &["tcp/22"]);
        let spad = lab.spad();
        let shut =
            |hosts: &[Host]| hosts.iter().for_each(|host| lab.stays_shut(*host, &on_link(&lab, *host)));
        shut(&[A, B, INNER]);
        lab.knock_with(A, &["-D", "fe80::1%eth0"]);
        lab.opens(A, &on_link(&lab, A));
        // The same address on another link, and another one on the same.
        shut(&[INNER, B]);
        spad.kill_role("monitor");
        spad.says_times("serving", 2);
        lab.opens(A, &on_link(&lab, A));
        lab.knock_with(A, &["-D", "fe80::1%eth0", "--close"]);
        lab.shuts(A, &on_link(&lab, A), SECOND);

        // On the other link, which is then taken away and made anew.
        lab.knock_with(INNER, &["-D", "fe80::1%eth0"]);
        lab.opens(INNER, &on_link(&lab, INNER));
        shut(&[A, B]);
        lab.sh(SERVER, "ip link del eth1");
        spad.says("its interface is gone");
        lab.sh(SERVER, "ip link add eth1 type veth peer name eth0 netns inner; ip link set eth1 up");
        lab.sh(INNER, "ip link set eth0 up");
        two_links(&lab);
        shut(&[INNER, A]);
        eventually("a knock opens on the new link", 5 * SECOND, || {
            lab.knock_with(INNER, &["-D", "fe80::1%eth0"]);
            lab.probe(INNER, &on_link(&lab, INNER)) == "open"
        });
        shut(&[A, B]);
    }
}

#[test]
fn with_ipset_a_flush_of_others_and_a_reload_leave_narrow_doors_as_they_were() {
    for infix in ["-nft", "-legacy"] {
        let Some(lab) = Lab::new() else { return };
        let backend = format!("iptables{infix}");
        configure(&lab, &backend, &Config::default());
        lab.sh(SERVER, "ip addr add fe80::1/64 dev eth0 nodad");
        lab.profile_with("laptop", &["--open", "tcp/22", "--window", "1m"]);
        let _service = lab.serve(SERVER, &["tcp/22", "tcp/80"]);
        let check = lab.spad_command(&["check"]).ok().out;
        assert!(!check.contains("refused") && check.contains("spad_ports4_tcp22"), "{check}");
        let spad = lab.spad();
        lab.knock_with(A, &["-4", "--source-port", "40000-40200"]);
        lab.knock_with(A, &["-D", "fe80::1%eth0"]);
        let mut port = 40_000;
        let mut as_they_were = |why: &str| {
            // A port of its own each time: the one before may still wait for its end.
            eventually(why, 2 * SECOND, || {
                port += 1;
                lab.probe_from(A, port, SSH) == "open"
            });
            lab.opens(A, &on_link(&lab, A));
            lab.stays_shut(A, SSH);
            lab.stays_shut(B, &on_link(&lab, B));
        };
        as_they_were("the doors are open");
        for program in ["iptables", "ip6tables"] {
            lab.sh(SERVER, &format!("printf '*mangle\\nCOMMIT\\n' | {program}{infix}-restore"));
        }
        spad.says("putting it back");
        as_they_were("the doors are open after a flush");
        configure(&lab, &backend, &Config::protecting(&["tcp/80", "tcp/22"]));
        spad.reload();
        as_they_were("the doors are open after a reload");
        lab.stays_shut(A, "10.77.0.1:80");
        configure(&lab, &backend, &Config::protecting(&["tcp/80"]));
        spad.reload();
        spad.says("closed tcp/22 for fe80::");
        lab.opens(A, "10.77.0.1:22");
        configure(&lab, &backend, &Config::default());
        spad.reload();
        spad.says_times("serving", 4);
        lab.stays_shut(A, &on_link(&lab, A));
        assert_eq!(lab.probe_from(A, 40_100, SSH), "filtered");
    }
}

#[test]
fn a_profile_has_no_more_doors_than_its_file_says() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::protecting(&["tcp/22", "tcp/80"]));
    for name in ["laptop", "phone"] {
        lab.profile_with(name, &["--open", "tcp/22,tcp/80", "--window", "1m"]);
    }
    amend(&lab, "laptop", "max_doors = 1");
    let _service = lab.serve(SERVER, &["tcp/22", "tcp/80"]);
    let spad = lab.spad();
    lab.knock_with(A, &["-4", "-A", "tcp/22,tcp/80"]);
    lab.opens(A, SSH);
    spad.says("profile=laptop reason=ceiling times=1 not opened: tcp/80 for 10.77.0.2: the profile has max_doors doors open");
    lab.stays_shut(A, "10.77.0.1:80");
    lab.knock_with(B, &["-4", "--profile", "phone"]);
    lab.opens(B, "10.77.0.1:80");
    lab.opens(B, SSH);
    lab.knock_with(A, &["-4", "--close"]);
    lab.shuts(A, SSH, SECOND);
    lab.knock_with(A, &["-4", "-A", "tcp/80"]);
    lab.opens(A, "10.77.0.1:80");
}
