//! What `spad runner` runs, as whom, how often, and what it never runs.

use std::collections::BTreeMap;
use std::fs;
use std::process::ChildStdin;
use std::time::{Duration, Instant};

use lab::{A, B, Config, Lab, Running, SERVER, SSH, Spad, eventually, skip};
use rustix::process::Signal;
use serde_json::Value;

const SECOND: Duration = Duration::from_secs(1);

/// What most commands of these tests are: a shell that writes where the test reads it.
const SCRIPTS: &str = "/run/actions";

/// A laboratory whose commands can write below /run/told, or nothing where there is one user only.
fn lab() -> Option<Lab> {
    let lab = Lab::new()?;
    if lab.is_unprivileged() {
        skip("a command runs as another user, and this laboratory has one only");
        return None;
    }
    lab.sh(SERVER, &format!("mkdir -m 755 {SCRIPTS} && mkdir -m 777 /run/told"));
    Some(lab)
}

/// Writes a script of root's.
fn script(lab: &Lab, name: &str, text: &str) {
    lab.write("script", format!("#!/bin/sh\n{text}\n"));
    lab.sh(SERVER, &format!("install -m 755 /run/lab/script {SCRIPTS}/{name}"));
}

/// spad with this in its spad.toml, and a profile `laptop` that may invoke these actions.
fn guard(lab: &Lab, more: &'static str, invoke: &str) -> (Running, Spad) {
    lab.configure(&Config { more, ..Config::default() });
    lab.profile_with("laptop", &["--open", "tcp/22", "--window", "1m"]);
    may_invoke(lab, "laptop", invoke);
    (lab.serve(SERVER, &["tcp/22"]), lab.spad())
}

fn may_invoke(lab: &Lab, profile: &str, actions: &str) {
    let path = format!("etc/profiles/{profile}.toml");
    let text = lab.read(&path);
    let lines = text.lines().filter(|line| !line.starts_with("invoke = "));
    lab.write(
        &path,
        lines.chain([format!("invoke = {actions}").as_str()]).collect::<Vec<_>>().join("\n") + "\n",
    );
}

/// A runner that hears.
fn runner(lab: &Lab, says: &str) -> (Running, ChildStdin) {
    let started = lab.start_spad_command(&["runner"], says);
    lab.wait_for(says, "can be run=");
    started
}

fn invoke(lab: &Lab, words: &[&str]) {
    let _ = lab.client(A, &[&["-4", "--profile", "laptop", "--invoke"], words].concat()).ok();
}

/// Lines of a file that commands write.
fn told(lab: &Lab, file: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{}/root/run/told/{file}", lab.anchor())).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn tells(lab: &Lab, file: &str, lines: usize) -> Vec<String> {
    eventually(&format!("{lines} lines in {file}"), 10 * SECOND, || told(lab, file).len() >= lines);
    told(lab, file)
}

fn events(lab: &Lab, kind: &str) -> u64 {
    let status: Value = serde_json::from_str(&lab.spad_command(&["status", "--json"]).out).expect("JSON");
    status["events"][kind].as_u64().expect("a number")
}

/// What a command tells of itself: a name and a value a line.
const PROBE: &str = "{ for word; do echo \"word $word\"; done
env | sort | grep -v '^_=\\|^PWD=\\|^SHLVL=' | sed 's/^/env /'
grep '^Uid\\|^Gid\\|^Groups\\|^Cap\\|^NoNewPrivs\\|^Seccomp:\\|^SigIgn' /proc/self/status | tr '\\t' ' '
echo cwd $(pwd) umask $(umask)
echo stdin $(readlink /proc/self/fd/0)
echo session $(cut -d' ' -f6 /proc/$$/stat) $$
for fd in $(ls /proc/$$/fd); do echo fd $fd $(readlink /proc/$$/fd/$fd | sed 's/:.*//'); done
} >/run/told/probe.part; mv /run/told/probe.part /run/told/probe";

