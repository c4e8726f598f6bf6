//! What a reload, a restart and a repair do to open doors: those that nobody may hold any more close, all others stay as
//! they are, and a knock waits for none of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use lab::{A, B, Config, Lab, Running, SERVER, SSH, Spad, eventually};
use rustix::process::{Pid, Signal, kill_process};
use spa_core::file::fields::write_moment;
use spa_core::time::UnixMillis;

const SECOND: Duration = Duration::from_secs(1);

/// tcp/22, guarded by this backend, with a door of `laptop` for A and one of `phone` for B, for a minute.
fn two_doors(lab: &Lab, backend: &str) -> (Running, Spad) {
    lab.write("etc/spad.toml", Config::default().text().replace("\"nftables\"", &format!("{backend:?}")));
    for name in ["laptop", "phone"] {
        lab.profile_with(name, &["--open", "tcp/22", "--window", "1m", "--max-window", "1m"]);
    }
    let service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    lab.knock(A);
    lab.knock_with(B, &["-4", "--profile", "phone"]);
    lab.opens(A, SSH);
    lab.opens(B, SSH);
    (service, spad)
}

fn remove(lab: &Lab, profile: &str) {
    fs::remove_file(lab.path(&format!("etc/profiles/{profile}.toml"))).expect("it was there");
}

#[test]
fn the_doors_of_a_profile_that_is_removed_or_left_out_close_with_the_reload() {
    for backend in ["nftables", "iptables"] {
        let Some(lab) = Lab::new() else { return };
        let (_service, spad) = two_doors(&lab, backend);
        remove(&lab, "laptop");
        assert_eq!(lab.probe(A, SSH), "open", "nothing happens before the reload");
        spad.reload();
        lab.shuts(A, SSH, 5 * SECOND);
        spad.says("closed tcp/22 for 10.77.0.2: its profile is gone");
        spad.says("serving port=");
        lab.opens(B, SSH);

        let phone = lab.path("etc/profiles/phone.toml");
        fs::set_permissions(&phone, fs::Permissions::from_mode(0o644)).expect("it is ours");
        spad.reload();
        lab.shuts(B, SSH, 5 * SECOND);
        spad.says("left out, and what it opened is closed: /run/lab/etc/profiles/phone.toml");
        spad.says("closed tcp/22 for 10.77.0.3: its profile is gone");
        assert_eq!(spad.lines(&["ERROR"]), Vec::<String>::new(), "{backend}");
    }
}

#[test]
fn the_doors_of_a_profile_that_was_removed_while_nothing_ran_close_at_the_start() {
    for backend in ["nftables", "iptables"] {
        let Some(lab) = Lab::new() else { return };
        let (_service, mut spad) = two_doors(&lab, backend);
        spad.kill();
        remove(&lab, "laptop");
        assert_eq!(lab.probe(A, SSH), "open", "nobody is there to close it");
        let spad = lab.spad();
        lab.stays_shut(A, SSH);
        spad.says("closed tcp/22 for 10.77.0.2: its profile is gone");
        lab.opens(B, SSH);
    }
}

#[test]
fn what_a_removed_profile_asked_for_a_moment_before_opens_nothing() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    // The monitor finds all of it at once: the reload, and what the old worker asked for before.
    let monitor = spad.role("monitor")[0];
    stop(monitor, Signal::STOP);
    lab.knock_with(A, &["-4", "-w", "1m"]);
    std::thread::sleep(SECOND / 2);
    remove(&lab, "laptop");
    spad.reload();
    let sealed = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains("Seccomp:\t2")
    };
    eventually("a new worker is ready", 10 * SECOND, || {
        let workers = spad.role("worker");
        workers.len() == 2 && workers.iter().all(sealed)
    });
    std::thread::sleep(SECOND / 2);
    stop(monitor, Signal::CONT);
    spad.says_times("serving", 2);
    spad.says("reason=unserved");
    lab.stays_shut(A, SSH);
    assert_eq!(lab.grants(), Vec::<String>::new());
}

