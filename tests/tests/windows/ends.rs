//! Doors that end with a connection, with their sessions, or later because they are in use.

use std::time::{Duration, Instant};

use lab::{A, B, BOX, Config, Lab, NAT_A, NAT_B, Running, SERVER, SSH, Spad, eventually};

const SECOND: Duration = Duration::from_secs(1);

/// Makes a profile whose file at the server also says this.
fn profile_saying(lab: &Lab, name: &str, options: &[&str], lines: &str) {
    lab.profile_with(name, options);
    let path = format!("etc/profiles/{name}.toml");
    lab.write(&path, format!("{}{lines}\n", lab.read(&path)));
}

fn guard(lab: &Lab, window: &str, lines: &str) -> (Running, Spad) {
    lab.configure(&Config::default());
    profile_saying(lab, "laptop", &["--open", "tcp/22", "--window", window], lines);
    (lab.serve(SERVER, &["tcp/22"]), lab.spad())
}

/// Sockets of the server that are connected to its ssh port.
fn connected(lab: &Lab) -> usize {
    lab.sh(SERVER, "cat /proc/net/tcp /proc/net/tcp6 | grep -c ':0016 .*:.* 01 ' || true")
        .trim()
        .parse()
        .expect("a number")
}

#[test]
fn a_door_for_one_connection_does_not_come_back() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab, "1m", "");
    lab.knock_with(A, &["-4", "--once"]);
    lab.stays_shut(B, SSH);
    let mut session = lab.session(A, SSH);
    lab.stays_shut(A, SSH);
    assert!(session.lives());
    spad.reload();
    spad.says_times("serving", 2);
    lab.stays_shut(A, SSH);
    spad.kill_role("monitor");
    spad.says_times("serving", 3);
    lab.stays_shut(A, SSH);
    lab.sh(SERVER, "nft delete table inet spad");
    spad.says("putting it back");
    eventually("the guard stands again", 5 * SECOND, || lab.probe(B, SSH) == "filtered");
    lab.stays_shut(A, SSH);
    lab.knock_with(A, &["-4", "--once"]);
    lab.opens(A, SSH);
    lab.stays_shut(A, SSH);
}

#[test]
fn a_door_for_one_connection_survives_a_restart_but_not_a_foreign_flush() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab, "1m", "once = true");
    lab.profile_with("phone", &["--open", "tcp/22", "--window", "1m"]);
    spad.reload();
    spad.says_times("serving", 2);
    lab.knock(A);
    spad.kill_role("monitor");
    spad.says_times("serving", 3);
    assert!(spad.lines(&["serving", "open=1"]).len() == 1, "{}", spad.log());
    lab.opens(A, SSH);
    lab.stays_shut(A, SSH);
    lab.knock(A);
    lab.knock_with(B, &["-4", "--profile", "phone"]);
    lab.sh(SERVER, "nft flush ruleset");
    spad.says("putting it back");
    eventually("the guard stands again", 5 * SECOND, || lab.probe(A, SSH) == "filtered");
    lab.opens(B, SSH);
    lab.stays_shut(A, SSH);
}

#[test]
fn sessions_end_with_their_window_and_both_ends_are_told() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab, "3s", "on_close = \"cut\"");
    lab.knock(A);
    let mut session = lab.session(A, SSH);
    assert!(session.lives());
    assert_eq!(connected(&lab), 1);
    spad.says("cut tcp/22 for 10.77.0.2");
    assert_eq!(connected(&lab), 0, "the server was told");
    assert!(!session.lives(), "and the client");
    assert!(!lab.table().contains("10.77.0.2"), "nothing is left in the sets: {}", lab.table());
    lab.knock(A);
    let mut session = lab.session(A, SSH);
    lab.sh(SERVER, "nft flush ruleset");
    spad.says("repaired");
    lab.knock_with(A, &["-4", "--close"]);
    spad.says_times("cut tcp/22 for 10.77.0.2", 2);
    assert!(!session.lives(), "closed early");
}

