//! The client's command line: what it sends, what it refuses, and how it says so.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use lab::{A, Lab, SERVER, SSH, SSH6};

/// A site with the profile `laptop`, and a counter of what A sends.
fn site() -> Option<Lab> {
    let lab = Lab::new()?;
    lab.profile("laptop");
    lab.count_datagrams(A);
    Some(lab)
}

#[test]
fn a_wrong_option_gets_one_line_with_the_right_one() {
    let Some(lab) = site() else { return };
    #[rustfmt::skip]
    let rows: [(&[&str], &str); 9] = [
        (&["--profle", "laptop"],                       "--profile"),
        (&["--profile", "laptop", "--windwo", "5s"],    "--window"),
        (&["--profile", "laptop", "--dryrun"],          "--dry-run"),
        (&["--profile", "laptop", "-A", "tpc/22"],      "tcp"),
        (&["--profile", "laptop", "-A", "tcp/70000"],   "tcp/70000"),
        (&["--profile", "laptop", "-w", "soon"],        "soon"),
        (&["--profile", "laptop", "-a", "home"],        "address"),
        (&["--profile", "laptop", "-p", "0"],           "65535"),
        (&["--profile", "laptop", "-4", "-6"],          "--ipv6"),
    ];
    for (arguments, named) in rows {
        let done = lab.client(A, arguments);
        assert_eq!(done.status, Some(2), "{arguments:?}: {}", done.text());
        assert_eq!(done.out, "", "{arguments:?}");
        assert_eq!(done.err.lines().count(), 1, "{arguments:?}: {}", done.err);
        assert!(done.err.contains(named), "{arguments:?}: {}", done.err);
    }
    assert_eq!(lab.datagrams(A), 0);
}

#[test]
fn each_failure_has_its_exit_status_and_one_sentence_with_a_hint() {
    let Some(lab) = site() else { return };
    lab.write("broken.spa.toml", "format = 1\nname = \"broken\"\n");
    fs::set_permissions(lab.path("broken.spa.toml"), fs::Permissions::from_mode(0o600)).expect("ours");
    lab.write("loose.spa.toml", lab.bytes("home/.config/spa/profiles/laptop.spa.toml"));
    fs::set_permissions(lab.path("loose.spa.toml"), fs::Permissions::from_mode(0o644)).expect("ours");
    lab.sh(A, "ip route del default; ip -6 route del default");
    #[rustfmt::skip]
    let rows: [(&[&str], i32, &str); 7] = [
        (&["--profile", "nobody"],                              3, "nobody"),
        (&["--profile", "/run/lab/broken.spa.toml"],            3, "broken.spa.toml"),
        (&["--profile", "/run/lab/loose.spa.toml"],             3, "chmod"),
        (&["--profile", "laptop", "-D", "no.such.test"],        4, "no.such.test"),
        (&["--profile", "laptop", "-D", "203.0.113.9"],         5, "no route"),
        (&["--profile", "laptop", "-D", "2001:db8::9"],         5, "no route"),
        (&["--profile", "laptop", "-6", "-D", "four.test"],     4, "four.test"),
    ];
    for (arguments, status, named) in rows {
        let done = lab.client(A, arguments);
        assert_eq!(done.status, Some(status), "{arguments:?}: {}", done.text());
        assert!(done.err.contains(named), "{arguments:?}: {}", done.err);
        assert!(done.err.lines().count() <= 2, "{arguments:?}: {}", done.err);
    }
    assert_eq!(lab.datagrams(A), 0);
}

#[test]
fn every_address_of_the_name_gets_its_own_copies() {
    let Some(lab) = site() else { return };
    for (name, least) in [("four.test", 2), ("server.test", 4), ("twice.test", 4)] {
        let before = lab.datagrams(A);
        let done = lab.client(A, &["--profile", "laptop", "-D", name, "-v"]).ok();
        // The second address of twice.test belongs to nobody; what is sent there waits for its owner in vain.
        let sent = lab.datagrams(A) - before;
        assert!((least - 2..=least).contains(&sent) && sent > 0, "{name}: {sent}\n{}", done.text());
    }
}

#[test]
fn a_dry_run_says_everything_and_sends_nothing() {
    let Some(lab) = site() else { return };
    let arguments = [
        "--profile",
        "laptop",
        "-A",
        "tcp/22,udp/53",
        "-w",
        "45s",
        "-a",
        "10.77.0.2",
        "--dry-run",
        "-D",
        "four.test",
    ];
    let done = lab.client(A, &arguments).ok();
    let port = lab.spa_port().to_string();
    for word in ["tcp/22", "udp/53", "45s", "10.77.0.2", "10.77.0.1", port.as_str(), "laptop"] {
        assert!(done.text().contains(word), "no {word}:\n{}", done.text());
    }
    assert_eq!(lab.datagrams(A), 0);
}

#[test]
fn a_saved_datagram_is_fresh_each_time_and_private() {
    let Some(lab) = site() else { return };
    let seal = |name: &str| {
        lab.seal(A, name, &[]);
        lab.bytes(name)
    };
    let (one, two) = (seal("one"), seal("two"));
    for datagram in [&one, &two] {
        assert!((256..=640).contains(&datagram.len()), "{}", datagram.len());
    }
    assert_ne!(one[..24], two[..24]);
    let mode = fs::metadata(lab.path("one")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    assert_eq!(lab.datagrams(A), 0);
}

#[test]
fn the_profiles_own_values_count_where_nothing_else_is_said() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    lab.client(A, &["--profile", "laptop"]).ok();
    lab.opens(A, SSH);
    lab.opens(A, SSH6);
}

#[test]
fn a_profile_may_be_given_by_its_path() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    lab.sh(A, "mv /run/lab/home/.config/spa/profiles/laptop.spa.toml /run/lab/mine.spa.toml");
    lab.client(A, &["-A", "tcp/22", "-D", SERVER.v4, "--profile", "/run/lab/mine.spa.toml"]).ok();
    lab.opens(A, SSH);
}

#[test]
fn a_stated_address_that_is_not_the_senders_opens_nothing() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    for address in ["10.77.0.3", "10.77.0.1", "127.0.0.1", "224.0.0.1"] {
        // Some the client may refuse by itself.
        let _ = lab.client(A, &["--profile", "laptop", "-4", "-a", address]);
    }
    lab.stays_shut(A, SSH);
    assert!(lab.grants().is_empty());
    spad.says("reason=address");
    lab.knock_with(A, &["-4", "-a", "10.77.0.2"]);
    lab.opens(A, SSH);
}

#[test]
fn it_needs_no_privilege() {
    let Some(lab) = Lab::new() else { return };
    if lab.is_unprivileged() {
        return lab::skip("only one user exists in this laboratory");
    }
    let (_service, _spad) = lab.guard_ssh();
    lab.sh(A, "chown -R 65534:65534 /run/lab/home");
    let client = lab::program("spa-client");
    let nobody =
        ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    let words = [&nobody[..], &[client.to_str().expect("text"), "--profile", "laptop", "-4"]].concat();
    lab.run(A, "setpriv", &words).ok();
    lab.opens(A, SSH);
}
