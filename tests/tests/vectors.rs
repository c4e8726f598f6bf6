//! Every file of `tests/vectors/native`, by both halves: the gate judges it as it expects, and sealing gives its bytes
//! again. The files come from a program that shares no code with these crates, which is asked here whether they are
//! still what it writes.

#[path = "vectors/receipts.rs"]
mod receipts;
#[path = "vectors/scenario.rs"]
mod scenario;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use lab::repository;
use spa_core::action::Actions;
use spa_core::crypto::header::Nonce;
use spa_core::gate::Verdict;
use spa_core::policy::{Admission, Effect, Narrowing};
use spa_core::reject::Reject;
use spa_core::request::Request;
use spa_core::scheme::native::seal_exact;
use spa_core::service;

use scenario::Scenario;

fn files() -> Vec<PathBuf> {
    let folder = repository().join("tests/vectors/native");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 200, "only {} vectors", files.len());
    files
}

/// What an admission says, in the words of a vector.
fn told(admission: &Admission, actions: &Actions) -> BTreeMap<&'static str, String> {
    let addresses: Vec<String> = admission.grantees().iter().map(ToString::to_string).collect();
    let mut told = BTreeMap::from([("address", addresses.join(","))]);
    match admission.effect() {
        Effect::Open { services, narrowing, terms } => {
            told.insert("verb", "open".to_owned());
            told.insert("services", service::list(services));
            told.insert("window", terms.window.as_secs().to_string());
            match narrowing {
                Narrowing::None => {}
                Narrowing::Once => drop(told.insert("once", "true".to_owned())),
                Narrowing::SourcePorts(low, high) => drop(told.insert("ports", format!("{low}-{high}"))),
            }
            told.extend(terms.forward.map(|forward| ("leads-to", forward.to.to_string())));
        }
        Effect::Close { services } => {
            told.insert("verb", "close".to_owned());
            told.insert(
                "services",
                if services.is_empty() { "all".to_owned() } else { service::list(services) },
            );
        }
        Effect::Invoke(invocation) => {
            let (action, argument) = actions.named(*invocation).expect("one of the server's");
            told.insert("verb", "invoke".to_owned());
            told.insert("action", action.to_string());
            told.extend(argument.map(|argument| ("argument", argument.to_owned())));
        }
    }
    told
}

#[test]
fn the_gate_judges_every_vector_as_it_expects() {
    let mut wrong = Vec::new();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for path in files() {
        let scenario = Scenario::read(&path);
        *ends.entry(scenario.expect().to_owned()).or_default() += 1;
        match scenario.judge() {
            Verdict::Drop(dropped) if dropped.reject.name() == scenario.expect() => {}
            Verdict::Admit(admission) if scenario.expect() == "admit" => {
                if told(&admission, &scenario.actions()) != scenario.outcome() {
                    wrong.push(format!(
                        "{}: admitted, but {:?}",
                        scenario.name,
                        told(&admission, &scenario.actions())
                    ));
                }
            }
            verdict => wrong.push(format!("{}: {verdict:?}", scenario.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // `frame` comes before the datagram, and `rate` takes a thousand fresh requests: see tests/vectors/README.md.
    for name in Reject::NAMES.into_iter().filter(|name| !["frame", "rate"].contains(name)).chain(["admit"]) {
        assert!(ends.contains_key(name), "no vector expects {name}");
    }
}

#[test]
fn sealing_gives_the_bytes_of_every_vector_that_was_sealed() {
    let (mut sealed, mut broken) = (0, Vec::new());
    for path in files() {
        let scenario = Scenario::read(&path);
        let (Some(request), datagram) = (scenario.request(), scenario.datagram()) else { continue };
        // A right MAC over a body that does not open was not made by sealing.
        if scenario.expect() == "aead" {
            continue;
        }
        let nonce = Nonce(datagram[..16].try_into().unwrap());
        let keys = scenario.sealing_keys(&datagram);
        let again = seal_exact(&keys, request, nonce, datagram.len());
        sealed += 1;
        if again.as_deref() != Ok(datagram.as_slice()) {
            broken.push(scenario.name);
        }
    }
    assert!(broken.is_empty(), "sealed otherwise: {broken:?}");
    assert!(sealed > 150, "only {sealed} were compared");
}

#[test]
fn a_request_has_the_spelling_of_its_vector() {
    for path in files() {
        let scenario = Scenario::read(&path);
        let Some(bytes) = scenario.request() else { continue };
        match Request::decode(&bytes) {
            // An extension is read over, and not written again.
            Ok(_) if scenario.name.contains("extension") || scenario.name.contains("length-") => {}
            Ok(request) => assert_eq!(request.encode(), bytes, "{}", scenario.name),
            Err(_) => assert_eq!(scenario.expect(), "malformed", "{}", scenario.name),
        }
    }
}

fn python(arguments: &[&str]) {
    let script = repository().join(arguments[0]);
    match Command::new("python3").arg(&script).args(&arguments[1..]).output() {
        Err(error) => lab::skip(&format!("python3 does not run: {error}")),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} {}: {said}", arguments.join(" "), output.status);
        }
    }
}

#[test]
fn the_files_and_spec_md_are_what_the_generator_writes() {
    python(&["tests/vectors/generate.py", "--check"]);
}

#[test]
fn the_other_implementation_passes_the_published_vectors_of_its_ciphers() {
    python(&["tests/interop/spa.py", "--self-test"]);
}
