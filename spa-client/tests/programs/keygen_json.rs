//! `spa-keygen --json`: one object on one line whatever happens, with fields that scripts can rely on.

use serde_json::{Value, json};

use crate::scratch::Scratch;

#[test]
fn what_was_made_is_told_with_its_files_and_no_key() {
    let scratch = Scratch::new();
    let made = "--server 192.0.2.1 --open tcp/22 --freshness clock --port 23571 --json";
    let first = scratch.keygen(&format!("anna ben --out keys {made}")).ok();
    let told = first.object();
    assert_eq!((&told["made_site"], &told["port"]), (&json!(true), &json!(23571)), "{told}");
    let profiles = told["profiles"].as_array().unwrap();
    let names: Vec<&Value> = profiles.iter().map(|one| &one["profile"]).collect();
    assert_eq!(names, ["anna", "ben"]);
    for (name, profile) in ["anna", "ben"].iter().zip(profiles) {
        assert_eq!(profile["file"], json!(format!("etc/profiles/{name}.toml")));
        assert_eq!(profile["client_half"], json!(scratch.path(&format!("keys/{name}.spa.toml"))));
        let text = scratch.read(&format!("etc/profiles/{name}.toml"));
        let id = u32::from_str_radix(profile["key_id"].as_str().unwrap(), 16).unwrap();
        assert!(text.contains(&format!("key_id = {id}\n")), "{profile}");
        let key = text.lines().find_map(|line| line.strip_prefix("key = \"")).unwrap();
        assert!(!first.out.contains(&key[..20]) && !first.err.contains(&key[..20]));
    }
    let again = scratch.keygen(&format!("carl {made}")).ok();
    assert_eq!(again.object()["made_site"], json!(false));
    let failed = scratch.keygen(&format!("carl {made}"));
    let told = failed.object();
    let keys: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["error", "hint", "status"], "{told}");
    assert_eq!(failed.status, 3);
    assert!(failed.err.contains(told["error"].as_str().unwrap()), "for people as well: {}", failed.err);
}

#[test]
fn an_enrolment_that_nobody_is_asked_about_is_told_with_its_line_and_fingerprint() {
    let scratch = Scratch::new();
    let line = scratch.client("enrol vpn.example.org --name laptop").ok().out;
    let accept = format!("accept {} --open tcp/22 --freshness clock --json", line.trim());
    let done = scratch.keygen(&accept);
    assert_eq!((done.status, done.out.as_str()), (2, ""), "{}", done.err);
    let told = scratch.keygen(&format!("{accept} --yes")).ok().object();
    assert_eq!(told["profiles"][0]["profile"], "laptop", "{told}");
    assert_eq!(told["profiles"][0].get("client_half"), None, "{told}");
    let answer = told["answer"].as_str().unwrap();
    let finished = scratch.client(&format!("enrol --finish {answer}")).ok();
    assert!(finished.out.contains(told["fingerprint"].as_str().unwrap()), "{}{}", finished.out, finished.err);
    let refused = scratch.keygen(&format!("{accept} --yes")).object();
    assert_eq!(refused["status"], 3);
}

#[test]
fn a_list_that_cannot_be_made_is_an_object_too() {
    let scratch = Scratch::new();
    let told = scratch.keygen("list --json").object();
    assert!(told["error"].as_str().unwrap().contains("site.toml"), "{told}");
}
