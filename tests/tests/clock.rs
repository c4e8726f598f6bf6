//! Wrong clocks: on the client, on the server, and nobody to say which is right.

use std::time::Duration;

use lab::{A, Clock, Config, Host, Lab, Running, SERVER, SSH, Synchronised, eventually, no_clock, program};

const HOUR: Duration = Duration::from_secs(3600);

fn knock_by(lab: &Lab, host: Host, clock: &Clock, options: &[&str]) {
    let arguments = [&["--profile", "laptop", "-4"], options].concat();
    lab.client_with(host, &clock.environment(), &arguments).ok();
}

#[test]
fn a_client_whose_clock_is_hours_off_costs_one_line_that_says_by_how_much() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    let clock = Clock::new(&lab, "clients-clock");
    clock.ahead(2 * HOUR + Duration::from_secs(210));
    for _ in 0..5 {
        knock_by(&lab, A, &clock, &[]);
    }
    lab.stays_shut(A, SSH);
    let lines = spad.lines(&["refused", "profile=laptop", "reason=skewed"]);
    assert_eq!(lines.len(), 1, "{}", spad.log());
    assert!(lines[0].contains("clock differs by 2h 3m"), "{}", lines[0]);
    assert!(lines[0].contains("client ahead"), "{}", lines[0]);

    // Nobody is locked out by it, and the client says its time so that the user can see the cause.
    lab.knock(A);
    lab.opens(A, SSH);
    let said =
        lab.client_with(A, &clock.environment(), &["--profile", "laptop", "-4", "-v", "--dry-run"]).ok();
    assert!(said.text().contains("UTC") || said.text().contains('Z'), "{}", said.text());
}

#[test]
fn a_client_whose_clock_is_behind_is_told_apart() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    let clock = Clock::new(&lab, "clients-clock");
    // No further back than the profile's making: that would be refused as older than the profile.
    let servers = Clock::new(&lab, "servers-clock");
    drop(spad);
    servers.ahead(3 * HOUR + Duration::from_secs(30));
    let spad = lab.spad_by(&servers);
    knock_by(&lab, A, &clock, &[]);
    lab.stays_shut(A, SSH);
    spad.says("clock differs by 3h");
    assert_eq!(spad.lines(&["client behind"]).len(), 1, "{}", spad.log());
}

#[test]
fn a_first_start_does_not_wait_for_the_clock() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { clock: "synchronised", ..Config::default() });
    lab.profile("laptop");
    let clock = Clock::new(&lab, "clock");
    clock.kernel_says(Synchronised::No);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let _spad = lab.spad_by(&clock);
    lab.knock(A);
    lab.opens(A, SSH);
}

/// Starts `spad clock` on the server, as its unit does; what it says goes to this file.
fn spad_clock(lab: &Lab, environment: &[String], says: &str) -> Running {
    let mut command = lab.command_with(SERVER, environment, program("spad"));
    let log = std::fs::File::create(lab.path(says)).expect("the laboratory has room");
    command.arg("clock").stderr(log);
    lab.start(command)
}

/// As `spad status` names the clock.
fn clock_of(lab: &Lab) -> String {
    let status: serde_json::Value =
        serde_json::from_str(&lab.spad_command(&["status", "--json"]).out).expect("one object");
    status["clock"].as_str().expect("it is named").to_owned()
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_spad_that_may_not_ask_the_kernel_relies_on_spad_clock_for_as_long_as_that_lives() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { clock: "synchronised", skew: "1s", ..Config::default() });
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    drop(lab.spad());
    let unit = no_clock(&lab);

    // Nobody has ever vouched.
    lab.sh(SERVER, "rm /run/lab/state/journal.a /run/lab/state/journal.b");
    let unaware = lab.start_spad(&unit);
    unaware.says("serving");
    unaware.says("unsettled");
    assert_eq!(clock_of(&lab), "unsynchronised");
    let status = lab.spad_command(&["status"]);
    assert!(status.status == Some(6) && status.text().contains("spad-clock.service"), "{}", status.text());
    drop(unaware);

    // The folder that the unit makes; then the order of both does not matter any more.
    lab.sh(SERVER, "install -d -m 700 /run/spad-clock; touch /run/spad-clock/lock");
    let spad = lab.start_spad(&unit);
    spad.says("serving");
    let clock = Clock::new(&lab, "kernels-clock");
    clock.kernel_says(Synchronised::No);
    let witness = spad_clock(&lab, &clock.environment(), "clock.log");
    eventually("it says so", SOON, || lab.read("clock.log").contains("does not call its clock synchronised"));
    // Longer than the skew and the pause between two questions.
    std::thread::sleep(Duration::from_millis(2500));
    lab.knock(A);
    lab.stays_shut(A, SSH);
    assert_eq!(clock_of(&lab), "unsynchronised");

    clock.kernel_says(Synchronised::Yes);
    eventually("an honest knock opens", SOON, || {
        lab.knock(A);
        lab.probe(A, SSH) == "open"
    });
    spad.says("settled: knocks");
    assert_eq!(clock_of(&lab), "synchronised");

    // Its "yes" ends with it, and another may follow it.
    witness.signal(rustix::process::Signal::KILL);
    eventually("nobody vouches", SOON, || clock_of(&lab) == "unsynchronised");
    let _next = spad_clock(&lab, &clock.environment(), "clock.log");
    eventually("it is vouched for again", SOON, || clock_of(&lab) == "synchronised");
    clock.kernel_says(Synchronised::No);
    eventually("the kernel takes it back", SOON, || clock_of(&lab) == "unsynchronised");
}