#[test]
fn an_invocation_runs_once_as_its_user_with_its_words_and_with_nothing_of_ours() {
    let Some(lab) = lab() else { return };
    script(&lab, "probe", PROBE);
    let more = "[action.probe]\nargv = [\"/run/actions/probe\", \"a b\", \"$HOME;id\"]\narguments = [\"nas1\", \"nas2\"]\n\
                user = \"daemon\"\ngroup = \"mail\"\n";
    let (_service, spad) = guard(&lab, more, "[\"probe\"]");
    // A descriptor that somebody left open, a variable with a secret, signals that are ignored.
    let program = lab::program("spad").display().to_string();
    let script = format!(
        "trap '' HUP INT QUIT USR1; exec 9</etc/passwd; exec {program} --config /run/lab/etc/spad.toml --state-dir /run/lab/state runner"
    );
    let mut command = lab.command(SERVER, "sh");
    command.args(["-c", &script]).env("SECRET", "x");
    command.stderr(fs::File::create(lab.path("said")).expect("there is room"));
    let _runner = lab.start(command);
    lab.wait_for("said", "can be run=1");
    invoke(&lab, &["probe", "nas2"]);
    let all = tells(&lab, "probe", 10);
    let one = |name: &str| -> Vec<&str> {
        all.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).collect()
    };
    assert_eq!(one("word"), ["a b", "$HOME;id", "nas2"], "no shell between");
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let address = format!("SPAD_ADDRESS={}", A.v4);
    let expected = [
        path,
        "SPAD_ACTION=probe",
        &address,
        "SPAD_ARGUMENT=nas2",
        "SPAD_EVENT=invoke",
        "SPAD_PROFILE=laptop",
    ];
    assert_eq!(one("env"), expected);
    assert_eq!(one("Uid:"), ["1 1 1 1"]);
    assert_eq!(one("Gid:"), ["8 8 8 8"]);
    assert_eq!(one("Groups:")[0].trim(), "", "no supplementary group");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(one(set), ["0000000000000000"], "{set}");
    }
    assert_eq!(one("NoNewPrivs:"), ["1"]);
    let ignored = u64::from_str_radix(one("SigIgn:")[0], 16).expect("a mask");
    assert_eq!(ignored & 0x7fff_ffff, 0, "it can be asked to end: {ignored:x}");
    assert_eq!(one("cwd"), ["/ umask 0077"]);
    assert_eq!(one("stdin"), ["/dev/null"]);
    let session: Vec<&str> = one("session")[0].split(' ').collect();
    assert_eq!(session[0], session[1], "a session of its own");
    // What the script itself has open: itself (10, or another number above 2), and its three.
    let descriptors = one("fd");
    assert!(
        descriptors.iter().all(|fd| !fd.contains("/etc/passwd") && !fd.contains("socket")),
        "{descriptors:?}"
    );
    assert!(descriptors.contains(&"1 /run/told/probe.part"), "{descriptors:?}");
    lab.wait_for("said", "action=probe event=invoke: done after");
    spad.says("invoked probe nas2 for 10.77.0.2 profile=laptop");
    assert_eq!((events(&lab, "invoked"), events(&lab, "admitted")), (1, 1));
}

#[test]
fn what_a_profile_or_an_action_does_not_list_is_refused_and_a_replay_runs_nothing() {
    let Some(lab) = lab() else { return };
    script(&lab, "note", "echo $SPAD_PROFILE $SPAD_ARGUMENT >>/run/told/runs");
    let more = "[action.note]\nargv = [\"/run/actions/note\"]\narguments = [\"one\"]\n\
                [action.other]\nargv = [\"/run/actions/note\"]\n";
    let more = more_as_daemon(more);
    let (_service, spad) = guard(&lab, more, "[\"note\"]");
    lab.profile_with("plain", &["--open", "tcp/22"]);
    spad.reload();
    spad.says_times("serving", 2);
    let _runner = runner(&lab, "said");
    for words in [&["note", "two"][..], &["other"], &["missing"]] {
        invoke(&lab, words);
    }
    let _ = lab.client(A, &["-4", "--profile", "plain", "--invoke", "note"]).ok();
    spad.says("refused profile=laptop reason=forbidden");
    spad.says("refused profile=plain reason=forbidden");
    // Sealed once, sent five times.
    lab.seal(A, "captured", &["--invoke", "note", "one"]);
    for _ in 0..5 {
        let _ = lab.send(A, "captured", &lab.spa_target());
    }
    assert_eq!(tells(&lab, "runs", 1), ["laptop one"]);
    invoke(&lab, &["note"]);
    assert_eq!(tells(&lab, "runs", 2), ["laptop one", "laptop"], "nothing else was run in between");
    assert_eq!(events(&lab, "invoked"), 2);
}

