//! What the suites share.
#![allow(dead_code, unreachable_pub)]

pub mod daemon;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_plumbing");

/// Whether tests that need root can run. Not running them is an error in CI and loud elsewhere.
pub fn root() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "this test needs root, and CI must not skip it");
    eprintln!("SKIPPED: this test needs root");
    false
}

/// Whether a user namespace can be made here.
pub fn user_namespaces() -> bool {
    if Command::new("unshare").args(["-Ur", "true"]).status().is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "this test needs user namespaces, and CI must not skip it");
    eprintln!("SKIPPED: no user namespaces here");
    false
}

/// Asks again and again, until `limit`.
pub fn eventually(limit: Duration, what: &str, mut question: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !question() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}

/// A folder of its own, removed in the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plumbing-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a command line to its end.
pub fn output(words: &[&str]) -> Output {
    Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap()
}