#[test]
fn spad_clock_says_what_keeps_it_from_vouching() {
    let Some(lab) = Lab::new() else { return };
    let ends = |environment: &[String], status: i32, words: &str| {
        let mut clock = spad_clock(&lab, environment, "clock.log");
        assert_eq!(clock.wait(SOON).code(), Some(status), "{}", lab.read("clock.log"));
        assert!(lab.read("clock.log").contains(words), "{}", lab.read("clock.log"));
    };
    ends(&[], 3, "start spad-clock.service");
    lab.sh(SERVER, "install -d -m 700 /run/spad-clock");
    ends(&no_clock(&lab), 5, "must permit the system calls adjtimex and clock_adjtime");

    // This machine's own clock, whatever the kernel says of it.
    let _clock = spad_clock(&lab, &[], "real.log");
    let says = if spad::sys::clock::synchronised().expect("anybody may ask") {
        "calls its"
    } else {
        "does not call its"
    };
    eventually("it passes on what the kernel says", SOON, || lab.read("real.log").contains(says));

    let clock = Clock::new(&lab, "clock");
    clock.kernel_says(Synchronised::Yes);
    let _first = spad_clock(&lab, &clock.environment(), "first.log");
    eventually("it vouches", SOON, || {
        lab.read("first.log").contains("the kernel calls its clock synchronised")
    });
    ends(&clock.environment(), 1, "only one `spad clock` may run");
    assert_eq!(lab.sh(SERVER, "stat -c %a /run/spad-clock/lock"), "600\n");
}

#[test]
fn a_server_without_a_right_clock_serves_monotonic_profiles() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { clock: "synchronised", ..Config::default() });
    lab.profile_with("laptop", &["--open", "tcp/22", "--freshness", "monotonic"]);
    lab.profile_with("phone", &["--open", "tcp/22"]);
    let clock = Clock::new(&lab, "servers-clock");
    clock.kernel_says(Synchronised::No);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    clock.behind(now);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad_by(&clock);
    lab.knock_with(A, &["-4", "--profile", "phone"]);
    lab.stays_shut(A, SSH);
    spad.says("client ahead");
    lab.knock(A);
    lab.opens(A, SSH);
}

#[test]
fn a_monotonic_client_never_goes_back() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { skew: "1s", ..Config::default() });
    lab.profile_with("laptop", &["--open", "tcp/22", "--freshness", "monotonic"]);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let _spad = lab.spad();
    let clock = Clock::new(&lab, "clients-clock");
    clock.ahead(24 * HOUR);
    knock_by(&lab, A, &clock, &[]);
    lab.opens(A, SSH);
    lab.shuts(A, SSH, Duration::from_secs(3));
    // Its clock was put right; it goes on from the last time that it used.
    lab.knock(A);
    lab.opens(A, SSH);
}

#[test]
fn a_datagram_older_than_the_skew_is_refused() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { skew: "1s", ..Config::default() });
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    lab.seal(A, "late", &[]);
    std::thread::sleep(Duration::from_millis(1200));
    let _ = lab.send(A, "late", &lab.spa_target());
    lab.stays_shut(A, SSH);
    spad.says("reason=skewed");
}
