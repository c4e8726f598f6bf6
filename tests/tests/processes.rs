//! The processes of spad: killed at any moment, told to reload or to end, started by root or not.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use lab::{A, B, Config, Lab, OUTPUT_LIMIT, Reaction, SERVER, SSH, eventually, helper, program};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_dead_worker_or_monitor_is_replaced_at_once() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    for (role, starts) in [("worker", 2), ("monitor", 3), ("worker", 4)] {
        assert_eq!((spad.role("worker").len(), spad.role("monitor").len()), (1, 1));
        spad.kill_role(role);
        spad.says_times("serving", starts);
        lab.stays_shut(A, SSH);
        lab.knock(A);
        lab.opens(A, SSH);
        lab.shuts(A, SSH, Duration::from_secs(3));
    }
}

#[test]
fn without_its_starter_all_of_it_ends_and_the_guard_stays() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = lab.guard_ssh();
    let table = lab.table();
    spad.starter().signal(rustix::process::Signal::KILL);
    eventually("worker and monitor end", SOON, || lab.running("spad").is_empty());
    assert_eq!(lab.table(), table);
    lab.stays_shut(A, SSH);
}

#[test]
fn killed_at_any_moment_it_never_admits_a_datagram_twice() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = lab.guard_ssh();
    let target = lab.spa_target();
    for microseconds in [0, 300, 600, 1000, 2000, 5000] {
        lab.seal(A, "captured", &["-w", "1s"]);
        let mut send = lab.command(A, "sh");
        // The datagram goes off when the shell reads the line, so that only its way through spad is timed.
        let words =
            format!("read line; exec {} send {} {target}", helper().display(), Lab::inside("captured"));
        let mut send =
            send.args(["-c", &words]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("sh");
        std::thread::sleep(Duration::from_millis(30));
        drop(send.stdin.take());
        std::thread::sleep(Duration::from_micros(2000 + microseconds));
        spad.kill();
        send.wait().expect("it ends");
        let opened_then = !lab.grants().is_empty();
        spad = lab.spad();
        lab.shuts(A, SSH, Duration::from_secs(2));
        assert_eq!(lab.send(A, "captured", &target), Reaction::Silence);
        if opened_then {
            lab.stays_shut(A, SSH);
        } else if lab.probe(A, SSH) == "open" {
            lab.shuts(A, SSH, Duration::from_secs(2));
            assert_eq!(lab.send(A, "captured", &target), Reaction::Silence);
            lab.stays_shut(A, SSH);
        }
    }
    lab.knock(A);
    lab.opens(A, SSH);
}

#[test]
fn a_reload_brings_new_profiles_and_takes_removed_ones() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    let worker = spad.role("worker");
    lab.profile_with("phone", &["--open", "tcp/22", "--window", "1s"]);
    lab.knock_with(A, &["-4", "--profile", "phone"]);
    lab.stays_shut(A, SSH);
    fs::rename(lab.path("etc/profiles/laptop.toml"), lab.path("laptop.toml")).expect("it is there");
    spad.reload();
    spad.says_times("serving", 2);
    eventually("the old worker ends", SOON, || spad.role("worker").len() == 1);
    assert_ne!(spad.role("worker"), worker);
    lab.knock(A);
    lab.stays_shut(A, SSH);
    lab.knock_with(A, &["-4", "--profile", "phone"]);
    lab.opens(A, SSH);
}

#[test]
fn no_knock_is_lost_during_a_reload() {
    let Some(lab) = Lab::new() else { return };
    lab.profile_with("phone", &["--open", "tcp/22", "--window", "1s"]);
    let (_service, spad) = lab.guard_ssh();
    for reloads in 2..6 {
        spad.reload();
        lab.knock_with(A, &["-4", "--profile", "phone"]);
        lab.opens(A, SSH);
        spad.says_times("serving", reloads);
        lab.shuts(A, SSH, Duration::from_secs(2));
    }
    assert_eq!(spad.lines(&["opened", "profile=phone"]).len(), 4, "each knock opened once:\n{}", spad.log());
}