#[test]
fn a_door_ends_with_its_profile_though_no_packet_comes() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    lab.profile_with("laptop", &["--open", "tcp/22", "--window", "1m"]);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let expires = write_moment(UnixMillis::clamped(since + 5 * SECOND));
    let profile = lab.read("etc/profiles/laptop.toml");
    lab.write("etc/profiles/laptop.toml", format!("{profile}expires = {expires}\n"));
    let started = Instant::now();
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    lab.knock_with(A, &["-4", "-w", "1m"]);
    lab.opens(A, SSH);
    lab.shuts(A, SSH, 6 * SECOND);
    assert!(started.elapsed() > 4 * SECOND, "closed early, after {:?}", started.elapsed());
    spad.says("closed tcp/22 for 10.77.0.2: its window ended");
    lab.knock(A);
    lab.stays_shut(A, SSH);
    spad.says("reason=forbidden");
}

#[test]
fn what_may_be_open_stays_open_for_its_time_whoever_takes_over() {
    for backend in ["nftables", "iptables"] {
        let Some(lab) = Lab::new() else { return };
        let (_service, mut spad) = two_doors(&lab, backend);
        // When each door ends, by a clock of the test's own.
        let ends = || {
            let listing = if backend == "nftables" {
                lab.sh(SERVER, "nft list set inet spad grants4 | grep -o 'expires [0-9]*s' | tr -dc '0-9\\n'")
            } else {
                lab.sh(SERVER, "ipset list spad_grants4 | grep -o 'timeout [0-9]* ' | tr -dc '0-9\\n'")
            };
            let mut left: Vec<u64> =
                listing.lines().filter_map(|line| line.parse().ok()).filter(|left| *left > 0).collect();
            left.sort_unstable();
            left
        };
        let (begun, before) = (Instant::now(), ends());
        assert_eq!(before.len(), 2, "{before:?}");
        let unchanged = |spad: &Spad, why: &str| {
            let (now, passed) = (ends(), begun.elapsed().as_secs());
            assert_eq!(now.len(), 2, "{backend}, {why}: {now:?}");
            for (now, before) in now.iter().zip(&before) {
                let expected = before.saturating_sub(passed);
                assert!(expected.abs_diff(*now) <= 2, "{backend}, {why}: {now} s, expected {expected}");
            }
            lab.opens(A, SSH);
            lab.opens(B, SSH);
            assert_eq!(spad.lines(&["closed "]), Vec::<String>::new(), "{backend}, {why}");
        };
        spad.reload();
        spad.says_times("serving", 2);
        unchanged(&spad, "a reload");
        lab.write("etc/spad.toml", "format = 1\n[firewall]\nprotect = [\"ssh\"]\n");
        spad.reload();
        spad.says("spad.toml:");
        spad.says("reload refused; everything stays as it was");
        unchanged(&spad, "a wrong configuration");
        lab.write("etc/spad.toml", Config::default().text().replace("\"nftables\"", &format!("{backend:?}")));
        lab.sh(SERVER, "ip addr add 10.77.0.99/24 dev eth0");
        spad.says("interfaces or addresses changed");
        spad.says_times("serving", 3);
        unchanged(&spad, "another address");
        assert_eq!(spad.stop(), Some(0));
        let mut spad = lab.spad();
        unchanged(&spad, "a restart");
        spad.kill();
        let spad = lab.spad();
        unchanged(&spad, "everything killed");
    }
}

/// Holds the lock of iptables until this many seconds have passed.
fn lock(lab: &Lab, seconds: u32) -> Running {
    let mut command = lab.command(SERVER, "flock");
    command.args(["/run/xtables.lock", "sh", "-c", &format!("echo locked; sleep {seconds}")]);
    command.stdin(Stdio::null()).stdout(fs::File::create(lab.path("locked")).expect("room"));
    let running = lab.start(command);
    eventually("the lock is held", 5 * SECOND, || lab.read("locked").contains("locked"));
    running
}

/// Knocks from B as the laptop, for a second each, again and again until `end`: how often, and the slowest to open.
fn knocks_until(lab: &Lab, end: Instant) -> (usize, Duration) {
    let (mut knocks, mut slowest) = (0, Duration::ZERO);
    while Instant::now() < end {
        lab.stays_shut(B, SSH);
        lab.seal(B, "sealed", &["-w", "1s"]);
        let mut send = lab.command(B, lab::helper());
        send.args(["send", &Lab::inside("sealed"), &lab.spa_target()]).stdout(Stdio::null());
        let start = Instant::now();
        let mut send = lab.start(send);
        eventually("the door opens", 5 * SECOND, || lab.probe(B, SSH) == "open");
        slowest = slowest.max(start.elapsed());
        knocks += 1;
        send.wait(5 * SECOND);
        lab.shuts(B, SSH, 4 * SECOND);
    }
    (knocks, slowest)
}

