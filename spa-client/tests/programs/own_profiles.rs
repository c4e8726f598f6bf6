//! `spa-client profiles`: what is listed, taken in and removed, and that no key is ever printed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::scratch::{Done, Scratch};

const FOLDER: &str = "home/.config/spa/profiles";
const LAPTOP: &str =
    "laptop --server vpn.example.org --open tcp/22,udp/51820 --freshness clock --out laptop.spa.toml";

/// Runs a client that reads what is written to it.
pub(crate) fn fed(scratch: &Scratch, program: &str, words: &[&str], input: &str) -> Done {
    let mut command = scratch.command(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Done::of(child.wait_with_output().unwrap())
}

/// That no key of a client's half stands in what was printed.
pub(crate) fn tells_no_key(done: &Done, half: &str) {
    for line in half.lines().filter(|line| line.starts_with("key = ") || line.starts_with("site_key = ")) {
        let key = line.split('"').nth(1).unwrap();
        let printed = format!("{}{}", done.out, done.err);
        assert!(!printed.contains(&key[..12]), "a key was printed: {printed}");
    }
}

#[test]
fn a_profile_is_taken_in_listed_shown_and_removed() {
    let scratch = Scratch::new();
    let done = scratch.client("profiles").ok();
    assert!(done.out.is_empty() && done.err.contains("there is no profile in "), "{}", done.err);
    assert_eq!(scratch.client("profiles list --json").ok().out, "[]\n");

    scratch.keygen(LAPTOP).ok();
    let half = scratch.read("laptop.spa.toml");
    let done = scratch.client("profiles import laptop.spa.toml").ok();
    assert!(done.out.starts_with("took in laptop, for vpn.example.org: "), "{}", done.out);
    assert!(done.err.contains("rm laptop.spa.toml"), "{}", done.err);
    assert_eq!(scratch.read(&format!("{FOLDER}/laptop.spa.toml")), half, "as it was");
    assert_eq!(scratch.mode(FOLDER), 0o700);
    assert_eq!(scratch.mode(&format!("{FOLDER}/laptop.spa.toml")), 0o600);

    let day = half.lines().find_map(|line| line.strip_prefix("created = ")).unwrap()[..10].to_owned();
    let listed = scratch.client("profiles").ok();
    assert_eq!(listed.out, format!("laptop  vpn.example.org  tcp/22,udp/51820  created {day}\n"));
    let shown = scratch.client("profiles show laptop").ok();
    for part in ["vpn.example.org, UDP port ", "tcp/22,udp/51820", "30s", "aes256gcm", "not shown"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    let json = scratch.client("profiles show laptop --json").ok();
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    #[rustfmt::skip]
    assert_eq!(fields, [
        "created", "encrypted", "file", "freshness", "hint", "key_id", "name", "opens", "port", "problem", "server",
        "suite", "window_seconds",
    ]);
    assert_eq!(value["opens"], serde_json::json!(["tcp/22", "udp/51820"]));
    assert_eq!((&value["encrypted"], &value["window_seconds"]), (&false.into(), &30.into()));
    for done in [&listed, &shown, &json] {
        tells_no_key(done, &half);
    }

    // Beside a monotonic profile lies its last time.
    scratch.write(&format!("{FOLDER}/laptop.spa.last"), "7\n", 0o600);
    scratch.client("profiles remove laptop --force").ok();
    assert!(fs::read_dir(scratch.path(FOLDER)).unwrap().next().is_none());
    scratch.client("profiles remove laptop --force").failed(3, "there is no profile laptop");
}

#[test]
fn a_paste_is_taken_in_as_well() {
    let scratch = Scratch::new();
    scratch.keygen(LAPTOP).ok();
    let half = scratch.read("laptop.spa.toml");
    // As a terminal or a mail has it.
    let pasted = format!("\r\n{}\r\n\r\n", half.replace('\n', "\r\n"));
    let done = fed(&scratch, "spa-client", &["profiles", "import", "-", "--name", "mine"], &pasted).ok();
    tells_no_key(&done, &half);
    scratch.client("--dry-run --profile mine -D 192.0.2.1").ok();
}

#[test]
fn nothing_is_replaced_unless_that_is_wished() {
    let scratch = Scratch::new();
    scratch.keygen(LAPTOP).ok();
    scratch.keygen("desk --server b.example --open tcp/22 --freshness clock --out desk.spa.toml").ok();
    scratch.client("profiles import laptop.spa.toml").ok();
    let before = scratch.files();
    let done = scratch.client("profiles import desk.spa.toml --name laptop");
    let done = done.failed(3, "laptop.spa.toml exists already");
    assert!(done.err.contains("--force"), "{}", done.err);
    assert_eq!(scratch.files(), before);
    scratch.client("profiles import desk.spa.toml --name laptop --force").ok();
    assert!(scratch.client("profiles").ok().out.starts_with("laptop  b.example "));
}

#[test]
fn what_is_no_clients_half_is_told_by_what_it_is() {
    let scratch = Scratch::new();
    scratch.keygen(LAPTOP).ok();
    let half = scratch.read("laptop.spa.toml");
    let enrolled = scratch.client("enrol vpn.example.org --name a").ok().out;
    let before = scratch.files();
    let file = |name: &str| fs::read_to_string(scratch.path(name)).unwrap();
    #[rustfmt::skip]
    let rows = [
        // text, part of the sentence
        (file("etc/profiles/laptop.toml"),              "is the server's half of a profile"),
        (file("etc/site.toml"),                         "is a server's site.toml"),
        (enrolled.clone(),                              "is a client's line of an enrolment"),
        ("spa-answer:AAAA".to_owned(),                  "is a server's answer"),
        ("[capture]\n[firewall]\n".to_owned(),          "spad.toml"),
        ("[default]\nKEY_BASE64 q83vAS\n".to_owned(),   "is a configuration of fwknop"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----".into(),  "of another program"),
        (String::new(),                                 "is empty"),
        (" \n".to_owned(),                              "is empty"),
        (half[..half.len() / 2].to_owned(),             "what was pasted"),
        (half.replace("format = 1", "format = 2"),      "reads format = 1 only"),
        (half.replace("name = \"laptop\"", "name = \"../../x\""), "the profile's own name is not a name"),
        ("hello".to_owned(),                            "line 1"),
    ];
    for (text, part) in rows {
        let done = fed(&scratch, "spa-client", &["profiles", "import", "-"], &text).failed(3, part);
        tells_no_key(&done, &half);
    }
    assert_eq!(scratch.files(), before, "nothing was written");
}

#[test]
fn loose_files_and_folders_are_refused_with_what_mends_them() {
    let scratch = Scratch::new();
    scratch.keygen(LAPTOP).ok();
    let half = scratch.read("laptop.spa.toml");
    scratch.write("laptop.spa.toml", &half, 0o644);
    let done = scratch.client("profiles import laptop.spa.toml").failed(3, "others than its owner");
    assert!(done.err.contains("chmod 600 laptop.spa.toml"), "{}", done.err);
    assert!(!scratch.path(FOLDER).exists());

    scratch.write(&format!("{FOLDER}/laptop.spa.toml"), &half, 0o644);
    let folder = scratch.path(FOLDER);
    let listed = scratch.client("profiles").ok();
    assert!(listed.out.contains("(chmod 600 ") && listed.out.lines().count() == 1, "{}", listed.out);
    let json: serde_json::Value =
        serde_json::from_str(&scratch.client("profiles list --json").ok().out).unwrap();
    assert!(json[0]["hint"].as_str().unwrap().starts_with("chmod 600 "), "{json}");
    assert!(json[0]["server"].is_null());
    scratch.client("profiles show laptop").failed(3, "others than its owner");

    scratch.write("laptop.spa.toml", &half, 0o600);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
    let done = scratch
        .client("profiles import laptop.spa.toml --name b")
        .failed(3, "others than its owner may write");
    assert!(done.err.contains(&format!("chmod go-w {}", folder.display())), "{}", done.err);

    // On the server likewise.
    for name in ["etc", "etc/profiles", "state"] {
        fs::set_permissions(scratch.path(name), fs::Permissions::from_mode(0o720)).unwrap();
        let before = scratch.files();
        let done =
            scratch.keygen("b --server b --open tcp/22").failed(3, "others than its owner may write there");
        assert!(done.err.contains(&format!("chmod go-w {name}\n")), "{}", done.err);
        assert_eq!(scratch.files(), before);
        fs::set_permissions(scratch.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    scratch.keygen("b --server b --open tcp/22").ok();
}

#[test]
fn only_profiles_are_removed() {
    let scratch = Scratch::new();
    scratch.write("notes.toml", "dear diary", 0o600);
    scratch.client("profiles remove ./notes.toml --force").failed(3, "notes.toml");
    fs::create_dir(scratch.path("a.spa.toml")).unwrap();
    scratch.client("profiles remove ./a.spa.toml --force").failed(3, "is not a file");
    assert!(scratch.path("notes.toml").exists());
}
