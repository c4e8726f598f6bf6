//! spad under a service manager: what it tells it, what it does about processes that hang, and the units.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use lab::{A, Lab, SERVER, SSH, Spad, eventually, repository, skip};
use rustix::process::Signal;

/// What a service manager hears, in the order in which it does.
struct Manager {
    socket: UnixDatagram,
    heard: String,
}

impl Manager {
    fn new(lab: &Lab) -> Self {
        let socket = UnixDatagram::bind(lab.path("notify")).expect("the laboratory has room");
        lab.sh(SERVER, "chmod 777 /run/lab/notify");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("it can be set");
        Self { socket, heard: String::new() }
    }

    fn environment() -> Vec<String> {
        vec![format!("NOTIFY_SOCKET={}", Lab::inside("notify"))]
    }

    /// Waits for these words after everything that was waited for before, and returns what came until then.
    fn hears(&mut self, words: &str, within: Duration) -> String {
        let start = Instant::now();
        loop {
            if let Some(at) = self.heard.find(words) {
                return self.heard.drain(..at + words.len()).collect();
            }
            assert!(start.elapsed() < within, "no {words:?} among:\n{}", self.heard);
            let mut datagram = [0; 4096];
            if let Ok(length) = self.socket.recv(&mut datagram) {
                self.heard += &String::from_utf8_lossy(&datagram[..length]);
            }
        }
    }
}

const SOON: Duration = Duration::from_secs(10);
/// Longer than a hang may last, on a busy machine.
const HANG: Duration = Duration::from_secs(45);

fn started(lab: &Lab) -> (Manager, Spad) {
    let mut manager = Manager::new(lab);
    let spad = lab.start_spad(&Manager::environment());
    manager.hears("READY=1\nSTATUS=serving\n", SOON);
    (manager, spad)
}

#[test]
fn the_service_manager_is_told_when_spad_serves_reloads_and_ends() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&lab::Config::default());
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let (mut manager, mut spad) = started(&lab);
    lab.stays_shut(A, SSH);
    lab.knock(A);
    lab.opens(A, SSH);

    spad.reload();
    let told = manager.hears("READY=1\n", SOON);
    let (_, micros) = told.split_once("RELOADING=1\nMONOTONIC_USEC=").expect("in this order");
    let micros = micros.lines().next().and_then(|number| number.parse().ok()).expect("a number");
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let ago = Duration::new(now.tv_sec.unsigned_abs(), 0).abs_diff(Duration::from_micros(micros));
    assert!(ago < Duration::from_secs(60), "by the monotonic clock: {told}");

    // As the unit reloads it.
    lab.spad_command(&["reload"]).ok();
    let told = manager.hears("READY=1\n", SOON);
    assert!(told.contains("RELOADING=1\n"), "{told}");

    // A reload that changes nothing ends as well, or systemd would wait for it.
    let good = lab.read("etc/spad.toml");
    lab.write("etc/spad.toml", "format = 2\n");
    spad.reload();
    let told = manager.hears("refused", SOON);
    assert!(told.contains("RELOADING=1\n") && told.contains("READY=1\n"), "{told}");
    lab.write("etc/spad.toml", good);

    spad.kill_role("monitor");
    manager.hears("STATUS=the monitor ended, starting another\n", SOON);
    let told = manager.hears("STATUS=serving\n", SOON);
    assert!(!told.contains("READY=1"), "it was ready all the time: {told}");
    manager.hears("WATCHDOG=1\n", HANG);

    assert_eq!(spad.stop(), Some(0));
    manager.hears("STOPPING=1\n", SOON);
}

#[test]
fn a_monitor_or_worker_that_hangs_is_found_and_started_again() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&lab::Config::default());
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let (mut manager, spad) = started(&lab);
    for role in ["worker", "monitor"] {
        manager.hears("WATCHDOG=1\n", HANG);
        let hanging = spad.role(role);
        spad.signal_role(role, Signal::STOP);
        // One sign of life may be under way, or two.
        eventually("it is found", HANG, || {
            !spad.lines(&[&format!("the {role} has not answered for")]).is_empty()
        });
        let told = manager.hears("STATUS=serving\n", SOON);
        assert!(told.matches("WATCHDOG=1").count() <= 2, "who hangs is not alive: {told}");
        assert_ne!(spad.role(role), hanging);
        lab.stays_shut(A, SSH);
        lab.knock(A);
        lab.opens(A, SSH);
        lab.shuts(A, SSH, Duration::from_secs(4));
    }
    assert_eq!(spad.lines(&["has not answered"]).len(), 2, "{}", spad.log());
}

