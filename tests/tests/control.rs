//! The control socket: what an operator asks, what he is told, and what a hostile caller cannot do with it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab::{A, B, Config, Done, Lab, Running, SERVER, SSH, Spad, eventually};
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

const SECOND: Duration = Duration::from_secs(1);

/// tcp/22, guarded, with profiles `laptop` and `phone` whose windows are a minute.
fn guard(lab: &Lab) -> (Running, Spad) {
    lab.configure(&Config::default());
    for name in ["laptop", "phone"] {
        lab.profile_with(name, &["--open", "tcp/22", "--window", "1m"]);
    }
    (lab.serve(SERVER, &["tcp/22"]), lab.spad())
}

/// A command that must end with this status and print JSON.
fn json(lab: &Lab, arguments: &[&str], status: i32) -> Value {
    let done = lab.spad_command(&[arguments, &["--json"]].concat());
    assert_eq!(done.status, Some(status), "{arguments:?}: {}", done.text());
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", done.text()))
}

fn says(done: &Done, status: i32, words: &[&str]) {
    assert_eq!(done.status, Some(status), "{}", done.text());
    for words in words {
        assert!(done.text().contains(words), "no {words:?} in {}", done.text());
    }
}

#[test]
fn status_tells_what_spad_does_and_counts() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab);
    let fresh = json(&lab, &["status"], 0);
    assert_eq!((&fresh["admitted"], &fresh["doors"]), (&0.into(), &0.into()));
    lab.seal(A, "captured", &[]);
    assert_eq!(lab.send(A, "captured", &lab.spa_target()), lab::Reaction::Silence);
    lab.opens(A, SSH);
    // A replay within seconds is taken for a copy in the log; it is counted even so.
    assert_eq!(lab.send(A, "captured", &lab.spa_target()), lab::Reaction::Silence);
    eventually("both are counted", 5 * SECOND, || {
        let status = json(&lab, &["status"], 0);
        status["admitted"] == 1 && status["refused"]["replayed"] == 1
    });
    let status = json(&lab, &["status"], 0);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["port"], lab.spa_port());
    assert_eq!((&status["profiles"], &status["doors"], &status["lost"]), (&2.into(), &1.into(), &0.into()));
    assert_eq!(status["clock"], "trusted");
    assert_eq!(status["interfaces"], serde_json::json!({"eth0": "up"}));
    assert!(status["firewall"]["place"].as_str().is_some_and(|place| place.contains("spad")), "{status}");
    assert_eq!((&status["degraded"], &status["reload"]), (&serde_json::json!([]), &Value::Null));
    assert!(status["uptime"].as_u64().is_some_and(|uptime| uptime < 60), "{status}");
    let words = lab.spad_command(&["status"]);
    says(&words, 0, &["all is well", "eth0 up", "1 open", "replayed 1", "clock       trusted"]);

    // What a worker counted is not lost with it.
    spad.reload();
    spad.says_times("serving", 2);
    eventually("the sum is kept", 5 * SECOND, || json(&lab, &["status"], 0)["admitted"] == 1);
    assert_eq!(json(&lab, &["status"], 0)["reload"]["taken"], true);
}

#[test]
fn status_says_what_is_degraded_for_as_long_as_it_lasts() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab);
    lab.sh(SERVER, "ip link set eth0 down");
    let is_degraded = |what: &str| {
        let done = lab.spad_command(&["status"]);
        done.status == Some(6)
            && done.out.lines().any(|line| line.starts_with("degraded") && line.contains(what))
    };
    eventually("a part is degraded", 5 * SECOND, || is_degraded("interface eth0 is down"));
    lab.sh(SERVER, "ip link set eth0 up");
    eventually("it is well again", 10 * SECOND, || lab.spad_command(&["status"]).status == Some(0));

    let phone = lab.path("etc/profiles/phone.toml");
    fs::set_permissions(&phone, fs::Permissions::from_mode(0o644)).expect("it is ours");
    says(&lab.spad_command(&["reload"]), 0, &["reloaded"]);
    eventually("a profile is left out", 5 * SECOND, || is_degraded("profiles left out: 1"));
    // The monitor is asked while the worker is away, and its successor cannot begin.
    fs::rename(lab.path("etc/site.toml"), lab.path("etc/away")).expect("it was there");
    spad.kill_role("worker");
    eventually("nobody listens", 5 * SECOND, || is_degraded("nobody hears a knock"));
    fs::rename(lab.path("etc/away"), lab.path("etc/site.toml")).expect("it was there");
    fs::set_permissions(&phone, fs::Permissions::from_mode(0o600)).expect("it is ours");
    eventually("all is well", 10 * SECOND, || lab.spad_command(&["status"]).status == Some(0));
}

