//! The processes of the running daemon, and whether they hear anything.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::{Finding, or_ok};
use crate::actions::{self, Table};
use crate::surroundings::{Interface, Surroundings};

/// A running daemon.
pub(super) struct Daemon {
    starter: u32,
    /// Whom it was started as.
    pub(super) uid: u32,
    children: Vec<Process>,
}

struct Process {
    pid: u32,
    name: String,
    stopped: bool,
}

/// Finds the one that uses this state folder, by the lock that it holds.
pub(super) fn find(state_dir: &Path) -> Option<Daemon> {
    let inode = fs::metadata(state_dir.join("lock")).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let starter = locks.lines().filter_map(|line| holder(line, inode)).find(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("spad"))
    })?;
    let numbers = fs::read_dir("/proc").ok()?.flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let stats = pids.filter_map(|pid| Some((pid, fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)));
    let children = stats.filter_map(|(pid, stat)| process(pid, &stat, starter)).collect();
    Some(Daemon { starter, uid: uid(starter)?, children })
}

fn uid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF`. The device is not compared: overlay shows another than
/// `stat`.
fn holder(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[_, "FLOCK", _, "WRITE", pid, place, ..] = words.as_slice() else { return None };
    let (_, found) = place.rsplit_once(':')?;
    (found.parse() == Ok(inode)).then(|| pid.parse().ok())?
}

/// `PID (NAME) STATE PARENT …`, of a child of that one.
fn process(pid: u32, stat: &str, parent: u32) -> Option<Process> {
    let (front, rest) = stat.rsplit_once(')')?;
    let (_, name) = front.split_once('(')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    (fields.next()?.parse() == Ok(parent) && state != "Z").then(|| Process {
        pid,
        name: name.to_owned(),
        stopped: matches!(state, "T" | "t"),
    })
}

/// Whether all of it runs, and here.
pub(super) fn runs(daemon: Option<&Daemon>, state_dir: &Path) -> Vec<Finding> {
    const ID: &str = "daemon";
    let Some(daemon) = daemon else {
        let what =
            format!("no spad runs with the state folder {}: nobody hears a knock", state_dir.display());
        return vec![Finding::bad(
            ID,
            what,
            "systemctl start spad; what keeps it from starting is in its log",
        )];
    };
    let mut found = Vec::new();
    for role in ["spad-monitor", "spad-worker"] {
        let mut all = daemon.children.iter().filter(|process| process.name == role).peekable();
        if all.peek().is_none() {
            found.push(Finding::bad(
                ID,
                format!("no {role} runs"),
                "see the log of spad: journalctl -u spad",
            ));
        }
        for stopped in all.filter(|process| process.stopped) {
            let what = format!("{role} (process {}) is stopped", stopped.pid);
            found.push(Finding::bad(ID, what, format!("kill -CONT {}", stopped.pid)));
        }
    }
    let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    if space("self") != space(&daemon.starter.to_string()) {
        let what = "spad runs in another network namespace than this command";
        let fix = format!("nsenter --net=/proc/{}/ns/net spad doctor", daemon.starter);
        found.push(Finding::bad(ID, what, fix));
    }
    or_ok(found, ID, format!("spad runs as process {}, with its monitor and its worker", daemon.starter))
}

/// Whether what spad.toml names can be run here, and somebody does.
pub(super) fn actions(table: &Table) -> Vec<Finding> {
    const ID: &str = "actions";
    if table.is_empty() {
        return Vec::new();
    }
    let fault = |what: String| Finding::bad(ID, what, "mend it in spad.toml, then reload spad");
    let mut found: Vec<Finding> = actions::faults(table).into_iter().map(fault).collect();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_runner = |path: &Path| fs::read_to_string(path).is_ok_and(|name| name.trim_end() == "spad-runner");
    if !processes.into_iter().any(|process| is_runner(&process.path().join("comm"))) {
        let what = "spad.toml names actions, and nobody runs them";
        found.push(Finding::warning(ID, what, "systemctl enable --now spad-runner"));
    }
    or_ok(found, ID, format!("{} actions can be run, and a runner is there", table.actions.len()))
}

/// Whether a capture is open on every interface that should have one.
pub(super) fn hears(daemon: Option<&Daemon>, surroundings: &Surroundings) -> Option<Finding> {
    const ID: &str = "capture";
    let workers = daemon?.children.iter().filter(|process| process.name == "spad-worker");
    let mut heard = BTreeSet::new();
    for worker in workers {
        let table = fs::read_to_string(format!("/proc/{}/net/packet", worker.pid)).unwrap_or_default();
        let own = sockets(worker.pid);
        heard.extend(table.lines().filter_map(|line| capture(line, &own)));
    }
    let mut wanted: Vec<(&str, u32)> = Vec::new();
    wanted.extend(surroundings.any.then_some(("any", 0)));
    wanted.extend(surroundings.interfaces.iter().filter_map(|(name, state)| match state {
        Interface::Present { index, up: true } => Some((name.as_str(), *index)),
        _ => None,
    }));
    let deaf: Vec<&str> =
        wanted.iter().filter(|(_, index)| !heard.contains(index)).map(|(name, _)| *name).collect();
    if wanted.is_empty() {
        let what = "no interface that spad listens on is up: nobody hears a knock";
        return Some(Finding::bad(ID, what, "set the interface up, or name another in capture.interfaces"));
    }
    if deaf.is_empty() {
        let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
        return Some(Finding::ok(ID, format!("the worker listens on {}", names.join(", "))));
    }
    let what =
        format!("the worker does not listen on {}: a knock that comes by it is not heard", deaf.join(", "));
    Some(Finding::bad(ID, what, "systemctl reload spad; why it does not is in its log"))
}

/// Inodes of a process's sockets.
fn sockets(pid: u32) -> BTreeSet<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode =
        |link: std::path::PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    links.filter_map(inode).collect()
}

/// `sk RefCnt Type Proto Iface R Rmem User Inode`: the interface's number, if the socket is one of these.
fn capture(line: &str, own: &BTreeSet<u64>) -> Option<u32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let inode = fields.get(8)?.parse().ok()?;
    own.contains(&inode).then(|| fields.get(4)?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_kernel_are_read() {
        assert_eq!(holder("7: FLOCK  ADVISORY  WRITE 812 00:1b:4711 0 EOF", 4711), Some(812));
        assert_eq!(holder("7: FLOCK  ADVISORY  READ 812 00:1b:4711 0 EOF", 4711), None);
        assert_eq!(holder("7: POSIX  ADVISORY  WRITE 812 00:1b:4711 0 EOF", 4711), None);
        assert_eq!(holder("7: FLOCK  ADVISORY  WRITE 812 00:1b:4712 0 EOF", 4711), None);
        let stat =
            |parent| process(9, "9 (spad-) monitor) T 7 9 9 0 -1", parent).map(|p| (p.name, p.stopped));
        assert_eq!(stat(7), Some(("spad-) monitor".to_owned(), true)));
        assert_eq!(stat(8), None);
        let own = BTreeSet::from([52_000]);
        let line = "ffff8881 3      3    0003   2     1 0      65534  52000";
        assert_eq!(capture(line, &own), Some(2));
        assert_eq!(capture(&line.replace("52000", "52001"), &own), None);
        assert_eq!(capture("sk RefCnt Type Proto Iface R Rmem User Inode", &own), None);
    }
}
