//! `spad doctor` on a living server: nothing bad where all is well, and each fault found by its name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use lab::{
    A, Clock, Config, Done, Extra, Lab, SERVER, SSH, Spad, Synchronised, eventually, program, repository,
    skip,
};
use rustix::process::{Pid, Signal, kill_process};

/// What makes a healthy host of the server, besides spad: all that is not meant for everybody is dropped.
const HOST: &str = "table inet host {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        iif lo accept
        meta l4proto ipv6-icmp accept
        tcp dport { 22, 80 } accept
    }
}";

const GUARD: &str = "backend = \"nftables\"\nmode = \"guard\"\n";

fn load(lab: &Lab, text: &str) {
    lab.write("rules.nft", text);
    lab.sh(SERVER, &format!("nft -f {}", Lab::inside("rules.nft")));
}

fn doctor(lab: &Lab, options: &[&str]) -> Done {
    lab.spad_command(&[&["doctor"], options].concat())
}

/// A doctor's visit that must find this to be bad, in one line that holds all the words, and nothing else.
fn finds(lab: &Lab, id: &str, words: &[&str]) {
    let done = doctor(lab, &[]);
    assert_eq!(done.status, Some(6), "{id}: {}", done.text());
    let is_it = |line: &&str| {
        line.starts_with(&format!("BAD   {id}: ")) && words.iter().all(|word| line.contains(word))
    };
    assert!(done.out.lines().any(|line| is_it(&line)), "no {id} with {words:?} in:\n{}", done.text());
}

/// Waits: what was mended may take the daemon a moment.
fn is_well(lab: &Lab) {
    let mut done = doctor(lab, &[]);
    let mut tries = 0;
    while done.status != Some(0) && tries < 20 {
        std::thread::sleep(Duration::from_millis(100));
        done = doctor(lab, &[]);
        tries += 1;
    }
    assert_eq!(done.status, Some(0), "{}", done.text());
}

fn healthy(lab: &Lab) -> (impl Sized + use<>, Spad) {
    load(lab, HOST);
    lab.guard_ssh()
}

#[test]
fn a_healthy_host_has_nothing_bad_and_nothing_is_changed_by_the_look() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = healthy(&lab);
    lab.knock_with(A, &["-4", "-w", "1m"]);
    lab.opens(A, SSH);
    let before = (lab.sh(SERVER, "nft -s list ruleset | sed 's/ expires [0-9a-z]*//'"), spad.processes());
    let journal = lab.bytes("state/journal.a");
    let done = doctor(&lab, &[]);
    assert_eq!(done.status, Some(0), "{}", done.text());
    assert!(!done.out.contains("BAD"), "{}", done.out);
    for id in ["guard", "stranger", "knock", "daemon", "capture", "scan", "way-round", "listener", "clock"] {
        assert!(done.out.contains(&format!("ok    {id}: ")), "{id}:\n{}", done.out);
    }
    assert!(done.out.lines().last().is_some_and(|line| line.starts_with("0 bad, ")), "{}", done.out);
    let page = fs::read_to_string(repository().join("docs/man/spad.8")).expect("the page");
    for line in done.out.lines().filter_map(|line| line.get(6..)) {
        let Some((id, _)) = line.split_once(": ") else { continue };
        assert!(page.split_whitespace().any(|word| word == id), "the page says nothing of {id}");
    }
    let after = (lab.sh(SERVER, "nft -s list ruleset | sed 's/ expires [0-9a-z]*//'"), spad.processes());
    assert_eq!(after, before);
    assert_eq!(lab.bytes("state/journal.a"), journal);
    assert_eq!(spad.lines(&["serving"]).len(), 1, "no new worker:\n{}", spad.log());
}

/// Runs it by another clock.
fn doctor_by(lab: &Lab, clock: &Clock) -> String {
    let mut command = lab.command_with(SERVER, &clock.environment(), program("spad"));
    command.args(["--config", "/run/lab/etc/spad.toml", "--state-dir", "/run/lab/state", "doctor"]);
    String::from_utf8(command.output().expect("it runs").stdout).expect("text")
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process");
    kill_process(pid, signal).expect("it is there");
}

fn chmod(lab: &Lab, file: &str, mode: u32) {
    fs::set_permissions(lab.path(file), fs::Permissions::from_mode(mode)).expect("it is there");
}

