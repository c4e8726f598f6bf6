//! Wrong clocks: on the client, on the server, and nobody to say which is right.

use std::time::Duration;

use lab::{A, Clock, Config, Host, Lab, SERVER, SSH, Synchronised};

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
