//! From boot to the first knock: the guard stands before there is a network, whatever became of the files since.

use std::fs;
use std::time::Duration;

use lab::{A, B, Config, Lab, SERVER, SSH, SSH6, Spad, program, repository};

const SECOND: Duration = Duration::from_secs(1);

/// Bytes of one slot of the kept file.
const SLOT: usize = 128 * 1024;

/// `firewall.backend`, and what a reboot does to it.
const BACKENDS: [(&str, &str); 3] = [
    ("nftables", "nft flush ruleset"),
    ("iptables-nft", "nft flush ruleset; ipset destroy"),
    (
        "iptables-legacy",
        "for t in raw mangle; do for p in iptables-legacy ip6tables-legacy; do \
         $p -t $t -F; $p -t $t -X; done; done; ipset destroy",
    ),
];

fn configure(lab: &Lab, backend: &str) {
    let text = Config::default().text();
    lab.write("etc/spad.toml", text.replace("\"nftables\"", &format!("\"{backend}\"")));
}

/// What the kernel remembers of a firewall is gone, and so is every process.
fn reboot(lab: &Lab, spad: &mut Spad, forget: &str) {
    spad.kill();
    lab.sh(SERVER, forget);
    lab.opens(A, SSH);
}

#[test]
fn the_guard_stands_before_any_daemon_and_a_broken_file_changes_nothing() {
    for (backend, forget) in BACKENDS {
        let Some(lab) = Lab::new() else { return };
        configure(&lab, backend);
        lab.profile_with("laptop", &["--open", "tcp/22", "--max-window", "1m"]);
        let _service = lab.serve(SERVER, &["tcp/22"]);
        let first = lab.spad_command(&["guard"]).ok();
        assert!(first.out.contains("nothing is guarded"), "{}", first.text());
        let mut spad = lab.spad();
        reboot(&lab, &mut spad, forget);

        // No spad.toml, no site, no profile, no clock, no way to capture.
        fs::rename(lab.path("etc"), lab.path("elsewhere")).expect("it is ours");
        let guarded = lab.spad_command(&["guard"]).ok();
        assert!(guarded.out.starts_with("guarded: tcp/22 on eth0, by "), "{backend}: {}", guarded.text());
        assert_eq!(guarded.out.lines().count(), 1, "{}", guarded.text());
        lab.stays_shut(A, SSH);
        lab.stays_shut(A, SSH6);

        fs::rename(lab.path("elsewhere"), lab.path("etc")).expect("it is ours");
        lab.write("etc/spad.toml", "format = 2\n");
        assert_eq!(lab.start_spad(&[]).starter().wait(10 * SECOND).code(), Some(3));
        lab.spad_command(&["guard"]).ok();
        lab.stays_shut(A, SSH);

        configure(&lab, backend);
        let mut spad = lab.spad();
        lab.stays_shut(A, SSH);
        lab.knock_with(A, &["-4", "-w", "1m"]);
        lab.opens(A, SSH);
        let beside = lab.spad_command(&["guard"]).ok();
        assert!(beside.out.contains("spad runs"), "{}", beside.text());
        // It stands already, and the door is open: both stay so.
        spad.kill();
        lab.spad_command(&["guard"]).ok();
        lab.opens(A, SSH);
        lab.stays_shut(B, SSH);

        let gone = lab.spad_command(&["teardown"]).ok();
        assert!(gone.out.contains("nor will be at the next boot"), "{}", gone.text());
        lab.opens(B, SSH);
        let nothing = lab.spad_command(&["guard"]).ok();
        assert!(nothing.out.contains("nothing is guarded"), "{}", nothing.text());
        lab.opens(B, SSH);
    }
}

