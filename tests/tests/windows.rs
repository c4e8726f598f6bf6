//! A door closes on time, whatever happens to spad or to the clock meanwhile.

#[path = "windows/ends.rs"]
mod ends;

use std::time::{Duration, Instant};

use lab::{A, B, Clock, Config, Lab, SERVER, SSH};

const SECOND: Duration = Duration::from_secs(1);

/// Knocks for three seconds, lets something happen, and expects the door to close after three.
fn closes_on_time(lab: &Lab, meanwhile: impl FnOnce()) {
    lab.knock_with(A, &["-4", "-w", "3s"]);
    let knocked = Instant::now();
    lab.opens(A, SSH);
    meanwhile();
    assert!(knocked.elapsed() < 2 * SECOND, "too slow a machine for this test");
    assert_eq!(lab.probe(A, SSH), "open", "still open after {:?}", knocked.elapsed());
    lab.shuts(A, SSH, (4 * SECOND).saturating_sub(knocked.elapsed()));
    assert!(knocked.elapsed() > 5 * SECOND / 2, "closed early, after {:?}", knocked.elapsed());
    lab.stays_shut(B, SSH);
}

#[test]
fn the_kernel_closes_it_when_all_of_spad_was_killed() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = lab.guard_ssh();
    closes_on_time(&lab, || spad.kill());
}

#[test]
fn it_survives_a_restart_and_closes_on_time() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut first) = lab.guard_ssh();
    let mut second = None;
    closes_on_time(&lab, || {
        first.kill();
        second = Some(lab.spad());
    });
    let mut third = None;
    closes_on_time(&lab, || {
        assert_eq!(second.take().map(|mut spad| spad.stop()), Some(Some(0)));
        third = Some(lab.spad());
    });
    // The one that did not open the door says that it closed.
    third.expect("it runs").says("closed");
}

#[test]
fn a_close_reaches_what_was_opened_before_a_restart() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = lab.guard_ssh();
    lab.knock_with(A, &["-4", "-w", "1m"]);
    lab.opens(A, SSH);
    spad.kill();
    let _spad = lab.spad();
    assert_eq!(lab.probe(A, SSH), "open");
    lab.knock_with(A, &["-4", "--close"]);
    lab.shuts(A, SSH, SECOND);
}

#[test]
fn the_death_of_a_worker_or_monitor_and_a_reload_change_nothing() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    closes_on_time(&lab, || {
        spad.kill_role("worker");
        spad.says_times("serving", 2);
        spad.kill_role("monitor");
        spad.says_times("serving", 3);
        spad.reload();
        spad.says_times("serving", 4);
    });
}

#[test]
fn a_step_of_the_wall_clock_neither_shortens_nor_prolongs_it() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    lab.profile("laptop");
    let clock = Clock::new(&lab, "clock");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let _spad = lab.spad_by(&clock);
    closes_on_time(&lab, || clock.ahead(86_400 * SECOND));
    clock.ahead(Duration::ZERO);
    closes_on_time(&lab, || clock.behind(86_400 * SECOND));
}

/// While a host sleeps, the kernel's timeouts stand still. The monitor counts that time, by a timer of the clock since boot.
#[test]
fn a_door_that_the_kernel_would_hold_longer_is_shut_on_time() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    closes_on_time(&lab, || {
        let door = "10.77.0.2 . tcp . 22";
        lab.sh(
            SERVER,
            &format!(
                "nft \"delete element inet spad grants4 {{ {door} }}; \
                 add element inet spad grants4 {{ {door} timeout 1h }}\""
            ),
        );
    });
    assert!(lab.grants().is_empty());
}
