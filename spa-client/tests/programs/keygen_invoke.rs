//! `spa-keygen --invoke`: what a profile may have run, beside what it opens or in place of it.

use spa_core::file::client::ClientFile;
use spa_core::file::profile::ProfileFile;

use crate::scratch::Scratch;

const SPAD: &str = "[action.wake-nas]\nargv = [\"/bin/true\"]\n[action.backup]\nargv = [\"/bin/true\"]\n";

fn invokes(scratch: &Scratch, name: &str) -> Vec<String> {
    let file = ProfileFile::parse(&scratch.read(&format!("etc/profiles/{name}.toml"))).unwrap();
    file.invoke.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_profile_may_invoke_stands_in_the_servers_half_and_stays_when_its_key_is_rotated() {
    let scratch = Scratch::new();
    scratch.write("etc/spad.toml", SPAD, 0o600);
    std::fs::create_dir(scratch.path("out")).unwrap();
    #[rustfmt::skip]
    let rows = [
        // name, options, invoke, part of what is said
        ("a", "--open tcp/22",                                       vec![],                     "a: opens tcp/22 for 30s, at most 5m\n"),
        ("b", "--open tcp/22 --invoke wake-nas",                     vec!["wake-nas"],           "b: opens tcp/22 for 30s, at most 5m; may invoke wake-nas\n"),
        ("c", "--invoke wake-nas,backup --invoke wake-nas",          vec!["wake-nas", "backup"], "c: opens nothing; may invoke wake-nas,backup\n"),
        ("d", "--invoke backup",                                     vec!["backup"],             "\n  spa-client --invoke backup -D 192.0.2.1 --profile d\n"),
        ("e", "--open tcp/22 --invoke backup",                       vec!["backup"],
              "\n  spa-client -A tcp/22 -D 192.0.2.1 --profile e\n  spa-client --invoke backup -D 192.0.2.1 --profile e\n"),
    ];
    for (name, options, actions, said) in rows {
        let done = scratch.keygen(&format!("{name} --server 192.0.2.1 --out out {options}")).ok();
        assert!(done.out.contains(said), "{said}: {}", done.out);
        assert!(!done.out.contains("does not name"), "{}", done.out);
        assert_eq!(invokes(&scratch, name), actions, "{options}");
        let client = scratch.read(&format!("out/{name}.spa.toml"));
        assert_eq!(ClientFile::parse(&client).unwrap().open.is_empty(), !options.contains("--open"));
        assert!(!client.contains("invoke"), "the client's half needs nothing of it: {options}");
        let rotated = scratch.keygen(&format!("rotate {name} --server 192.0.2.1 --out out/{name}.new"));
        rotated.ok();
        assert_eq!(invokes(&scratch, name), actions, "rotated: {options}");
    }
    let table = scratch.keygen("list").ok().out;
    let columns = |name: &str| -> Vec<String> {
        let line = table.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(columns("a ")[2..4], ["tcp/22", "-"], "{table}");
    assert_eq!(columns("b ")[2..4], ["tcp/22", "wake-nas"], "{table}");
    assert_eq!(columns("c ")[2..4], ["-", "wake-nas,backup"], "{table}");
    let listed: serde_json::Value = serde_json::from_str(&scratch.keygen("list --json").ok().out).unwrap();
    let of_c = listed["profiles"].as_array().unwrap().iter().find(|one| one["profile"] == "c").unwrap();
    assert_eq!(
        (&of_c["open"], of_c["invoke"].to_string()),
        (&serde_json::json!([]), r#"["wake-nas","backup"]"#.to_owned())
    );
}

#[test]
fn an_action_that_spad_toml_does_not_name_is_noted_and_is_no_error() {
    let scratch = Scratch::new();
    let note = "spad.toml does not name the action wake-nsa";
    #[rustfmt::skip]
    let rows = [
        // spad.toml, whether it is noted, why
        (None,                             false, "not there yet"),
        (Some("what is this?"),            false, "spad check says what is wrong with it"),
        (Some(SPAD),                       true,  "another"),
        (Some("[capture]\n"),              true,  "none at all"),
        (Some("action = 7\n"),             true,  "no tables"),
        (Some("[action.wake-nsa]\n"),      false, "the same"),
    ];
    for (at, (text, noted, why)) in rows.into_iter().enumerate() {
        if let Some(text) = text {
            scratch.write("etc/spad.toml", text, 0o600);
        }
        let made = format!("p{at} --server 192.0.2.1 --invoke wake-nsa --freshness clock --json");
        let done = scratch.keygen(&made).ok();
        let said = done.object()["notes"].to_string();
        assert_eq!(said.contains(note), noted, "{why}: {said}");
        assert_eq!(invokes(&scratch, &format!("p{at}")), ["wake-nsa"], "{why}");
    }
}

#[test]
fn an_enrolment_may_be_answered_with_a_profile_for_invoking_alone() {
    let scratch = Scratch::new();
    let line = scratch.client("enrol 127.0.0.1 --name laptop").ok().out;
    let accept = format!("accept {} --invoke wake-nas --freshness clock --yes", line.trim());
    let accepted = scratch.keygen(&accept).ok();
    assert!(
        accepted.err.contains("made the profile laptop: opens nothing; may invoke wake-nas\n"),
        "{}",
        accepted.err
    );
    assert_eq!(invokes(&scratch, "laptop"), ["wake-nas"]);
    let finished = scratch.client(&format!("enrol --finish {}", accepted.out.trim())).ok();
    assert!(
        finished.out.contains("made the profile laptop: opens nothing at 127.0.0.1\n"),
        "{}",
        finished.out
    );
}

#[test]
fn a_client_whose_profile_opens_nothing_says_so_in_place_of_a_knock() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--invoke wake-nas");
    for line in ["", "--wait", "ensure", "keep", "run -- true", "--dry-run"] {
        let done = scratch.client(line).failed(3, "laptop.spa.toml: opens nothing");
        assert!(done.err.contains("--invoke NAME"), "{line}: {}", done.err);
    }
    assert!(listener.heard().is_empty());
    let done = scratch.client("--invoke wake-nas").ok();
    assert_eq!((done.out.as_str(), done.err.as_str()), ("asked 127.0.0.1 to run wake-nas\n", ""));
    assert_eq!(listener.heard().len(), 2);
    assert!(scratch.client("profiles").ok().out.contains("  nothing  "));
    assert!(scratch.client("profiles show laptop").ok().out.contains("\nopens     nothing\n"));
    let shown = scratch.client("profiles show laptop --json").ok().out;
    assert!(shown.contains("\"opens\":[]"), "{shown}");
    let code = scratch.keygen("phone --server 192.0.2.1 --invoke wake-nas --qr=always").ok();
    assert!(code.out.contains("The client's half of phone"), "{}", code.out);
}