#[test]
fn beside_an_operators_chain_too() {
    let Some(lab) = Lab::new() else { return };
    let attach = "mode = \"attach\"\nattach = \"inet filter input\"\n";
    lab.write("etc/spad.toml", Config::default().text().replace("mode = \"guard\"\n", attach));
    lab.profile("laptop");
    let rules = "flush ruleset\ntable inet filter {\n chain input {\n type filter hook input priority 0; policy drop;\n \
                 ct state established accept\n meta l4proto ipv6-icmp accept\n }\n}\n";
    lab.write("rules.nft", rules);
    let load = format!("nft -f {}", Lab::inside("rules.nft"));
    let _service = lab.serve(SERVER, &["tcp/22"]);
    // The operator let it in, and shut the door behind it.
    lab.sh(SERVER, &format!("{load}; nft add rule inet filter input tcp dport 22 accept"));
    let mut old = lab.session(A, SSH);
    lab.sh(SERVER, &load);
    let mut spad = lab.spad();
    assert!(old.lives(), "a session older than spad");
    spad.kill();
    lab.sh(SERVER, "nft flush ruleset");
    fs::remove_file(lab.path("etc/spad.toml")).expect("it is ours");

    let early = lab.spad_command(&["guard"]);
    assert_eq!(early.status, Some(4), "{}", early.text());
    assert!(early.err.contains("there is no chain inet filter input"), "{}", early.text());
    assert_eq!(lab.sh(SERVER, "nft list ruleset"), "", "nothing of ours was left");

    lab.sh(SERVER, &load);
    let guarded = lab.spad_command(&["guard"]).ok();
    assert!(guarded.out.starts_with("attached to inet filter input"), "{}", guarded.text());
    assert!(lab.sh(SERVER, "nft list chain inet filter input").contains("jump spad"));
    assert!(old.lives(), "still");
    lab.stays_shut(B, SSH);
}

#[test]
fn a_default_route_that_is_not_there_yet_is_the_one_that_was() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { interfaces: vec!["default-route"], ..Config::default() });
    lab.profile("laptop");
    lab.sh(SERVER, "ip route replace default via 10.77.0.2 dev eth0");
    let mut spad = lab.spad();
    spad.kill();
    lab.sh(SERVER, "nft flush ruleset; ip route del default");
    let guarded = lab.spad_command(&["guard"]).ok();
    assert!(guarded.out.starts_with("guarded: tcp/22 on eth0, by"), "{}", guarded.text());
}

#[test]
fn a_damaged_copy_is_no_loss_and_two_change_nothing() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::protecting(&["tcp/22"]));
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22", "tcp/80"]);
    let mut spad = lab.spad();
    lab.configure(&Config::protecting(&["tcp/22", "tcp/80"]));
    spad.reload();
    spad.says_times("serving", 2);
    spad.kill();
    lab.sh(SERVER, "nft flush ruleset");
    let good = lab.bytes("state/guard");
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let both = |at: usize| {
        let mut bytes = flipped(at);
        bytes[at + SLOT] ^= 1;
        bytes
    };
    #[rustfmt::skip]
    let rows = [
        // file, what is guarded (nothing: refused), why
        (good.clone(),                Some("tcp/22, tcp/80"), "as it was written"),
        (flipped(SLOT + 100),         Some("tcp/22"),         "a bit of the newer copy"),
        (flipped(100),                Some("tcp/22, tcp/80"), "a bit of the older copy"),
        (good[..SLOT + 99].to_vec(),  Some("tcp/22"),         "cut in the newer copy"),
        (good[..99].to_vec(),         None,                   "cut in the older copy"),
        (both(100),                   None,                   "a bit of both"),
        (Vec::new(),                  None,                   "cut to nothing"),
    ];
    for (file, guarded, why) in rows {
        lab.write("state/guard", &file);
        let done = lab.spad_command(&["guard"]);
        match guarded {
            Some(services) => {
                assert!(done.out.starts_with(&format!("guarded: {services} on ")), "{why}: {}", done.text());
                assert_eq!(
                    done.err.contains("copies is damaged"),
                    why.contains("bit of") || why.contains("cut")
                );
                lab.stays_shut(A, SSH);
                lab.sh(SERVER, "nft flush ruleset");
            }
            None => {
                assert_eq!(done.status, Some(3), "{why}: {}", done.text());
                assert!(done.err.contains("no copy in it is whole (hint: "), "{why}: {}", done.text());
                assert_eq!(lab.sh(SERVER, "nft list ruleset"), "", "{why}");
            }
        }
    }
    // The daemon does not need it, and writes it anew.
    let mut spad = lab.spad();
    spad.kill();
    lab.spad_command(&["guard"]).ok();
}

