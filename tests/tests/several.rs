//! Many profiles: a file each, or several in one file.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lab::{A, Config, Lab, SERVER, SSH, Spad};
use serde_json::Value;

const SHUT: Duration = Duration::from_secs(10);
const ALL: &str = "etc/profiles/all.toml";

/// Makes profiles that open tcp/22 for two seconds; the clients' halves are where the client looks.
fn make(lab: &Lab, names: &[&str]) {
    let out = Lab::inside("home/.config/spa/profiles/");
    let options = ["--server", "server.test", "--open", "tcp/22", "--window", "2s", "--freshness", "clock"];
    // For one name the option is a file.
    let out = if let [name] = names { format!("{out}{name}.spa.toml") } else { out };
    lab.keygen(&[names, &options, &["--out", &out]].concat()).ok();
}

/// The server's half of a profile as a table of a file of several.
fn table(lab: &Lab, name: &str) -> String {
    let text = lab.read(&format!("etc/profiles/{name}.toml"));
    let lines = text.lines().filter(|line| !line.starts_with("format") && !line.starts_with('#'));
    format!("\n# {name}'s\n[[profile]]\nname = \"{name}\"\n{}\n", lines.collect::<Vec<_>>().join("\n"))
}

/// Moves the halves of these profiles into one file.
fn gather(lab: &Lab, names: &[&str]) -> BTreeMap<String, String> {
    let tables: Vec<_> = names.iter().map(|name| ((*name).to_owned(), table(lab, name))).collect();
    names.iter().for_each(|name| {
        std::fs::remove_file(lab.path(&format!("etc/profiles/{name}.toml"))).expect("it was made");
    });
    let text: String = tables.iter().map(|(_, table)| table.as_str()).collect();
    write(lab, &format!("format = 1\n{text}"));
    tables.into_iter().collect()
}

fn write(lab: &Lab, text: &str) {
    lab.write(ALL, text);
    lab.sh(SERVER, &format!("chmod 600 {}", Lab::inside(ALL)));
}

fn listed(lab: &Lab) -> Vec<Value> {
    let out = lab.keygen(&["list", "--json"]).ok().out;
    let all: Value = serde_json::from_str(&out).expect("it is JSON");
    all["profiles"].as_array().expect("a list").clone()
}

fn opens(lab: &Lab, name: &str) {
    lab.knock_with(A, &["-4", "--profile", name]);
    lab.opens(A, SSH);
    lab.shuts(A, SSH, SHUT);
}

fn stays_shut(lab: &Lab, name: &str) {
    lab.knock_with(A, &["-4", "--profile", name]);
    lab.stays_shut(A, SSH);
}

fn started(lab: &Lab, how: &str) -> Spad {
    let start = Instant::now();
    let spad = lab.spad();
    let took = start.elapsed();
    let [worker] = spad.role("worker").try_into().expect("one worker");
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).expect("it runs");
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory").trim();
    println!("{how}: serving after {} ms, the worker has {memory}", took.as_millis());
    spad
}

