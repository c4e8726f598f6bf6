//! What `spad audit` keeps of what happens, what it says of what it missed, and what never comes into it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use lab::{A, B, Config, Lab, Running, SERVER, SSH, Spad, eventually, repository};
use rustix::process::Signal;
use serde_json::Value;
use spad::operator::event::{Cause, Event, Facts, Kind};

const SECOND: Duration = Duration::from_secs(1);

/// tcp/22, guarded, with profiles `laptop` (windows of a minute) and `brief` (of three seconds).
fn guard(lab: &Lab) -> (Running, Spad) {
    lab.configure(&Config::default());
    lab.profile_with("laptop", &["--open", "tcp/22", "--window", "1m"]);
    lab.profile_with("brief", &["--open", "tcp/22", "--window", "3s"]);
    (lab.serve(SERVER, &["tcp/22"]), lab.spad())
}

/// Begins one, and waits until it hears.
fn audit(lab: &Lab, says: &str) -> Running {
    let file = Lab::inside("audit.json");
    let (running, _in) = lab.start_spad_command(&["audit", "--file", &file], says);
    eventually("it hears", 10 * SECOND, || lab.read(says).contains("hearing spad from event"));
    running
}

/// Its events so far; a line that is none fails the test.
fn events(lab: &Lab, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(lab.path(file)).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}")))
        .collect()
}

fn is(event: &Value, expected: &[(&str, Value)]) -> bool {
    expected.iter().all(|(name, value)| event[*name] == *value)
}

fn keeps(lab: &Lab, expected: &[(&str, Value)]) -> Value {
    let mut found = Value::Null;
    eventually(&format!("{expected:?}"), 10 * SECOND, || {
        let event = events(lab, "audit.json").into_iter().find(|event| is(event, expected));
        found = event.unwrap_or_default();
        !found.is_null()
    });
    found
}

#[test]
fn an_audit_keeps_who_got_in_who_did_not_what_closed_and_what_changed() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab);
    let _audit = audit(&lab, "said");
    let of = |kind: &str, profile: &str| vec![("event", kind.into()), ("profile", profile.into())];
    lab.knock(A);
    keeps(&lab, &of("admitted", "laptop"));
    let opened = keeps(&lab, &of("opened", "laptop"));
    assert!(is(&opened, &[("service", "tcp/22".into()), ("grantee", A.v4.into()), ("window", 60.into())]));
    lab.knock(A);
    keeps(&lab, &of("refreshed", "laptop"));
    assert_eq!(lab.spad_command(&["revoke", "laptop"]).status, Some(0));
    let closed = keeps(&lab, &[("event", "closed".into()), ("reason", "operator".into())]);
    assert_eq!(closed["profile"], "laptop");
    assert_eq!(closed["connections"], Value::Null, "nothing lived");

    // The session outlives its door, and is counted when that shuts.
    lab.knock_with(A, &["-4", "--profile", "brief"]);
    lab.opens(A, SSH);
    let mut session = lab.session(A, SSH);
    assert!(session.lives() && session.lives());
    let closed = keeps(&lab, &[("event", "closed".into()), ("reason", "window".into())]);
    assert!(is(&closed, &[("profile", "brief".into()), ("grantee", A.v4.into()), ("connections", 1.into())]));
    assert!(is(&closed, &[("bytes_in", 2.into()), ("bytes_out", 2.into())]), "{closed}");

    let _ = lab.client(A, &["-4", "--profile", "laptop", "-A", "tcp/443"]);
    let refused = keeps(&lab, &of("refused", "laptop"));
    assert!(is(&refused, &[("reason", "forbidden".into()), ("times", 1.into())]), "{refused}");
    assert_eq!(lab.spad_command(&["reload"]).status, Some(0));
    keeps(&lab, &[("event", "reload".into()), ("taken", true.into())]);
    lab.write("etc/spad.toml", "nonsense");
    assert_eq!(lab.spad_command(&["reload"]).status, Some(3));
    keeps(&lab, &[("event", "reload".into()), ("taken", false.into())]);
    lab.write("etc/spad.toml", Config::default().text());
    lab.sh(SERVER, "nft delete table inet spad");
    keeps(&lab, &[("event", "trouble".into())]);
    keeps(&lab, &[("event", "repair".into())]);

    // One number each, without a hole; and the same sentences as in the log.
    let all = events(&lab, "audit.json");
    let numbers: Vec<u64> = all.iter().filter_map(|event| event["number"].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert!(!all.iter().any(|event| event["event"] == "missed"), "{all:?}");
    for event in
        all.iter().filter(|event| ["opened", "closed", "refused"].contains(&event["event"].as_str().unwrap()))
    {
        let text = event["text"].as_str().expect("each has one");
        assert!(!spad.lines(&[text]).is_empty(), "{text:?} is not in the log");
    }
}

