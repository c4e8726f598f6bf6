//! The lock of a state folder: held by the one daemon that uses it, and who that is.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::exit::ExitStatus;

/// Longer than anybody asks ([`is_held`]).
const ASKED: Duration = Duration::from_millis(50);

/// Held until this is dropped, or its process ends in any way.
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock. Two daemons with one journal would each admit what the other has already seen.
    ///
    /// # Errors
    /// [`ExitStatus::Failure`] if another holds it, [`ExitStatus::Configuration`] if there is no such folder.
    pub fn take(state_dir: &Path) -> Result<Self, (ExitStatus, String)> {
        let path = state_dir.join("lock");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| {
            let hint = "make the folder with `install -d -m 700`, or name another with --state-dir";
            (
                ExitStatus::Configuration,
                format!("{}: cannot be opened: {error} (hint: {hint})", path.display()),
            )
        })?;
        let take = || rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        // Who only asks whether it is held, holds it for a moment.
        let taken = take() || {
            sleep(ASKED);
            take()
        };
        if taken {
            return Ok(Self { file });
        }
        let reason = "another spad runs with this state folder (hint: stop it first; `pgrep -a spad`)";
        Err((ExitStatus::Failure, format!("{}: {reason}", path.display())))
    }

    /// Writes down who holds it: this process, with that configuration. Only `spad apply` asks, so that a full disk
    /// costs nothing else.
    pub fn sign(&mut self, config: &Path) {
        let config = fs::canonicalize(config).unwrap_or_else(|_| config.to_owned());
        let mut text = format!("{}\n", std::process::id()).into_bytes();
        text.extend_from_slice(config.as_os_str().as_bytes());
        let _ = self.file.set_len(0).and_then(|()| self.file.write_all(&text));
    }
}

/// A daemon that runs.
pub struct Holder {
    lock: PathBuf,
    pid: Pid,
    /// Its spad.toml.
    pub config: PathBuf,
}

impl Holder {
    /// Who holds the lock of this folder; `None` if nobody does, or did not sign yet.
    pub fn of(state_dir: &Path) -> Option<Self> {
        let lock = state_dir.join("lock");
        let mut file = File::open(&lock).ok()?;
        if !is_held(&file) {
            return None;
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).ok()?;
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let config = PathBuf::from(std::ffi::OsString::from_vec(text.split_off(end + 1)));
        let pid = str::from_utf8(text.get(..end)?).ok()?.parse().ok().and_then(Pid::from_raw)?;
        let holder = Self { lock, pid, config };
        holder.locks().then_some(holder)
    }

    /// Sends it a signal; returns whether it is still there.
    pub fn signal(&self, signal: Signal) -> bool {
        let Ok(process) = pidfd_open(self.pid, PidfdFlags::empty()) else { return false };
        // It still holds its lock, so that the descriptor means no later process with its number.
        File::open(&self.lock).is_ok_and(|file| is_held(&file))
            && self.locks()
            && pidfd_send_signal(process, signal).is_ok()
    }

    /// Whether the process of this number holds a lock at all: an earlier daemon may have signed.
    fn locks(&self) -> bool {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        let pid = self.pid.to_string();
        locks.lines().any(|line| {
            // `1: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF`
            let mut words = line.split_whitespace().skip(1);
            words.next() == Some("FLOCK") && words.nth(1) == Some("WRITE") && words.next() == Some(&pid)
        })
    }
}

/// Whether a daemon runs with this folder.
pub fn is_running(state_dir: &Path) -> bool {
    File::open(state_dir.join("lock")).is_ok_and(|file| is_held(&file))
}

/// Asked by taking it for the length of the question, shared with others who ask.
fn is_held(file: &File) -> bool {
    let held = rustix::fs::flock(file, FlockOperation::NonBlockingLockShared).is_err();
    if !held {
        let _ = rustix::fs::flock(file, FlockOperation::Unlock);
    }
    held
}