#[test]
fn a_flush_that_nobody_mends_is_found() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = healthy(&lab);
    let monitor = spad.role("monitor")[0];
    signal(monitor, Signal::STOP);
    lab.sh(SERVER, "nft delete table inet spad");
    finds(&lab, "guard", &["nothing of it is there"]);
    finds(&lab, "stranger", &["tcp/22"]);
    finds(&lab, "daemon", &["spad-monitor", "is stopped"]);
    signal(monitor, Signal::CONT);
    is_well(&lab);
}

#[test]
fn a_change_within_the_guard_is_found_byte_for_byte() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = healthy(&lab);
    signal(spad.role("monitor")[0], Signal::STOP);
    let rows = [
        // command, what differs, why
        (
            "insert rule inet spad doors tcp dport 22 accept",
            "rule 1 of chain doors is another",
            "a rule in front",
        ),
        ("add element inet spad protected { udp . 9 }", "set protected is another", "an element more"),
        ("delete element inet spad protected { tcp . 22 }", "set protected is another", "an element less"),
        ("add table inet spad { flags dormant; }", "table inet spad is another", "a table put to sleep"),
        ("add chain inet spad extra", "chain extra was added", "a chain more"),
    ];
    let whole = lab.sh(SERVER, "nft list table inet spad");
    for (command, differs, why) in rows {
        lab.write("command.nft", command);
        lab.sh(SERVER, "nft -f /run/lab/command.nft");
        println!("{why}");
        finds(&lab, "guard", &[differs]);
        lab.write("whole.nft", format!("delete table inet spad\n{whole}"));
        lab.sh(SERVER, "nft -f /run/lab/whole.nft");
        let healed = doctor(&lab, &[]).out;
        assert!(healed.contains("ok    guard: "), "{why}: {healed}");
    }
}

#[test]
fn a_drop_of_others_on_the_way_is_found() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = healthy(&lab);
    #[rustfmt::skip]
    let rows = [
        // made by, removed by, named, why
        ("nft 'table inet early { chain pre { type filter hook prerouting priority -400; tcp dport 20-30 drop; }; }'",
         "nft delete table inet early", "inet early pre: rule", "before the guard"),
        ("nft 'table ip late { chain in { type filter hook input priority 10; policy drop; tcp dport 80 accept; }; }'",
         "nft delete table ip late", "ip late in: its policy is drop", "a policy after it"),
        ("iptables-nft -A INPUT -p tcp -m multiport --dports 22,23 -j REJECT",
         "iptables-nft -F INPUT", "iptables-nft filter INPUT: rule", "iptables"),
        ("iptables-legacy -N fence; iptables-legacy -A fence -j DROP; iptables-legacy -A INPUT ! -i lo -j fence",
         "iptables-legacy -F INPUT", "iptables-legacy filter INPUT: rule", "a chain of iptables-legacy"),
    ];
    for (made, removed, named, why) in rows {
        lab.sh(SERVER, made);
        println!("{why}");
        finds(&lab, "knock", &[named, "tcp/22"]);
        lab.sh(SERVER, removed);
        is_well(&lab);
    }
    // What drops others only, or only some, is nobody's fault.
    lab.sh(SERVER, "iptables-nft -A INPUT -s 10.0.0.0/8 -p tcp --dport 22 -j DROP");
    lab.sh(SERVER, "iptables-nft -A INPUT -m conntrack --ctstate INVALID -j DROP");
    is_well(&lab);
}

/// What firewalld makes of a zone with one service, shortened.
const FIREWALLD: &str = "table inet firewalld {
    chain filter_INPUT {
        type filter hook input priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname lo accept
        jump filter_INPUT_ZONES
        ct state { invalid } drop
        reject with icmpx type admin-prohibited
    }
    chain filter_INPUT_ZONES {
        iifname vmap { docker0 : goto filter_IN_docker, eth0 : goto filter_IN_public }
        goto filter_IN_public
    }
    chain filter_IN_docker { accept; }
    chain filter_IN_public {
        jump filter_IN_public_allow
        meta l4proto { icmp, ipv6-icmp } accept
    }
    chain filter_IN_public_allow {
        tcp dport SERVICE ct state { new, untracked } accept
        ip6 daddr fe80::/64 udp dport 546 ct state { new, untracked } accept
    }
}";