#[test]
fn five_hundred_profiles_serve_as_files_or_as_one_file() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    make(&lab, &["first"]);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    drop(started(&lab, "1 profile"));
    let names: Vec<String> = (1..500).map(|number| format!("p{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    make(&lab, &names);
    let all: Vec<&str> = [&["first"], names.as_slice()].concat();
    for how in ["500 files", "500 in one file"] {
        if how != "500 files" {
            gather(&lab, &all);
        }
        let spad = started(&lab, how);
        for name in ["first", "p250", "p499"] {
            opens(&lab, name);
        }
        let start = Instant::now();
        let list = listed(&lab);
        println!("{how}: listed in {} ms", start.elapsed().as_millis());
        assert_eq!(list.len(), 500, "{how}");
        assert_eq!(list.iter().filter(|line| line["last_used"].is_string()).count(), 3, "{how}");

        // One more, and a reload.
        let more = how.replace(' ', "-");
        make(&lab, &[&more]);
        let start = Instant::now();
        lab.spad_command(&["reload"]).ok();
        println!("{how}: reloaded in {} ms", start.elapsed().as_millis());
        opens(&lab, &more);
        opens(&lab, "p250");
        let status = lab.spad_command(&["status", "--json"]).ok().out;
        assert!(status.contains("\"profiles\":501"), "{how}: {status}");
        drop(spad);
        std::fs::remove_file(lab.path(&format!("etc/profiles/{more}.toml"))).expect("it is there");
    }
}

#[test]
fn one_of_several_in_a_file_that_is_wrong_is_left_out_alone_and_named() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    make(&lab, &["anna", "ben", "carl"]);
    gather(&lab, &["anna", "ben", "carl"]);
    let good = lab.read(ALL);
    let ben = good.find("name = \"ben\"").expect("he is there");
    let change = |from: &str, to: &str| {
        let (front, back) = good.split_at(ben);
        format!("{front}{}", back.replacen(from, to, 1))
    };
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    #[rustfmt::skip]
    let rows = [
        // what Ben's table has in place of what, part of what is said
        ("suite = \"aes256gcm\"", "suite = \"rot13\"",            "all.toml, profile ben: line 19: no such suite"),
        ("created = ",            "expires = 2020-01-01T00:00:00Z\ncreated = ", "all.toml, profile ben: has expired"),
        ("name = \"ben\"\n",      "",                             "all.toml: line 15: missing field `name`"),
        ("name = \"ben\"",        "name = \"../ben\"",            "all.toml: line 16: not a name"),
    ];
    for (from, to, said) in rows {
        write(&lab, &change(from, to));
        lab.spad_command(&["reload"]).ok();
        assert!(spad.log().contains(said), "{to}: {said}\n{}", spad.log());
        let checked = lab.spad_command(&["check"]);
        assert!(checked.text().contains(said), "{to}: {}", checked.text());
        stays_shut(&lab, "ben");
        let list = lab.keygen(&["list"]).ok();
        let there = |name: &str| list.out.lines().any(|line| line.starts_with(&format!("{name} ")));
        assert!(there("anna") && there("carl"), "{}", list.text());
    }
    opens(&lab, "anna");
    opens(&lab, "carl");
    // What is no TOML has no profile; the safe reading, as for a file of one.
    write(&lab, &format!("{good}zzz\n"));
    lab.spad_command(&["reload"]).ok();
    stays_shut(&lab, "anna");
    write(&lab, &good);
    lab.spad_command(&["reload"]).ok();
    opens(&lab, "ben");
}

#[test]
fn two_of_one_name_or_key_id_are_both_out_and_both_places_are_named() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    make(&lab, &["anna", "ben", "carl"]);
    let tables = gather(&lab, &["anna", "ben"]);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    let good = lab.read(ALL);
    let id =
        |text: &str| text.lines().find(|line| line.starts_with("key_id")).expect("it has one").to_owned();

    write(&lab, &good.replace("name = \"ben\"", "name = \"carl\""));
    lab.spad_command(&["reload"]).ok();
    let said = "all.toml, profile carl and /run/lab/etc/profiles/carl.toml: have the same name, carl";
    assert!(spad.log().contains(said), "{}", spad.log());
    for name in ["ben", "carl"] {
        stays_shut(&lab, name);
        assert_eq!(lab.keygen(&["revoke", "carl"]).status, Some(3));
    }
    opens(&lab, "anna");
    let refused = lab.keygen(&["anna", "--server", "a", "--open", "tcp/22", "--out", &Lab::inside("new")]);
    assert_eq!(refused.status, Some(3), "{}", refused.text());
    assert!(refused.err.contains("all.toml, profile anna exists already"), "{}", refused.err);

    write(&lab, &good.replace(&id(&tables["ben"]), &id(&tables["anna"])));
    lab.spad_command(&["reload"]).ok();
    let said = "all.toml, profile anna and /run/lab/etc/profiles/all.toml, profile ben: have the same key_id";
    assert!(spad.log().contains(said), "{}", spad.log());
    stays_shut(&lab, "anna");
    stays_shut(&lab, "ben");
    opens(&lab, "carl");
}

