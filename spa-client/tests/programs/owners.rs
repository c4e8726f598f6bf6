//! To whom files belong that root makes for others.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};

use crate::scratch::{Scratch, keygen_words, needs_root};

const SPAD: u32 = 4321;
const ALICE: u32 = 1234;

fn owner(scratch: &Scratch, name: &str) -> (u32, u32) {
    let metadata = fs::symlink_metadata(scratch.path(name)).unwrap();
    (metadata.uid(), metadata.gid())
}

#[test]
fn under_sudo_the_clients_half_belongs_to_the_caller() {
    let scratch = Scratch::new();
    if !needs_root(&scratch) {
        return;
    }
    let sudo = |arguments: &str| {
        let mut command = scratch.command("spa-keygen");
        command.env("SUDO_UID", ALICE.to_string()).env("SUDO_GID", "99").env("SUDO_USER", "alice");
        let output = command.args(keygen_words(arguments)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let out = sudo("laptop --server a --open tcp/22");
    assert!(out.contains("scp -p alice@a:"), "{out}");
    assert_eq!(owner(&scratch, "laptop.spa.toml"), (ALICE, 99));
    assert_eq!(scratch.mode("laptop.spa.toml"), 0o600);
    for file in
        ["etc", "etc/site.toml", "etc/profiles", "etc/profiles/laptop.toml", "state", "state/journal.a"]
    {
        assert_eq!(owner(&scratch, file), (0, 0), "{file}");
    }
    sudo("phone tablet --server a --open tcp/22 --out keys");
    for file in ["keys", "keys/phone.spa.toml", "keys/tablet.spa.toml"] {
        assert_eq!(owner(&scratch, file), (ALICE, 99), "{file}");
    }
}

#[test]
fn in_a_folder_of_spad_files_belong_to_spad() {
    let scratch = Scratch::new();
    if !needs_root(&scratch) {
        return;
    }
    for folder in ["etc", "state"] {
        fs::create_dir(scratch.path(folder)).unwrap();
        chown(scratch.path(folder), Some(SPAD), Some(SPAD)).unwrap();
    }
    scratch.keygen("laptop --server a --open tcp/22").ok();
    for file in
        ["etc/site.toml", "etc/profiles", "etc/profiles/laptop.toml", "state/journal.a", "state/journal.b"]
    {
        assert_eq!(owner(&scratch, file), (SPAD, SPAD), "{file}");
    }
    assert_eq!(owner(&scratch, "laptop.spa.toml"), (0, 0));
}

#[test]
fn in_a_folder_of_root_the_keys_belong_to_whom_the_profiles_do() {
    let scratch = Scratch::new();
    if !needs_root(&scratch) {
        return;
    }
    // As tmpfiles.d makes them: spad.toml, beside site.toml, stays root's.
    for folder in ["etc", "etc/profiles", "state"] {
        fs::create_dir(scratch.path(folder)).unwrap();
    }
    for folder in ["etc/profiles", "state"] {
        chown(scratch.path(folder), Some(SPAD), Some(SPAD)).unwrap();
    }
    scratch.keygen("laptop --server a --open tcp/22").ok();
    for file in ["etc/site.toml", "etc/profiles/laptop.toml", "state/journal.a", "state/journal.b"] {
        assert_eq!(owner(&scratch, file), (SPAD, SPAD), "{file}");
    }
    assert_eq!(owner(&scratch, "etc"), (0, 0));
}

#[test]
fn without_permission_nothing_is_made_and_sudo_is_named() {
    use std::os::unix::process::CommandExt as _;
    let scratch = Scratch::new();
    if !needs_root(&scratch) {
        return;
    }
    // The program must be where that user can reach it.
    let program = scratch.path("spa-keygen");
    fs::copy(env!("CARGO_BIN_EXE_spa-keygen"), &program).unwrap();
    let mut command = std::process::Command::new(&program);
    command
        .args(keygen_words("laptop --server a --open tcp/22"))
        .current_dir(&scratch.0)
        .uid(ALICE)
        .gid(ALICE);
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(error.lines().count(), 2, "{error}");
    assert!(error.contains("cannot make etc") && error.contains("sudo spa-keygen"), "{error}");
    assert_eq!(scratch.files().len(), 1);
}
