//! A stand-in for spad, for the tests of its plumbing only: roles that exercise all of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::undocumented_unsafe_blocks)]

mod probe;
mod roles;
mod sender;

use std::process::ExitCode;

use spad::starter::{self, Options};

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(tracing::Level::DEBUG)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["probe", what] => probe::worker(what),
        ["probe-monitor", what] => probe::monitor(what),
        ["probe-sender", what] => sender::probe(what),
        ["--role", "monitor", ..] => roles::monitor().into(),
        ["--role", "worker", "--config", config, "--state-dir", state, "-v", ..] => {
            roles::worker(config, state).into()
        }
        ["--config", config, "--state-dir", state] => {
            let (config, state_dir) = (config.into(), state.into());
            starter::run(Options { config, state_dir, log: vec!["-v".into()], observe: false, again: false })
                .into()
        }
        _ => panic!("arguments: {arguments:?}"),
    }
}