#[test]
fn grants_tell_who_holds_what_and_what_goes_through_it() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab);
    assert_eq!(json(&lab, &["grants"], 0), serde_json::json!([]));
    says(&lab.spad_command(&["grants"]), 0, &["no door is open"]);
    lab.knock(A);
    lab.opens(A, SSH);
    let mut session = lab.session(A, SSH);
    assert!(session.lives() && session.lives() && session.lives());
    lab.knock_with(B, &["-4", "--profile", "phone", "--once"]);
    eventually("both are open", 5 * SECOND, || {
        json(&lab, &["grants"], 0).as_array().map(Vec::len) == Some(2)
    });
    let grants = json(&lab, &["grants"], 0);
    let laptop = &grants[0];
    assert_eq!((&laptop["profile"], &laptop["service"]), (&"laptop".into(), &"tcp/22".into()));
    assert_eq!((&laptop["grantee"], &laptop["once"]), (&A.v4.into(), &false.into()));
    assert!(laptop["remaining"].as_u64().is_some_and(|left| (50..=60).contains(&left)), "{laptop}");
    assert_eq!(laptop["key_id"].as_str().map(str::len), Some(8));
    assert!(laptop["since"].is_string() && laptop["until"].is_string() && laptop["asked"].is_string());
    let through = &laptop["through"];
    assert_eq!((&through["connections"], &through["bytes_in"]), (&1.into(), &3.into()), "{through}");
    assert_eq!(through["bytes_out"], 3);
    assert!(through["packets_in"].as_u64() >= Some(4), "{through}");
    assert_eq!((&grants[1]["profile"], &grants[1]["once"]), (&"phone".into(), &true.into()));
    says(&lab.spad_command(&["grants"]), 0, &["PROFILE", "laptop", "tcp/22 once", "3 B"]);

    // A new monitor knows the names, and that it does not know since when.
    spad.kill_role("monitor");
    spad.says_times("serving", 2);
    let grants = json(&lab, &["grants"], 0);
    assert_eq!((&grants[0]["profile"], &grants[0]["since"]), (&"laptop".into(), &Value::Null));
}

#[test]
fn a_list_of_thousands_is_whole() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = guard(&lab);
    for first in 0..8_u16 {
        let ports = format!("{}-{}", 20_000 + first * 256, 20_000 + first * 256 + 255);
        let done = lab.client(A, &["-4", "--profile", "laptop", "--source-port", &ports]);
        assert_eq!(done.status, Some(0), "{}", done.text());
    }
    // One profile holds 1024 at most.
    eventually("they are open", 10 * SECOND, || {
        json(&lab, &["grants"], 0).as_array().map(Vec::len) == Some(1024)
    });
    let revoked = json(&lab, &["revoke", "laptop"], 0);
    // A door a port, and one line for all of them.
    assert_eq!(revoked["closed"].as_array().map(Vec::len), Some(1), "{revoked}");
    assert_eq!(json(&lab, &["grants"], 0), serde_json::json!([]));
}

#[test]
fn revoke_closes_at_once_by_profile_by_address_and_by_key_id() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab);
    let open = || {
        lab.knock(A);
        lab.knock_with(B, &["-4", "--profile", "phone"]);
        lab.opens(A, SSH);
        lab.opens(B, SSH);
    };
    open();
    let id = json(&lab, &["grants"], 0)[0]["key_id"].as_str().expect("it has one").to_owned();
    for whose in ["laptop", A.v4, &id] {
        open();
        let revoked = json(&lab, &["revoke", whose], 0);
        assert_eq!(revoked["closed"], serde_json::json!(["tcp/22 for 10.77.0.2"]), "{whose}");
        assert_eq!((&revoked["still_open"], &revoked["done"]), (&serde_json::json!([]), &true.into()));
        assert_eq!(
            lab.grants(),
            ["10.77.0.3 . tcp . 22"],
            "{whose}: when it says so, the kernel has done it"
        );
        lab.stays_shut(A, SSH);
        lab.opens(B, SSH);
    }
    spad.says_times("closed tcp/22 for 10.77.0.2: the operator revoked it", 3);
    says(&lab.spad_command(&["revoke", "laptop"]), 0, &["nothing was open for laptop"]);
    says(
        &lab.spad_command(&["revoke", "nobody"]),
        1,
        &["spad refuses: no profile that is served is called so"],
    );
    says(&lab.spad_command(&["revoke", ""]), 2, &["neither an address, nor a profile's name"]);

    // What two hold stays open for the other.
    open();
    lab.knock_with(A, &["-4", "--profile", "phone"]);
    eventually("both hold it", 5 * SECOND, || json(&lab, &["grants"], 0).as_array().map(Vec::len) == Some(3));
    let done = lab.spad_command(&["revoke", "laptop"]);
    says(&done, 0, &["still open, as somebody else holds it: tcp/22 for 10.77.0.2"]);
    lab.opens(A, SSH);
}

