//! Namespaces of a thread's own: what it and its children do there, nobody else sees, and the kernel takes them away
//! with the last of them, however that ends.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;

/// Runs `work` on a thread in an empty network namespace, in which the thread's children are as well.
///
/// # Errors
/// Without CAP_SYS_ADMIN, or where there are too many namespaces.
pub fn in_own_network<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| leave_network().map(|()| work()));
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread failed")))
    })
}

/// Gives the calling thread an empty network namespace.
///
/// # Errors
/// As [`in_own_network`].
pub fn leave_network() -> io::Result<()> {
    unshare(UnshareFlags::NEWNET)
}

/// Gives the calling thread an empty network namespace, and a `/run` of its own that is in memory. Not to be called on
/// the main thread: there is no way back.
///
/// # Errors
/// Without CAP_SYS_ADMIN, or where there are too many namespaces.
pub fn leave() -> io::Result<()> {
    unshare(UnshareFlags::NEWNET.union(UnshareFlags::NEWNS))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount("spad", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=755,size=32m")?;
    Ok(())
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: only the network and the mounts become the thread's own (and with the mounts its working directory);
    // no descriptor table, so that no descriptor of another thread changes its meaning.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(Into::into)
}

/// Makes the kernel kill the program when the thread that starts it ends, however that ends.
pub fn dies_with_us(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only one system call is made, which neither allocates nor locks.
    unsafe { command.pre_exec(|| set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into)) }
}
