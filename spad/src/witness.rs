//! Who says whether the wall clock is right. Its kernel, where the daemon may ask it. Its unit keeps everything from it that
//! has to do with clocks, this question too; there `spad clock` asks, a process that can do nothing else, and passes the
//! answer on by a lock: held for as long as the kernel calls the clock synchronised.
//!
//! A lock and not a file or a message, because the kernel takes it away when its holder ends, however that ends: no "yes"
//! outlives who said it. Whatever is not known counts as "no".

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FlockOperation, fcntl_lock};
use tracing::{error, info};

use crate::exit::ExitStatus;
use crate::sys::{clock, lock};

/// What is locked. The folder is that of the user spad and root (`packaging/spad-clock.service`): who may enter it vouches.
pub const LOCK: &str = "/run/spad-clock/lock";
/// How often `spad clock` asks. The kernel itself goes on calling its clock synchronised for hours after the last time that
/// anybody set it right, so that a second more is nothing.
const ASKS: Duration = Duration::from_secs(1);

/// Who is asked about the clock.
#[derive(Debug)]
pub enum Witness {
    /// The kernel.
    Kernel,
    /// Whoever holds the lock of this file, which is open for reading: that is not enough to take the lock.
    Holder(File),
    /// The kernel may not be asked, and `spad clock` has never run.
    Nobody,
}

impl Witness {
    /// To be called before the sandbox closes; afterwards no file can be opened.
    pub fn find() -> Self {
        match clock::synchronised() {
            Ok(_) => Self::Kernel,
            Err(_) => Self::beside(Path::new(LOCK)),
        }
    }

    /// Whoever holds the lock of that file, if there is one.
    pub fn beside(path: &Path) -> Self {
        // Root may be asking, in a folder of another user's, who could lead elsewhere or let him wait.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        OpenOptions::new().read(true).custom_flags(flags).open(path).map_or(Self::Nobody, Self::Holder)
    }

    /// Whether the clock is synchronised for all that is known.
    pub fn vouches(&self) -> bool {
        match self {
            Self::Kernel => clock::synchronised().unwrap_or(false),
            Self::Holder(file) => lock::is_held(file.as_fd()).unwrap_or(false),
            Self::Nobody => false,
        }
    }

    /// Why it does not, for the operator.
    pub fn doubt(&self) -> &'static str {
        match self {
            Self::Kernel => "nobody vouches for the clock: the kernel does not call it synchronised",
            Self::Holder(_) => {
                "nobody vouches for the clock: the kernel does not call it synchronised, or spad-clock.service does not run"
            }
            Self::Nobody => {
                "nobody vouches for the clock: spad may not ask the kernel, and spad-clock.service did not run before it"
            }
        }
    }
}

/// Whether `spad clock` was here and has gone, so that a daemon that relies on it knows nothing of the clock.
pub fn is_missed() -> bool {
    match Witness::beside(Path::new(LOCK)) {
        holder @ Witness::Holder(_) => !holder.vouches(),
        Witness::Kernel | Witness::Nobody => false,
    }
}

/// `spad clock`: vouches while the kernel does, until it is ended.
pub fn vouch() -> ExitStatus {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(LOCK);
    let outcome = opened.map_err(|error| {
        let hint = "start spad-clock.service, which makes the folder for the user spad";
        (ExitStatus::Configuration, format!("{LOCK}: cannot be opened: {error} (hint: {hint})"))
    });
    let (status, reason) = match outcome.and_then(|lock| hold(&lock)) {
        Ok(never) => match never {},
        Err(failed) => failed,
    };
    error!("{reason}");
    status
}

fn hold(lock: &File) -> Result<std::convert::Infallible, (ExitStatus, String)> {
    let mut said = None;
    loop {
        let synchronised = clock::synchronised().map_err(|error| {
            let hint = "what starts it must permit the system calls adjtimex and clock_adjtime";
            (
                ExitStatus::NotPermitted,
                format!("the kernel may not be asked about its clock: {error} (hint: {hint})"),
            )
        })?;
        set(lock, synchronised).map_err(|error| {
            let hint = "only one `spad clock` may run";
            (ExitStatus::Failure, format!("{LOCK}: cannot be locked: {error} (hint: {hint})"))
        })?;
        if said.replace(synchronised) != Some(synchronised) {
            info!("{}", if synchronised { SYNCHRONISED } else { UNSYNCHRONISED });
        }
        sleep(ASKS);
    }
}

const SYNCHRONISED: &str = "the kernel calls its clock synchronised";
const UNSYNCHRONISED: &str = "the kernel does not call its clock synchronised";

/// A lock of the process, not of the descriptor: no child could hold it on.
fn set(lock: &File, held: bool) -> io::Result<()> {
    let operation = match held {
        true => FlockOperation::NonBlockingLockExclusive,
        false => FlockOperation::NonBlockingUnlock,
    };
    Ok(fcntl_lock(lock, operation)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_vouched_for() {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("spad-witness-{}", std::process::id()));
        assert!(!Witness::beside(&path).vouches(), "no file");
        File::create(&path).unwrap();
        let witness = Witness::beside(&path);
        assert!(matches!(witness, Witness::Holder(_)) && !witness.vouches(), "nobody holds it");
        // Who can only read cannot vouch to others: a captured worker, for one.
        let Witness::Holder(file) = witness else { return };
        assert!(set(&file, true).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
