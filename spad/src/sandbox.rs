//! Giving up, before the first byte from outside is read, everything that a process does not need.
//!
//! Each function does all its steps in an order that works, then asks the kernel whether every one of them
//! holds. A process that got an error must end: part of its privileges may be gone, part not.

mod filesystem;
mod privileges;
mod syscalls;

use std::os::fd::{AsRawFd, BorrowedFd};
use std::{fmt, io};

use rustix::io::Errno;
use rustix::mm::MlockAllFlags;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::CapabilitySet;

use crate::exit::ExitStatus;
use crate::identity::{Identity, IdentityError, Reason};
use crate::sys::filter;

/// The open descriptors by which the worker still touches the world.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors<'a> {
    /// The capture sockets: their filter is locked, and they can be read but never written.
    pub captures: &'a [BorrowedFd<'a>],
    /// The channel to the monitor, to be written with `write`.
    pub channel: BorrowedFd<'a>,
    /// The files that may be written: both journals and the mark.
    pub writable: &'a [BorrowedFd<'a>],
}

/// How a process is confined now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whose ids it has.
    pub identity: Identity,
    /// The version of landlock in force; `None` if the kernel (before 5.13, or without it) has none.
    pub landlock: Option<u8>,
    /// Whether the bounding set is reduced too. Not possible without CAP_SETPCAP (`User=spad`); then only
    /// `no_new_privs` forbids that a started program gets more, and the worker can start none.
    pub bounded: bool,
    /// Whether nothing of it ever reaches the swap; `None` where it holds no keys.
    pub locked: Option<bool>,
}

