//! What `spad metrics` says, to whom, and whether the alerts and the dashboard that come with spad speak of what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{A, B, Config, Lab, Running, SERVER, SSH, Spad, eventually, repository};
use serde_json::Value;
use spa_core::reject::Reject;
use spad::operator::answer::Part;
use spad::operator::event::Kind;
use spad::operator::metrics::FAMILIES;

const SECOND: Duration = Duration::from_secs(1);

/// Samples by name and labels as they are written.
type Samples = BTreeMap<String, u64>;

fn guard(lab: &Lab) -> (Running, Spad) {
    lab.configure(&Config::default());
    lab.profile_with("laptop", &["--open", "tcp/22", "--window", "1m"]);
    (lab.serve(SERVER, &["tcp/22"]), lab.spad())
}

fn metrics(lab: &Lab, status: i32) -> Samples {
    let done = lab.spad_command(&["metrics"]);
    assert_eq!(done.status, Some(status), "{}", done.text());
    read(&done.out)
}

/// Reads the text format strictly: HELP, TYPE, samples of that family, then the next; no family and no sample twice.
fn read(text: &str) -> Samples {
    assert!(text.ends_with('\n'), "the last line has an end");
    let (mut samples, mut seen, mut help, mut family) = (Samples::new(), BTreeSet::new(), "", "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').expect("help has words").0;
            assert!(seen.insert(help), "{help} twice");
            family = "";
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, help, "the type stands below its help");
            let is_listed = FAMILIES.iter().any(|(listed, its, _)| (*listed, *its) == (name, kind));
            assert!(is_listed, "{name} {kind} is not listed");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            family = name;
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let labels = name.strip_prefix(family).filter(|_| !family.is_empty());
            let labels = labels.unwrap_or_else(|| panic!("{line:?} is not of {family:?}"));
            let good = |labels: &str| {
                let (label, value) = labels.strip_prefix('{')?.strip_suffix("\"}")?.split_once("=\"")?;
                let is_name = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                Some(is_name && !value.contains(['"', '\\', '\n']))
            };
            assert!(labels.is_empty() || good(labels) == Some(true), "{line:?}");
            let value = value.parse().unwrap_or_else(|error| panic!("{line:?}: {error}"));
            assert!(samples.insert(name.to_owned(), value).is_none(), "{name} twice");
        }
    }
    samples
}

/// Where it is, if it is.
fn promtool() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([repository().join("target/tools/bin")]);
    folders.map(|folder| folder.join("promtool")).find(|program| program.is_file())
}

#[test]
fn metrics_say_what_status_says_in_the_text_format() {
    let Some(lab) = Lab::new() else { return };
    assert_eq!(metrics(&lab, 7), Samples::from([("spad_up".to_owned(), 0)]), "nobody answers");
    let (_service, _spad) = guard(&lab);
    lab.seal(A, "captured", &[]);
    lab.send(A, "captured", &lab.spa_target());
    lab.opens(A, SSH);
    lab.send(A, "captured", &lab.spa_target());
    let mut all = Samples::new();
    eventually("both are counted", 5 * SECOND, || {
        all = metrics(&lab, 0);
        all["spad_datagrams_refused_total{reason=\"replayed\"}"] == 1
            && all["spad_requests_admitted_total"] == 1
    });
    let version = format!("spad_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    #[rustfmt::skip]
    let rows = [
        ("spad_up", 1), (version.as_str(), 1), ("spad_profiles", 1), ("spad_doors_open", 1), ("spad_frames_lost_total", 0),
        ("spad_events_total{event=\"admitted\"}", 1), ("spad_events_total{event=\"opened\"}", 1),
        ("spad_events_total{event=\"closed\"}", 0), ("spad_reloads_total{outcome=\"taken\"}", 0),
        ("spad_interface_up{interface=\"eth0\"}", 1), ("spad_clock_vouched", 1), ("spad_degraded{part=\"reload\"}", 0),
    ];
    for (name, value) in rows {
        assert_eq!(all.get(name), Some(&value), "{name} in {all:?}");
    }
    // Every family, every reason and every part is there from the first, so that a rate has a beginning.
    for (name, ..) in FAMILIES {
        assert!(all.keys().any(|key| key.split('{').next() == Some(name)), "{name}");
    }
    let has = |family: &str, label: &str, value: &str| {
        assert!(all.contains_key(&format!("{family}{{{label}=\"{value}\"}}")), "{family} {value}");
    };
    Reject::NAMES.iter().for_each(|name| has("spad_datagrams_refused_total", "reason", name));
    Part::ALL.iter().for_each(|part| has("spad_degraded", "part", part.name()));

    lab.write("etc/spad.toml", "nonsense");
    assert_eq!(lab.spad_command(&["reload"]).status, Some(3));
    lab.sh(SERVER, "ip link set eth0 down");
    eventually("what is degraded shows", 10 * SECOND, || {
        all = metrics(&lab, 0);
        let parts = ["reload", "interfaces"].map(|part| all[&format!("spad_degraded{{part=\"{part}\"}}")]);
        parts == [1, 1] && all["spad_interface_up{interface=\"eth0\"}"] == 0
    });
    assert_eq!(all["spad_reloads_total{outcome=\"refused\"}"], 1);
    if let Some(promtool) = promtool() {
        let mut check = Command::new(promtool);
        let mut check = check.args(["check", "metrics"]).stdin(Stdio::piped()).spawn().expect("it starts");
        let text = lab.spad_command(&["metrics"]).out;
        check.stdin.take().expect("asked for").write_all(text.as_bytes()).expect("it reads");
        assert!(check.wait().expect("it ends").success(), "promtool says no");
    }
}

#[test]
fn strangers_change_numbers_only() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = guard(&lab);
    let before: Vec<String> = metrics(&lab, 0).into_keys().collect();
    lab.seal(A, "captured", &[]);
    let mut flood = lab.flood(B, "captured", 24, 200, 2000);
    assert!(flood.wait(10 * SECOND).success());
    lab.knock(A);
    eventually("a knock behind them counts", 5 * SECOND, || {
        metrics(&lab, 0)["spad_requests_admitted_total"] == 1
    });
    let after: Vec<String> = metrics(&lab, 0).into_keys().collect();
    assert_eq!(before, after, "no name and no label comes with them");
}