#[test]
fn a_knock_does_not_wait_for_whoever_holds_the_lock_of_iptables() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = two_doors(&lab, "iptables-legacy");
    lab.knock_with(B, &["-4", "--profile", "phone", "--close"]);
    lab.shuts(B, SSH, SECOND);
    let held = |what: &str, begin: &dyn Fn()| {
        let _holder = lock(&lab, 5);
        let since = Instant::now();
        begin();
        let (knocks, slowest) = knocks_until(&lab, since + 3 * SECOND);
        println!(
            "during a {what} that waits for the lock: {knocks} knocks, the slowest opened after {slowest:?}"
        );
        assert!(knocks > 0 && slowest < SECOND, "{what}: {slowest:?}");
        since
    };
    let since = held("reload", &|| {
        spad.reload();
        eventually("the rules are waited for", 5 * SECOND, || spad.role("worker").len() == 2);
    });
    assert_eq!(spad.lines(&["serving"]).len(), 1, "the reload waits");
    spad.says_times("serving", 2);
    assert!(since.elapsed() > 4 * SECOND, "it waited");

    // Past the lock; and by IPv6, so that knocks by IPv4 can still be seen to open something.
    let flush = "XTABLES_LOCKFILE=/run/lab/other.lock ip6tables-legacy -t mangle -F PREROUTING";
    let since = held("repair", &|| {
        lab.sh(SERVER, flush);
        spad.says("putting it back");
    });
    assert_eq!(spad.lines(&["repaired"]).len(), 0, "the repair waits");
    spad.says("repaired");
    assert!(since.elapsed() > 4 * SECOND, "it waited");
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);
    assert_eq!(spad.lines(&["ERROR"]), Vec::<String>::new());
}

#[test]
fn a_change_that_fails_is_told_once_and_made_with_the_repair() {
    for (backend, break_it) in [
        ("nftables", "nft delete table inet spad"),
        (
            "iptables-nft",
            "iptables-nft -t mangle -F; ip6tables-nft -t mangle -F; ipset flush; ipset rename spad_grants4 gone4",
        ),
    ] {
        let Some(lab) = Lab::new() else { return };
        lab.write("etc/spad.toml", Config::default().text().replace("\"nftables\"", &format!("{backend:?}")));
        lab.profile_with("laptop", &["--open", "tcp/22", "--window", "1m"]);
        let _service = lab.serve(SERVER, &["tcp/22"]);
        let spad = lab.spad();
        // The knock waits for the monitor, which finds everything gone.
        let monitor = spad.role("monitor")[0];
        stop(monitor, Signal::STOP);
        lab.sh(SERVER, break_it);
        lab.knock(A);
        std::thread::sleep(SECOND / 2);
        stop(monitor, Signal::CONT);
        spad.says("the firewall could not be changed, trying again: ");
        spad.says("after the repair: opened tcp/22 for 10.77.0.2");
        spad.says("repaired");
        lab.opens(A, SSH);
        lab.stays_shut(B, SSH);
        assert_eq!(spad.lines(&["ERROR"]).len(), 1, "{backend}: one line:\n{}", spad.log());
    }
}

#[test]
fn a_repair_shuts_what_no_lease_holds_open() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    // As if the removal of a door had failed; beside it a door that an operator made by hand.
    let element = |address: &str, comment: &str| {
        lab.sh(
            SERVER,
            &format!(
                "nft 'add element inet spad grants4 {{ {address} . tcp . 22 timeout 1m comment {comment:?} }}'"
            ),
        );
    };
    element(A.v4, "00000001:1:ffffffff");
    element(B.v4, "by hand");
    lab.opens(A, SSH);
    lab.sh(SERVER, "nft flush set inet spad protected");
    spad.says("repaired");
    lab.stays_shut(A, SSH);
    lab.opens(B, SSH);
}

fn stop(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("process ids are positive");
    kill_process(pid, signal).expect("it runs");
}
