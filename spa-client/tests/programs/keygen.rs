//! What `spa-keygen` writes, and that it overwrites nothing.

use spa_core::file::client::ClientFile;
use spa_core::file::fields::parse_moment;
use spa_core::file::profile::{FreshnessName, ProfileFile};
use spa_core::file::site::SiteFile;
use spa_core::journal::{CAPACITY, HEADER, Loaded, MachineHash, RECORD, load};
use spa_core::profile::Freshness;

use crate::scratch::{Scratch, keygen_words};

const LAPTOP: &str = "laptop --server vpn.example.org --open tcp/22 --freshness clock";

fn machine_id() -> String {
    std::fs::read_to_string("/etc/machine-id").unwrap_or_default()
}

#[test]
fn the_first_profile_comes_with_its_site() {
    let scratch = Scratch::new();
    let done = scratch.keygen(LAPTOP).ok();

    let site = SiteFile::parse(&scratch.read("etc/site.toml")).unwrap();
    assert!((10_000..=32_767).contains(&site.port.get()), "{}", site.port);
    assert_eq!(site.machine(), MachineHash::of(site.id, &machine_id()));

    let [a, b] =
        ["state/journal.a", "state/journal.b"].map(|name| std::fs::read(scratch.path(name)).unwrap());
    assert_eq!(a.len(), HEADER + CAPACITY * RECORD);
    assert!(b.len() == a.len() && b.iter().all(|&byte| byte == 0));
    let Loaded::Intact { current: 0, whole, .. } = load([Some(&a), Some(&b)], site.id, site.machine(), None)
    else {
        panic!("the journal does not load")
    };
    assert!(whole.header.settled && whole.header.generation == 1 && whole.records.is_empty());

    let server = ProfileFile::parse(&scratch.read("etc/profiles/laptop.toml")).unwrap();
    let client = ClientFile::parse(&scratch.read("laptop.spa.toml")).unwrap();
    assert_eq!((client.name.as_str(), client.server.as_str()), ("laptop", "vpn.example.org"));
    assert_eq!((client.port, client.site_id), (site.port, site.id));
    assert_eq!(client.site_key.to_base64(), site.key.to_base64());
    assert_eq!(client.key.to_base64(), server.key.to_base64());
    assert_eq!(client.key_id(), server.key_id());
    assert_eq!((client.suite, &client.open, client.window), (server.suite, &server.open, server.window));
    assert_eq!((server.window.as_secs(), server.max_window.as_secs()), (30, 300));
    assert_eq!(client.freshness, FreshnessName::Clock);
    assert_eq!((server.freshness(), server.expires), (Freshness::Clock, None));

    for secret in
        ["etc/site.toml", "etc/profiles/laptop.toml", "laptop.spa.toml", "state/journal.a", "state/journal.b"]
    {
        assert_eq!(scratch.mode(secret), 0o600, "{secret}");
    }
    for folder in ["etc", "etc/profiles", "state"] {
        assert_eq!(scratch.mode(folder), 0o700, "{folder}");
    }
    assert_eq!(scratch.files().len(), 5, "and nothing else");

    let path = scratch.path("laptop.spa.toml");
    let copy = format!(
        "mkdir -p -m 700 ~/.config/spa/profiles && scp -p alice@vpn.example.org:{} ~/.config/spa/profiles/laptop.spa.toml",
        path.display()
    );
    // Root without sudo is root.
    let copy = if done.out.contains("root@") { copy.replace("alice@", "root@") } else { copy };
    let port = format!("let UDP port {} through", site.port);
    let command = "spa-client -A tcp/22 -D vpn.example.org --profile laptop";
    for part in [copy.as_str(), &port, command, "systemctl reload spad"] {
        assert!(done.out.contains(part), "{part}\n{}", done.out);
    }
    for key in [site.key.to_base64(), server.key.to_base64()] {
        assert!(!done.out.contains(key.as_str()) && !done.err.contains(key.as_str()));
    }
}