/// Why a process could not be confined. It must not go on.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel changes privileges thread by thread.
    #[error("the sandbox must be closed before any thread is started ({0} run)")]
    Threads(usize),
    /// A capture socket without a filter of its own would read everything.
    #[error("a capture socket has no filter in the kernel")]
    Unfiltered,
    /// See [`IdentityError`].
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A capability that the monitor needs and does not have.
    #[error("CAP_NET_ADMIN is missing: start as root, or with that capability ambient")]
    MissingCapability,
    /// A step failed.
    #[error("{0}: {1}")]
    Step(&'static str, #[source] io::Error),
    /// Every step worked and yet something is still possible.
    #[error("not confined after all: {0}")]
    Leaky(&'static str),
}

impl From<&SandboxError> for ExitStatus {
    /// Starting again would only repeat it.
    fn from(_: &SandboxError) -> Self {
        Self::NotPermitted
    }
}

/// Confines the worker. Afterwards it can read what is open, write to `descriptors` and standard error,
/// use memory that holds no code, tell the time, and end.
///
/// To be called when captures, journals, keys and configuration are open and read, before the first packet
/// is looked at, and before any thread is started.
///
/// # Errors
/// See [`SandboxError`]. The process must then end.
pub fn seal_worker(descriptors: Descriptors<'_>) -> Result<Report, SandboxError> {
    single_threaded()?;
    for capture in descriptors.captures {
        lock_filter(*capture)?;
    }
    let identity = Identity::choose()?;
    // With root's rights only. What comes of it is asked when they are gone.
    let unlimited = Rlimit { current: None, maximum: None };
    let _ = rustix::process::setrlimit(Resource::Memlock, unlimited);
    let bounded = privileges::reduce(identity, CapabilitySet::empty())?;
    let locked = lock_memory();
    let landlock = filesystem::forbid_everything()?;
    no_traces()?;
    verify(identity, bounded, CapabilitySet::empty(), landlock)?;
    let writable = descriptors.writable.iter().chain([&descriptors.channel]);
    syscalls::allow_only_the_workers(writable.map(|descriptor| descriptor.as_raw_fd()))?;
    answers(descriptors.channel)?;
    Ok(Report { identity, landlock, bounded, locked: Some(locked) })
}

/// Only a filter of ours answers so: EPERM where an open terminal, socket or file says otherwise.
fn answers(channel: BorrowedFd<'_>) -> Result<(), SandboxError> {
    match rustix::io::ioctl_fionread(channel) {
        Err(Errno::PERM) => Ok(()),
        _ => Err(SandboxError::Leaky("the system call filter does not answer")),
    }
}

/// Confines the sender. Afterwards it can read its channel, send by its raw sockets, whose filters are locked, and end.
///
/// # Errors
/// See [`SandboxError`]. The process must then end.
pub fn seal_sender(sockets: &[BorrowedFd<'_>], channel: BorrowedFd<'_>) -> Result<Report, SandboxError> {
    single_threaded()?;
    for socket in sockets {
        lock_filter(*socket)?;
    }
    let identity = Identity::choose()?;
    let bounded = privileges::reduce(identity, CapabilitySet::empty())?;
    let landlock = filesystem::forbid_everything()?;
    no_traces()?;
    verify(identity, bounded, CapabilitySet::empty(), landlock)?;
    let sockets: Vec<_> = sockets.iter().map(|socket| socket.as_raw_fd()).collect();
    syscalls::allow_only_the_senders(channel.as_raw_fd(), &sockets)?;
    answers(channel)?;
    Ok(Report { identity, landlock, bounded, locked: None })
}

/// Confines the monitor. Afterwards it has CAP_NET_ADMIN and what is open; it can open no file and start nothing, and makes
/// netlink sockets and no others.
///
/// - `channel`: that to the starter.
/// - `kept`: the one file that it writes to.
///
/// # Errors
/// See [`SandboxError`]. The process must then end.
pub fn seal_monitor(channel: BorrowedFd<'_>, kept: Option<BorrowedFd<'_>>) -> Result<Report, SandboxError> {
    single_threaded()?;
    let identity = Identity::choose()?;
    let capability = CapabilitySet::NET_ADMIN;
    let bounded = privileges::reduce(identity, capability)?;
    let landlock = filesystem::forbid_everything()?;
    no_traces()?;
    verify(identity, bounded, capability, landlock)?;
    syscalls::allow_only_the_monitors(kept.map(|kept| kept.as_raw_fd()))?;
    answers(channel)?;
    Ok(Report { identity, landlock, bounded, locked: None })
}

/// Confines the loader: it and the programs that it starts have what iptables needs, CAP_NET_ADMIN and
/// CAP_NET_RAW, and can get no more. Its uid stays, because the lock of iptables-legacy is root's.
///
/// # Errors
/// See [`SandboxError`]. The process must then end.
pub fn seal_loader() -> Result<(), SandboxError> {
    single_threaded()?;
    let kept = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
    let identity = Identity::Keep(Reason::NotRoot);
    let bounded = privileges::reduce(identity, kept)?;
    no_traces()?;
    verify(identity, bounded, kept, None)?;
    privileges::pass_on(kept)?;
    syscalls::refuse_what_no_loader_needs()
}

/// Takes another identity and gives up every capability, for a command of the operator's: it may do what its user may.
///
/// # Errors
/// See [`SandboxError`]. The process must then end.
pub fn become_user(identity: Identity) -> Result<(), SandboxError> {
    single_threaded()?;
    let bounded = privileges::reduce(identity, CapabilitySet::empty())?;
    no_traces()?;
    verify(identity, bounded, CapabilitySet::empty(), None)
}

/// Counts the threads of this process.
fn single_threaded() -> Result<(), SandboxError> {
    let tasks = std::fs::read_dir("/proc/self/task").map_err(|e| SandboxError::Step("/proc/self/task", e))?;
    match tasks.count() {
        1 => Ok(()),
        more => Err(SandboxError::Threads(more)),
    }
}

/// Fixes a capture's filter for ever (attack S1).
fn lock_filter(capture: BorrowedFd<'_>) -> Result<(), SandboxError> {
    filter::lock(capture).map_err(|e| SandboxError::Step("locking a capture's filter", e))?;
    match filter::state(capture).map_err(|e| SandboxError::Step("reading a capture's filter", e))? {
        filter::Filter { attached: true, locked: true } => Ok(()),
        filter::Filter { attached: false, .. } => Err(SandboxError::Unfiltered),
        filter::Filter { locked: false, .. } => Err(SandboxError::Leaky("a capture's filter is not locked")),
    }
}

/// Keeps all memory, keys among it, out of the swap, what is still to come included. Returns whether that could be done. Not
/// below a limit: the kernel would refuse this process memory at some point, and it would end.
fn lock_memory() -> bool {
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    rustix::process::getrlimit(Resource::Memlock).current.is_none() && rustix::mm::mlockall(all).is_ok()
}

/// No core file with keys in it, and no debugger of the same user.
fn no_traces() -> Result<(), SandboxError> {
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|e| SandboxError::Step("forbidding core files", e.into()))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|e| SandboxError::Step("forbidding debuggers", e.into()))
}

/// Asks the kernel for everything that was given up.
fn verify(
    identity: Identity,
    bounded: bool,
    kept: CapabilitySet,
    landlock: Option<u8>,
) -> Result<(), SandboxError> {
    let asked = |what, answer: io::Result<bool>| match answer {
        Ok(true) => Ok(()),
        Ok(false) => Err(SandboxError::Leaky(what)),
        Err(error) => Err(SandboxError::Step(what, error)),
    };
    asked("the user id", identity.taken())?;
    asked("capabilities", privileges::are(kept, bounded))?;
    asked("no_new_privs", rustix::thread::no_new_privs().map_err(io::Error::from))?;
    asked(
        "the dumpable mark",
        rustix::process::dumpable_behavior()
            .map(|behaviour| behaviour == DumpableBehavior::NotDumpable)
            .map_err(io::Error::from),
    )?;
    asked("the file system", Ok(landlock.is_none() || filesystem::is_closed()))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "runs as {}", self.identity)?;
        match self.landlock {
            Some(version) => write!(f, ", landlock {version}")?,
            None => f.write_str(", without landlock (this kernel has none)")?,
        }
        if !self.bounded {
            f.write_str(", bounding set kept (no CAP_SETPCAP to reduce it)")?;
        }
        match self.locked {
            Some(true) => f.write_str(", memory locked")?,
            Some(false) => f.write_str(", memory not locked (RLIMIT_MEMLOCK): keys may reach the swap")?,
            None => {}
        }
        Ok(())
    }
}
