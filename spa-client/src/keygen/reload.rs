//! Has the running daemon take up what was changed, by the program that asks it: `spad reload`.

use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// As docs/man/spad.8 has it.
const NOT_RUNNING: i32 = 7;

/// What became of it.
pub(super) enum Reload {
    /// The files are in force.
    Taken,
    /// There is no daemon of this state folder; the files count when it starts.
    NotRunning,
    /// It goes on as before, and why.
    Refused(String),
}

#[derive(Deserialize)]
struct Answer {
    reason: Option<String>,
}

/// Asks the daemon of this state folder, and waits until the files are in force.
pub(super) fn reload(state: &Path) -> Reload {
    // The one that was installed with this program, rather than one that is found by chance.
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join("spad")));
    let program = beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("spad"));
    let done = Command::new(program)
        .arg("--state-dir")
        .arg(state)
        .args(["reload", "--json"])
        .stdin(Stdio::null())
        .output();
    let done = match done {
        Ok(done) => done,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Reload::Refused("the program spad is not found, so nobody was told".to_owned());
        }
        Err(error) => return Reload::Refused(format!("spad cannot be started: {error}")),
    };
    match done.status.code() {
        Some(0) => Reload::Taken,
        Some(NOT_RUNNING) => Reload::NotRunning,
        _ => {
            let answer = serde_json::from_slice::<Answer>(&done.stdout).ok().and_then(|answer| answer.reason);
            let said = || String::from_utf8_lossy(&done.stderr).trim().to_owned();
            Reload::Refused(answer.unwrap_or_else(said))
        }
    }
}
