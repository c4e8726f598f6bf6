//! `spa-client --invoke`: what is asked of the server, opened as the server opens it.

use std::sync::Arc;

use serde_json::{Value, json};
use spa_core::file::profile::ProfileFile;
use spa_core::file::site::SiteFile;
use spa_core::keyring::Keyring;
use spa_core::request::{Request, Verb};
use spa_core::scheme::native::Sealed;

use crate::scratch::Scratch;

/// What the server of this test reads in each datagram.
fn requests(scratch: &Scratch, datagrams: &[Vec<u8>]) -> Vec<Request> {
    let site = SiteFile::parse(&scratch.read("etc/site.toml")).unwrap();
    let profile = ProfileFile::parse(&scratch.read("etc/profiles/laptop.toml")).unwrap();
    let keyring = Keyring::new([profile.into_profile(Arc::from("laptop"), site.id)]);
    let read = |datagram: &Vec<u8>| {
        let sealed = Sealed::read(datagram, &site.header_keys()).unwrap();
        keyring.open(&sealed).ok().expect("it is authentic").into_parts().1
    };
    datagrams.iter().map(read).collect()
}

#[test]
fn an_action_is_asked_for_by_its_name_with_an_argument_or_without() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22");
    #[rustfmt::skip]
    let rows = [
        // command line, name, arguments, what is said
        ("--invoke wake-nas",           "wake-nas", vec![],       "asked 127.0.0.1 to run wake-nas\n"),
        ("--invoke wake-nas nas2",      "wake-nas", vec!["nas2"], "asked 127.0.0.1 to run wake-nas with nas2\n"),
        ("--invoke=wake-nas -a source", "wake-nas", vec![],       "asked 127.0.0.1 to run wake-nas\n"),
    ];
    for (line, action, arguments, said) in rows {
        let done = scratch.client(line).ok();
        assert_eq!((done.out.as_str(), done.err.as_str()), (said, ""), "{line}");
        let asked = requests(&scratch, &listener.heard());
        assert_eq!(asked.len(), 2, "{line}");
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        let verb = Verb::Invoke { action: action.to_owned(), arguments };
        assert!(asked.iter().all(|request| request.verb == verb && !request.receipt), "{line}: {asked:?}");
        assert_eq!(asked[0].id, asked[1].id, "both are one command");
    }
    scratch.client("--invoke wake-nas --receipt").ok();
    assert!(requests(&scratch, &listener.heard()).iter().all(|request| request.receipt));
}

#[test]
fn a_dry_run_of_an_action_tells_its_name_and_sends_nothing() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22");
    let done = scratch.client("--invoke wake-nas nas2 --dry-run").ok();
    assert!(done.out.contains("asks to   run wake-nas with nas2\n"), "{}", done.out);
    assert!(!done.out.contains("window"), "{}", done.out);
    let done = scratch.client("--invoke wake-nas nas2 --dry-run --json").ok();
    let object: Value = serde_json::from_str(&done.out).unwrap();
    let expected = [
        ("request", json!("invoke")),
        ("action", json!("wake-nas")),
        ("argument", json!("nas2")),
        ("services", Value::Null),
        ("window", Value::Null),
        ("status", json!(0)),
    ];
    for (field, value) in expected {
        assert_eq!(object[field], value, "{field}: {object}");
    }
    assert!(listener.heard().is_empty());
}
