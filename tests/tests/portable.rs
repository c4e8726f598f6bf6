//! The client elsewhere than on Linux. No standard library of another system is here, so what can be proven without one is:
//! which packages it takes there, and that the parts for other systems are the same program with the same types.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::repository;
use serde_json::Value;

fn cargo(folder: &Path, arguments: &[&str]) -> Output {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo).args(arguments).current_dir(folder).output().expect("cargo can be started")
}

/// The packages of the client on a system; `None` if some of them were never fetched here.
fn packages(target: &str) -> Option<Vec<String>> {
    let done = cargo(
        repository(),
        &["tree", "--locked", "-p", "spa-client", "-e", "normal", "--prefix", "none", "--target", target],
    );
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "{said}");
        eprintln!("SKIPPED: the packages for {target} are not known here: {said}");
        return None;
    }
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    Some(names.map(str::to_owned).collect())
}

#[test]
fn the_client_takes_no_package_that_its_system_cannot_have() {
    // What captures packets, changes a firewall or confines a process belongs to the daemon.
    let daemons = ["pcap", "landlock", "seccompiler", "spad"];
    let linux = ["linux-raw-sys", "procfs", "inotify"];
    let unix = ["rustix", "libc", "nix", "errno", "signal-hook"];
    #[rustfmt::skip]
    let rows: [(&str, &[&[&str]]); 4] = [
        // system, none of these
        ("x86_64-unknown-linux-gnu",  &[&daemons]),
        ("aarch64-apple-darwin",      &[&daemons, &linux]),
        ("x86_64-pc-windows-msvc",    &[&daemons, &linux, &unix]),
        ("x86_64-pc-windows-gnu",     &[&daemons, &linux, &unix]),
    ];
    for (target, forbidden) in rows {
        let Some(packages) = packages(target) else { continue };
        assert!(packages.iter().any(|one| one == "spa-core"), "{target}: {packages:?}");
        for package in &packages {
            let is_linux = target.contains("linux");
            assert!(is_linux || !package.contains("netlink"), "{target}: {package}");
            assert!(!forbidden.iter().any(|names| names.contains(&package.as_str())), "{target}: {package}");
        }
    }
}

/// Copies a folder of sources, each line through `change`.
fn copy(from: &Path, to: &Path, change: &dyn Fn(&str) -> String) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy(&path, &target, change);
        } else {
            let text = fs::read_to_string(&path).expect("sources are text");
            fs::write(&target, text.lines().map(|line| change(line) + "\n").collect::<String>())
                .expect("written");
        }
    }
}

/// The libraries that the client is built with here: name and file.
fn libraries() -> Vec<(String, PathBuf)> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is below target");
    let target = target.to_str().expect("text");
    let done = cargo(
        repository(),
        &["build", "--locked", "-p", "spa-client", "--lib", "--message-format=json", "--target-dir", target],
    );
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut libraries = Vec::new();
    for line in String::from_utf8_lossy(&done.stdout).lines() {
        let message: Value = serde_json::from_str(line).expect("cargo speaks JSON");
        for file in message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if [".rlib", ".so"].iter().any(|end| file.ends_with(end)) {
                let name = message["target"]["name"].as_str().expect("a target has a name");
                let features = message["features"].as_array().map_or(0, Vec::len);
                libraries.push((features, name.replace('-', "_"), file.into()));
            }
        }
    }
    // Some are built a second time, with less in them, for what runs while the client is built.
    libraries.sort_by_key(|(features, ..)| std::cmp::Reverse(*features));
    libraries.into_iter().map(|(_, name, file)| (name, file)).collect()
}

/// Checks the types of the client's sources after each line went through `change`.
///
/// `section`: whether a section of the client's manifest counts there; packages of others are not to be had.
fn well_typed(name: &str, section: fn(&str) -> bool, change: &dyn Fn(&str) -> String) {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&root);
    copy(&repository().join("spa-client/src"), &root, change);
    let libraries = libraries();
    let manifest = fs::read_to_string(repository().join("spa-client/Cargo.toml")).expect("it is there");
    let mut rustc = Command::new("rustc");
    rustc.args([
        "--edition",
        "2024",
        "--crate-type",
        "lib",
        "--crate-name",
        "spa_client",
        "--emit",
        "metadata",
    ]);
    rustc.args(["-D", "warnings", "--out-dir"]).arg(&root).arg(root.join("lib.rs"));
    rustc.env("CARGO_PKG_VERSION", env!("CARGO_PKG_VERSION")).env("CARGO_PKG_NAME", "spa-client");
    for part in manifest
        .split("\n[")
        .filter(|part| part.contains("dependencies]") && !part.starts_with("dev-") && section(part))
    {
        for name in part.lines().filter_map(|line| line.split_once(".workspace = true")) {
            let name = name.0.replace('-', "_");
            let found = libraries.iter().find(|(library, _)| *library == name);
            let (_, file) = found.unwrap_or_else(|| panic!("{name} was not built"));
            let folder = file.parent().expect("a file lies in a folder").display();
            rustc
                .arg("--extern")
                .arg(format!("{name}={}", file.display()))
                .arg(format!("-Ldependency={folder}"));
        }
    }
    let done = rustc.output().expect("rustc can be started");
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_parts_for_other_systems_are_well_typed_too() {
    // A Unix that is not Linux, as macOS.
    let not_linux = |line: &str| line.replace("target_os = \"linux\"", "any()");
    well_typed("a-unix", |section| !section.contains("target_os = \"linux\""), &not_linux);
    // Neither, as Windows: without the packages that are for Unix, too.
    let neither = move |line: &str| {
        let words = ["cfg(unix)", "cfg!(unix)", "not(unix)", "all(unix,", "all(test, unix)"];
        let known =
            !line.contains("unix") || !line.contains("cfg") || words.iter().any(|word| line.contains(word));
        assert!(known, "this test does not know how to take Unix out of: {line}");
        // What of the standard library only some systems have is not to be had here.
        not_linux(line)
            .replace("std::os::", "std::not_here::")
            .replace("cfg(unix)", "cfg(any())")
            .replace("cfg!(unix)", "false")
            .replace("not(unix)", "not(any())")
            .replace("all(unix,", "all(any(),")
            .replace("all(test, unix)", "all(test, any())")
    };
    well_typed("no-unix", |section| !section.starts_with("target."), &neither);
}
