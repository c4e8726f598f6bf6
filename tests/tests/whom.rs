//! For whom a door opens, if not for one address: a network, some source ports, a host of one link; and how many doors.

use std::time::Duration;

use lab::{A, B, Config, Extra, Host, INNER, Lab, SERVER, SSH, eventually};

const SECOND: Duration = Duration::from_secs(1);

/// Adds lines to the server's half of a profile.
fn amend(lab: &Lab, profile: &str, lines: &str) {
    let file = format!("etc/profiles/{profile}.toml");
    lab.write(&file, format!("{}{lines}\n", lab.read(&file)));
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
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    lab.knock_with(A, &["-4", "-w", "1m", "--source-port", "40000-40002"]);
    spad.says("opened tcp/22 for 10.77.0.2 from ports 40000-40002 profile=laptop");
    eventually("the door is open", SECOND, || lab.probe_from(A, 40_001, SSH) == "open");
    assert_eq!(lab.probe_from(A, 40_002, SSH), "open");
    assert_eq!(lab.probe_from(A, 40_003, SSH), "filtered", "another port");
    assert_eq!(lab.probe_from(B, 40_001, SSH), "filtered", "another address");
    spad.kill_role("monitor");
    spad.says_times("serving", 2);
    lab.knock_with(A, &["-4", "--close"]);
    spad.says("closed tcp/22 for 10.77.0.2 from ports 40000-40002");
    assert_eq!(lab.probe_from(A, 40_001, SSH), "filtered", "closed");
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
    for interfaces in [vec!["eth0", "eth1"], vec!["any"]] {
        let Some(lab) = Lab::with(&[Extra::Inner]) else { return };
        two_links(&lab);
        lab.configure(&Config { interfaces: interfaces.clone(), ..Config::default() });
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
fn what_ipset_has_no_type_of_set_for_is_refused_with_the_reason() {
    let Some(lab) = Lab::new() else { return };
    lab.sh(SERVER, "ip addr add fe80::1/64 dev eth0 nodad");
    let text = with_prefixes(PREFIXES).text();
    lab.write("etc/spad.toml", text.replace("backend = \"nftables\"", "backend = \"iptables\""));
    lab.profile_with("laptop", &["--open", "tcp/22", "--window", "1m"]);
    amend(&lab, "laptop", "prefixes = [\"ipv4/24\"]");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let check = lab.spad_command(&["check"]).ok().out;
    assert_eq!(check.matches("such knocks are refused").count(), 2, "{check}");
    let spad = lab.spad();
    lab.knock_with(A, &["-4", "--source-port", "40000"]);
    spad.says("not opened: tcp/22 for 10.77.0.2 from port 40000: iptables with ipset cannot bind a door to a source port");
    assert_eq!(lab.probe_from(A, 40_000, SSH), "filtered");
    lab.knock_with(A, &["-D", "fe80::1%eth0"]);
    // The line of the same profile and reason may wait for its minute: what matters is that nothing opens.
    lab.stays_shut(A, &on_link(&lab, A));
    // A prefix it can.
    lab.knock_with(A, &["-a", "10.77.0.0/24"]);
    lab.opens(B, SSH);
    spad.kill_role("monitor");
    spad.says_times("serving", 2);
    lab.knock_with(A, &["-4", "--close"]);
    lab.shuts(B, SSH, 2 * SECOND);
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
