//! What a daemon costs: processor time, memory, frames that it was too slow for. From /proc and its own sockets.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::sys;

/// A process and all below it.
#[must_use]
pub fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        next += 1;
    }
    all
}

/// What processes did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// On a processor, to the nanosecond.
    pub time: Duration,
    /// How often one of them was given a processor.
    pub runs: u64,
}

/// Time and runs of these processes (`/proc/PID/schedstat`).
///
/// Packets that the kernel handles in an interrupt meanwhile count for whoever was interrupted.
#[must_use]
pub fn effort(pids: &[u32]) -> Effort {
    let of = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
        let mut fields = text.split_whitespace().map(|field| field.parse().unwrap_or(0));
        // Between the two: how long it waited for a processor.
        let (time, runs) = (fields.next(), fields.nth(1));
        Effort { time: Duration::from_nanos(time.unwrap_or(0)), runs: runs.unwrap_or(0) }
    };
    let sum = |a: Effort, b: Effort| Effort { time: a.time + b.time, runs: a.runs + b.runs };
    pids.iter().map(of).fold(Effort::default(), sum)
}

/// Time that these processes have been on a processor.
#[must_use]
pub fn processor_time(pids: &[u32]) -> Duration {
    effort(pids).time
}

/// Memory of these processes in MiB: proportional set size, in which what is shared counts once in all.
/// The ring of a capture is mapped, and so it is part of it.
#[must_use]
pub fn memory(pids: &[u32]) -> f64 {
    let of = |pid: &u32| -> f64 {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    pids.iter().map(of).sum::<f64>() / 1024.0
}

/// Frames that reached the packet sockets of these processes since the last question, and those that were lost.
///
/// `None` if they have no packet socket.
#[must_use]
pub fn captured(pids: &[u32]) -> Option<(u32, u32)> {
    let (mut frames, mut lost, mut found) = (0, 0, false);
    for &pid in pids {
        let table = fs::read_to_string(format!("/proc/{pid}/net/packet")).unwrap_or_default();
        let inodes: Vec<&str> =
            table.lines().skip(1).filter_map(|line| line.split_whitespace().last()).collect();
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let link = fs::read_link(entry.path()).unwrap_or_default();
            let link = link.to_string_lossy();
            let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            if !inode.is_some_and(|inode| inodes.contains(&inode)) {
                continue;
            }
            let number = entry.file_name().to_string_lossy().parse().expect("descriptors are numbers");
            let process = Pid::from_raw(pid.cast_signed()).expect("process ids are positive");
            let process = pidfd_open(process, PidfdFlags::empty()).expect("the daemon runs");
            let socket = pidfd_getfd(process, number, PidfdGetfdFlags::empty()).expect("root may look at it");
            let (seen, dropped) =
                sys::packet_statistics(std::os::fd::AsFd::as_fd(&socket)).expect("a packet socket");
            (frames, lost, found) = (frames + seen, lost + dropped, true);
        }
    }
    found.then_some((frames, lost))
}

/// Datagrams that a UDP port of the host of this process had no room for, since it was opened.
#[must_use]
pub fn lost_at_port(pid: u32, port: u16) -> u64 {
    let table = fs::read_to_string(format!("/proc/{pid}/net/udp")).unwrap_or_default();
    let local = format!(":{port:04X}");
    let lost = |line: &str| -> Option<u64> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1).filter(|field| field.ends_with(&local))?;
        fields.last()?.parse().ok()
    };
    table.lines().filter_map(lost).sum()
}
