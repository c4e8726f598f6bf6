//! A site that is there already, in whatever state.

use std::fs;

use spa_core::crypto::key::SiteId;
use spa_core::file::profile::ProfileFile;
use spa_core::file::site::SiteFile;
use spa_core::journal::{Loaded, MachineHash, load};
use spa_core::profile::Freshness;

use crate::scratch::Scratch;

const FIRST: &str = "laptop --server a --open tcp/22 --freshness clock";
const SECOND: &str = "phone --server a --open tcp/22 --freshness clock";

fn made() -> Scratch {
    let scratch = Scratch::new();
    scratch.keygen(FIRST).ok();
    scratch
}

#[test]
fn a_site_of_another_machine_is_refused_with_the_cure() {
    let scratch = made();
    let site = SiteFile::parse(&scratch.read("etc/site.toml")).unwrap();
    let other = SiteFile::new(site.id, site.key, site.port, MachineHash::of(SiteId(site.id.0), "another"));
    scratch.write("etc/site.toml", other.to_text(), 0o600);
    let before = scratch.files();
    let done = scratch.keygen(SECOND).failed(3, "etc/site.toml belongs to another machine");
    assert!(done.err.contains("make a new site here"), "{}", done.err);
    assert_eq!(scratch.files(), before);
}

#[test]
fn a_journal_that_is_missing_is_told_and_not_replaced() {
    let scratch = made();
    fs::remove_file(scratch.path("state/journal.a")).unwrap();
    fs::remove_file(scratch.path("state/journal.b")).unwrap();
    let done = scratch.keygen(SECOND).ok();
    assert!(
        done.out.contains("note: the replay journal is missing: spad will begin a new one"),
        "{}",
        done.out
    );
    assert!(scratch.path("phone.spa.toml").exists() && !scratch.path("state/journal.a").exists());

    let done = scratch.keygen("tablet --server a --open tcp/22 --freshness monotonic");
    let done = done.failed(3, "a monotonic profile belongs to the replay journal, which is missing");
    assert!(done.err.contains("start spad"), "{}", done.err);
    assert!(!scratch.path("tablet.spa.toml").exists());

    scratch.write("state/journal.a", "torn", 0o600);
    let done = scratch.keygen("tablet --server a --open tcp/22 --freshness clock").ok();
    assert!(done.out.contains("the replay journal is damaged"), "{}", done.out);
    assert_eq!(scratch.read("state/journal.a"), "torn");
}

#[test]
fn a_journal_without_its_site_is_left_alone() {
    let scratch = made();
    fs::remove_file(scratch.path("etc/site.toml")).unwrap();
    let before = scratch.files();
    let done = scratch.keygen(SECOND).failed(3, "there is a replay journal in state, but no etc/site.toml");
    assert!(done.err.contains("rm -f state/journal.a state/journal.b"), "{}", done.err);
    assert_eq!(scratch.files(), before);
}

#[test]
fn a_site_has_one_port() {
    let scratch = Scratch::new();
    scratch.keygen(&format!("{FIRST} --port 20000")).ok();
    scratch.keygen(&format!("{SECOND} --port 20001")).failed(3, "the site has UDP port 20000");
    scratch.keygen(&format!("{SECOND} --port 20000")).ok();
}

#[test]
fn a_site_file_that_is_wrong_is_refused_without_its_secrets() {
    let scratch = made();
    let text = scratch.read("etc/site.toml");
    let site = SiteFile::parse(&text).unwrap();
    let secret = site.key.to_base64();

    scratch.write("etc/site.toml", &text, 0o640);
    let done = scratch.keygen(SECOND).failed(3, "others than its owner have access");
    assert!(done.err.contains("chmod 600 etc/site.toml"), "{}", done.err);

    scratch.write("etc/site.toml", text.replace("key = \"", "kye = \""), 0o600);
    let done = scratch.keygen(SECOND).failed(3, "etc/site.toml, line 5: unknown field `kye`");
    assert!(!done.err.contains(&secret[4..20]));

    scratch.write("etc/site.toml", text.replace("key = \"", "key = [\""), 0o600);
    let done = scratch.keygen(SECOND).failed(3, "etc/site.toml, line ");
    assert!(!done.err.contains(&secret[4..20]));
}

#[test]
fn a_monotonic_profile_names_the_life_of_the_journal() {
    let scratch = Scratch::new();
    scratch.keygen("laptop --server a --open tcp/22 --freshness monotonic").ok();
    scratch.keygen("phone --server a --open tcp/22 --freshness monotonic").ok();
    let site = SiteFile::parse(&scratch.read("etc/site.toml")).unwrap();
    let [a, b] = ["state/journal.a", "state/journal.b"].map(|name| fs::read(scratch.path(name)).unwrap());
    let Loaded::Intact { whole, .. } = load([Some(&a), Some(&b)], site.id, site.machine(), None) else {
        panic!("the journal does not load")
    };
    for name in ["laptop", "phone"] {
        let profile = ProfileFile::parse(&scratch.read(&format!("etc/profiles/{name}.toml"))).unwrap();
        assert_eq!(profile.freshness(), Freshness::Monotonic(whole.header.epoch), "{name}");
        assert!(scratch.read(&format!("{name}.spa.toml")).contains("freshness = \"monotonic\""));
    }
}

#[test]
fn a_machine_without_a_clock_is_told_so() {
    let scratch = Scratch::new();
    let done = scratch.keygen("laptop --server a --open tcp/22").ok();
    let clock = fs::read_dir("/sys/class/rtc").is_ok_and(|mut clocks| clocks.next().is_some());
    let lacks = !clock && fs::metadata("/sys/class").is_ok();
    assert_eq!(done.out.contains("this machine has no real-time clock, so the profile is monotonic"), lacks);
    assert_eq!(scratch.read("etc/profiles/laptop.toml").contains("monotonic"), lacks);
}