#[test]
fn one_of_several_in_a_file_is_rotated_and_revoked_while_the_others_stay_as_they_are() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    make(&lab, &["anna", "ben", "carl"]);
    let tables = gather(&lab, &["anna", "ben", "carl"]);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let _spad = lab.spad();
    let out = Lab::inside("home/.config/spa/profiles/ben-new.spa.toml");
    let rotate =
        ["rotate", "ben", "--server", "server.test", "--overlap", "until-used", "--out", &out, "--json"];
    let told: Value = serde_json::from_str(&lab.keygen(&rotate).ok().out).expect("it is JSON");
    let [profile] = told["profiles"].as_array().expect("a list").as_slice() else { panic!("{told}") };
    assert_eq!((&told["status"], &told["taken_up"]), (&0.into(), &true.into()), "{told}");
    assert_eq!(
        (&profile["profile"], &profile["client_half"]),
        (&"ben".into(), &out.clone().into()),
        "{told}"
    );
    assert!(profile["until_used"] == true && profile["previous_until"].is_string(), "{told}");
    opens(&lab, "ben");
    opens(&lab, "ben-new");
    stays_shut(&lab, "ben");
    let text = lab.read(ALL);
    for name in ["anna", "carl"] {
        assert!(text.contains(&tables[name]), "{name} is as before");
    }
    assert!(text.contains("# ben's\n[[profile]]\nname = \"ben\""), "comments stay: {text}");
    assert_eq!(lab.sh(SERVER, &format!("stat -c %a {}", Lab::inside(ALL))).trim(), "600");

    // Taken away, and the key ids are remembered.
    lab.knock_with(A, &["-4", "--profile", "ben-new"]);
    lab.opens(A, SSH);
    let done = lab.keygen(&["revoke", "ben", "--json"]).ok();
    let told: Value = serde_json::from_str(&done.out).expect("it is JSON");
    assert_eq!(told["taken_up"], true, "{told}");
    assert!(told["notes"][0].as_str().is_some_and(|note| note.contains("sessions")), "{told}");
    let retired = told["profiles"][0]["file"].as_str().expect("a path");
    assert!(retired.contains("/retired/ben-"), "{told}");
    lab.stays_shut(A, SSH);
    stays_shut(&lab, "ben-new");
    assert_eq!(lab.read(ALL), format!("format = 1\n{}{}", tables["anna"], tables["carl"]));
    opens(&lab, "carl");

    let refused = lab.keygen(&["revoke", "ben", "--json"]);
    let told: Value = serde_json::from_str(&refused.out).expect("it is JSON");
    assert_eq!((refused.status, &told["status"]), (Some(3), &3.into()), "{told}");
    assert!(told["error"].is_string() && told["hint"].is_string(), "{told}");

    // Both at once, and with the last its file goes.
    lab.keygen(&["revoke", "anna", "carl"]).ok();
    assert!(!lab.path(ALL).exists());
    assert_eq!(lab.sh(SERVER, "ls /run/lab/etc/profiles/retired").lines().count(), 3);
    stays_shut(&lab, "anna");
}

#[test]
fn what_one_revokes_another_who_revokes_at_the_same_time_does_not_bring_back() {
    let Some(lab) = Lab::new() else { return };
    let names: Vec<String> = (0..12).map(|number| format!("p{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    make(&lab, &names);
    gather(&lab, &names);
    let (stays, go) = names.split_first().expect("there are some");
    std::thread::scope(|scope| {
        for name in go {
            let revoke = || drop(lab.keygen(&["revoke", name]).ok());
            scope.spawn(revoke);
        }
    });
    let left: Vec<Value> = listed(&lab).iter().map(|line| line["profile"].clone()).collect();
    assert_eq!(left, [*stays]);
    assert_eq!(lab.sh(SERVER, "ls /run/lab/etc/profiles/retired").lines().count(), go.len());
}
