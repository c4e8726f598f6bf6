//! The life of a key: rotated with overlap, listed, revoked while spad serves.

use std::thread::sleep;
use std::time::Duration;

use lab::{A, Config, Lab, SSH, eventually};
use serde_json::Value;

/// Longer than the windows of these tests.
const SHUT: Duration = Duration::from_secs(10);

/// Rotates `laptop`, with its new half where the client finds it under this name.
fn rotate(lab: &Lab, name: &str, overlap: &str) -> lab::Done {
    let out = Lab::inside(&format!("home/.config/spa/profiles/{name}.spa.toml"));
    lab.keygen(&["rotate", "laptop", "--server", "server.test", "--overlap", overlap, "--out", &out])
}

fn listed(lab: &Lab) -> Value {
    serde_json::from_str(&lab.keygen(&["list", "--json"]).ok().out).expect("it is JSON")
}

fn knocks_and_opens(lab: &Lab, profile: &str) {
    lab.knock_with(A, &["-4", "--profile", profile]);
    lab.opens(A, SSH);
    lab.shuts(A, SSH, SHUT);
}

fn knocks_in_vain(lab: &Lab, profile: &str) {
    lab.knock_with(A, &["-4", "--profile", profile]);
    lab.stays_shut(A, SSH);
}

#[test]
fn a_rotated_key_opens_and_the_one_before_it_as_long_as_was_said() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();

    let done = rotate(&lab, "second", "1h").ok();
    assert!(done.out.contains("spad has taken it up") && !done.out.contains("key ="), "{}", done.out);
    knocks_and_opens(&lab, "laptop");
    knocks_and_opens(&lab, "second");
    let all = listed(&lab);
    let lines = all["profiles"].as_array().expect("a list");
    let seen: Vec<_> = lines.iter().map(|line| (&line["profile"], &line["previous"])).collect();
    assert_eq!(seen, [(&"laptop".into(), &false.into()), (&"laptop".into(), &true.into())], "{all}");
    assert_ne!(lines[0]["key_id"], lines[1]["key_id"]);
    assert!(lines[1]["expires"].is_string() && lines[0]["expires"].is_null(), "{all}");

    let before = lab.read("etc/profiles/laptop.toml");
    let refused = rotate(&lab, "third", "1h");
    assert_eq!(refused.status, Some(3), "{}", refused.text());
    assert!(refused.err.contains("was rotated before"), "{}", refused.err);
    assert_eq!(lab.read("etc/profiles/laptop.toml"), before);
    assert!(!lab.path("home/.config/spa/profiles/third.spa.toml").exists());

    // Without an overlap both keys before have ended at once.
    rotate(&lab, "third", "0s").ok();
    knocks_in_vain(&lab, "laptop");
    knocks_in_vain(&lab, "second");
    knocks_and_opens(&lab, "third");

    // By itself, with nobody reloading.
    rotate(&lab, "fourth", "1s").ok();
    sleep(Duration::from_millis(1100));
    knocks_in_vain(&lab, "third");
    knocks_and_opens(&lab, "fourth");
}

#[test]
fn a_key_that_works_until_the_new_one_is_used_never_works_again() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { skew: "2s", ..Config::default() });
    lab.profile("laptop");
    let _service = lab.serve(lab::SERVER, &["tcp/22"]);
    let mut spad = lab.spad();
    // As if the server had known nothing before: the new key has no memory at all.
    let done = rotate(&lab, "second", "until-used").ok();
    assert!(done.out.contains("works until this one is used"), "{}", done.out);
    knocks_and_opens(&lab, "laptop");
    spad.kill();
    let mut spad = lab.spad();
    knocks_and_opens(&lab, "laptop");
    let keys = |lab: &Lab| listed(lab)["profiles"].as_array().map(Vec::len);
    assert_eq!(keys(&lab), Some(2));
    assert!(listed(&lab)["profiles"][1]["until_used"] == true);
    assert_eq!(rotate(&lab, "third", "until-used").status, Some(3), "both still work");

    knocks_and_opens(&lab, "second");
    knocks_in_vain(&lab, "laptop");
    spad.says("asked for something by a key whose successor is in use");
    assert_eq!(keys(&lab), Some(1));
    lab.spad_command(&["reload"]).ok();
    knocks_in_vain(&lab, "laptop");
    spad.kill();
    let mut spad = lab.spad();
    knocks_in_vain(&lab, "laptop");

    // A journal that is lost does not know of that use, and the stolen key does not come back with the loss.
    spad.kill();
    for file in ["state/journal.a", "state/journal.b"] {
        std::fs::remove_file(lab.path(file)).expect("a journal has two files");
    }
    let _spad = lab.spad();
    eventually("the present key opens", Duration::from_secs(20), || {
        lab.knock_with(A, &["-4", "--profile", "laptop"]);
        lab.stays_shut(A, SSH);
        lab.knock_with(A, &["-4", "--profile", "second"]);
        lab.probe(A, SSH) == "open"
    });
    assert_eq!(keys(&lab), Some(1));
    lab.shuts(A, SSH, SHUT);
    // Nor is another rotation held up by it.
    rotate(&lab, "third", "until-used").ok();
    knocks_and_opens(&lab, "second");
    knocks_and_opens(&lab, "third");
    knocks_in_vain(&lab, "second");
}