#[test]
fn a_textfile_is_written_anew_whole_and_says_when_spad_is_gone() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = guard(&lab);
    let file = Lab::inside("spad.prom");
    let (_metrics, _in) = lab.start_spad_command(&["metrics", "--textfile", &file, "--every", "1s"], "said");
    let now = || fs::read_to_string(lab.path("spad.prom")).ok().map(|text| read(&text)).unwrap_or_default();
    eventually("it is there", 10 * SECOND, || now().get("spad_up") == Some(&1));
    let mode = fs::metadata(lab.path("spad.prom")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "the collector is another user");
    lab.knock(A);
    // Each look is at a whole text, or `read` fails.
    eventually("it is written anew", 10 * SECOND, || now()["spad_doors_open"] == 1);
    drop(spad);
    eventually("spad is gone", 20 * SECOND, || now() == Samples::from([("spad_up".to_owned(), 0)]));
    let nowhere = lab.spad_command(&["metrics", "--textfile", "/nowhere/spad.prom"]);
    assert_eq!(nowhere.status, Some(1), "{}", nowhere.text());
}

fn ask(lab: &Lab, request: &[u8]) -> String {
    let mut socket = UnixStream::connect(lab.path("scrape")).expect("it listens");
    socket.set_read_timeout(Some(10 * SECOND)).expect("it may");
    let _ = socket.write_all(request);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn whoever_asks_on_this_host_gets_the_page_and_nobody_holds_it_up() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = guard(&lab);
    for elsewhere in ["0.0.0.0:9622", "10.77.0.1:9622", "[::]:9622", "localhost:9622"] {
        let done = lab.spad_command(&["metrics", "--listen", elsewhere]);
        assert_eq!(done.status, Some(2), "{elsewhere}: {}", done.text());
    }
    let at = format!("unix:{}", Lab::inside("scrape"));
    let (_metrics, _in) = lab.start_spad_command(&["metrics", "--listen", &at], "said");
    eventually("it listens", 10 * SECOND, || UnixStream::connect(lab.path("scrape")).is_ok());
    let answer = ask(&lab, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    assert_eq!(read(body)["spad_up"], 1);
    #[rustfmt::skip]
    let rows: [(&[u8], &str, &str); 5] = [
        (b"GET / HTTP/1.1\r\n\r\n",         "HTTP/1.1 404", "another page"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 404", "another method"),
        (b"\xff\xfe\r\n\r\n",               "HTTP/1.1 404", "garbage that ends"),
        (&[b'x'; 9000],                     "",             "more than a request may have"),
        (b"GET /metrics",                   "",             "no end, in no time"),
    ];
    for (request, begins, why) in rows {
        let answer = ask(&lab, request);
        assert!(
            if begins.is_empty() { answer.is_empty() } else { answer.starts_with(begins) },
            "{why}: {answer}"
        );
    }
    // Three who say nothing take a second each, and no more.
    let _silent: Vec<UnixStream> =
        (0..3).map(|_| UnixStream::connect(lab.path("scrape")).expect("it listens")).collect();
    let begun = Instant::now();
    assert!(ask(&lab, b"GET /metrics HTTP/1.0\r\n\r\n").contains("spad_up 1"));
    assert!(begun.elapsed() < 8 * SECOND, "{:?}", begun.elapsed());

    let (_loopback, _in) = lab.start_spad_command(&["metrics", "--listen", "127.0.0.1:9622"], "said.tcp");
    let get = "python3 -c 'import urllib.request as r; print(r.urlopen(\"http://127.0.0.1:9622/metrics\").read().decode())'";
    eventually("it answers", 10 * SECOND, || lab.run(SERVER, "sh", &["-c", get]).out.contains("spad_up 1"));
}

/// Every name that begins so, in expressions of whatever kind.
fn names(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_word(c)).filter(|word| word.starts_with("spad_"));
    words.map(str::to_owned).collect()
}

/// `(label, value)` of every matcher; a pattern gives each of its choices.
fn matchers(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for label in ["reason", "event", "outcome", "part"] {
        for operator in ["=\"", "=~\"", "!~\"", "!=\""] {
            for rest in text.split(&format!("{label}{operator}")).skip(1) {
                let value = rest.split('"').next().unwrap_or_default();
                all.extend(value.split('|').map(|value| (label.to_owned(), value.to_owned())));
            }
        }
    }
    all
}

fn speaks_of_what_there_is(what: &str, expressions: &str) {
    let known: BTreeSet<String> = FAMILIES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let named = names(expressions);
    assert!(named.len() >= 5, "{what} names {named:?} alone");
    assert!(named.is_subset(&known), "{what}: there is no {:?}", named.difference(&known));
    for (label, value) in matchers(expressions) {
        let is_one = match label.as_str() {
            "reason" => Reject::NAMES.contains(&value.as_str()),
            "event" => Kind::ALL.iter().any(|kind| kind.name() == value),
            "part" => Part::ALL.iter().any(|part| part.name() == value),
            _ => ["taken", "refused"].contains(&value.as_str()),
        };
        assert!(is_one, "{what}: {label} is never {value:?}");
    }
}

#[test]
fn the_alerts_speak_of_what_there_is() {
    let path = repository().join("packaging/prometheus/spad.rules.yml");
    let text = fs::read_to_string(&path).expect("it is there");
    let expressions: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert_eq!(expressions.len(), text.matches("- alert: ").count(), "an expression each, in its line");
    speaks_of_what_there_is("spad.rules.yml", &expressions.join("\n"));
    assert!(!matchers(&expressions.join("\n")).is_empty());
    if let Some(promtool) = promtool() {
        let done = Command::new(promtool).args(["check", "rules"]).arg(&path).output().expect("it starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn the_dashboard_speaks_of_what_there_is() {
    let text = fs::read_to_string(repository().join("packaging/grafana/spad.json")).expect("it is there");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut expressions = vec![dashboard["templating"].to_string()];
    for panel in panels {
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{panel}");
        expressions
            .extend(targets.iter().map(|target| target["expr"].as_str().expect("an expression").to_owned()));
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "an id each");
    speaks_of_what_there_is("spad.json", &expressions.join("\n"));
    let shown = names(&expressions.join("\n"));
    let missing: Vec<_> = FAMILIES.iter().filter(|(name, ..)| !shown.contains(*name)).collect();
    assert!(missing.is_empty(), "nobody looks at {missing:?}");
}

#[test]
fn the_page_names_every_metric() {
    let page = fs::read_to_string(repository().join("docs/man/source/spad.8")).expect("it is there");
    let section =
        page.split(".Ss Metrics\n").nth(1).and_then(|rest| rest.split("\n.Ss ").next()).expect("it has it");
    let listed: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix(".It Li ")).collect();
    let expected: Vec<&str> = FAMILIES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(listed, expected);
    let words: BTreeSet<&str> = section.split([' ', '\n', ',']).collect();
    Part::ALL.iter().for_each(|part| assert!(words.contains(part.name()), "{}", part.name()));
}