#[test]
fn the_chains_of_firewalld_are_followed() {
    let Some(lab) = Lab::new() else { return };
    load(&lab, &FIREWALLD.replace("SERVICE", "22"));
    let (_service, _spad) = lab.guard_ssh();
    let done = doctor(&lab, &["--self-test"]);
    assert_eq!(done.status, Some(0), "{}", done.text());
    assert!(done.out.contains("beside it: firewalld"), "{}", done.text());
    assert!(done.out.contains("warn  scan: "), "it answers with an error: {}", done.text());
    lab.sh(SERVER, "nft delete table inet firewalld");
    load(&lab, &FIREWALLD.replace("SERVICE", "80"));
    finds(&lab, "knock", &["inet firewalld filter_INPUT: rule", "denies tcp/22"]);
    let done = doctor(&lab, &["--self-test"]);
    assert!(done.out.contains("BAD   self-test-opens: "), "so it is: {}", done.text());
}

#[test]
fn what_an_earlier_configuration_left_is_found() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = healthy(&lab);
    spad.stop();
    lab.write("etc/spad.toml", Config::default().text().replace(GUARD, "backend = \"iptables-nft\"\n"));
    finds(&lab, "kernel-firewall", &["table inet spad of an earlier configuration still stands"]);
}

#[test]
fn a_way_round_the_guard_is_found() {
    let Some(lab) = Lab::with(&[Extra::Box]) else { return };
    let (_service, _spad) = healthy(&lab);
    #[rustfmt::skip]
    let rows = [
        ("nft 'table ip around { chain pre { type nat hook prerouting priority -100; tcp dport 2222 redirect to :22; }; }'",
         "nft delete table ip around", "ip around pre: rule"),
        ("iptables-nft -t nat -A PREROUTING -p tcp --dport 2222 -j REDIRECT --to-ports 22",
         "iptables-nft -t nat -F", "iptables-nft nat PREROUTING: rule"),
        ("iptables-legacy -t nat -A PREROUTING -p tcp --dport 2222 -j DNAT --to-destination 10.77.0.1:22",
         "iptables-legacy -t nat -F", "iptables-legacy nat PREROUTING: rule"),
    ];
    for (made, removed, named) in rows {
        lab.sh(SERVER, made);
        assert_eq!(lab.probe(A, "10.77.0.1:2222"), "open", "the way is real: {made}");
        finds(&lab, "way-round", &[named, "2222", "tcp/22"]);
        lab.sh(SERVER, removed);
        is_well(&lab);
    }
    // Published as 8080, protected as 80 of the container.
    lab.configure(&Config::protecting(&["tcp/22", "tcp/80@10.80.0.2"]));
    finds(&lab, "way-round", &["ip published pre", "8080", "tcp/80@10.80.0.2"]);
}

#[test]
fn a_published_port_has_somebody_behind_it() {
    let Some(lab) = Lab::with(&[Extra::Box]) else { return };
    lab.configure(&Config::protecting(&["tcp/8080", "tcp/81"]));
    lab.profile_with("laptop", &["--open", "tcp/8080,tcp/81"]);
    let _spad = lab.spad();
    let out = doctor(&lab, &[]).out;
    assert!(out.contains("warn  listener: nobody listens at tcp/81"), "{out}");
    assert!(!out.contains("listens at tcp/8080"), "{out}");
}

#[test]
fn a_listener_at_the_spa_port_is_found() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = healthy(&lab);
    let port = lab.spa_port();
    let listener = lab.serve(SERVER, &[&format!("udp/{port}")]);
    finds(&lab, "spa-port-listener", &[&port.to_string()]);
    drop(listener);
    is_well(&lab);
}

#[test]
fn files_that_others_may_touch_are_found() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = healthy(&lab);
    #[rustfmt::skip]
    let rows = [
        ("etc/spad.toml",            0o666, 0o644),
        ("etc/site.toml",            0o640, 0o600),
        ("etc/profiles",             0o777, 0o700),
        ("etc/profiles/laptop.toml", 0o644, 0o600),
        ("state",                    0o777, 0o700),
        ("state/journal.a",          0o666, 0o600),
    ];
    for (file, loose, right) in rows {
        chmod(&lab, file, loose);
        finds(&lab, "permissions", &[file, "chmod"]);
        chmod(&lab, file, right);
    }
    is_well(&lab);
}

