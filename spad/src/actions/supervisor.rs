//! The supervisor of one command: starts it, and when it ends, or its time is over, or the runner is gone, ends it with all
//! that came from it. A process for each, so that whose children are whose is the kernel's to say.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use rustix::thread::{CapabilitySet, CapabilitySets};
use tracing::error;

use super::command::Job;
use super::orphans;
use crate::exit::ExitStatus;
use crate::role::Role;
use crate::socketpair::Seqpacket;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With this status.
    Status(u8),
    /// By this signal.
    Signal(u8),
    /// Its time was over.
    Limit,
}

impl End {
    /// Bytes of the message about it.
    pub(super) const SIZE: usize = 2;

    fn encode(self) -> [u8; Self::SIZE] {
        match self {
            Self::Status(status) => [1, status],
            Self::Signal(signal) => [2, signal],
            Self::Limit => [3, 0],
        }
    }

    pub(super) fn decode(bytes: [u8; Self::SIZE]) -> Option<Self> {
        match bytes {
            [1, status] => Some(Self::Status(status)),
            [2, signal] => Some(Self::Signal(signal)),
            [3, 0] => Some(Self::Limit),
            _ => None,
        }
    }
}

/// Runs the command that waits in the channel, and tells there how it ended.
pub fn run(channel: &Seqpacket) -> ExitStatus {
    match supervise(channel) {
        Ok(Some(end)) => {
            // A runner that is gone has nobody to tell.
            let _ = channel.send(&end.encode());
            ExitStatus::Done
        }
        Ok(None) => ExitStatus::Done,
        Err(error) => {
            error!("a command cannot be supervised: {error}");
            ExitStatus::Failure
        }
    }
}

fn supervise(channel: &Seqpacket) -> io::Result<Option<End>> {
    let job = Job::receive(channel)?;
    orphans::adopt()?;
    let mut child = start(&job)?;
    keep_only_the_right_to_kill()?;
    let deadline = Instant::now() + Duration::from_millis(job.limit);
    let waited = wait(channel, &child, deadline);
    // Before it is buried: until then its number, which is that of its group, is nobody else's.
    end_group(&child);
    let status = child.wait()?;
    if !orphans::end_all_but(&[])? {
        error!("what a command left behind does not end, though it was killed");
    }
    let signal = || status.signal().and_then(|signal| u8::try_from(signal).ok()).unwrap_or(0);
    let by_itself = || match status.code() {
        Some(code) => End::Status(u8::try_from(code).unwrap_or(u8::MAX)),
        None => End::Signal(signal()),
    };
    Ok(match waited? {
        Waited::Ended => Some(by_itself()),
        Waited::Limit => Some(End::Limit),
        Waited::NobodyAsks => None,
    })
}

fn start(job: &Job) -> io::Result<Child> {
    let (ours, theirs) = Seqpacket::pair()?;
    job.send(&ours).map_err(io::Error::other)?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    Role::Command.command().stdin(theirs.into_descriptor()).stderr(output).stdout(Stdio::inherit()).spawn()
}

/// What is left to do is to end processes of another user.
fn keep_only_the_right_to_kill() -> io::Result<()> {
    let kept = rustix::thread::capabilities(None)?.permitted & CapabilitySet::KILL;
    rustix::thread::clear_ambient_capability_set()?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

enum Waited {
    Ended,
    Limit,
    NobodyAsks,
}

fn wait(channel: &Seqpacket, child: &Child, deadline: Instant) -> io::Result<Waited> {
    let Some(pid) = pid(child) else { return Ok(Waited::Ended) };
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut descriptors = [PollFd::new(&ended, PollFlags::IN), PollFd::new(channel, PollFlags::IN)];
        match poll(&mut descriptors, Some(&timeout)) {
            Ok(0) if left.is_zero() => return Ok(Waited::Limit),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let [of_the_child, of_the_runner] = descriptors.map(|descriptor| !descriptor.revents().is_empty());
        if of_the_child {
            return Ok(Waited::Ended);
        }
        // It never says anything more: this is its end.
        if of_the_runner {
            return Ok(Waited::NobodyAsks);
        }
    }
}

fn end_group(child: &Child) {
    let Some(pid) = pid(child) else { return };
    // It has no group of its own yet, or has ended: then there is nothing to kill.
    let _ = kill_process_group(pid, Signal::KILL);
    let _ = kill_process(pid, Signal::KILL);
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_two_bytes_and_nothing_else_is_one() {
        for end in [End::Status(0), End::Status(255), End::Signal(9), End::Limit] {
            assert_eq!(End::decode(end.encode()), Some(end));
        }
        for bytes in [[0, 0], [3, 1], [4, 0]] {
            assert_eq!(End::decode(bytes), None, "{bytes:?}");
        }
    }
}
