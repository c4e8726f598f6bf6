//! The simulated world: random schedules against the real gate, journal and leases, held against sentences of SPEC.md.
//! A story that went wrong is printed with its seed; `WORLD_SEED=17 cargo test -p spad-tests --test world` tells it again,
//! `WORLD_STORIES=5000` plays more of them.

// A folder of its own, with names as in a crate.
#[allow(unreachable_pub)]
#[path = "world/mod.rs"]
mod world;

use std::collections::BTreeSet;
use std::fs;

use lab::repository;
use world::flaws::Flaw;
use world::schedule::play;
use world::sentences;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_schedules_break_no_sentence_of_the_specification() {
    let seeds = match number("WORLD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WORLD_STORIES").unwrap_or(1000),
    };
    let (mut carried_out, mut demanded, mut letters) = (0, 0, 0);
    for seed in seeds.clone() {
        match play(seed, None) {
            Ok(told) => {
                carried_out += told.carried_out;
                demanded += told.demanded;
                letters += told.letters;
            }
            Err(broken) => panic!("{broken}"),
        }
    }
    println!(
        "{} stories, {letters} letters, {carried_out} carried out, {demanded} demanded",
        seeds.end - seeds.start
    );
    // A world in which nothing is admitted breaks nothing either.
    assert!(seeds.end - seeds.start == 1 || demanded as u64 > 5 * (seeds.end - seeds.start));
}

#[test]
fn every_flaw_is_caught() {
    let mut sentences_used = BTreeSet::new();
    let mut missed = Vec::new();
    for flaw in Flaw::ALL {
        match (0..number("WORLD_STORIES").unwrap_or(3000)).find_map(|seed| play(seed, Some(flaw)).err()) {
            Some(broken) => {
                println!("{flaw:?}: seed {}: {}", broken.seed, broken.violation.sentence);
                sentences_used.insert(broken.violation.sentence);
            }
            None => missed.push(flaw),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn the_sentences_stand_in_the_specification() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let spec = words(&fs::read_to_string(repository().join("docs/SPEC.md")).unwrap());
    for sentence in sentences::ALL {
        assert!(spec.contains(&words(sentence)), "SPEC.md no longer says: {sentence}");
    }
}