#[test]
fn a_daemon_that_does_not_run_or_does_not_hear_is_found() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = healthy(&lab);
    lab.sh(SERVER, "ip link set eth0 down");
    finds(&lab, "capture", &["nobody hears"]);
    lab.sh(SERVER, "ip link set eth0 up");
    is_well(&lab);
    // The file says more than the daemon has read.
    lab.configure(&Config { interfaces: vec!["any"], ..Config::default() });
    finds(&lab, "capture", &["does not listen on any"]);
    finds(&lab, "guard", &["rule 2 of chain guard is another"]);
    lab.configure(&Config::default());
    spad.stop();
    finds(&lab, "daemon", &["no spad runs"]);
    let out = doctor(&lab, &[]).out;
    assert!(out.contains("ok    guard: "), "the guard stays: {out}");
    lab.write("etc/spad.toml", "format = 1\n");
    finds(&lab, "spad-toml", &["spad.toml"]);
}

#[test]
fn a_chain_that_drops_nobody_is_found_where_spad_is_attached_to_it() {
    let Some(lab) = Lab::new() else { return };
    let attach = "mode = \"attach\"\nattach = \"inet host input\"\n";
    lab.write("etc/spad.toml", Config::default().text().replace(GUARD, attach));
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22", "tcp/80"]);
    let dropping = HOST.replace("{ 22, 80 }", "80");
    load(&lab, &dropping);
    let spad = lab.spad();
    is_well(&lab);
    signal(spad.role("monitor")[0], Signal::STOP);
    let chain = "add chain inet host input { type filter hook input priority 0;";
    load(&lab, &format!("{chain} policy accept; }}"));
    assert_eq!(lab.probe(A, SSH), "open");
    finds(&lab, "stranger", &["tcp/22", "policy of inet host input", "IPv4", "policy drop"]);
    finds(&lab, "spa-port", &["answers"]);
    load(&lab, &format!("{chain} policy drop; }}"));
    load(&lab, "insert rule inet host input tcp dport 1-100 accept");
    finds(&lab, "stranger", &["rule", "inet host input"]);
    finds(&lab, "guard", &["the jump at the head", "is missing"]);
}

#[test]
fn a_daemon_that_is_no_root_is_as_well() {
    let Some(lab) = Lab::new() else { return };
    if lab.is_unprivileged() {
        return skip("it takes a second user");
    }
    load(&lab, HOST);
    lab.configure(&Config::default());
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    // A program where every user gets at it.
    fs::copy(program("spad"), lab.path("spad")).expect("there is room");
    lab.sh(
        SERVER,
        "chmod 755 /run/lab/spad; chown -R 1234 /run/lab/etc /run/lab/state; mkdir -m 777 -p /run/spad",
    );
    let mut command = lab.command(SERVER, "setpriv");
    command.args(["--reuid=1234", "--regid=1234", "--clear-groups"]);
    command.args(["--inh-caps=+net_admin,+net_raw", "--ambient-caps=+net_admin,+net_raw", "--"]);
    command.args([
        "/run/lab/spad",
        "-q",
        "--config",
        "/run/lab/etc/spad.toml",
        "--state-dir",
        "/run/lab/state",
    ]);
    let _spad = lab.start(command);
    is_well(&lab);
}

#[test]
fn what_is_no_fault_is_a_warning() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { clock: "synchronised", protect: vec!["tcp/22", "tcp/81"], ..Config::default() });
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let clock = Clock::new(&lab, "clock");
    clock.kernel_says(Synchronised::Yes);
    let _spad = lab.spad_by(&clock);
    let out = doctor_by(&lab, &clock);
    assert!(out.contains("ok    clock: "), "{out}");
    // Who passes it on to a spad that may not ask was there, and is gone.
    lab.sh(SERVER, "install -d -m 700 /run/spad-clock; touch /run/spad-clock/lock");
    let out = doctor_by(&lab, &clock);
    assert!(out.contains("warn  clock: the kernel calls its clock synchronised, but `spad clock`"), "{out}");
    assert!(out.contains("(fix: systemctl start spad-clock)"), "{out}");
    clock.kernel_says(Synchronised::No);
    // The default gateway itself has knocked, or hides who did.
    lab.sh(SERVER, "nft add element inet spad grants4 '{ 10.77.0.254 . tcp . 22 timeout 1m }'");
    let out = doctor_by(&lab, &clock);
    for words in [
        "warn  clock: the kernel does not call its clock synchronised",
        "warn  scan: a closed port (tcp/9999) answers by IPv4 and IPv6",
        "warn  listener: nobody listens at tcp/81",
        "warn  gateway: a door is open for the default gateway, 10.77.0.254",
        "0 bad, ",
    ] {
        assert!(out.contains(words), "no {words:?} in:\n{out}");
    }
    let done = doctor(&lab, &["--json"]);
    assert_eq!(done.status, Some(0), "warnings are no failure: {}", done.text());
    let found: serde_json::Value = serde_json::from_str(&done.out).expect("one array");
    let found = found.as_array().expect("one array");
    let states: Vec<&str> = found.iter().filter_map(|one| one["state"].as_str()).collect();
    assert!(states.is_sorted() || states.contains(&"warning"), "{states:?}");
    for one in found {
        assert!(one["id"].is_string() && one["what"].is_string(), "{one}");
        assert_eq!(one["fix"].is_string(), one["state"] != "ok", "{one}");
    }
    assert!(found.iter().any(|one| one["id"] == "scan" && one["state"] == "warning"), "{found:?}");
}