#[test]
fn nothing_is_ever_overwritten() {
    let scratch = Scratch::new();
    scratch.keygen(LAPTOP).ok();
    let before = scratch.files();
    scratch.keygen(LAPTOP).failed(3, "etc/profiles/laptop.toml exists already");
    scratch
        .keygen(&format!("{LAPTOP} --out other.toml"))
        .failed(3, "etc/profiles/laptop.toml exists already");
    scratch.keygen("phone laptop --server a --open tcp/22").failed(3, "laptop.toml exists already");
    scratch
        .keygen("phone --server a --open tcp/22 --out laptop.spa.toml")
        .failed(3, "laptop.spa.toml exists already");
    assert_eq!(scratch.files(), before);
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let scratch = Scratch::new();
    scratch.write("taken", "a file, no folder", 0o600);
    scratch.keygen(LAPTOP).ok();
    let before = scratch.files();
    for out in ["missing/phone.spa.toml", "taken/phone.spa.toml"] {
        let done = scratch.keygen(&format!("phone --server a --open tcp/22 --freshness clock --out {out}"));
        done.failed(1, "cannot make ");
    }
    let done = scratch.keygen("phone tablet --server a --open tcp/22 --freshness clock --out taken");
    assert!([1, 3].contains(&done.status), "{}", done.err);
    assert_eq!(scratch.files(), before);
}

#[test]
fn a_disk_that_is_full_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let mut shell = std::process::Command::new("sh");
    // The largest file is half a MiB, which a journal exceeds; without the trap that would end the program.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_spa-keygen")]);
    let output = shell.args(keygen_words(LAPTOP)).current_dir(&scratch.0).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.starts_with("spa-keygen: cannot make state/journal.b: file too large\n  hint: "),
        "{error}"
    );
    assert!(scratch.files().is_empty());
}

#[test]
fn several_names_share_a_call_and_a_site() {
    let scratch = Scratch::new();
    scratch.keygen("anna ben chris --server 2001:db8::1 --open tcp/22 --out keys").ok();
    let halves = ["anna", "ben", "chris"].map(|name| {
        let client = ClientFile::parse(&scratch.read(&format!("keys/{name}.spa.toml"))).unwrap();
        let server = ProfileFile::parse(&scratch.read(&format!("etc/profiles/{name}.toml"))).unwrap();
        assert_eq!((client.name.as_str(), client.key_id()), (name, server.key_id()));
        client
    });
    let [anna, ben, chris] = halves;
    assert!(
        anna.key_id() != ben.key_id() && ben.key_id() != chris.key_id() && chris.key_id() != anna.key_id()
    );
    assert_ne!(anna.key.to_base64(), ben.key.to_base64());
    assert_eq!(anna.site_key.to_base64(), ben.site_key.to_base64());
    assert_eq!(scratch.mode("keys"), 0o700);
}

#[test]
fn every_option_stands_in_the_files() {
    let scratch = Scratch::new();
    let options = "--port 23571 --suite xchacha20poly1305 --window 45s --max-window 1h --expires 2099-01-01";
    let done = scratch
        .keygen(&format!("a --server 192.0.2.1 --open tcp/22,udp/53 --open tcp/22 {options} --out b"))
        .ok();
    assert!(done.out.contains("a: opens tcp/22,udp/53 for 45s, at most 1h"), "{}", done.out);
    let site = SiteFile::parse(&scratch.read("etc/site.toml")).unwrap();
    let server = ProfileFile::parse(&scratch.read("etc/profiles/a.toml")).unwrap();
    let client = ClientFile::parse(&scratch.read("b")).unwrap();
    assert_eq!(site.port.get(), 23571);
    assert_eq!((server.suite.name(), client.suite.name()), ("xchacha20poly1305", "xchacha20poly1305"));
    assert_eq!((server.window.as_secs(), server.max_window.as_secs()), (45, 3600));
    assert_eq!(server.expires, parse_moment("2099-01-01T00:00:00Z").ok());
    assert_eq!(server.open, ["tcp/22", "udp/53"].map(|service| service.parse().unwrap()));

    let done = scratch.keygen("c --server 192.0.2.1 --open tcp/22 --out .").ok();
    assert!(scratch.path("c.spa.toml").exists(), "a folder may be named for one name too");
    assert!(!done.out.contains("made the site"));
}
