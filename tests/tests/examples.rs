//! The examples in profiles/ and the pages in docs/: held against the parsers that read the real files, and against the
//! tests and vectors that they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use spa_core::file::profile::ProfileFile;
use spa_core::file::profiles::Profiles;
use spa_core::file::site::SiteFile;
use spad::config::Config;

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_example_is_read_as_the_programs_read_it() {
    let folders = entries(&at("profiles"));
    assert!(folders.len() >= 4, "{folders:?}");
    let (mut key_ids, mut several) = (BTreeSet::new(), 0);
    for folder in folders {
        let file = folder.join("spad.toml");
        let config = Config::parse(&read(&file)).unwrap_or_else(|bad| panic!("{}: {bad}", file.display()));
        let profiles: Vec<PathBuf> = entries(&folder).into_iter().filter(|path| *path != file).collect();
        assert!(!profiles.is_empty(), "{} has no profile", folder.display());
        for path in profiles {
            let name = path.display();
            let text = read(&path);
            let held = Profiles::parse(&text).unwrap_or_else(|bad| panic!("{name}: {bad}"));
            several += usize::from(matches!(&held, Profiles::Several(_)));
            if let Profiles::Several(entries) = &held {
                let bad = entries.iter().find_map(|entry| entry.profile.as_ref().err());
                assert_eq!(bad, None, "{name}");
            }
            for (_, profile) in held.into_good() {
                for service in &profile.open {
                    assert!(config.ceiling.services.contains(service), "{name}: {service} is not protected");
                }
                assert!(profile.max_window <= config.ceiling.max_window, "{name}: max_window would be cut");
                assert!(key_ids.insert(profile.key_id()), "{name}: another example has this key_id");
            }
            assert!(
                text.contains("An example to read, not to use"),
                "{name} does not say that its key is known"
            );
        }
    }
    assert!(several > 0, "one example is a file of several");
}

/// The fields that a parser knows, from what it says to one that it does not.
fn fields(refusal: &str) -> BTreeSet<String> {
    let (_, expected) = refusal.split_once("expected ").expect("the parser names the fields it knows");
    let names: BTreeSet<String> = expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(!names.is_empty(), "{refusal}");
    names
}

#[test]
fn the_man_page_describes_every_field_and_no_other() {
    let config = |text: &str| Config::parse(text).expect_err("an unknown field").reason;
    let site = SiteFile::parse("zzz = 1").err().expect("an unknown field").reason;
    let profile = ProfileFile::parse("zzz = 1").err().expect("an unknown field").reason;
    // The tables that must be there stand before the one that is asked, so that none of them is missed first.
    let front = "format = 1\n[capture]\ninterfaces = [\"any\"]\n[firewall]\nprotect = []\n";
    #[rustfmt::skip]
    let rows = [
        // section of the page, what the parser says there
        ("spad.toml",           config("zzz = 1\n")),
        ("The table capture",   config("format = 1\n[capture]\nzzz = 1\n")),
        ("The table firewall",  config("format = 1\n[capture]\ninterfaces = [\"any\"]\n[firewall]\nzzz = 1\n")),
        ("The table freshness", config(&format!("{front}[freshness]\nzzz = 1\n"))),
        ("The table ceiling",   config(&format!("{front}[ceiling]\nzzz = 1\n"))),
        ("The tables action.NAME", config(&format!("{front}[action.a]\nzzz = 1\n"))),
        ("The table hooks",     config(&format!("{front}[hooks]\nzzz = 1\n"))),
        ("site.toml",           site),
        ("profiles/NAME.toml",  profile),
    ];
    let page = read(&at("docs/man/spad.toml.5"));
    for (section, refusal) in rows {
        let start =
            page.find(&format!("\n.Ss {section}\n")).unwrap_or_else(|| panic!("no section {section}"));
        let text = &page[start + 1..];
        let end = text.find("\n.S").unwrap_or(text.len());
        let described: BTreeSet<String> = text[..end]
            .lines()
            .filter_map(|line| line.strip_prefix(".It Ic "))
            .map(|rest| rest.split(' ').next().unwrap_or("").to_owned())
            .collect();
        assert_eq!(described, fields(&refusal), "{section}");
    }
}

/// Texts between the ends of a page's back-quotes.
fn quoted(page: &str) -> impl Iterator<Item = &str> {
    page.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_test_that_a_page_names_exists() {
    let mut named = 0;
    for name in
        ["README.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/PEERS.md", "docs/THREAT-MODEL.md"]
    {
        for reference in quoted(&read(&at(name))) {
            let Some((file, test)) = reference.split_once(".rs::") else { continue };
            let text = read(&at(&format!("{file}.rs")));
            assert!(text.contains(&format!("fn {test}(")), "{name}: {file}.rs has no {test}");
            named += 1;
        }
    }
    assert!(named > 100, "only {named} were found");
}

#[test]
fn every_vector_that_a_page_names_exists() {
    let files = entries(&at("tests/vectors/native"));
    let vectors: Vec<&str> = files.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    let mut named = 0;
    for name in ["docs/PEERS.md", "docs/THREAT-MODEL.md"] {
        let page = read(&at(name));
        for vector in quoted(&page).filter(|word| word.ends_with(".txt")) {
            let (front, back) = vector.split_once('*').unwrap_or((vector, ""));
            let found = vectors.iter().any(|one| one.starts_with(front) && one.ends_with(back));
            assert!(found, "{name}: there is no vector {vector}");
            named += 1;
        }
    }
    assert!(named > 20, "only {named} were found");
}