/// The findings of a self-test that must end well.
fn plays_well(lab: &Lab, copied: &str) {
    let start = Instant::now();
    let done = doctor(lab, &["--self-test"]);
    let took = start.elapsed();
    println!("{}\n{took:?}", done.text());
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(done.status, Some(0), "{}", done.text());
    for id in [
        "self-test",
        "self-test-shut",
        "self-test-opens",
        "self-test-silence",
        "self-test-shuts",
        "self-test-replay",
    ] {
        assert!(done.out.contains(&format!("ok    {id}: ")), "{id}:\n{}", done.text());
    }
    assert!(done.out.contains(copied), "{copied}:\n{}", done.text());
}

#[test]
fn a_self_test_proves_the_way_of_a_knock_and_touches_nothing() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = healthy(&lab);
    let seen = || {
        lab.sh(SERVER, "nft -s list ruleset; ip -o link; ip -o addr; ls -R /run/lab /run/spad; mount | sort")
    };
    let (before, journal) = (seen(), lab.bytes("state/journal.a"));
    let (processes, log) = (spad.processes(), spad.log());
    plays_well(&lab, "a copy of inet host");
    assert_eq!(seen(), before);
    assert_eq!((spad.processes(), spad.log()), (processes, log));
    assert!(lab.bytes("state/journal.a") == journal, "the journal is as it was");
}

#[test]
fn a_self_test_plays_on_every_firewall() {
    #[rustfmt::skip]
    let rows = [
        // backend, mode, what the operator has
        ("iptables-nft",    "mode = \"guard\"",                             "iptables-nft -P INPUT DROP; iptables-nft -A INPUT -p tcp --dport 22 -j ACCEPT"),
        ("iptables-legacy", "mode = \"guard\"",                             "iptables-legacy -P INPUT DROP; iptables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT"),
        ("iptables-nft",    "mode = \"attach\"\nattach = \"filter INPUT\"", "iptables-nft -P INPUT DROP; ip6tables-nft -P INPUT DROP; ip6tables-nft -A INPUT -p icmpv6 -j ACCEPT"),
        ("nftables",        "mode = \"attach\"\nattach = \"inet host input\"", "nft -f /run/lab/host.nft"),
    ];
    for (backend, mode, rules) in rows {
        let Some(lab) = Lab::new() else { return };
        println!("{backend} {mode}");
        lab.write("host.nft", HOST.replace("{ 22, 80 }", "80"));
        lab.sh(SERVER, rules);
        let lines = format!("backend = \"{backend}\"\n{mode}\n");
        lab.write("etc/spad.toml", Config::default().text().replace(GUARD, &lines));
        lab.profile("laptop");
        let _service = lab.serve(SERVER, &["tcp/22"]);
        let _spad = lab.spad();
        plays_well(&lab, if backend == "nftables" { "a copy of inet host" } else { "a copy of iptables" });
    }
}