#[test]
fn neither_strangers_nor_secrets_come_into_an_audit() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = guard(&lab);
    let _audit = audit(&lab, "said");
    lab.seal(A, "captured", &[]);
    // Junk that passes nothing, and the sealed datagram with its end changed.
    let mut flood = lab.flood(B, "captured", 24, 100, 1000);
    assert!(flood.wait(10 * SECOND).success());
    lab.knock(A);
    keeps(&lab, &[("event", "opened".into())]);
    let text = lab.read("audit.json");
    assert!(!text.contains(B.v4), "a stranger is named: {text}");
    let kinds: Vec<Value> =
        events(&lab, "audit.json").into_iter().map(|event| event["event"].clone()).collect();
    assert_eq!(kinds, ["begun", "admitted", "opened"], "a stranger causes no event");
    let secrets = ["etc/site.toml", "etc/profiles/laptop.toml"].map(|file| lab.read(file));
    let long = |word: &&str| word.len() >= 32;
    let words: BTreeSet<&str> = secrets.iter().flat_map(|text| text.split('"')).filter(long).collect();
    assert!(!words.is_empty(), "there are keys to look for");
    words.iter().for_each(|secret| assert!(!text.contains(secret), "a secret is in it"));
}

#[test]
fn what_an_audit_missed_is_told_as_a_number() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab);
    let audit = audit(&lab, "said");
    lab.knock(A);
    keeps(&lab, &[("event", "opened".into())]);
    audit.signal(Signal::STOP);
    let watchers = || spad_descriptors(&spad);
    let full = watchers();
    eventually("it is dropped, as it reads nothing", 60 * SECOND, || {
        for _ in 0..10 {
            lab.knock(A);
        }
        watchers() < full
    });
    lab.knock(A);
    audit.resume();
    let missed = keeps(&lab, &[("event", "missed".into()), ("reason", "slow".into())]);
    lab.knock(A);
    let number = missed["missed"].as_u64().expect("a number");
    assert!(number > 0);
    // Those kept and those missed are all there were.
    let count = || {
        let all = events(&lab, "audit.json");
        let numbered: Vec<u64> = all.iter().filter_map(|event| event["number"].as_u64()).collect();
        let told =
            numbered.len() as u64 + all.iter().filter_map(|event| event["missed"].as_u64()).sum::<u64>();
        (told, numbered[numbered.len() - 1] - numbered[0] + 1)
    };
    eventually("it adds up", 10 * SECOND, || count().0 == count().1);
    // Two for each request, as the worker counted them, and one when it began to serve.
    let happened = || {
        let status = lab.spad_command(&["status", "--json"]).out;
        let status: Value = serde_json::from_str(&status).expect("JSON");
        status["admitted"].as_u64().map(|admitted| 2 * admitted + 1)
    };
    let last = || events(&lab, "audit.json").iter().filter_map(|event| event["number"].as_u64()).max();
    eventually("nothing else happened", 10 * SECOND, || last() == happened());

    // A new monitor counts anew; the audit stays.
    spad.kill_role("monitor");
    spad.says_times("serving", 2);
    keeps(&lab, &[("event", "missed".into()), ("reason", "monitor".into())]);
    let before = events(&lab, "audit.json").len();
    lab.knock(A);
    eventually("it is heard", 10 * SECOND, || events(&lab, "audit.json").len() > before);
    drop(spad);
    eventually("it says that it waits", 15 * SECOND, || {
        lab.read("said").contains("waiting until there is one to hear")
    });
    let _spad = lab.spad();
    let before = events(&lab, "audit.json").len();
    eventually("it hears the next spad", 10 * SECOND, || {
        lab.knock(A);
        events(&lab, "audit.json").len() > before
    });
}

fn spad_descriptors(spad: &Spad) -> usize {
    let pid = spad.role("monitor")[0];
    fs::read_dir(format!("/proc/{pid}/fd")).expect("root may").count()
}

#[test]
fn a_file_that_is_renamed_away_is_begun_anew_and_a_full_disk_is_told_afterwards() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = guard(&lab);
    let _audit = audit(&lab, "said");
    lab.knock(A);
    keeps(&lab, &[("event", "opened".into())]);
    fs::rename(lab.path("audit.json"), lab.path("audit.json.1")).expect("it is there");
    lab.knock(A);
    keeps(&lab, &[("event", "refreshed".into())]);
    assert!(lab.read("audit.json.1").contains("opened"), "nothing is lost");
    assert_eq!(events(&lab, "audit.json")[0]["event"], "admitted");

    fs::rename(lab.path("audit.json"), lab.path("audit.json.2")).expect("it is there");
    lab.sh(SERVER, "ln -s /dev/full /run/lab/audit.json");
    lab.knock(A);
    eventually("it says so", 10 * SECOND, || {
        lab.read("said").contains("events are missed, as they cannot be written")
    });
    fs::remove_file(lab.path("audit.json")).expect("it is there");
    // The second event of the knock before may come late.
    eventually("it is told", 10 * SECOND, || {
        lab.knock(A);
        events(&lab, "audit.json").iter().any(|event| event["event"] == "refreshed")
    });
    let first = &events(&lab, "audit.json")[0];
    assert!(is(first, &[("event", "missed".into()), ("reason", "target".into())]), "{first}");
    assert!(first["missed"].as_u64().is_some_and(|missed| (1..=2).contains(&missed)), "{first}");
}

