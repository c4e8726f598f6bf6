//! Which profile `spa-client` takes, and which it refuses.

use std::fs;

use crate::scratch::Scratch;

const FOLDER: &str = "home/.config/spa/profiles";

#[test]
fn the_only_profile_needs_no_name_and_several_need_one() {
    let scratch = Scratch::new();
    scratch.client("--dry-run").failed(3, "there is no profile in ");
    scratch.client("--dry-run -D 192.0.2.1").failed(3, "there is no profile in ");
    scratch.profile("laptop", "--open tcp/22");
    let done = scratch.client("--dry-run").ok();
    assert!(done.out.contains("profile   laptop ("), "{}", done.out);

    fs::copy(
        scratch.path(&format!("{FOLDER}/laptop.spa.toml")),
        scratch.path(&format!("{FOLDER}/desk.spa.toml")),
    )
    .unwrap();
    let done = scratch.client("--dry-run").failed(3, "there are 2 profiles, and none was named");
    assert!(done.err.contains("use --profile with one of desk, laptop"), "{}", done.err);
    scratch.client("--dry-run --profile desk").ok();

    // By the server, where one profile alone was made for it.
    scratch.client("--dry-run -D 192.0.2.99").failed(3, "is for 192.0.2.99");
    let desk = scratch.path(&format!("{FOLDER}/desk.spa.toml"));
    let text = fs::read_to_string(&desk).unwrap();
    let of =
        |line: &str| if line.starts_with("server = ") { "server = \"192.0.2.99\"" } else { line }.to_owned();
    fs::write(&desk, text.lines().map(of).collect::<Vec<_>>().join("\n")).unwrap();
    let done = scratch.client("--dry-run -D 192.0.2.99").ok();
    assert!(done.out.contains("desk.spa.toml"), "{}", done.out);

    let done = scratch.client("--profile laptpo").failed(3, "there is no profile laptpo in ");
    assert!(done.err.contains("did you mean laptop?"), "{}", done.err);
}

#[test]
fn a_profile_is_found_by_name_and_by_path() {
    let scratch = Scratch::new();
    scratch.profile("laptop", "--open tcp/22");
    fs::rename(scratch.path(&format!("{FOLDER}/laptop.spa.toml")), scratch.path("laptop.spa.toml")).unwrap();
    for path in ["laptop.spa.toml", "./laptop.spa.toml", scratch.path("laptop.spa.toml").to_str().unwrap()] {
        scratch.client(&format!("--dry-run --profile {path}")).ok();
    }
    scratch.client("--dry-run --profile laptop").failed(3, "there is no profile laptop in ");
    scratch.client("--dry-run --profile ./laptop").failed(3, "cannot read ./laptop: no such file");

    // The standard's variable comes before the home folder.
    let elsewhere = scratch.path("elsewhere");
    fs::create_dir_all(elsewhere.join("spa/profiles")).unwrap();
    fs::rename(scratch.path("laptop.spa.toml"), elsewhere.join("spa/profiles/laptop.spa.toml")).unwrap();
    let mut command = scratch.command("spa-client");
    let output = command
        .args(["--dry-run", "--profile", "laptop"])
        .env("XDG_CONFIG_HOME", &elsewhere)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_profile_that_others_can_read_is_refused() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22");
    let file = format!("{FOLDER}/laptop.spa.toml");
    let text = scratch.read(&file);
    for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o601] {
        scratch.write(&file, &text, mode);
        let done = scratch.client("--profile laptop").failed(3, "others than its owner have access to it");
        assert!(
            done.err.contains(&format!("hint: chmod 600 {}", scratch.path(&file).display())),
            "{}",
            done.err
        );
    }
    assert!(listener.heard().is_empty());
    scratch.write(&file, &text, 0o400);
    scratch.client("--profile laptop").ok();
}

#[test]
fn a_profile_that_is_wrong_is_named_with_its_line_and_without_its_keys() {
    let scratch = Scratch::new();
    scratch.profile("laptop", "--open tcp/22");
    let file = format!("{FOLDER}/laptop.spa.toml");
    let text = scratch.read(&file);
    let key = text.lines().find_map(|line| line.strip_prefix("key = \"")).unwrap();
    #[rustfmt::skip]
    let rows = [
        // replace, by, part of the sentence
        ("format = 1",             "format = 2",               ", line 2: "),
        ("server = \"127.0.0.1\"", "server = \"a b\"",         "server is not a host name or address"),
        ("suite = ",               "siute = ",                 "unknown field `siute`"),
        ("\nkey = \"",             "\nkey = \"A",              "not the base64 of 32 bytes"),
        ("\nkey = \"",             "\nkey = [\"",              ", line "),
        ("\nkey = \"",             "\nkey = ",                 ", line 14"),
        ("open = [\"tcp/22\"]",    "open = []",                "laptop.spa.toml: opens nothing"),
        ("open = [\"tcp/22\"]\n",  "",                         "missing field `open`"),
        ("name = \"laptop\"\n",    "",                         "missing field `name`"),
    ];
    for (from, to, part) in rows {
        assert!(text.contains(from), "{from}");
        scratch.write(&file, text.replace(from, to), 0o600);
        let done = scratch.client("--dry-run").failed(3, part);
        assert!(done.err.contains("laptop.spa.toml") && !done.err.contains(&key[4..20]), "{}", done.err);
    }
    scratch.write(&file, [0xff, 0xfe, 0x00], 0o600);
    scratch.client("--dry-run").failed(3, "cannot read ");
    fs::remove_file(scratch.path(&file)).unwrap();
    fs::create_dir(scratch.path(&file)).unwrap();
    scratch.client("--dry-run").failed(3, "is not a file");
}