#[test]
fn a_self_test_says_why_a_knock_opens_nothing() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = healthy(&lab);
    lab.sh(
        SERVER,
        "nft 'table ip late { chain in { type filter hook input priority 10; tcp dport 22 drop; }; }'",
    );
    let done = doctor(&lab, &["--self-test"]);
    assert_eq!(done.status, Some(6), "{}", done.text());
    let line = "BAD   self-test-opens: the service by IPv4 does not open; spad opened the door, and a rule of others";
    assert!(done.out.contains(line), "{}", done.text());
    lab.sh(SERVER, "nft delete table ip late");

    // A firewall program that fails, for this test only: the laboratory has its own mounts.
    let lines = "backend = \"iptables-nft\"\nmode = \"guard\"\n";
    lab.write("etc/spad.toml", Config::default().text().replace(GUARD, lines));
    lab.sh(
        SERVER,
        "nsenter --mount=/proc/1/ns/mnt mount --bind /bin/false $(readlink -f /usr/sbin/iptables-nft)",
    );
    let done = doctor(&lab, &["--self-test"]);
    assert_eq!(done.status, Some(6), "{}", done.text());
    assert!(done.out.contains("BAD   self-test: the daemon does not serve: "), "{}", done.text());
    assert!(done.out.contains("iptables-nft"), "{}", done.text());
}

#[test]
fn a_self_test_that_is_killed_leaves_nothing_behind() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = healthy(&lab);
    let seen = || lab.sh(SERVER, "ip -o link; ls -R /run/lab /run/spad; mount | sort");
    let (before, workers) = (seen(), lab.running("spad-worker").len());
    let mut command = lab.command(SERVER, program("spad"));
    command.args([
        "--config",
        "/run/lab/etc/spad.toml",
        "--state-dir",
        "/run/lab/state",
        "doctor",
        "--self-test",
    ]);
    let mut doctor = lab.start(command);
    eventually("a second daemon serves", Duration::from_secs(10), || {
        lab.running("spad-worker").len() > workers
    });
    doctor.signal(Signal::KILL);
    doctor.wait(Duration::from_secs(5));
    eventually("it is gone", Duration::from_secs(5), || {
        lab.running("spad-worker").len() == workers && lab.running("spad-monitor").len() == workers
    });
    assert_eq!(seen(), before);
    assert_eq!(spad.lines(&["serving"]).len(), 1);
}

#[test]
fn who_may_not_look_is_told_so() {
    let Some(lab) = Lab::new() else { return };
    let spad = program("spad");
    let words = ["--bounding-set=-net_admin", "--", spad.to_str().expect("text"), "doctor"];
    let done = lab.run(SERVER, "setpriv", &words);
    assert_eq!(done.status, Some(5), "{}", done.text());
    assert!(done.err.contains("run it as root"), "{}", done.err);
}

#[test]
fn a_healthy_iptables_host_has_nothing_bad_and_a_lost_rule_is_found() {
    for (backend, infix) in [("iptables-nft", "-nft"), ("iptables-legacy", "-legacy")] {
        for (mode, table, chain) in [("guard", "mangle", "SPAD-DOORS"), ("attach", "filter", "SPAD-DOORS")] {
            let Some(lab) = Lab::new() else { return };
            println!("{backend} {mode}");
            let attach = if mode == "attach" { "attach = \"filter INPUT\"\n" } else { "" };
            let lines = format!("backend = \"{backend}\"\nmode = \"{mode}\"\n{attach}");
            lab.write("etc/spad.toml", Config::default().text().replace(GUARD, &lines));
            lab.profile("laptop");
            let _service = lab.serve(SERVER, &["tcp/22"]);
            for program in ["iptables", "ip6tables"] {
                let accept = if mode == "guard" { "-A INPUT -p tcp --dport 22 -j ACCEPT" } else { "-L -n" };
                lab.sh(SERVER, &format!("{program}{infix} -P INPUT DROP; {program}{infix} {accept}"));
            }
            let spad = lab.spad();
            let done = doctor(&lab, &[]);
            assert_eq!(done.status, Some(0), "{backend} {mode}: {}", done.text());
            for id in ["guard", "stranger", "knock", "scan"] {
                assert!(done.out.contains(&format!("ok    {id}: ")), "{backend} {mode} {id}:\n{}", done.out);
            }
            signal(spad.role("monitor")[0], Signal::STOP);
            lab.sh(SERVER, &format!("iptables{infix} -t {table} -I {chain} -j ACCEPT"));
            finds(&lab, "guard", &["rule 1 of chain SPAD-DOORS", "is another"]);
            lab.sh(SERVER, &format!("iptables{infix} -t {table} -D {chain} 1; ipset add spad_tcp 99"));
            finds(&lab, "guard", &["set spad_tcp is another"]);
        }
    }
}
