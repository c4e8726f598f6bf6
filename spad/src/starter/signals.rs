//! The signals that the starter listens for, as something to poll.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

/// Readable when a signal came; ready to be polled.
#[derive(Debug)]
pub(super) struct Signals {
    wake: UnixStream,
    end: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    attempt: Arc<AtomicBool>,
}

/// What came since the last look. A child's death is only a wake-up: the children are asked themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// SIGTERM or SIGINT.
    pub(super) end: bool,
    /// SIGHUP.
    pub(super) reload: bool,
    /// SIGUSR1, from `spad apply`.
    pub(super) attempt: bool,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let [end, reload, attempt] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        for (signal, flag) in [(SIGTERM, &end), (SIGINT, &end), (SIGHUP, &reload), (SIGUSR1, &attempt)] {
            // In this order: whoever is woken finds the flag set.
            signal_hook::flag::register(signal, Arc::clone(flag))?;
            signal_hook::low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        signal_hook::low_level::pipe::register(SIGCHLD, waker)?;
        Ok(Self { wake, end, reload, attempt })
    }

    /// What came, each told once.
    pub(super) fn take(&self) -> Heard {
        // Emptied first: a signal that comes from now on wakes the next poll.
        while matches!((&self.wake).read(&mut [0; 64]), Ok(1..)) {}
        Heard {
            end: self.end.swap(false, Ordering::SeqCst),
            reload: self.reload.swap(false, Ordering::SeqCst),
            attempt: self.attempt.swap(false, Ordering::SeqCst),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
