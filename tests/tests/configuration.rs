//! Wrong files: the file, the line, the reason and the cure are named, never the value of a secret.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use lab::{A, Config, Lab, SERVER, SSH};

/// A site with the profiles `laptop` and `phone`.
fn site() -> Option<Lab> {
    let lab = Lab::new()?;
    lab.configure(&Config::default());
    lab.profile("laptop");
    lab.profile("phone");
    Some(lab)
}

/// Every secret of the site, as it stands in the files.
fn secrets(lab: &Lab) -> Vec<String> {
    let files = ["etc/site.toml", "etc/profiles/laptop.toml", "etc/profiles/phone.toml"];
    let keys = files.map(|file| {
        let text = lab.read(file);
        let key = text.lines().find_map(|line| line.strip_prefix("key = \"")).expect("it has a key");
        // Enough of it to be recognised in a message that cuts or shifts it.
        key[8..28].to_owned()
    });
    keys.to_vec()
}

fn chmod(lab: &Lab, file: &str, mode: u32) {
    fs::set_permissions(lab.path(file), fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Rewrites a file, and runs something, and puts the file back.
fn with_change<T>(lab: &Lab, file: &str, from: &str, to: &str, run: impl FnOnce() -> T) -> T {
    let good = lab.read(file);
    assert!(good.contains(from), "{file} has no {from:?}:\n{good}");
    lab.write(file, good.replacen(from, to, 1));
    let result = run();
    lab.write(file, good);
    result
}

#[test]
fn a_right_configuration_passes_and_the_table_is_shown() {
    let Some(lab) = site() else { return };
    let done = lab.spad_command(&["check"]).ok();
    let table = done.out.find("table inet spad").map(|start| &done.out[start..]).expect("the table is shown");
    let end = table.find("\n}").expect("it ends") + 2;
    lab.write("shown.nft", &table[..end]);
    assert_eq!(lab.table(), "", "nothing was loaded by it");
    lab.sh(SERVER, "nft -f /run/lab/shown.nft");
    let shown = lab.table();
    lab.sh(SERVER, "nft delete table inet spad");
    let _spad = lab.spad();
    assert_eq!(lab.table(), shown);
}

#[test]
fn a_wrong_spad_toml_is_refused_with_line_reason_and_cure() {
    let Some(lab) = site() else { return };
    #[rustfmt::skip]
    let rows: [(&str, &str, &[&str]); 11] = [
        // replace, by, what the message names
        ("format = 1",                     "format = 2",                   &["line 1", "format"]),
        ("interfaces = [\"eth0\"]",        "interfaces = [eth0]",           &["line 3"]),
        ("interfaces = [\"eth0\"]",        "interfaces = []",              &["interfaces"]),
        ("interfaces = [\"eth0\"]",        "interface = [\"eth0\"]",       &["line 3", "interface"]),
        ("backend = \"nftables\"",         "backend = \"pf\"",             &["line 5", "nftables"]),
        ("mode = \"guard\"",               "mode = \"gaurd\"",             &["line 6", "guard"]),
        ("protect = [\"tcp/22\"]",         "protect = [\"tcp/0\"]",        &["line 7", "tcp/0"]),
        ("protect = [\"tcp/22\"]",         "protect = [\"tcp/22@inner\"]", &["line 7", "inner"]),
        ("always_allow = []",              "always_allow = [\"home\"]",    &["line 8", "address"]),
        ("clock = \"trusted\"",            "clock = \"thrusted\"",         &["line 10", "trusted"]),
        ("skew = \"60s\"",                 "skew = \"soon\"",              &["line 11", "soon"]),
    ];
    for (from, to, named) in rows {
        let done = with_change(&lab, "etc/spad.toml", from, to, || lab.spad_command(&["check"]));
        assert_eq!(done.status, Some(3), "{to}: {}", done.text());
        assert!(done.text().contains("spad.toml"), "{to}: {}", done.text());
        for word in named {
            assert!(done.text().contains(word), "{to}: no {word:?} in: {}", done.text());
        }
    }
    // A start says the same, with the same status, and leaves nothing behind.
    with_change(&lab, "etc/spad.toml", "mode = \"guard\"", "mode = \"gaurd\"", || {
        let mut spad = lab.start_spad(&[]);
        assert_eq!(spad.starter().wait(Duration::from_secs(5)).code(), Some(3), "{}", spad.log());
        assert!(spad.log().contains("gaurd"), "{}", spad.log());
    });
    assert_eq!(lab.table(), "");
}

#[test]
fn a_wrong_site_toml_is_refused_without_its_secrets() {
    let Some(lab) = site() else { return };
    let secrets = secrets(&lab);
    #[rustfmt::skip]
    let rows = [
        ("key = \"",    "key = \"A"),
        ("key = \"",    "kye = \""),
        ("key = \"",    "key = "),
        ("key = \"",    ""),
        ("port = ",     "port = 7"),
        ("format = 1",  "format = 1\nkeys = 3"),
    ];
    for (from, to) in rows {
        let done = with_change(&lab, "etc/site.toml", from, to, || lab.spad_command(&["check"]));
        assert_eq!(done.status, Some(3), "{to}: {}", done.text());
        assert!(done.text().contains("site.toml"), "{to}: {}", done.text());
        assert!(!secrets.iter().any(|secret| done.text().contains(secret)), "{to}: {}", done.text());
    }
}

#[test]
fn files_that_others_may_touch_are_refused() {
    let Some(lab) = site() else { return };
    for (file, mode) in [("etc/spad.toml", 0o666), ("etc/site.toml", 0o640), ("etc/site.toml", 0o604)] {
        let before = fs::metadata(lab.path(file)).expect("it is there").permissions().mode();
        chmod(&lab, file, mode);
        let done = lab.spad_command(&["check"]);
        assert_eq!(done.status, Some(3), "{file} {mode:o}: {}", done.text());
        let name = file.rsplit('/').next().expect("a name");
        assert!(
            done.text().contains(name) && done.text().contains("chmod"),
            "{file} {mode:o}: {}",
            done.text()
        );
        chmod(&lab, file, before & 0o777);
    }
    lab.spad_command(&["check"]).ok();
}

#[test]
fn a_wrong_profile_is_left_out_and_named_and_the_others_serve() {
    let Some(lab) = site() else { return };
    let secrets = secrets(&lab);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let file = "etc/profiles/phone.toml";
    #[rustfmt::skip]
    let rows = [
        ("key = \"",                "kye = \""),
        ("suite = \"aes256gcm\"",   "suite = \"rot13\""),
        ("window = \"2s\"",         "window = \"1w\""),
        ("created = ",              "expires = 2020-01-01T00:00:00Z\ncreated = "),
    ];
    for (from, to) in rows {
        let mut spad = with_change(&lab, file, from, to, || lab.spad());
        assert!(!spad.lines(&["phone"]).is_empty(), "{to}: not named:\n{}", spad.log());
        assert!(!secrets.iter().any(|secret| spad.log().contains(secret)), "{to}: {}", spad.log());
        lab.knock_with(A, &["-4", "--profile", "phone", "-w", "1s"]);
        lab.stays_shut(A, SSH);
        spad.stop();
    }
    chmod(&lab, file, 0o644);
    let spad = lab.spad();
    assert!(!spad.lines(&["phone"]).is_empty(), "too readable:\n{}", spad.log());
    lab.knock_with(A, &["-4", "--profile", "phone"]);
    lab.stays_shut(A, SSH);
    lab.knock(A);
    lab.opens(A, SSH);
}

#[test]
fn two_profiles_with_one_key_id_are_both_out() {
    let Some(lab) = site() else { return };
    lab.profile("tablet");
    let id = |name: &str| {
        let text = lab.read(&format!("etc/profiles/{name}.toml"));
        text.lines().find(|line| line.starts_with("key_id")).expect("it has one").to_owned()
    };
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = with_change(&lab, "etc/profiles/phone.toml", &id("phone"), &id("laptop"), || lab.spad());
    for name in ["laptop", "phone"] {
        assert!(!spad.lines(&[name]).is_empty(), "{name} is not named:\n{}", spad.log());
    }
    lab.knock(A);
    lab.stays_shut(A, SSH);
    lab.knock_with(A, &["-4", "--profile", "tablet"]);
    lab.opens(A, SSH);
}

#[test]
fn what_would_defeat_the_guard_is_warned_of() {
    let Some(lab) = site() else { return };
    let port = lab.spa_port();
    lab.sh(
        SERVER,
        "nft 'table inet other { chain input { type filter hook input priority 0; tcp dport 22 drop; }; }'",
    );
    let _listener = lab.serve(SERVER, &[&format!("udp/{port}")]);
    let said = lab.spad_command(&["check"]).text();
    assert!(said.contains(&port.to_string()) && said.contains("listen"), "the listener:\n{said}");
    assert!(said.contains("other") && said.contains("tcp/22"), "the foreign drop:\n{said}");
}

#[test]
fn no_secret_is_ever_printed() {
    let Some(lab) = site() else { return };
    let secrets = secrets(&lab);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let mut spad = lab.spad();
    lab.knock(A);
    lab.opens(A, SSH);
    let made = lab.keygen(&[
        "tablet",
        "--server",
        "server.test",
        "--open",
        "tcp/22",
        "--out",
        "/run/lab/t.spa.toml",
    ]);
    let texts = [
        lab.spad_command(&["-v", "check"]).text(),
        lab.client(A, &["--profile", "laptop", "-v", "--dry-run"]).text(),
        lab.client(A, &["--profile", "laptop", "-v", "-4"]).text(),
        made.text(),
        lab.table(),
        // The command lines of everything that runs.
        lab.sh(SERVER, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
    ];
    spad.stop();
    for text in texts.iter().chain([&spad.log()]) {
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}

#[test]
fn keygen_overwrites_nothing_and_keeps_its_files_private() {
    let Some(lab) = site() else { return };
    let files = ["etc/site.toml", "etc/profiles/laptop.toml", "home/.config/spa/profiles/laptop.spa.toml"];
    let before = files.map(|file| lab.read(file));
    for file in files {
        let mode = fs::metadata(lab.path(file)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{file}");
    }
    let again =
        lab.keygen(&["laptop", "--server", "server.test", "--open", "tcp/22", "--out", "/run/lab/new.toml"]);
    assert_ne!(again.status, Some(0));
    assert!(again.err.contains("laptop"), "{}", again.err);
    assert!(!lab.path("new.toml").exists(), "nothing half-made");
    let out = "/run/lab/home/.config/spa/profiles/laptop.spa.toml";
    let over = lab.keygen(&["tablet", "--server", "server.test", "--open", "tcp/22", "--out", out]);
    assert_ne!(over.status, Some(0));
    assert!(!lab.path("etc/profiles/tablet.toml").exists(), "nothing half-made");
    assert_eq!(files.map(|file| lab.read(file)), before);
}