#[test]
fn reload_says_whether_it_took_and_why_not() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab);
    let good = lab.read("etc/spad.toml");
    says(&lab.spad_command(&["reload"]), 0, &["reloaded: the files as they are now are in force"]);
    assert_eq!(spad.lines(&["serving port="]).len(), 2, "it is so when it says so");
    let site = lab.read("etc/site.toml");
    let other = good.replace("\"nftables\"", "\"iptables\"");
    #[rustfmt::skip]
    let rows = [
        // file, its text (none: removed), what is said
        ("etc/spad.toml", Some(format!("{good}\nfoo = 1\n")), "unknown field `foo`"),
        ("etc/spad.toml", Some(other),                         "backend, mode or attach changed"),
        ("etc/spad.toml", None,                                "cannot open the configuration: No such file"),
        ("etc/site.toml", Some("format = 7\n".to_owned()),     "site.toml"),
    ];
    for (file, text, reason) in rows {
        let before = if file == "etc/site.toml" { &site } else { &good };
        match &text {
            Some(text) => lab.write(file, text),
            None => fs::remove_file(lab.path(file)).expect("it was there"),
        }
        let begun = Instant::now();
        says(&lab.spad_command(&["reload"]), 3, &["reload refused, everything stays as it was: ", reason]);
        let refused = json(&lab, &["reload"], 3);
        assert_eq!(refused["taken"], false);
        assert!(refused["reason"].as_str().is_some_and(|why| why.contains(reason)), "{refused}");
        assert!(begun.elapsed() < 15 * SECOND, "{reason}: it took {:?}", begun.elapsed());
        let status = json(&lab, &["status"], 6);
        let complaint = status["degraded"].to_string();
        assert!(complaint.contains("the last reload was refused"), "{status}");
        lab.write(file, before);
        fs::set_permissions(lab.path(file), fs::Permissions::from_mode(0o600)).expect("it is ours");
    }
    lab.knock(A);
    lab.opens(A, SSH);
    assert_eq!(json(&lab, &["reload"], 0), serde_json::json!({"taken": true, "reason": null}));
    assert_eq!(json(&lab, &["status"], 0)["degraded"], serde_json::json!([]));
}

#[test]
fn who_may_not_ask_and_who_asks_nobody_is_told_so() {
    let Some(lab) = Lab::new() else { return };
    says(&lab.spad_command(&["status"]), 7, &["no spad runs with this state folder", "hint"]);
    let (_service, mut spad) = guard(&lab);
    if lab.is_unprivileged() {
        return;
    }
    let folder = lab.path("state");
    let mode = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("it is ours");
    let program = lab::program("spad").display().to_string();
    let ask_as = |ids: &str, what: &str| {
        let script = format!("setpriv {ids} {program} --state-dir /run/lab/state {what}");
        lab.run(SERVER, "sh", &["-c", &script])
    };
    let stranger = "--reuid=1234 --regid=1234 --clear-groups";
    says(&ask_as(stranger, "status"), 5, &["not permitted", "hint: run this as root"]);
    mode(0o755);
    says(&ask_as(stranger, "revoke laptop"), 5, &["not permitted"]);
    // Whoever opens the socket itself to all is still asked who calls.
    fs::set_permissions(lab.path("state/control"), fs::Permissions::from_mode(0o666)).expect("it is ours");
    says(&ask_as(stranger, "status"), 1, &["spad refuses: only root"]);

    // A folder that hands its group on lets that group in, from the next monitor on.
    std::os::unix::fs::chown(&folder, None, Some(4321)).expect("root may");
    mode(0o2710);
    spad.kill_role("monitor");
    spad.says_times("serving", 2);
    says(&ask_as(stranger, "status"), 5, &["not permitted"]);
    says(&ask_as("--reuid=1234 --regid=4321 --clear-groups", "status"), 0, &["all is well"]);
    says(&ask_as("--reuid=1234 --regid=1234 --groups=7,4321", "status"), 0, &["all is well"]);
    spad.stop();
    says(&lab.spad_command(&["grants"]), 7, &["no spad runs"]);
}