#[test]
fn sessions_that_live_when_a_guard_goes_up_live_on_and_are_told() {
    for (backend, forget) in BACKENDS {
        let Some(lab) = Lab::new() else { return };
        configure(&lab, backend);
        lab.profile("laptop");
        let _service = lab.serve(SERVER, &["tcp/22", "tcp/80"]);
        let mut old = lab.session(A, SSH);
        assert!(old.lives());
        let line = "1 session older than the guard (tcp/22) lives on; new ones need a knock (the way back:";
        let check = lab.spad_command(&["check"]).ok();
        assert!(check.out.contains(line), "{}", check.text());
        let mut spad = lab.spad();
        spad.says(line);
        assert!(old.lives(), "{backend}");
        reboot(&lab, &mut spad, forget);

        // Silent until the end, so that connection tracking has not seen it.
        let mut web = lab.session(A, "10.77.0.1:80");
        let guarded = lab.spad_command(&["guard"]).ok();
        assert!(guarded.err.contains(line), "{backend}: {}", guarded.text());
        assert!(old.lives(), "{backend}: by `spad guard`");
        lab.stays_shut(B, SSH);

        // What the daemon guards beyond that, has sessions as well.
        let text = lab.read("etc/spad.toml").replace("[\"tcp/22\"]", "[\"tcp/22\", \"tcp/80\"]");
        lab.write("etc/spad.toml", text);
        let _spad = lab.spad();
        assert!(web.lives(), "{backend}: newly guarded");
        assert!(old.lives(), "{backend}: and the older one");
        lab.stays_shut(B, "10.77.0.1:80");
    }
}

#[test]
fn a_full_disk_does_not_keep_a_configuration_from_being_kept() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::protecting(&["tcp/22"]));
    lab.profile("laptop");
    lab.write("next.toml", Config::protecting(&["tcp/22", "udp/53"]).text());
    let (spad, size) = (program("spad"), 2 * SLOT);
    // The state folder gets a disk of its own, seen by this script only.
    let said = lab.sh(
        SERVER,
        &format!(
            "cd /run/lab; mount -t tmpfs -o size=16m small state
             until_says() {{ for n in $(seq 200); do grep -q \"$1\" log && return; sleep 0.05; done; cat log; exit 1; }}
             {spad} --config /run/lab/etc/spad.toml --state-dir /run/lab/state 2>log & pid=$!
             until_says serving
             test $(stat -c %s state/guard) = {size}
             dd if=/dev/zero of=state/full bs=64k 2>/dev/null || true
             if echo x >state/more; then echo the disk is not full; exit 1; fi
             : >log; cat next.toml >etc/spad.toml; kill -HUP $pid
             until_says serving
             test $(stat -c %s state/guard) = {size}
             kill $pid; wait $pid
             nft flush ruleset; rm etc/spad.toml
             {spad} --state-dir /run/lab/state guard",
            spad = spad.display()
        ),
    );
    assert!(said.ends_with("guarded: tcp/22, udp/53 on eth0, by table inet spad\n"), "{said}");
}

#[test]
fn the_capabilities_of_the_unit_are_enough() {
    for (backend, forget) in BACKENDS {
        // As another user; the programs of iptables want to be root.
        let iptables = backend.starts_with("iptables");
        let unit = if iptables { "packaging/drop-ins/iptables.conf" } else { "packaging/spad-guard.service" };
        let unit = fs::read_to_string(repository().join(unit)).expect("it is there");
        let line =
            unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("it has them");
        let capabilities = line.to_lowercase().replace("cap_", "+").replace(' ', ",");
        let Some(lab) = Lab::new() else { return };
        configure(&lab, backend);
        lab.profile("laptop");
        let _service = lab.serve(SERVER, &["tcp/22"]);
        let mut spad = lab.spad();
        reboot(&lab, &mut spad, forget);
        if !lab.is_unprivileged() {
            // A service with `User=spad` owns its state folder.
            lab.sh(SERVER, "chown -R 65534:65534 /run/lab/state");
        }
        let program = program("spad");
        let user = if iptables || lab.is_unprivileged() {
            String::new()
        } else {
            format!(
                "--reuid=65534 --regid=65534 --clear-groups --inh-caps=-all,{capabilities} \
                 --ambient-caps=-all,{capabilities}"
            )
        };
        lab.sh(
            SERVER,
            &format!(
                "setpriv {user} --bounding-set=-all,{capabilities} --no-new-privs {} --state-dir /run/lab/state guard",
                program.display()
            ),
        );
        lab.stays_shut(A, SSH);
    }
}
