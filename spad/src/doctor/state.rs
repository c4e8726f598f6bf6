//! What must outlast spad: the state folder and the clock.

use std::path::Path;

use super::finding::Finding;
use crate::config::Config;
use crate::sys::clock;
use crate::witness;

/// Below this a lost journal could not be begun anew.
const ROOM: u64 = 8 * 1024 * 1024;

/// Whether the replay journal lasts.
pub fn folder(state_dir: &Path) -> Finding {
    const ID: &str = "state-folder";
    const TMPFS: i128 = 0x0102_1994;
    const OVERLAY: i128 = 0x794c_7630;
    let folder = state_dir.display();
    match rustix::fs::statfs(state_dir) {
        Ok(found) if [TMPFS, OVERLAY].contains(&i128::from(found.f_type)) => Finding::warning(
            ID,
            format!(
                "{folder} does not outlive this machine or container; without its journal replays are told by the \
                 clock only"
            ),
            "put it on a disk, or on a volume of the container",
        ),
        Ok(_) => Finding::ok(ID, format!("{folder} is on a disk")),
        Err(error) => Finding::bad(
            ID,
            format!("{folder} cannot be used: {error}"),
            "make it with `install -d -m 700`, or name another with --state-dir",
        ),
    }
}

/// Whether there is room where the journal is. It is written in place, so that a full disk shuts nobody out.
pub(super) fn room(state_dir: &Path) -> Option<Finding> {
    const ID: &str = "disk-space";
    let found = rustix::fs::statvfs(state_dir).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    Some(match free {
        ROOM.. => Finding::ok(ID, "there is room for a new journal"),
        _ => Finding::warning(
            ID,
            format!("{free} bytes are free: a journal that is lost could not be begun anew"),
            "make room on the disk of the state folder",
        ),
    })
}

/// Whether the wall clock is known to be right.
pub fn clock(config: &Config) -> Finding {
    const ID: &str = "clock";
    if config.clock_trusted {
        return Finding::ok(ID, "the clock is trusted, as spad.toml says");
    }
    if clock::synchronised().unwrap_or(false) {
        if witness::is_missed() {
            return Finding::warning(
                ID,
                "the kernel calls its clock synchronised, but `spad clock`, from whom a spad that may not ask the kernel \
                 learns of it, has ended; after a loss of the journal nothing opens until it runs",
                "systemctl start spad-clock",
            );
        }
        return Finding::ok(ID, "the kernel calls its clock synchronised");
    }
    Finding::warning(
        ID,
        "the kernel does not call its clock synchronised; after a loss of the journal nothing opens until it does",
        "start a time service, or set freshness.clock = \"trusted\"",
    )
}