fn socket(lab: &Lab) -> PathBuf {
    lab.path("state/control")
}

fn call(lab: &Lab) -> std::io::Result<Socket> {
    let socket_ = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket_.set_nonblocking(true)?;
    socket_.connect(&SockAddr::unix(socket(lab))?)?;
    Ok(socket_)
}

/// Kilobytes that the monitor has in memory, and its open descriptors.
fn monitor(spad: &Spad) -> (u64, usize) {
    let pid = spad.role("monitor")[0];
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    let size = line.trim().trim_end_matches(" kB").parse().expect("a number");
    (size, fs::read_dir(format!("/proc/{pid}/fd")).expect("root may").count())
}

/// How long a knock takes to open, and to be revoked again.
fn knock(lab: &Lab) -> Duration {
    let begun = Instant::now();
    lab.knock(A);
    lab.opens(A, SSH);
    begun.elapsed()
}

#[test]
fn a_hostile_caller_neither_blocks_nor_feeds_it() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab);
    let quiet = knock(&lab);
    // Enough doors that their list does not fit into a socket.
    for first in 0..4_u16 {
        let ports = format!("{}-{}", 20_000 + first * 256, 20_000 + first * 256 + 255);
        lab.knock_with(A, &["-4", "--source-port", &ports]);
    }
    let monitors = spad.role("monitor");
    let before = monitor(&spad);

    let mut question = [0_u8; 64];
    question[0] = 2;
    let mut held = Vec::new();
    let (mut heard, mut turned_away) = (0, 0);
    let until = Instant::now() + 4 * SECOND;
    for n in 0.. {
        if n >= 1000 && Instant::now() > until {
            break;
        }
        if n % 200 == 150 {
            let took = knock(&lab);
            assert!(took < quiet + SECOND, "a knock took {took:?}, {quiet:?} without callers");
        }
        let Ok(socket) = call(&lab) else {
            turned_away += 1;
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        heard += 1;
        match n % 5 {
            0 => {}
            1 => drop(socket.send(&[0xff; 64])),
            2 => drop(socket.send(&question[..30])),
            3 => drop(socket.send(&[2; 60_000])),
            // Asks for the whole list and reads nothing.
            _ => drop(socket.send(&question)),
        }
        held.push(socket);
    }
    let mut lists = 0;
    for mut socket in &held {
        let mut said = [0_u8; 64];
        lists += usize::from(socket.read(&mut said).is_ok() && said.starts_with(b"{\"Grants\":[{"));
    }
    assert!(lists > 10, "{lists} were sent a list");
    assert!(heard > 50 && heard + turned_away >= 1000, "{heard} {turned_away}");
    let during = monitor(&spad);
    println!(
        "{heard} heard, {turned_away} turned away; KiB and descriptors before {before:?}, during {during:?}"
    );
    assert!(during.1 <= before.1 + 16, "descriptors: {before:?} {during:?}");
    assert!(during.0 < before.0 + 4096, "memory: {before:?} {during:?}");
    drop(held);
    assert_eq!(spad.role("monitor"), monitors, "it is the same monitor");
    json(&lab, &["status"], 0);
    assert!(spad.lines(&["ERROR"]).is_empty(), "{}", spad.log());
    eventually("all of them are gone", 5 * SECOND, || monitor(&spad).1 <= before.1);
}

#[test]
fn somebody_who_holds_all_places_is_put_out_in_time() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = guard(&lab);
    let mut held = Vec::new();
    let full = Instant::now();
    while full.elapsed() < SECOND / 2 {
        held.extend(call(&lab));
    }
    assert!(held.len() >= 32, "{} got a place", held.len());
    json(&lab, &["status"], 0);
    assert!(full.elapsed() < 8 * SECOND, "{:?}", full.elapsed());
}