#[test]
fn when_all_of_it_was_frozen_nobody_is_taken_to_hang() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = lab.guard_ssh();
    let before = (spad.role("monitor"), spad.role("worker"));
    let all = [&before.0[..], &before.1].concat();
    spad.starter().signal(Signal::STOP);
    spad.signal_role("monitor", Signal::STOP);
    spad.signal_role("worker", Signal::STOP);
    std::thread::sleep(Duration::from_secs(25));
    // The starter first, as it would be the one to judge.
    spad.starter().resume();
    std::thread::sleep(Duration::from_millis(200));
    spad.signal_role("monitor", Signal::CONT);
    spad.signal_role("worker", Signal::CONT);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!([&spad.role("monitor")[..], &spad.role("worker")].concat(), all, "{}", spad.log());
    lab.knock(A);
    lab.opens(A, SSH);
}

/// The daemon opens the lock before it gives up everything, and can find it nowhere else.
#[test]
fn the_units_agree_about_who_vouches_for_the_clock() {
    let unit =
        |name: &str| fs::read_to_string(repository().join("packaging").join(name)).expect("it is there");
    let (spad, clock) = (unit("spad.service"), unit("spad-clock.service"));
    let folder = std::path::Path::new(spad::witness::LOCK).parent().and_then(|folder| folder.file_name());
    let folder = folder.and_then(|name| name.to_str()).expect("a folder in /run");
    for (text, line) in [
        (&clock, format!("RuntimeDirectory={folder}")),
        (&clock, format!("ExecStartPre=/usr/bin/touch {}", spad::witness::LOCK)),
        (&clock, "ExecStart=/usr/sbin/spad clock".to_owned()),
        (&clock, "User=spad".to_owned()),
        (&clock, "PartOf=spad.service".to_owned()),
        // What spad may not ask.
        (&spad, "ProtectClock=yes".to_owned()),
    ] {
        assert!(text.lines().any(|found| found == line), "no {line}");
    }
    for word in ["Wants=", "After="] {
        let named = |line: &str| line.starts_with(word) && line.ends_with(" spad-clock.service");
        assert!(spad.lines().any(named), "{word}");
    }
}

/// The overall exposure of a unit with these drop-ins, in tenths.
fn exposure(unit: &str, drop_ins: &[&str]) -> Option<u32> {
    let packaging = repository().join("packaging");
    let folder = std::env::temp_dir().join(format!("spad-units-{}", std::process::id()));
    let of_it = folder.join(format!("{unit}.d"));
    fs::create_dir_all(&of_it).expect("there is room");
    fs::copy(packaging.join(unit), folder.join(unit)).expect("it is there");
    for name in drop_ins {
        fs::copy(packaging.join("drop-ins").join(name), of_it.join(name)).expect("it is there");
    }
    let path = folder.join(unit);
    let analyzed = Command::new("systemd-analyze").args(["security", "--offline=true"]).arg(&path).output();
    fs::remove_dir_all(&folder).expect("it was made");
    let analyzed = String::from_utf8(analyzed.ok()?.stdout).ok()?;
    let line = analyzed.lines().find(|line| line.contains("Overall exposure level"))?;
    let number = line.rsplit_once(": ")?.1.split_whitespace().next()?;
    let (whole, tenths) = number.split_once('.')?;
    Some(whole.parse::<u32>().ok()? * 10 + tenths.parse::<u32>().ok()?)
}

#[test]
fn the_units_expose_little() {
    #[rustfmt::skip]
    let rows = [
        // unit, drop-ins, most, why not less
        ("spad.service",       &[][..],                  15, "captures and the firewall of the host"),
        ("spad-clock.service", &[],                       7, "the question to the clock is that which sets it"),
        ("spad-guard.service", &[],                      11, "the firewall of the host"),
        ("spad-audit.service", &[],                       8, "the sockets of the daemon and of the kernel"),
        ("spad-metrics.service", &[],                    11, "IP sockets of this host"),
        ("spad-runner.service", &[],                     20, "it becomes other users, whose commands speak to other hosts"),
        ("spad.service",       &["receipts.conf"],       18, "and IP sockets"),
        ("spad.service",       &["iptables.conf"],       26, "its programs want to be root"),
    ];
    for (unit, drop_ins, most, why) in rows {
        let Some(exposure) = exposure(unit, drop_ins) else {
            return skip("systemd-analyze is not installed, or older than 252");
        };
        println!("{unit} {drop_ins:?}: {exposure} tenths");
        assert!(exposure <= most, "{unit} {drop_ins:?} ({why}): {exposure} tenths");
    }
}