#[test]
fn a_reload_with_a_wrong_file_changes_nothing() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    let table = lab.table();
    lab.write(
        "etc/spad.toml",
        "format = 1\n[capture]\ninterfaces = [\"eth0\"]\n[firewall]\nprotect = [\"ssh\"]\n",
    );
    spad.reload();
    spad.says("reload refused");
    lab.knock(A);
    lab.opens(A, SSH);
    lab.shuts(A, SSH, Duration::from_secs(3));
    assert_eq!(lab.table(), table);
    assert_eq!((spad.role("worker").len(), spad.role("monitor").len()), (1, 1));
    lab.configure(&Config::protecting(&["tcp/22", "tcp/80"]));
    spad.reload();
    spad.says_times("serving", 2);
    eventually("the new service is guarded", SOON, || lab.probe(A, "10.77.0.1:80") == "filtered");
}

#[test]
fn it_ends_when_asked_to_and_a_teardown_opens_everything() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = lab.guard_ssh();
    assert_eq!(spad.stop(), Some(0));
    assert!(lab.running("spad").is_empty());
    lab.stays_shut(A, SSH);
    lab.spad_command(&["teardown"]).ok();
    assert_eq!(lab.table(), "");
    lab.opens(A, SSH);
    lab.spad_command(&["teardown"]).ok();

    let mut spad = lab.spad();
    spad.starter().signal(rustix::process::Signal::INT);
    assert_eq!(spad.starter().wait(SOON).code(), Some(0), "Ctrl-C");
}

#[test]
fn no_inet_socket_is_bound() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    lab.profile("laptop");
    let _spad = lab.spad();
    let sockets = lab.sh(SERVER, "cd /proc/net; cat tcp tcp6 udp udp6 udplite udplite6 raw raw6 icmp icmp6");
    assert!(!sockets.contains(": 0"), "{sockets}");
}

#[test]
fn the_worker_can_do_nothing_and_the_monitor_one_thing() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    let field = |pid: u32, name: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line =
            status.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap_or("").to_owned();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (worker, monitor) = (spad.role("worker")[0], spad.role("monitor")[0]);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(worker, set), "0000000000000000", "{set}");
    }
    // CAP_NET_ADMIN is number 12.
    assert_eq!(field(monitor, "CapEff"), "0000000000001000");
    assert_eq!(field(worker, "Seccomp"), "2");
    for pid in [worker, monitor] {
        assert_eq!(field(pid, "NoNewPrivs"), "1");
        if !lab.is_unprivileged() {
            assert!(!field(pid, "Uid").split(' ').any(|uid| uid == "0"), "{}", field(pid, "Uid"));
            assert_eq!(field(pid, "Groups"), "");
        }
    }
}

/// `setpriv` with words that make a process uid 65534 with these ambient capabilities.
fn as_nobody<'a>(capabilities: &'a str, program: &'a str) -> Vec<&'a str> {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    [&nobody[..], &["--inh-caps", capabilities, "--ambient-caps", capabilities, program]].concat()
}

#[test]
fn without_the_right_to_it_it_says_so() {
    let Some(lab) = Lab::new() else { return };
    if lab.is_unprivileged() {
        return lab::skip("only one user exists in this laboratory");
    }
    lab.configure(&Config::default());
    lab.profile("laptop");
    lab.sh(SERVER, "chown -R 65534:65534 /run/lab/etc /run/lab/state");
    let (spad, config, state) = (program("spad"), Lab::inside("etc/spad.toml"), Lab::inside("state"));
    let spad = spad.to_str().expect("text");
    let arguments = [&as_nobody("-all", spad)[..], &["--config", &config, "--state-dir", &state]].concat();
    let done = lab.run(SERVER, "setpriv", &arguments);
    assert_eq!(done.status, Some(5), "{}", done.text());
    assert!(done.err.contains("CAP_NET_ADMIN") || done.err.contains("root"), "{}", done.err);
    assert_eq!(lab.table(), "");
}