#[test]
fn watch_shows_events_as_they_come_and_rates() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab);
    let (mut lines, _in) = lab.start_spad_command(&["watch"], "lines");
    let (mut objects, _in) = lab.start_spad_command(&["watch", "--json"], "objects");
    eventually("both watch", 5 * SECOND, || {
        // Only what happens from then on is told.
        json(&lab, &["revoke", "laptop"], 0);
        lab.knock(A);
        lab.read("lines").contains("opened: opened tcp/22 for 10.77.0.2")
            && lab.read("objects").contains("opened")
    });
    lab.knock(A);
    lab.seal(A, "captured", &[]);
    lab.sh(SERVER, "nft delete table inet spad");
    lab.write("etc/spad.toml", "nonsense");
    says(&lab.spad_command(&["reload"]), 3, &["reload refused"]);
    says(&lab.spad_command(&["revoke", A.v4]), 0, &["closed tcp/22 for 10.77.0.2"]);
    // What is not authentic is only counted.
    lab.write("etc/spad.toml", Config::default().text());
    let mut flood = lab.flood(B, "captured", 24, 100, 1000);
    assert!(flood.wait(10 * SECOND).success());
    let all = [
        "refreshed: opened tcp/22 for 10.77.0.2 profile=laptop",
        "trouble: somebody else changed what is spad's",
        "repair: repaired",
        "reload: reload refused, everything stays as it was: ",
        "closed: closed tcp/22 for 10.77.0.2: the operator revoked it",
        "strangers=",
    ];
    eventually("all is shown", 5 * SECOND, || all.iter().all(|line| lab.read("lines").contains(line)));
    let events = lab.read("objects");
    let kinds: std::collections::BTreeSet<String> = events
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("an object a line")["event"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    for kind in ["opened", "refreshed", "closed", "trouble", "repair", "reload"] {
        assert!(kinds.contains(kind), "{kind}: {events}");
    }
    assert!(!lab.read("lines").contains(B.v4), "nobody who is not authentic is named");
    // It outlives a monitor, and ends with spad.
    spad.kill_role("monitor");
    spad.says_times("serving", 2);
    eventually("it calls again", 10 * SECOND, || {
        lab.knock(A);
        lab.read("objects").lines().count() > events.lines().count()
    });
    drop(spad);
    assert_eq!(lines.wait(15 * SECOND).code(), Some(7));
    assert_eq!(objects.wait(15 * SECOND).code(), Some(7));
}

#[test]
fn a_refusal_of_an_authentic_request_is_shown_with_its_reason() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = guard(&lab);
    let (_watch, _in) = lab.start_spad_command(&["watch"], "lines");
    let mut asked = 0;
    eventually("the reason is shown", 20 * SECOND, || {
        // Another profile each time: the same would be told once a minute.
        asked += 1;
        let name = ["laptop", "phone"][asked % 2];
        let _ = lab.client(A, &["-4", "--profile", name, "-A", "tcp/443"]);
        lab.read("lines").contains("refused: refused profile=")
    });
    assert!(lab.read("lines").contains("reason=forbidden"), "{}", lab.read("lines"));
}

#[test]
fn on_a_terminal_watch_draws_anew_in_its_place() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = guard(&lab);
    lab.knock(A);
    let program = lab::program("spad").display().to_string();
    let watch = format!("stty rows 12 cols 60; exec {program} --state-dir /run/lab/state watch");
    let script = format!("TERM=vt100 timeout 4 script -qfc '{watch}' /dev/null </dev/null || true");
    let shown = lab.sh(SERVER, &script);
    let pictures: Vec<&str> = shown.split("\u{1b}[J").collect();
    assert!(pictures.len() >= 3, "{shown:?}");
    for picture in &pictures {
        let rows: Vec<&str> = picture.lines().filter(|line| !line.is_empty()).collect();
        assert!(rows.len() <= 12, "{picture:?}");
        assert!(rows.iter().all(|row| row.chars().count() <= 61), "{picture:?}");
    }
    assert!(pictures[1].contains("DOORS (1)") && pictures[1].contains("laptop"), "{shown:?}");
    assert!(!shown.contains("\u{1b}[3"), "no colour");
}

#[test]
fn who_watches_and_reads_nothing_is_dropped() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab);
    let mut watch = [0_u8; 64];
    watch[0] = 6;
    // More than have a place.
    let mut held: Vec<Socket> = Vec::new();
    eventually("no other may watch", 20 * SECOND, || {
        held.extend(call(&lab).ok().filter(|socket| socket.send(&watch).is_ok()));
        held.len() > 6 && lab.spad_command(&["watch"]).text().contains("4 watch already")
    });
    std::thread::sleep(SECOND / 5);
    let full = monitor(&spad).1;
    eventually("they are dropped", 60 * SECOND, || {
        for _ in 0..10 {
            lab.knock(A);
        }
        monitor(&spad).1 <= full - 4
    });
    drop(held);
    lab.knock(A);
    lab.opens(A, SSH);
}