#[test]
fn the_journal_gets_entries_with_fields() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = guard(&lab);
    lab.sh(SERVER, "mkdir -p /run/systemd/journal && ln -s /run/lab/journal /run/systemd/journal/socket");
    let journal = UnixDatagram::bind(lab.path("journal")).expect("a socket of the test's own");
    journal.set_read_timeout(Some(10 * SECOND)).expect("it may");
    let (_audit, _in) = lab.start_spad_command(&["audit", "--journald"], "said");
    let next = || {
        let mut entry = [0; 4096];
        let length = journal.recv(&mut entry).expect("an entry");
        String::from_utf8(entry[..length].to_vec()).expect("text")
    };
    assert!(next().contains("SPAD_EVENT=begun\n"));
    lab.knock(A);
    assert!(next().contains("SPAD_EVENT=admitted\n"));
    let entry = next();
    let id = format!("MESSAGE_ID={}", Kind::Opened.message_id());
    let message = format!("MESSAGE=opened tcp/22 for {} profile=laptop window=1m", A.v4);
    let grantee = format!("SPAD_GRANTEE={}", A.v4);
    let (profile, number) = ("SPAD_PROFILE=laptop", "SPAD_NUMBER=");
    for field in [
        &message,
        &id,
        &grantee,
        "PRIORITY=6",
        "SYSLOG_IDENTIFIER=spad-audit",
        profile,
        "SPAD_SERVICE=tcp/22",
    ] {
        assert!(entry.lines().any(|line| line == field), "no {field} in {entry}");
    }
    assert!(entry.contains(number), "{entry}");
}

#[test]
fn an_audit_needs_no_capability_and_says_what_it_cannot_do() {
    let Some(lab) = Lab::new() else { return };
    let none = lab.spad_command(&["audit"]);
    assert_eq!(none.status, Some(2), "{}", none.text());
    let nowhere = lab.spad_command(&["audit", "--file", "/nowhere/audit.json"]);
    assert_eq!(nowhere.status, Some(1), "{}", nowhere.text());
    assert!(nowhere.text().contains("hint"), "{}", nowhere.text());
    if lab.is_unprivileged() {
        return;
    }
    let (_service, _spad) = guard(&lab);
    let program = lab::program("spad").display().to_string();
    let file = "/run/lab/audit.json";
    let run = |ids: &str, file: &str| {
        let script = format!(
            "timeout 3 setpriv {ids} --no-new-privs {program} --state-dir /run/lab/state audit --file {file}"
        );
        lab.run(SERVER, "sh", &["-c", &script])
    };
    let stranger = run("--reuid=1234 --regid=1234 --clear-groups", "/dev/null");
    assert_eq!(stranger.status, Some(5), "{}", stranger.text());
    assert_eq!(
        run("--bounding-set=-all --inh-caps=-all", file).status,
        Some(124),
        "it goes on until it is ended"
    );
    assert_eq!(events(&lab, "audit.json")[0]["event"], "begun");
}

#[test]
fn the_page_names_every_event_every_reason_to_close_and_every_field() {
    let page = fs::read_to_string(repository().join("docs/man/source/spad.8")).expect("it is there");
    let section = page.split(".Ss Events\n").nth(1).expect("the page has it");
    let section = section.split("\n.Ss ").next().expect("the page has it");
    let is_named = |word: &str| section.split([' ', '\n', ',']).any(|there| there == word);
    for kind in Kind::ALL {
        let row = format!(".It Li {}\n.Li {}\n", kind.name(), kind.message_id());
        assert!(section.contains(&row), "{}: {row}", kind.name());
    }
    assert_eq!(section.matches(".It Li ").count(), Kind::ALL.len(), "the page names others");
    Cause::ALL.iter().for_each(|cause| assert!(is_named(cause.name()), "{}", cause.name()));
    let text = || Some(String::new());
    let facts = Facts {
        profile: text(),
        service: text(),
        grantee: text(),
        source_ports: text(),
        window: Some(0),
        forward: text(),
        action: text(),
        argument: text(),
        reason: text(),
        times: Some(0),
        taken: Some(true),
        missed: Some(0),
        connections: Some(0),
        bytes_in: Some(0),
        bytes_out: Some(0),
    };
    let event =
        serde_json::to_value(Event { number: Some(0), facts, ..Event::default() }).expect("it can be");
    for field in event.as_object().expect("it is one").keys() {
        assert!(is_named(field), "{field} is not in the page");
    }
}