#[test]
fn two_capabilities_are_enough_for_a_user_of_its_own() {
    let Some(lab) = Lab::new() else { return };
    if lab.is_unprivileged() {
        return lab::skip("only one user exists in this laboratory");
    }
    lab.configure(&Config::default());
    lab.profile("laptop");
    lab.sh(SERVER, "chown -R 65534:65534 /run/lab/etc /run/lab/state");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let (spad, config, state) = (program("spad"), Lab::inside("etc/spad.toml"), Lab::inside("state"));
    let words = as_nobody("-all,+net_admin,+net_raw", spad.to_str().expect("text"));
    let mut command = lab.command(SERVER, "setpriv");
    command.args(words).args(["--config", &config, "--state-dir", &state]);
    command.stderr(fs::File::create(lab.path("log")).expect("room"));
    let _spad = lab.start(command);
    eventually("it serves", SOON, || lab.read("log").contains("serving"));
    lab.stays_shut(A, SSH);
    lab.knock(A);
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);
}

#[test]
fn an_interface_that_is_missing_is_waited_for() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { interfaces: vec!["eth0", "late0"], ..Config::default() });
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    assert!(!spad.lines(&["late0"]).is_empty(), "no word of it:\n{}", spad.log());
    lab.knock(A);
    lab.opens(A, SSH);
    lab.sh(
        SERVER,
        "ip link add late0 type veth peer name late0 netns b; ip link set late0 up
         ip addr add 10.81.0.1/24 dev late0; ip -n b link set late0 up; ip -n b addr add 10.81.0.2/24 dev late0",
    );
    eventually("the new interface is guarded", SOON, || lab.probe(B, "10.81.0.1:22") == "filtered");
    eventually("a knock on the new interface opens", SOON, || {
        lab.knock_with(B, &["-D", "10.81.0.1"]);
        lab.probe(B, "10.81.0.1:22") == "open"
    });
    // Gone and back again.
    lab.sh(SERVER, "ip link del late0");
    lab.knock(A);
    lab.opens(A, SSH);
    assert!(spad.log().len() < OUTPUT_LIMIT / 8, "many words about it:\n{}", spad.log());
}

#[test]
fn an_interface_that_goes_down_and_up_is_heard_again() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    // So quickly that nothing looks different afterwards, and slowly.
    for pause in ["", "sleep 1;"] {
        lab.sh(SERVER, &format!("ip link set eth0 down; {pause} ip link set eth0 up"));
        eventually("a knock opens again", SOON, || {
            lab.knock(A);
            lab.probe(A, SSH) == "open"
        });
        lab.shuts(A, SSH, Duration::from_secs(4));
    }
    assert!(spad.log().len() < OUTPUT_LIMIT / 8, "many words about it:\n{}", spad.log());
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let mut command = lab.command(SERVER, program("spad"));
    command.args(["--config", "/run/lab/etc/spad.toml", "--state-dir", "/run/lab/state"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut spad = lab.start({
        command.stderr(writer);
        command
    });
    let mut log = std::io::BufRead::lines(std::io::BufReader::new(reader));
    assert!(log.any(|line| line.expect("text").contains("serving")));
    drop(log);
    // Each of these is a line: of the worker that takes over, and of the door.
    spad.signal(rustix::process::Signal::HUP);
    lab.knock_with(A, &["-4", "-w", "1m"]);
    lab.opens(A, SSH);
    std::thread::sleep(Duration::from_secs(1));
    assert!(spad.ended().is_none(), "the starter");
    lab.knock_with(A, &["-4", "--close"]);
    lab.shuts(A, SSH, Duration::from_secs(2));
}