#[test]
fn sessions_end_with_their_window_though_all_of_spad_was_killed() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = guard(&lab, "3s", "on_close = \"cut\"");
    lab.knock(A);
    let knocked = Instant::now();
    let mut session = lab.session(A, SSH);
    assert!(session.lives());
    spad.kill();
    assert!(knocked.elapsed() < 2 * SECOND && session.lives(), "still in the window, or a slow machine");
    lab.shuts(A, SSH, 4 * SECOND);
    assert!(!session.lives(), "the kernel drops what the client sends");
    assert_eq!(connected(&lab), 1, "nobody was there to tell the server");
    let later = lab.spad();
    later.says("cut tcp/22 for 10.77.0.2");
    assert_eq!(connected(&lab), 0, "a later monitor does");
}

#[test]
fn a_session_lives_on_where_somebody_else_keeps_the_door() {
    let Some(lab) = Lab::with(&[lab::Extra::Nat]) else { return };
    let (_service, spad) = guard(&lab, "2s", "on_close = \"cut\"");
    lab.profile_with("phone", &["--open", "tcp/22", "--window", "5s"]);
    spad.reload();
    spad.says_times("serving", 2);
    lab.knock_with(NAT_A, &["-4", "-a", "source"]);
    lab.knock_with(NAT_B, &["-4", "-a", "source", "--profile", "phone"]);
    let mut session = lab.session(NAT_A, SSH);
    assert!(session.lives());
    spad.says("closed tcp/22");
    assert!(session.lives(), "the phone's lease ended last, and keeps sessions");
    lab.stays_shut(NAT_A, SSH);
    assert!(spad.lines(&["cut "]).is_empty(), "{}", spad.log());
}

#[test]
fn a_session_older_than_the_guard_and_one_of_somebody_always_allowed_are_not_cut() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { always_allow: vec![B.v4], ..Config::default() });
    profile_saying(&lab, "laptop", &["--open", "tcp/22", "--window", "2s"], "on_close = \"cut\"");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let mut old = lab.session(A, SSH);
    let spad = lab.spad();
    lab.knock(A);
    lab.knock(B);
    let mut new = lab.session(A, SSH);
    let mut always = lab.session(B, SSH);
    spad.says("cut tcp/22 for 10.77.0.2");
    spad.says("closed tcp/22 for 10.77.0.3");
    assert!(!new.lives());
    assert!(old.lives() && always.lives());
    eventually("nothing is dropped any more", 3 * SECOND, || !lab.table().contains("10.77.0.3 . tcp"));
    assert!(always.lives());
}

#[test]
fn a_door_for_one_connection_waits_beside_one_that_cuts() {
    let Some(lab) = Lab::with(&[lab::Extra::Nat]) else { return };
    let (_service, spad) = guard(&lab, "2s", "on_close = \"cut\"");
    lab.profile_with("phone", &["--open", "tcp/22", "--window", "1m"]);
    spad.reload();
    spad.says_times("serving", 2);
    lab.knock_with(NAT_B, &["-4", "-a", "source", "--profile", "phone", "--once"]);
    lab.knock_with(NAT_A, &["-4", "-a", "source"]);
    let mut first = lab.session(NAT_A, SSH);
    spad.says("closed tcp/22");
    assert!(first.lives(), "the phone may be who it was");
    lab.opens(NAT_B, SSH);
    lab.stays_shut(NAT_B, SSH);
}

#[test]
fn a_door_stays_open_while_it_is_in_use_and_no_longer() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab, "2s", "extend_while_used = \"1m\"");
    lab.knock(A);
    let knocked = Instant::now();
    let mut session = lab.session(A, SSH);
    std::thread::sleep(7 * SECOND);
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);
    assert!(session.lives());
    assert!(spad.lines(&["closed"]).is_empty(), "after {:?}: {}", knocked.elapsed(), spad.log());
    drop(session);
    // What is left of this window, and another if the session was there when it was looked.
    let took = lab.shuts(A, SSH, 5 * SECOND);
    println!("shut {took:?} after its last session");
    assert!(knocked.elapsed() < 20 * SECOND);
}

#[test]
fn a_door_in_use_shuts_at_its_longest_and_when_nobody_looks() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = guard(&lab, "2s", "extend_while_used = \"5s\"");
    lab.knock(A);
    let knocked = Instant::now();
    let mut session = lab.session(A, SSH);
    lab.shuts(A, SSH, 7 * SECOND);
    let open = knocked.elapsed();
    assert!(open > 4 * SECOND && open < 13 * SECOND / 2, "shut after {open:?} of 5 s");
    assert!(session.lives(), "a session is kept, as without extension");
    lab.knock(A);
    let _second = lab.session(A, SSH);
    spad.kill();
    let took = lab.shuts(A, SSH, 4 * SECOND);
    assert!(took < 3 * SECOND, "{took:?}: the kernel's own time, with nobody left to lengthen it");
}

