//! Ending whatever a command left behind. Supervisor and runner are subreapers (PR_SET_CHILD_SUBREAPER): who loses its parent
//! becomes a child of theirs, whatever session or group it went to, and children can be listed.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// How long a killed process may take to be gone; one that waits for a dead disk takes longer, and is left to itself.
const GOES: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(1);

/// From now on the orphans below this process are its children.
///
/// # Errors
/// A kernel that cannot list them (built without CONFIG_PROC_CHILDREN).
pub(super) fn adopt() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    children().map(drop).map_err(|error| io::Error::other(format!("children cannot be listed: {error}")))
}

/// Kills and buries all children but these, and whoever comes up in their place, until there is none. Returns whether none is
/// left.
pub(super) fn end_all_but(known: &[Pid]) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        let strays: Vec<Pid> = children()?.into_iter().filter(|pid| !known.contains(pid)).collect();
        if strays.is_empty() {
            return Ok(true);
        }
        for pid in &strays {
            // It may have ended by itself.
            let _ = kill_process(*pid, Signal::KILL);
        }
        for pid in &strays {
            let _ = waitpid(Some(*pid), WaitOptions::NOHANG);
        }
        if begun.elapsed() > GOES {
            return Ok(false);
        }
        sleep(PAUSE);
    }
}

/// proc_pid_task_tid_children(5): of the one thread that this process has.
fn children() -> io::Result<Vec<Pid>> {
    let text = fs::read_to_string("/proc/thread-self/children")?;
    Ok(text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect())
}