#[test]
fn a_profile_for_invoking_alone_runs_its_action_and_opens_nothing() {
    let Some(lab) = lab() else { return };
    script(&lab, "note", "echo $SPAD_PROFILE $SPAD_ARGUMENT >>/run/told/runs");
    let more = more_as_daemon("[action.note]\nargv = [\"/run/actions/note\"]\narguments = [\"one\"]\n");
    lab.configure(&Config { more, ..Config::default() });
    lab.profile_with("alarm", &["--invoke", "note"]);
    let (_service, spad) = (lab.serve(SERVER, &["tcp/22"]), lab.spad());
    assert_eq!(lab.spad_command(&["check"]).status, Some(0));
    let found: Value = serde_json::from_str(&lab.spad_command(&["doctor", "--json"]).out).expect("JSON");
    let profiles = found.as_array().expect("a list").iter().find(|one| one["id"] == "profiles");
    assert_eq!(profiles.expect("it looks")["state"], "ok", "{found}");
    let _runner = runner(&lab, "said");
    let words = ["-4", "--profile", "alarm"];
    let _ = lab.client(A, &[&words[..], &["--invoke", "note", "one"]].concat()).ok();
    assert_eq!(tells(&lab, "runs", 1), ["alarm one"]);
    // Its client sends no knock by itself; one that is made all the same is refused.
    let knock = lab.client(A, &words);
    assert_eq!(knock.status, Some(3), "{}", knock.text());
    assert!(knock.err.contains("opens nothing") && knock.err.contains("--invoke"), "{}", knock.err);
    let _ = lab.client(A, &[&words[..], &["-A", "tcp/22"]].concat()).ok();
    spad.says("refused profile=alarm reason=forbidden");
    lab.stays_shut(A, SSH);
    assert_eq!((events(&lab, "invoked"), events(&lab, "opened")), (1, 0));
}

/// Actions of the test may not run as nobody, whom the daemon itself is where there is no user spad.
fn more_as_daemon(more: &str) -> &'static str {
    let with = |line: &str| match line.starts_with("[action.") {
        true => format!("{line}\nuser = \"daemon\"\n"),
        false => format!("{line}\n"),
    };
    Box::leak(more.lines().map(with).collect::<String>().into_boxed_str())
}

