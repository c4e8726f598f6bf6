//! `spad --observe`: judges, remembers and logs, and leaves the firewall alone.

use std::thread::sleep;
use std::time::Duration;

use lab::{A, Config, Lab, SERVER, SSH, eventually};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn what_is_only_observed_opens_and_shuts_nothing_and_is_not_fresh_afterwards() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { more: "[ceiling]\nreceipts = true", ..Config::default() });
    lab.profile("laptop");
    // Sessions would be ended with their door.
    let profile = lab.read("etc/profiles/laptop.toml");
    lab.write("etc/profiles/laptop.toml", profile + "on_close = \"cut\"\n");
    lab.sh(SERVER, "chmod 600 /run/lab/etc/profiles/laptop.toml");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    lab.seal(A, "one", &[]);
    let rules = || lab.sh(SERVER, "nft list ruleset");
    let before = rules();

    let (mut observing, _input) = lab.start_spad_command(&["--observe"], "says");
    let said = lab.wait_for("says", "serving");
    assert!(said.contains("observing: nothing is guarded"), "{said}");
    let mut session = lab.session(A, SSH);
    lab.send(A, "one", &lab.spa_target());
    lab.wait_for("says", &format!("opened tcp/22 for {}", A.v4));
    let status = lab.spad_command(&["status"]);
    assert_eq!(status.status, Some(6), "{}", status.text());
    assert!(status.out.contains("only observes"), "{}", status.out);
    assert_eq!(rules(), before, "no rule, no set, no element");
    eventually("the window is over", SOON, || lab.spad_command(&["grants", "--json"]).out.trim() == "[]");
    sleep(Duration::from_millis(300));
    assert!(session.lives(), "nobody's session is ended");
    lab.opens(A, SSH);
    assert!(!lab.path("state/guard").exists(), "nothing is kept for the next boot");
    assert!(lab.running("spad-sender").is_empty(), "no receipt can be sent");
    observing.signal(rustix::process::Signal::TERM);
    observing.wait(SOON);
    assert_eq!(rules(), before);

    // Whoever recorded it cannot use it when it counts.
    let _spad = lab.spad();
    lab.stays_shut(A, SSH);
    lab.send(A, "one", &lab.spa_target());
    lab.stays_shut(A, SSH);
    lab.knock(A);
    lab.opens(A, SSH);
}