#[test]
fn a_udp_door_is_in_use_while_datagrams_come() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::protecting(&["udp/53"]));
    let options = ["--open", "udp/53", "--window", "2s"];
    profile_saying(&lab, "laptop", &options, "extend_while_used = \"6s\"");
    let _service = lab.serve(SERVER, &["udp/53"]);
    let _spad = lab.spad();
    let target = format!("{}:53", SERVER.v4);
    lab.knock(A);
    let knocked = Instant::now();
    assert!(lab.ask(A, &target, 1000));
    std::thread::sleep((9 * SECOND / 2).saturating_sub(knocked.elapsed()));
    assert!(lab.ask(A, &target, 0), "after two windows");
    eventually("its longest time is over", 4 * SECOND, || !lab.ask(A, &target, 0));
    assert!(knocked.elapsed() > 5 * SECOND);
    lab.knock_with(B, &["-4"]);
    std::thread::sleep(3 * SECOND);
    assert!(!lab.ask(B, &target, 0), "nothing came through that one");
}

#[test]
fn the_same_by_iptables() {
    for backend in ["iptables-nft", "iptables-legacy"] {
        let Some(lab) = Lab::new() else { return };
        let guard = "backend = \"nftables\"\nmode = \"guard\"\n";
        let config = Config::protecting(&["tcp/22", "tcp/23"]).text();
        lab.write("etc/spad.toml", config.replace(guard, &format!("backend = \"{backend}\"\n")));
        let options = ["--open", "tcp/22,tcp/23", "--window", "3s"];
        profile_saying(&lab, "laptop", &options, "on_close = \"cut\"");
        profile_saying(&lab, "phone", &["--open", "tcp/23", "--window", "3s"], "extend_while_used = \"6s\"");
        let _service = lab.serve(SERVER, &["tcp/22", "tcp/23"]);
        let spad = lab.spad();
        let telnet = format!("{}:23", SERVER.v4);
        lab.knock_with(A, &["-4", "-A", "tcp/22"]);
        lab.knock_with(B, &["-4", "--profile", "phone"]);
        let knocked = Instant::now();
        let mut cut = lab.session(A, SSH);
        let mut extended = lab.session(B, &telnet);
        spad.says("cut tcp/22 for 10.77.0.2");
        assert!(!cut.lives(), "{backend}");
        std::thread::sleep((9 * SECOND / 2).saturating_sub(knocked.elapsed()));
        lab.opens(B, &telnet);
        lab.shuts(B, &telnet, 4 * SECOND);
        assert!(knocked.elapsed() > 5 * SECOND && extended.lives(), "{backend}");
        lab.knock_with(A, &["-4", "--profile", "phone", "--once"]);
        let mut once = lab.session(A, &telnet);
        spad.kill_role("monitor");
        spad.says_times("serving", 2);
        lab.stays_shut(A, &telnet);
        assert!(once.lives(), "{backend}");
    }
}

#[test]
fn a_published_port_is_in_use_and_cut_by_what_connection_tracking_knows() {
    let Some(lab) = Lab::with(&[lab::Extra::Box]) else { return };
    lab.configure(&Config::protecting(&["tcp/8080"]));
    let lines = "extend_while_used = \"6s\"\non_close = \"cut\"";
    profile_saying(&lab, "laptop", &["--open", "tcp/8080", "--window", "2s"], lines);
    let _service = lab.serve(BOX, &["tcp/80"]);
    let spad = lab.spad();
    let published = format!("{}:8080", SERVER.v4);
    lab.knock(A);
    let knocked = Instant::now();
    let mut session = lab.session(A, &published);
    std::thread::sleep((9 * SECOND / 2).saturating_sub(knocked.elapsed()));
    assert!(session.lives(), "after two windows");
    lab.shuts(A, &published, 4 * SECOND);
    assert!(knocked.elapsed() > 5 * SECOND);
    assert!(!session.lives(), "nothing that the client sends arrives");
    assert!(spad.lines(&["cut "]).is_empty(), "it may go on: the inner host has not been told");
    let cut = lab.sh(SERVER, "nft list set inet spad cut4");
    assert!(cut.contains("10.77.0.2 . tcp . 8080"), "{cut}");
}