#[test]
fn hooks_learn_what_happened_and_until_when() {
    let Some(lab) = lab() else { return };
    script(
        &lab,
        "note",
        "env | grep ^SPAD_ | sort | tr '\\n' ' ' >>/run/told/$SPAD_EVENT; echo >>/run/told/$SPAD_EVENT",
    );
    let more = more_as_daemon(
        "[action.note]\nargv = [\"/run/actions/note\"]\n[hooks]\non_open = [\"note\"]\n\
         on_refresh = [\"note\"]\non_close = [\"note\"]\non_refuse = [\"note\"]\n",
    );
    let (_service, _spad) = guard(&lab, more, "[]");
    let _runner = runner(&lab, "said");
    // Strangers by the thousand, and captures with a changed end.
    lab.seal(A, "captured", &[]);
    let mut flood = lab.flood(B, "captured", 24, 1000, 5000);
    assert!(flood.wait(10 * SECOND).success());
    lab.knock(A);
    let fields = |line: &str| -> BTreeMap<String, String> {
        line.split_whitespace()
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let opened = fields(&tells(&lab, "open", 1)[0]);
    let expected = [
        ("SPAD_ACTION", "note"),
        ("SPAD_ADDRESS", A.v4),
        ("SPAD_EVENT", "open"),
        ("SPAD_PROFILE", "laptop"),
        ("SPAD_SERVICE", "tcp/22"),
        ("SPAD_WINDOW", "60"),
    ];
    for (name, value) in expected {
        assert_eq!(opened.get(name).map(String::as_str), Some(value), "{opened:?}");
    }
    assert!(opened["SPAD_UNTIL"].ends_with('Z') && opened.len() == 7, "{opened:?}");
    lab.knock(A);
    assert_eq!(fields(&tells(&lab, "refresh", 1)[0])["SPAD_WINDOW"], "60");
    assert_eq!(lab.spad_command(&["revoke", "laptop"]).status, Some(0));
    assert_eq!(fields(&tells(&lab, "close", 1)[0])["SPAD_REASON"], "operator");
    let _ = lab.client(A, &["-4", "--profile", "laptop", "-A", "tcp/443"]);
    let refused = fields(&tells(&lab, "refuse", 1)[0]);
    assert_eq!((refused["SPAD_REASON"].as_str(), refused["SPAD_TIMES"].as_str()), ("forbidden", "1"));
    for (file, runs) in [("open", 1), ("refresh", 1), ("close", 1), ("refuse", 1)] {
        assert_eq!(told(&lab, file).len(), runs, "{file}: a stranger had something run");
    }
}

/// `kill -9` of every process of this name.
fn kill_all(lab: &Lab, name: &str) {
    let script = format!(
        "for p in /proc/[0-9]*; do read n <$p/comm && [ \"$n\" = {name} ] && kill -9 ${{p#/proc/}}; done || true"
    );
    lab.sh(SERVER, &script);
}

/// How long a knock takes until its door is open.
fn knock(lab: &Lab) -> Duration {
    let begun = Instant::now();
    lab.knock(A);
    lab.opens(A, SSH);
    begun.elapsed()
}

#[test]
fn a_hook_that_hangs_five_seconds_changes_nothing_for_the_next_knock() {
    let Some(lab) = lab() else { return };
    script(&lab, "hang", "echo $$ >>/run/told/began; sleep 5; echo $$ >>/run/told/ended");
    let more =
        more_as_daemon("[action.hang]\nargv = [\"/run/actions/hang\"]\n[hooks]\non_open = [\"hang\"]\n");
    let (_service, _spad) = guard(&lab, more, "[]");
    let normal: Vec<Duration> = (0..3)
        .map(|_| {
            let took = knock(&lab);
            assert_eq!(lab.spad_command(&["revoke", "laptop"]).status, Some(0));
            took
        })
        .collect();
    let _runner = runner(&lab, "said");
    let hung: Vec<Duration> = (1..=4)
        .map(|n| {
            let took = knock(&lab);
            tells(&lab, "began", n);
            assert_eq!(lab.spad_command(&["revoke", "laptop"]).status, Some(0));
            took
        })
        .collect();
    assert_eq!(told(&lab, "ended").len(), 0, "all of them hang meanwhile");
    println!("a knock without hooks: {normal:?}; while 0, 1, 2, 3 hooks hang: {hung:?}");
    let slowest = *normal.iter().max().expect("three");
    assert!(hung.iter().all(|took| *took < slowest * 2 + SECOND), "{normal:?} {hung:?}");
}

#[test]
fn never_more_than_eight_run_at_once_and_what_does_not_fit_is_counted() {
    let Some(lab) = lab() else { return };
    script(&lab, "slow", "echo + >>/run/told/all; sleep 1; echo - >>/run/told/all");
    let more =
        more_as_daemon("[action.slow]\nargv = [\"/run/actions/slow\"]\n[hooks]\non_open = [\"slow\"]\n");
    let protect = vec!["tcp/22", "tcp/23", "tcp/24", "tcp/25"];
    lab.configure(&Config { more, protect: protect.clone(), ..Config::default() });
    lab.profile_with("laptop", &["--open", &protect.join(","), "--window", "1m"]);
    let half = lab.read("etc/profiles/laptop.toml");
    lab.write("etc/profiles/laptop.toml", format!("{half}any_address = true\n"));
    let (_service, _spad) = (lab.serve(SERVER, &["tcp/22"]), lab.spad());
    let _runner = runner(&lab, "said");
    // Four doors each.
    for n in 1..=50 {
        lab.knock_with(A, &["-4", "-a", &format!("10.99.0.{n}")]);
    }
    lab.wait_for("said", "8 commands run and 64 wait: more are dropped");
    let said = lab.wait_for("said", "commands were dropped, as too many were to be run at once");
    let dropped: usize = said
        .lines()
        .filter_map(|line| {
            line.split(" WARN ")
                .nth(1)?
                .strip_suffix(" commands were dropped, as too many were to be run at once")
        })
        .map(|number| number.trim().parse::<usize>().expect("a number"))
        .sum();
    eventually("all have ended", 20 * SECOND, || {
        let all = told(&lab, "all");
        all.len() == 2 * (200 - dropped)
    });
    let (mut now, mut most) = (0_i32, 0);
    for line in told(&lab, "all") {
        now += if line == "+" { 1 } else { -1 };
        most = most.max(now);
    }
    println!("200 opens: {} ran, {dropped} were dropped, {most} at once", 200 - dropped);
    assert!(most <= 8 && dropped > 0, "{most} {dropped}");
    assert_eq!(
        said.matches("more are dropped").count(),
        said.matches("commands were dropped").count(),
        "said once"
    );
}

#[test]
fn the_limit_ends_a_command_with_all_that_came_from_it_and_its_end_does_so_too() {
    let Some(lab) = lab() else { return };
    let run = "echo here >>/run/told/began; (setsid sh -c 'echo $$ >>/run/told/pids; exec sleep 600' &) ; \
               (setsid setsid sh -c 'sleep 601 & echo $! >>/run/told/pids; wait' &); sleep 0.3; [ \"$SPAD_ARGUMENT\" ] || sleep 602";
    script(&lab, "leave", run);
    let more = more_as_daemon(
        "[action.leave]\nargv = [\"/run/actions/leave\"]\narguments = [\"behind\"]\nlimit = \"2s\"\n",
    );
    let (_service, _spad) = guard(&lab, more, "[\"leave\"]");
    let (mut running, _in) = runner(&lab, "said");
    let sleeping = || lab.running("sleep").len();
    invoke(&lab, &["leave"]);
    tells(&lab, "pids", 2);
    assert!(sleeping() >= 2);
    lab.wait_for("said", "action=leave event=invoke: killed after its limit of 2s");
    assert_eq!(sleeping(), 0, "whoever calls setsid is found too");
    // Its own end is the end of what it left behind.
    invoke(&lab, &["leave", "behind"]);
    lab.wait_for("said", "action=leave event=invoke: done after");
    assert_eq!(told(&lab, "pids").len(), 4);
    assert_eq!(sleeping(), 0);
    // A supervisor that is killed.
    invoke(&lab, &["leave"]);
    tells(&lab, "pids", 6);
    kill_all(&lab, "spad-supervisor");
    lab.wait_for("said", "its supervisor ended");
    eventually("nothing is left", 10 * SECOND, || sleeping() == 0);
    // The runner that is killed.
    invoke(&lab, &["leave"]);
    tells(&lab, "pids", 8);
    running.signal(Signal::KILL);
    let _ = running.wait(5 * SECOND);
    kill_all(&lab, "spad-runner");
    eventually("nothing is left", 10 * SECOND, || {
        sleeping() == 0 && lab.running("spad-supervisor").is_empty()
    });
}

#[test]
fn output_comes_into_the_log_bounded_and_without_a_control_character() {
    let Some(lab) = lab() else { return };
    script(
        &lab,
        "talk",
        "printf 'plain\\n\\033[2Jcleared\\007\\n'; echo to stderr >&2; i=0; while [ $i -lt 3000 ]; do \
         echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done; exit 3",
    );
    let more = more_as_daemon("[action.talk]\nargv = [\"/run/actions/talk\"]\n");
    let (_service, _spad) = guard(&lab, more, "[\"talk\"]");
    let _runner = runner(&lab, "said");
    invoke(&lab, &["talk"]);
    let said = lab.wait_for("said", "action=talk event=invoke: ended with status 3 after");
    assert!(said.contains("action=talk: plain\n"), "{said}");
    assert!(said.contains("action=talk: \\u{1b}[2Jcleared\\u{7}\n"), "{said}");
    assert!(said.contains("action=talk: to stderr\n"), "{said}");
    assert!(said.contains("action=talk event=invoke: more output was dropped\n"), "{said}");
    assert_eq!(said.matches("action=talk: ").count(), 64);
    assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
}

#[test]
fn one_runner_at_a_time_whom_status_shows_and_the_group_may_not_be() {
    let Some(lab) = lab() else { return };
    let more = more_as_daemon("[action.a]\nargv = [\"/bin/true\"]\n");
    let (_service, spad) = guard(&lab, more, "[\"a\"]");
    let status =
        || -> Value { serde_json::from_str(&lab.spad_command(&["status", "--json"]).out).expect("JSON") };
    assert_eq!((&status()["runner"], &status()["parts"]), (&false.into(), &serde_json::json!(["actions"])));
    assert!(lab.spad_command(&["metrics"]).out.contains("\nspad_runner_connected 0\n"));
    invoke(&lab, &["a"]);
    spad.says("reason=runner times=1 not run: a: nobody runs actions");
    assert_eq!(events(&lab, "invoked"), 0);
    let (mut first, _in) = runner(&lab, "said");
    assert_eq!((&status()["runner"], &status()["parts"]), (&true.into(), &serde_json::json!([])));
    assert!(lab.spad_command(&["metrics"]).out.contains("\nspad_runner_connected 1\n"));
    // Watchers cannot take its place, nor it theirs.
    let second = lab.spad_command(&["runner"]);
    assert_eq!(second.status, Some(1), "{}", second.text());
    assert!(second.text().contains("another runner is there already"), "{}", second.text());
    first.signal(Signal::TERM);
    let _ = first.wait(5 * SECOND);
    spad.says("the runner of actions is gone");
    assert_eq!(status()["runner"], false);
    let program = lab::program("spad").display().to_string();
    // A new monitor finds that the folder hands its group on.
    lab.sh(SERVER, "chgrp 4321 /run/lab/state && chmod 2750 /run/lab/state");
    spad.kill_role("monitor");
    spad.says_times("serving", 2);
    let as_user = |capabilities: &str| {
        let script = format!(
            "setpriv --reuid=1234 --regid=4321 --clear-groups --no-new-privs {capabilities} {program} --config /run/lab/etc/spad.toml --state-dir /run/lab/state runner"
        );
        lab.run(SERVER, "sh", &["-c", &format!("timeout 5 {script}")])
    };
    let none = as_user("");
    assert_eq!(none.status, Some(5), "{}", none.text());
    assert!(none.text().contains("may not become other users"), "{}", none.text());
    let capabilities = "+setuid,+setgid,+kill";
    let of_the_group = as_user(&format!("--inh-caps={capabilities} --ambient-caps={capabilities}"));
    assert_eq!(of_the_group.status, Some(1), "{}", of_the_group.text());
    assert!(of_the_group.text().contains("only root, and whom spad runs as"), "{}", of_the_group.text());
}

#[test]
fn whatever_dies_around_an_invocation_it_never_runs_twice() {
    let Some(lab) = lab() else { return };
    script(&lab, "note", "echo $SPAD_ARGUMENT >>/run/told/runs");
    let arguments: Vec<String> = (0..24).map(|n| format!("n{n}")).collect();
    let more = more_as_daemon(&format!(
        "[action.note]\nargv = [\"/run/actions/note\"]\narguments = {arguments:?}\n"
    ));
    let (_service, spad) = guard(&lab, more, "[\"note\"]");
    let mut at = runner(&lab, "said");
    for (n, argument) in arguments.iter().enumerate() {
        let file = format!("captured{n}");
        lab.seal(A, &file, &["--invoke", "note", argument]);
        let (length, target) = (lab.bytes(&file).len(), lab.spa_target());
        // It is on its way while one of them dies, a little later each time.
        let _sends = lab.flood(A, &file, length, 1, 1000);
        std::thread::sleep(Duration::from_millis(n as u64));
        match n % 3 {
            0 => spad.kill_role("worker"),
            1 => spad.kill_role("monitor"),
            _ => {
                kill_all(&lab, "spad-runner");
                drop(at);
                at = runner(&lab, "said");
            }
        }
        let is_well = || lab.spad_command(&["status"]).status == Some(0);
        eventually("all of it is there again", 20 * SECOND, is_well);
        for _ in 0..2 {
            let _ = lab.send(A, &file, &target);
        }
    }
    invoke(&lab, &["note"]);
    eventually("the last one is run", 10 * SECOND, || told(&lab, "runs").iter().any(String::is_empty));
    let mut runs = told(&lab, "runs");
    let all = runs.len();
    runs.sort();
    runs.dedup();
    println!("{} of 25 invocations were run", runs.len());
    assert_eq!(runs.len(), all, "one was run twice: {:?}", told(&lab, "runs"));
    assert!(runs.len() >= 4, "{runs:?}");
}

#[test]
fn a_reload_changes_what_is_run_and_a_file_that_is_not_in_force_runs_nothing() {
    let Some(lab) = lab() else { return };
    script(&lab, "one", "echo one >>/run/told/runs");
    script(&lab, "two", "echo two >>/run/told/runs");
    let one = more_as_daemon("[action.a]\nargv = [\"/run/actions/one\"]\n");
    let two = more_as_daemon("[action.a]\nargv = [\"/run/actions/two\"]\n");
    let (_service, _spad) = guard(&lab, one, "[\"a\"]");
    let (running, input) = runner(&lab, "said");
    invoke(&lab, &["a"]);
    assert_eq!(tells(&lab, "runs", 1), ["one"]);
    // Written, and not yet in force.
    lab.configure(&Config { more: two, ..Config::default() });
    invoke(&lab, &["a"]);
    assert_eq!(tells(&lab, "runs", 2), ["one", "one"]);
    assert_eq!(lab.spad_command(&["reload"]).status, Some(0));
    eventually("it has read it", 10 * SECOND, || lab.read("said").matches("can be run=1").count() == 2);
    invoke(&lab, &["a"]);
    assert_eq!(tells(&lab, "runs", 3), ["one", "one", "two"]);
    // A hook without its action: refused, and all stays.
    lab.configure(&Config { more: "[hooks]\non_open = [\"a\"]\n", ..Config::default() });
    let refused = lab.spad_command(&["reload"]);
    assert_eq!(refused.status, Some(3), "{}", refused.text());
    assert!(refused.text().contains("hooks.on_open: there is no [action.a]"), "{}", refused.text());
    invoke(&lab, &["a"]);
    assert_eq!(tells(&lab, "runs", 4)[3], "two");
    // A runner that comes now finds a file that is not in force.
    drop((running, input));
    kill_all(&lab, "spad-runner");
    let (_running, _in) = lab.start_spad_command(&["runner"], "again");
    lab.wait_for("again", "is not what spad has in force: nothing is run");
    invoke(&lab, &["a"]);
    std::thread::sleep(SECOND);
    assert_eq!(told(&lab, "runs").len(), 4);
    lab.configure(&Config { more: one, ..Config::default() });
    assert_eq!(lab.spad_command(&["reload"]).status, Some(0));
    lab.wait_for("again", "can be run=1");
    invoke(&lab, &["a"]);
    assert_eq!(tells(&lab, "runs", 5)[4], "one");
}

#[test]
fn spad_check_says_what_cannot_be_run_here() {
    let Some(lab) = lab() else { return };
    script(&lab, "good", "true");
    lab.sh(SERVER, "cp /run/actions/good /run/actions/loose && chmod 777 /run/actions/loose; mkdir -m 777 /run/open && cp /run/actions/good /run/open/good; ln -s /run/actions/good /run/open/link; ln -s /run/open/good /run/actions/link");
    lab.profile("laptop");
    #[rustfmt::skip]
    let rows = [
        // action, status, what is said
        ("argv = [\"/run/actions/good\"]\nuser = \"daemon\"",                        0, "in order"),
        ("argv = [\"/run/actions/good\"]\nuser = \"daemon\"\ngroup = \"mail\"",      0, "in order"),
        ("argv = [\"/run/actions/missing\"]\nuser = \"daemon\"",                     3, "/run/actions/missing: No such file"),
        ("argv = [\"/run/actions/loose\"]\nuser = \"daemon\"",                       3, "others may write /run/actions/loose"),
        ("argv = [\"/run/open/good\"]\nuser = \"daemon\"",                           3, "others may write /run/open"),
        ("argv = [\"/run/open/link\"]\nuser = \"daemon\"",                           3, "others may write /run/open"),
        ("argv = [\"/run/actions/link\"]\nuser = \"daemon\"",                        3, "others may write /run/open"),
        ("argv = [\"/run/actions\"]\nuser = \"daemon\"",                             3, "is not a program"),
        ("argv = [\"/run/actions/good\"]\nuser = \"nemo\"",                          3, "there is no user nemo"),
        ("argv = [\"/run/actions/good\"]\nuser = \"daemon\"\ngroup = \"nemo\"",      3, "there is no group nemo"),
        ("argv = [\"good\"]",                                                        3, "begins with the whole path"),
        ("argv = []",                                                                3, "begins with the whole path"),
    ];
    for (action, status, said) in rows {
        lab.write("etc/spad.toml", format!("{}[action.a]\n{action}\n", Config::default().text()));
        let check = lab.spad_command(&["check"]);
        assert_eq!(check.status, Some(status), "{action}: {}", check.text());
        assert!(check.text().contains(said), "{action}: {}", check.text());
    }
    // A profile that names an action that is not there: said, and what it opens is not touched.
    lab.configure(&Config::default());
    may_invoke(&lab, "laptop", "[\"gone\"]");
    let check = lab.spad_command(&["check"]);
    assert!(
        check.text().contains("profile laptop may invoke gone, which spad.toml does not name"),
        "{}",
        check.text()
    );
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    spad.says("profile laptop may invoke gone, which spad.toml does not name");
    lab.knock(A);
    lab.opens(A, SSH);
}

#[test]
fn three_capabilities_are_enough_for_a_runner_that_is_not_root() {
    let Some(lab) = lab() else { return };
    script(
        &lab,
        "probe",
        "setsid sleep 600 & grep '^Uid\\|^CapPrm\\|^CapAmb' /proc/self/status | tr '\\t' ' ' >/run/told/probe; wait",
    );
    lab.configure(&Config {
        more: "[action.probe]\nargv = [\"/run/actions/probe\"]\nuser = \"daemon\"\nlimit = \"1s\"\n",
        ..Config::default()
    });
    lab.profile("laptop");
    may_invoke(&lab, "laptop", "[\"probe\"]");
    lab.sh(SERVER, "chown -R 65534:65534 /run/lab/etc /run/lab/state; chmod 711 /run/lab/etc");
    let program = lab::program("spad").display().to_string();
    let start = |capabilities: &str, command: &str, log: &str| {
        let script = format!(
            "exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --inh-caps=-all,{capabilities} \
             --ambient-caps=-all,{capabilities} --bounding-set=-all,{capabilities} {program} \
             --config /run/lab/etc/spad.toml --state-dir /run/lab/state {command}"
        );
        let mut command = lab.command(SERVER, "sh");
        command.args(["-c", &script]).stderr(fs::File::create(lab.path(log)).expect("there is room"));
        lab.start(command)
    };
    // As its unit has it: whoever is another user is not even seen.
    lab.outside("mount -o remount,hidepid=invisible /proc");
    let _spad = start("+net_admin,+net_raw", "", "log");
    lab.wait_for("log", "serving");
    let _runner = start("+setuid,+setgid,+kill", "runner", "said");
    lab.wait_for("said", "can be run=1");
    invoke(&lab, &["probe"]);
    let zeros = "0000000000000000";
    let expected = ["Uid: 1 1 1 1".to_owned(), format!("CapPrm: {zeros}"), format!("CapAmb: {zeros}")];
    assert_eq!(tells(&lab, "probe", 3), expected);
    lab.wait_for("said", "killed after its limit of 1s");
    assert_eq!(lab.running("sleep").len(), 0, "another user's process that called setsid");
}

#[test]
fn a_receipt_says_whether_it_was_handed_over_and_what_is_observed_runs_nothing() {
    let Some(lab) = lab() else { return };
    script(&lab, "note", "echo run >>/run/told/runs");
    let more = more_as_daemon("[action.note]\nargv = [\"/run/actions/note\"]\n[ceiling]\nreceipts = true\n");
    lab.configure(&Config { more, ..Config::default() });
    lab.profile_with("laptop", &["--open", "tcp/22", "--receipt"]);
    may_invoke(&lab, "laptop", "[\"note\"]");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let mut spad = lab.spad();
    let ask = |action: &str| lab.client(A, &["-4", "--profile", "laptop", "--receipt", "--invoke", action]);
    eventually("the sender is there", 10 * SECOND, || !spad.role("sender").is_empty());
    let nobody = ask("note");
    assert_eq!(nobody.status, Some(9), "nobody runs it: {}", nobody.text());
    let listens = runner(&lab, "said");
    let done = ask("note");
    assert_eq!(done.status, Some(0), "{}", done.text());
    assert_eq!(tells(&lab, "runs", 1).len(), 1);
    let not_its = ask("other");
    assert_eq!(not_its.status, Some(9), "{}", not_its.text());
    lab.seal(A, "captured", &["--invoke", "note"]);
    drop(listens);
    kill_all(&lab, "spad-runner");
    assert_eq!(spad.stop(), Some(0));
    let (_observing, _in) = lab.start_spad_command(&["--observe"], "observed");
    lab.wait_for("observed", "serving");
    let (_runner, _in) = runner(&lab, "again");
    let _ = lab.send(A, "captured", &lab.spa_target());
    lab.wait_for("observed", "not run: note: spad only observes");
    std::thread::sleep(SECOND / 2);
    assert_eq!(told(&lab, "runs").len(), 1);
}

#[test]
fn a_configuration_on_trial_is_what_is_run_until_it_is_over() {
    let Some(lab) = lab() else { return };
    script(&lab, "one", "echo one >>/run/told/runs");
    script(&lab, "two", "echo two >>/run/told/runs");
    let one = more_as_daemon("[action.a]\nargv = [\"/run/actions/one\"]\n");
    let two = more_as_daemon("[action.a]\nargv = [\"/run/actions/two\"]\n");
    let (_service, spad) = guard(&lab, one, "[\"a\"]");
    let _runner = runner(&lab, "said");
    lab.configure(&Config { more: two, ..Config::default() });
    let (_apply, _in) = lab.start_spad_command(&["apply", "--confirm", "4s"], "apply");
    lab.wait_for("apply", "in force for 4s");
    let read = |times| lab.read("said").matches("can be run=1").count() == times;
    eventually("it has read the one on trial", 10 * SECOND, || read(2));
    invoke(&lab, &["a"]);
    assert_eq!(tells(&lab, "runs", 1), ["two"]);
    eventually("and the one before again", 20 * SECOND, || read(3));
    invoke(&lab, &["a"]);
    assert_eq!(tells(&lab, "runs", 2)[1], "one");
    // A monitor that is new is heard as well.
    spad.kill_role("monitor");
    spad.says_times("a runner of actions is there", 2);
    eventually("it serves", 10 * SECOND, || lab.spad_command(&["status"]).status == Some(0));
    invoke(&lab, &["a"]);
    assert_eq!(tells(&lab, "runs", 3)[2], "one");
}

#[test]
fn the_doctor_says_whether_what_is_named_can_be_run_and_whether_somebody_does() {
    let Some(lab) = lab() else { return };
    let more = more_as_daemon("[action.a]\nargv = [\"/bin/true\"]\n");
    let (_service, _spad) = guard(&lab, more, "[\"a\"]");
    let finding = || -> Value {
        let found = lab.spad_command(&["doctor", "--json"]).out;
        let found: Vec<Value> = serde_json::from_str(&found).expect("JSON");
        found.into_iter().find(|finding| finding["id"] == "actions").expect("it looks")
    };
    assert_eq!(
        (&finding()["state"], &finding()["fix"]),
        (&"warning".into(), &"systemctl enable --now spad-runner".into())
    );
    let _runner = runner(&lab, "said");
    assert_eq!(finding()["state"], "ok", "{}", finding());
    lab.write(
        "etc/spad.toml",
        Config { more: more_as_daemon("[action.a]\nargv = [\"/bin/tru\"]\n"), ..Config::default() }.text(),
    );
    assert_eq!(finding()["state"], "bad", "{}", finding());
}
