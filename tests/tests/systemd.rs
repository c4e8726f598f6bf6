//! The units under a real systemd, on a machine that is booted for it: what they order, confine, watch and start again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lab::{A, B, Booted, Lab, Machine, SERVER, SSH, eventually, repository, skip};

const SOON: Duration = Duration::from_secs(10);

/// A machine with the packages, of which the administrator has made what the README says, down to `systemctl enable`.
fn installed(lab: &Lab) -> Option<Machine<'_>> {
    if lab.is_unprivileged() {
        skip("a machine is booted by root");
        return None;
    }
    if !Path::new("/lib/systemd/systemd").exists() {
        skip("there is no systemd (Debian: systemd)");
        return None;
    }
    let machine = Machine::new(lab);
    // Of services that this machine has, none: some would talk to its hardware, its kernel or its network.
    machine.sh(SERVER, "rm -rf /etc/systemd/system; mkdir -p /etc/systemd/system
        cd /etc/systemd/system; ln -s /lib/systemd/system/multi-user.target default.target
        for unit in console-getty cron dbus docker containerd e2scrub_reap modprobe@ networking nftables ssh systemd-binfmt systemd-logind \\
            systemd-modules-load systemd-networkd systemd-resolved systemd-sysctl systemd-timesyncd systemd-udevd; do
            ln -s /dev/null $unit.service
        done
        for unit in dbus.socket docker.socket getty.target sys-kernel-debug.mount sys-kernel-tracing.mount; do ln -s /dev/null $unit; done");
    // With nothing of ours on it yet.
    if let Err(why) = machine.try_boot(SERVER) {
        lab::untried(&format!("no systemd can be booted here: {why}"));
        return None;
    }
    let packages = repository().join("target/packages");
    let packages = fs::read_dir(packages).into_iter().flatten().flatten().map(|entry| entry.path());
    let packages: Vec<_> =
        packages.filter(|path| path.extension().is_some_and(|kind| kind == "deb")).collect();
    if packages.len() != 2 {
        skip("there are no packages: sh packaging/build.sh deb debug");
        return None;
    }
    for package in &packages {
        let name = package.file_name().expect("a file").to_string_lossy().into_owned();
        fs::copy(package, lab.path(&format!("root/var/tmp/{name}"))).expect("there is room");
    }
    machine.sh(SERVER, "dpkg --no-triggers --install /var/tmp/*.deb 2>&1
        spa-keygen laptop --server 10.77.0.1 --open tcp/22 --window 2s --freshness clock --out /root/laptop.spa.toml
        mkdir -p -m 700 /root/.config/spa /root/.config/spa/profiles; mv /root/laptop.spa.toml /root/.config/spa/profiles/
        sed -i 's|^protect = .*|protect = [\"tcp/22\"]|; s|\"default-route\"|\"eth0\"|' /etc/spad/spad.toml
        printf '[freshness]\\nclock = \"trusted\"\\n' >>/etc/spad/spad.toml
        systemctl enable spad spad-guard spad-audit spad-metrics 2>&1");
    Some(machine)
}

fn knock(machine: &Machine<'_>) {
    machine.sh(A, "spa-client --profile laptop");
}

/// When this unit was last up, since this machine's start.
fn up(booted: &Booted<'_>, unit: &str) -> u64 {
    let told = booted.property(unit, "ActiveEnterTimestampMonotonic");
    told.parse().ok().filter(|micros| *micros > 0).unwrap_or_else(|| panic!("{unit} was never up: {told}"))
}

/// Whether another daemon than this one serves.
fn is_started_again(booted: &Booted<'_>, before: &str) -> bool {
    let now = booted.property("spad", "MainPID");
    now != before && now != "0" && booted.property("spad", "StatusText") == "serving"
}

#[test]
fn the_units_serve_guard_watch_and_are_started_again_under_systemd() {
    let Some(lab) = Lab::new() else { return };
    let Some(machine) = installed(&lab) else { return };
    let _service = lab.serve(SERVER, &["tcp/22"]);
    lab.opens(B, SSH);
    let booted = machine.boot(SERVER);

    // Enabled units serve, with the confinement that they ask for, and nothing failed.
    assert_eq!(booted.run("systemctl --failed --plain --no-legend").out, "");
    for unit in ["spad", "spad-clock", "spad-audit", "spad-metrics"] {
        assert_eq!(
            booted.property(unit, "ActiveState"),
            "active",
            "{unit}: {}",
            booted.sh("journalctl --no-pager")
        );
    }
    assert_eq!(booted.property("spad", "StatusText"), "serving");
    lab.stays_shut(A, SSH);
    knock(&machine);
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);
    let status = booted.sh("spad status");
    assert!(status.contains("all is well"), "{status}");
    // A worker tells its numbers once a second.
    eventually("metrics count the knock", SOON, || {
        booted.sh("spad metrics").contains("\nspad_requests_admitted_total 1\n")
    });

    // The journal: one time a line, how much it matters, and the audit's fields.
    let opened = "opened tcp/22 for 10.77.0.2 profile=laptop window=2s";
    let line = |filter: &str| booted.run(&format!("journalctl -o json --no-pager {filter}")).out;
    eventually("the journal has it", SOON, || line("-u spad").contains(opened));
    let of_it = line("-u spad").lines().find(|line| line.contains(opened)).unwrap_or_default().to_owned();
    assert!(
        of_it.contains(&format!("\"MESSAGE\":\"{opened}\"")) && of_it.contains("\"PRIORITY\":\"6\""),
        "{of_it}"
    );
    eventually("the audit has it", SOON, || {
        line("-t spad-audit SPAD_EVENT=opened SPAD_PROFILE=laptop").contains(opened)
    });

    // A reload says whether it took; one that did not changes nothing.
    booted.sh("systemctl reload spad");
    let refused = booted.run("sed -i 's|tcp/22|tcp22|' /etc/spad/spad.toml; systemctl reload spad");
    assert_eq!(refused.status, Some(1), "{}", refused.text());
    lab.stays_shut(B, SSH);
    knock(&machine);
    lab.opens(A, SSH);
    assert!(booted.sh("journalctl -u spad -p warning --no-pager").contains("reload refused"));
    booted.sh("sed -i 's|tcp22|tcp/22|' /etc/spad/spad.toml; systemctl reload spad");

    // Killed, it is started again; while it is gone nobody gets in.
    let before = booted.property("spad", "MainPID");
    booted.sh("systemctl kill -s KILL spad");
    lab.stays_shut(B, SSH);
    eventually("systemd starts it again", SOON, || is_started_again(&booted, &before));
    knock(&machine);
    lab.opens(A, SSH);

    // The process that looks after the others hangs itself: systemd's watchdog sees to it.
    booted.sh("mkdir -p /run/systemd/system/spad.service.d; printf '[Service]\\nWatchdogSec=8s\\n' >/run/systemd/system/spad.service.d/soon.conf
        systemctl daemon-reload; systemctl restart spad");
    let before = booted.property("spad", "MainPID");
    std::thread::sleep(Duration::from_secs(9));
    assert_eq!(booted.property("spad", "MainPID"), before, "what does well is left alone");
    booted.sh(&format!("kill -STOP {before}"));
    eventually("the watchdog ends it", SOON * 2, || is_started_again(&booted, &before));
    assert!(booted.sh("journalctl -u spad --no-pager").contains("Watchdog timeout"));
    knock(&machine);
    lab.opens(A, SSH);

    // The same version over itself: served as before, and the door that is open stays so.
    machine.sh(A, "spa-client --profile laptop --window 1m");
    booted.sh("dpkg --no-triggers --install /var/tmp/spad_*.deb 2>&1");
    assert_eq!(booted.property("spad", "StatusText"), "serving");
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);

    // Stopped, the guard stays; removed, nothing stays.
    booted.sh("systemctl stop spad");
    lab.stays_shut(B, SSH);
    // The timer that the README has set before a first start.
    booted.sh("systemd-run --unit spad-back --on-active=2s --timer-property=AccuracySec=100ms sh -c 'systemctl stop spad; spad teardown'
        systemctl start spad");
    lab.stays_shut(B, SSH);
    eventually("the timer takes the guard away", SOON, || lab.probe(B, SSH) == "open");
    booted.sh("systemctl start spad; dpkg --no-triggers --remove spad 2>&1");
    assert_eq!(lab.sh(SERVER, "nft list ruleset"), "", "no table is left");
    lab.opens(B, SSH);
    let left = booted.sh("systemctl list-units --all --plain --no-legend 'spad*'");
    assert!(!left.contains("active "), "{left}");
}

#[test]
fn under_systemd_spad_may_not_touch_a_clock_and_relies_on_the_unit_that_may_ask() {
    let Some(lab) = Lab::new() else { return };
    let Some(machine) = installed(&lab) else { return };
    machine.sh(SERVER, "sed -i '/^clock = \"trusted\"$/d' /etc/spad/spad.toml; spad check");
    let drop_in = repository().join("packaging/drop-ins/iptables.conf");
    fs::copy(drop_in, lab.path("root/var/tmp/iptables.conf")).expect("there is room");
    let booted = machine.boot(SERVER);
    assert_eq!(
        booted.property("spad-clock", "ActiveState"),
        "active",
        "{}",
        booted.sh("journalctl --no-pager")
    );
    assert!(up(&booted, "spad-clock") <= up(&booted, "spad"), "the daemon opens the lock as it starts");
    let vouched = || booted.sh("spad metrics").contains("\nspad_clock_vouched 1\n");

    // Whatever this kernel says, the daemon hears it through the lock.
    let kernel = spad::sys::clock::synchronised().expect("anybody may ask");
    let says = if kernel { "the kernel calls its clock" } else { "the kernel does not call its clock" };
    assert!(booted.sh("journalctl -u spad-clock --no-pager").contains(says));
    eventually("the daemon knows", SOON, || vouched() == kernel);
    let file = booted.sh("stat -c '%i %U %a' /run/spad-clock /run/spad-clock/lock");
    assert!(file.contains(" spad 700\n") && file.contains(" spad 600\n"), "{file}");
    booted.sh("systemctl stop spad-clock");
    eventually("nobody vouches", SOON, || !vouched());
    let status = booted.run("spad status").text();
    assert!(status.contains("or spad-clock.service does not run"), "it asks nobody else: {status}");

    // Somebody in its place, whose clock is right.
    let hold = "systemd-run --quiet --collect --unit=holder python3 -c 'import fcntl, time
with open(\"/run/spad-clock/lock\", \"r+\") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    time.sleep(600)'";
    booted.sh(hold);
    eventually("it is vouched for", SOON, vouched);
    booted.sh("systemctl kill -s KILL holder");
    eventually("no word outlives who gave it", SOON, || !vouched());

    // The file stays the same, as the daemon has it open; and the unit goes as spad does.
    booted.sh("systemctl start spad-clock");
    assert_eq!(booted.sh("stat -c '%i %U %a' /run/spad-clock /run/spad-clock/lock"), file);
    booted.sh("systemctl kill -s KILL spad-clock");
    eventually("it is started again", SOON, || booted.property("spad-clock", "ActiveState") == "active");
    booted.sh("systemctl stop spad");
    assert_eq!(booted.property("spad-clock", "ActiveState"), "inactive");

    // The same where the daemon is root's, who may read what is not his.
    booted.sh(&format!("{hold}; mkdir -p /run/systemd/system/spad.service.d
        cp /var/tmp/iptables.conf /run/systemd/system/spad.service.d; systemctl daemon-reload; systemctl start spad"));
    assert_eq!(booted.property("spad", "User"), "root");
    eventually("it is vouched for", SOON, vouched);
    booted.sh("systemctl kill -s KILL holder; systemctl stop spad-clock");
    eventually("nobody vouches", SOON, || !vouched());
}

#[test]
fn at_a_boot_the_guard_stands_before_there_is_a_network_and_spad_serves_before_it_is_up() {
    let Some(lab) = Lab::new() else { return };
    let Some(machine) = installed(&lab) else { return };
    let _service = lab.serve(SERVER, &["tcp/22"]);
    // Something that is up as soon as there is a network.
    machine.sh(SERVER, "printf '[Unit]\\nWants=network.target\\nAfter=network.target\\n[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n' \\
        >/etc/systemd/system/behind.service; systemctl enable behind 2>&1");
    let first = machine.boot(SERVER);
    assert_eq!(first.property("spad", "StatusText"), "serving");
    assert_eq!(first.property("spad-guard", "ConditionResult"), "no", "nothing was in force yet");
    knock(&machine);
    lab.opens(A, SSH);
    // The plug is pulled. Rules do not outlive that.
    drop(first);
    lab.sh(SERVER, "nft flush ruleset");

    let booted = machine.boot(SERVER);
    let order = ["spad-guard", "network-pre.target", "spad", "network.target", "behind"]
        .map(|unit| up(&booted, unit));
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!(booted.property("spad-guard", "Result"), "success");
    assert_eq!(booted.property("spad", "StatusText"), "serving");
    lab.stays_shut(B, SSH);
    lab.stays_shut(A, SSH);
    knock(&machine);
    lab.opens(A, SSH);

    // A configuration that is wrong at the next boot: the guard stands, and everything else comes up.
    booted.sh("sed -i 's|tcp/22|tcp22|' /etc/spad/spad.toml");
    drop(booted);
    lab.sh(SERVER, "nft flush ruleset");
    let booted = machine.boot(SERVER);
    assert_eq!(booted.property("spad", "ActiveState"), "failed");
    assert_eq!(booted.property("spad", "ExecMainStatus"), "3");
    assert_eq!(booted.property("spad", "NRestarts"), "0", "only a person can mend that");
    up(&booted, "behind");
    lab.stays_shut(B, SSH);
    lab.stays_shut(A, SSH);
}

/// What a command says of itself.
const PROBE: &str = "#!/bin/sh
id -u; grep '^CapEff\\|^Seccomp:\\|^NoNewPrivs' /proc/self/status | tr '\\t' ' '
for file in /etc/spad/site.toml /etc/spad/profiles /var/lib/spad /etc/shadow; do ls $file/ >/dev/null 2>&1 || cat $file >/dev/null 2>&1 || echo no $file; done
for folder in / /usr /var /etc; do touch $folder/probe 2>/dev/null || echo kept $folder; done
echo $SPAD_EVENT $SPAD_ADDRESS >/tmp/told && cat /tmp/told
bash -c ': >/dev/udp/127.0.0.1/9' && echo sends
setsid sleep 600 & sleep 0.2
[ \"$1\" ] || exec sleep 600
";

#[test]
fn actions_are_run_by_the_unit_of_the_runner_in_its_sandbox() {
    let Some(lab) = Lab::new() else { return };
    let Some(machine) = installed(&lab) else { return };
    lab.write("root/usr/local/sbin/probe", PROBE);
    machine.sh(SERVER, "chmod 755 /usr/local/sbin/probe; systemctl enable spad-runner 2>&1
        printf '[action.probe]\\nargv = [\"/usr/local/sbin/probe\"]\\narguments = [\"end\"]\\nlimit = \"4s\"\\n[hooks]\\non_open = [\"probe\"]\\n' >>/etc/spad/spad.toml
        echo 'invoke = [\"probe\"]' >>/etc/spad/profiles/laptop.toml");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let booted = machine.boot(SERVER);
    assert_eq!(
        booted.property("spad-runner", "ActiveState"),
        "active",
        "{}",
        booted.sh("journalctl --no-pager")
    );
    let said = || booted.run("journalctl -u spad-runner -o cat --no-pager").out;
    eventually("it hears", SOON, || said().contains("can be run=1"));
    let check = booted.sh("spad check");
    assert!(check.contains("in order"), "{check}");

    machine.sh(A, "spa-client --profile laptop --invoke probe end");
    eventually("it is run", SOON, || said().contains("action=probe event=invoke: done after"));
    for line in [
        "65534",
        "CapEff: 0000000000000000",
        "NoNewPrivs: 1",
        "Seccomp: 2",
        "no /etc/spad/site.toml",
        "no /etc/spad/profiles",
        "no /var/lib/spad",
        "no /etc/shadow",
        "kept /",
        "kept /usr",
        "kept /var",
        "kept /etc",
        "invoke 10.77.0.2",
        "sends",
    ] {
        let line = format!("action=probe: {line}\n");
        assert!(said().contains(&line), "no {line:?} in {}", said());
    }
    let sleeping = || booted.run("pgrep -c sleep").out.trim().to_owned();
    assert_eq!(sleeping(), "0", "its end is that of what it left behind");
    machine.sh(A, "spa-client --profile laptop");
    eventually("its limit ends it", SOON, || {
        said().contains("action=probe event=open: killed after its limit of 4s")
    });
    assert_eq!(sleeping(), "0");
    let status = booted.sh("spad status");
    assert!(status.contains("a runner is there") && status.contains("all is well"), "{status}");

    // It goes and comes with spad, and is started again.
    booted.sh("systemctl kill -s KILL spad-runner");
    eventually("systemd starts it again", SOON, || said().matches("can be run=1").count() == 2);
    booted.sh("systemctl stop spad");
    assert_eq!(booted.property("spad-runner", "ActiveState"), "inactive");
    booted.sh("systemctl start spad");
    eventually("it comes with it", SOON, || said().matches("can be run=1").count() == 3);
}
