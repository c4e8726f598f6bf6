//! What happens to a host while spad runs: it goes on by itself, says so, and `spad status` shows it while it lasts. (Of the
//! journal tell `journal.rs` and `faults.rs`; of processes that are killed `processes.rs`; of those that hang `service.rs`.)

use std::process::Command;
use std::time::Duration;

use lab::{A, Config, Lab, OUTPUT_LIMIT, SERVER, SSH, Spad, eventually};

const SOON: Duration = Duration::from_secs(15);

fn is_degraded(lab: &Lab, what: &str) -> bool {
    let done = lab.spad_command(&["status"]);
    done.status == Some(6) && done.out.lines().any(|line| line.starts_with("degraded") && line.contains(what))
}

fn is_well(lab: &Lab) -> bool {
    lab.spad_command(&["status"]).status == Some(0)
}

fn knock_opens(lab: &Lab, target: &str) {
    let host = target.split_once(':').expect("host and port").0;
    eventually("a knock opens", SOON, || {
        let _ = lab.client(A, &["-4", "--profile", "laptop", "-D", host]);
        lab.probe(A, target) == "open"
    });
}

fn few_words(spad: &Spad) {
    assert!(spad.log().len() < OUTPUT_LIMIT / 8, "many words about it:\n{}", spad.log());
}

#[test]
fn an_interface_that_is_renamed_is_waited_for_and_heard_again_under_its_name() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    let name = |from: &str, to: &str| {
        lab.sh(
            SERVER,
            &format!("ip link set {from} down; ip link set {from} name {to}; ip link set {to} up"),
        );
    };
    name("eth0", "other0");
    eventually("status names it", SOON, || is_degraded(&lab, "interface eth0 is missing"));
    name("other0", "eth0");
    eventually("it is well again", SOON, || is_well(&lab));
    knock_opens(&lab, SSH);
    few_words(&spad);
}

#[test]
fn a_host_that_changes_its_address_is_knocked_at_the_new_one() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    lab.sh(SERVER, "ip addr add 10.77.0.9/24 dev eth0; ip addr del 10.77.0.1/24 dev eth0; ip addr add 10.77.0.9/24 dev eth0 2>/dev/null; true");
    eventually("the new address is guarded", SOON, || lab.probe(A, "10.77.0.9:22") == "filtered");
    knock_opens(&lab, "10.77.0.9:22");
    few_words(&spad);
}

#[test]
fn a_network_that_comes_late_is_guarded_and_listened_on_when_it_comes() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    lab.sh(SERVER, "ip link set eth0 down; ip link set eth0 name late0; ip addr flush dev late0");
    let spad = lab.spad();
    eventually("status names it", SOON, || is_degraded(&lab, "interface eth0 is missing"));
    lab.sh(SERVER, "ip link set late0 name eth0; ip link set eth0 up; ip addr add 10.77.0.1/24 dev eth0");
    eventually("it is well", SOON, || is_well(&lab));
    lab.stays_shut(A, SSH);
    knock_opens(&lab, SSH);
    few_words(&spad);
}

#[test]
fn a_state_folder_that_is_gone_or_read_only_keeps_nobody_out_for_longer_than_that_lasts() {
    let state = Lab::inside("state");
    #[rustfmt::skip]
    let rows = [
        // trouble, its end, what it is
        (format!("mv {state} {state}.gone"), format!("mv {state}.gone {state}"), "missing"),
        (format!("mount --bind {state} {state} && mount -o remount,bind,ro {state}"), format!("umount {state}"), "read-only"),
    ];
    for (trouble, end, what) in rows {
        let Some(lab) = Lab::new() else { return };
        if what == "read-only" && lab.is_unprivileged() {
            return lab::skip("only root mounts where spad sees it");
        }
        let (_service, mut spad) = lab.guard_ssh();
        let starter = spad.starter().pid().to_string();
        let there = |script: &str| {
            let enter = ["-t", &starter, "-m", "sh", "-e", "-c", script];
            assert!(Command::new("nsenter").args(enter).status().expect("util-linux").success(), "{script}");
        };
        there(&trouble);
        // What is open stays open: nothing has to be written anew.
        knock_opens(&lab, SSH);
        spad.reload();
        spad.says("reload refused");
        lab.shuts(A, SSH, Duration::from_secs(4));
        knock_opens(&lab, SSH);
        // Without a worker there is another as soon as one can be.
        spad.kill_role("worker");
        eventually(&format!("no worker can begin where it is {what}"), SOON, || {
            !spad.lines(&["no worker serves"]).is_empty()
        });
        lab.shuts(A, SSH, Duration::from_secs(4));
        // Others were tried meanwhile, and more are. Each says it once: worker, monitor and starter.
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(spad.lines(&["no worker serves"]).len(), 1, "{}", spad.log());
        assert_eq!(
            spad.lines(&["nobody hears a knock", "journal cannot be opened"]).len(),
            1,
            "{}",
            spad.log()
        );
        assert_eq!(spad.lines(&["journal cannot be opened"]).len(), 3, "once by the reload: {}", spad.log());
        there(&end);
        knock_opens(&lab, SSH);
        eventually("it is well again", SOON, || is_well(&lab));
        // The next time is said anew.
        let before = spad.lines(&["no worker serves"]).len();
        there(&trouble);
        spad.kill_role("worker");
        eventually("it is said", SOON, || spad.lines(&["no worker serves"]).len() > before);
        there(&end);
    }
}

/// Says how many descriptors a process may have; `None`: as many as at first.
fn descriptors(pid: u32, most: Option<u32>) {
    let limit = format!("--nofile={}:", most.unwrap_or(1024));
    let done = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status();
    assert!(done.expect("util-linux is installed").success());
}

#[test]
fn who_is_out_of_descriptors_goes_on_when_there_are_some() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = lab.guard_ssh();
    // The starter can make no channel for another worker.
    let starter = spad.starter().pid();
    descriptors(starter, Some(3));
    spad.kill_role("worker");
    eventually("it is said", SOON, || !spad.lines(&["no worker serves", "open files"]).is_empty());
    lab.stays_shut(A, SSH);
    assert!(is_degraded(&lab, "nobody hears a knock"));
    descriptors(starter, None);
    knock_opens(&lab, SSH);
    eventually("it is well again", SOON, || is_well(&lab));
}