#[test]
fn the_sites_key_is_rotated_while_the_clients_follow_one_by_one() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    lab.profile("ben");
    let out = Lab::inside("new");
    lab.keygen(&["rotate", "--site", "--server", "server.test", "--out", &out]).ok();
    assert_eq!(listed(&lab)["site_key_rotating"], true);
    lab.sh(A, "cp /run/lab/new/ben.spa.toml /run/lab/home/.config/spa/profiles/ben-new.spa.toml");
    knocks_and_opens(&lab, "ben");
    knocks_and_opens(&lab, "ben-new");
    assert!(lab.path("new/laptop.spa.toml").exists(), "every profile has its new half");

    let again = lab.keygen(&["rotate", "--site", "--server", "server.test", "--out", &Lab::inside("newer")]);
    assert_eq!(again.status, Some(3), "{}", again.text());
    lab.keygen(&["rotate", "--site", "--finish"]).ok();
    assert_eq!(listed(&lab)["site_key_rotating"], false);
    knocks_in_vain(&lab, "ben");
    knocks_and_opens(&lab, "ben-new");
    assert_eq!(lab.keygen(&["rotate", "--site", "--finish"]).status, Some(3), "nothing to finish");
}

#[test]
fn a_revoked_profile_has_its_doors_closed_and_opens_none() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    lab.profile_with("laptop", &["--open", "tcp/22", "--window", "4m"]);
    lab.profile_with("ben", &["--open", "tcp/22", "--window", "4m"]);
    let _service = lab.serve(lab::SERVER, &["tcp/22"]);
    let spad = lab.spad();
    lab.knock(A);
    lab.opens(A, SSH);
    // The key before goes with the present one.
    rotate(&lab, "second", "1h").ok();
    lab.opens(A, SSH);

    let done = lab.keygen(&["revoke", "laptop", "laptop"]).ok();
    assert!(done.out.contains("the doors are closed"), "{}", done.out);
    lab.stays_shut(A, SSH);
    knocks_in_vain(&lab, "laptop");
    knocks_in_vain(&lab, "second");
    assert!(lab.sh(A, "ls /run/lab/etc/profiles/retired").starts_with("laptop-"));
    assert_eq!(lab.keygen(&["revoke", "laptop"]).status, Some(3), "there is none");

    // A daemon that cannot reload goes on with what it has, which must not look like success.
    lab.knock_with(A, &["-4", "--profile", "ben"]);
    lab.opens(A, SSH);
    let good = lab.read("etc/spad.toml");
    lab.write("etc/spad.toml", "format = 99\n");
    let refused = lab.keygen(&["revoke", "ben"]);
    assert_eq!(refused.status, Some(1), "{}", refused.text());
    assert!(refused.err.contains("still opens doors"), "{}", refused.err);
    lab.opens(A, SSH);
    lab.write("etc/spad.toml", good);
    lab.spad_command(&["reload"]).ok();
    lab.stays_shut(A, SSH);

    lab.profile("carl");
    drop(spad);
    let done = lab.keygen(&["revoke", "carl"]).ok();
    assert!(done.out.contains("nobody to tell"), "{}", done.out);
}

#[test]
fn the_list_says_when_each_was_last_used_and_shows_no_key() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    lab.profile_with("guest", &["--open", "tcp/22", "--expires", "2199-01-01"]);
    lab.write("etc/profiles/wrong.toml", "format = 1\n");
    let line = |name: &str| {
        let all = listed(&lab);
        let lines = all["profiles"].as_array().expect("a list").clone();
        lines.into_iter().find(|line| line["profile"] == name).expect("it is there")
    };
    assert!(line("laptop")["last_used"].is_null());
    lab.knock(A);
    lab.opens(A, SSH);
    let (used, never) = (line("laptop"), line("guest"));
    let at = used["last_used"].as_str().expect("a moment");
    assert!(at > used["created"].as_str().expect("a moment"), "{used}");
    assert!(never["last_used"].is_null() && never["expired"] == false, "{never}");
    assert_eq!(never["expires"], "2199-01-01T00:00:00.000Z");

    let table = lab.keygen(&["list"]).ok();
    let row = table.out.lines().find(|row| row.starts_with("laptop ")).expect("a row");
    assert!(row.ends_with(&at[..16]), "{row}");
    assert!(table.err.contains("wrong.toml"), "{}", table.err);
    for file in ["etc/site.toml", "etc/profiles/laptop.toml"] {
        let text = lab.read(file);
        let key = text.lines().find_map(|line| line.strip_prefix("key = \"")).expect("a key");
        assert!(!table.text().contains(&key[..20]) && !used.to_string().contains(&key[..20]));
    }
}
