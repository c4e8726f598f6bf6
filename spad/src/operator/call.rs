//! A call at the control socket: one question, and its answer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::answer::{Answer, MOST};
use super::question::Question;
use crate::exit::ExitStatus;
use crate::lock;
use crate::socketpair::{ChannelError, Seqpacket};

/// How long a daemon that runs may be without a monitor, or have too many callers.
const COMES_BACK: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
/// How long it may take to answer.
const ANSWERS: Duration = Duration::from_secs(10);
/// A reload: longer than the daemon waits for it.
const RELOADS: Duration = Duration::from_secs(65);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("{}: no spad runs with this state folder (hint: systemctl start spad, or --state-dir)", .0.display())]
    NotRunning(PathBuf),
    /// Not root.
    #[error("{}: not permitted (hint: run this as root, or as a member of the group of the socket's folder)", .0.display())]
    NotPermitted(PathBuf),
    /// It runs, and answers nothing.
    #[error("spad does not answer (hint: `spad doctor` says whether it is stopped, and its log why)")]
    Silent,
    /// It ended in the midst.
    #[error("spad ended the call (hint: its monitor may just have been started anew; try again)")]
    Ended,
    /// It speaks otherwise.
    #[error("the spad that runs is another version than this program (hint: systemctl restart spad)")]
    OtherVersion,
    /// It does not want to.
    #[error("spad refuses: {0}")]
    Refused(String),
    /// The system's fault.
    #[error("{}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
}

impl From<&CallError> for ExitStatus {
    fn from(error: &CallError) -> Self {
        match error {
            CallError::NotRunning(_) => Self::NotRunning,
            CallError::NotPermitted(_) => Self::NotPermitted,
            _ => Self::Failure,
        }
    }
}

impl AsFd for Call {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A question that was asked.
pub struct Call {
    socket: Seqpacket,
    deadline: Instant,
}

impl Call {
    /// Asks the daemon that runs with this state folder.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn ask(state_dir: &Path, question: &Question) -> Result<Self, CallError> {
        let socket = connect(state_dir)?;
        let patience = if *question == Question::Reload { RELOADS } else { ANSWERS };
        // Refused by its first packet, the caller finds that packet waiting, and the other end closed.
        match socket.send(&question.encode()) {
            Ok(()) | Err(ChannelError::Closed) => Ok(Self { socket, deadline: Instant::now() + patience }),
            Err(_) => Err(CallError::Silent),
        }
    }

    /// The next packet, if one comes within that time.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn next_within(&mut self, time: Duration) -> Result<Option<Answer>, CallError> {
        self.deadline = Instant::now() + time;
        match self.next() {
            Err(CallError::Silent) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// The next packet of the answer.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn next(&self) -> Result<Answer, CallError> {
        let mut packet = vec![0; MOST];
        loop {
            let received = rustix::net::recv(&self.socket, packet.as_mut_slice(), RecvFlags::TRUNC);
            match received.map(|(_, length)| length) {
                Ok(0) => return Err(CallError::Ended),
                Ok(length) => {
                    let bytes = packet.get(..length).ok_or(CallError::OtherVersion)?;
                    return match serde_json::from_slice(bytes) {
                        Ok(Answer::Refused(why)) => Err(CallError::Refused(why)),
                        Ok(answer) => Ok(answer),
                        Err(_) => Err(CallError::OtherVersion),
                    };
                }
                Err(Errno::AGAIN) => self.wait()?,
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(_) => return Err(CallError::Ended),
            }
        }
    }

    fn wait(&self) -> Result<(), CallError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => Err(CallError::Silent),
            _ => Ok(()),
        }
    }
}

fn connect(state_dir: &Path) -> Result<Seqpacket, CallError> {
    let path = super::path(state_dir);
    let failed = |error: Errno| CallError::Io(path.clone(), error.into());
    let address = SocketAddrUnix::new(&path).map_err(failed)?;
    let begun = Instant::now();
    loop {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(failed)?;
        let patient = begun.elapsed() < COMES_BACK;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(socket.into()),
            // Too many callers wait.
            Err(Errno::AGAIN) if patient => {}
            Err(Errno::AGAIN) => return Err(CallError::Silent),
            // The monitor is being started.
            Err(Errno::CONNREFUSED | Errno::NOENT) if patient && lock::is_running(state_dir) => {}
            Err(Errno::CONNREFUSED | Errno::NOENT | Errno::NOTDIR) => {
                return Err(CallError::NotRunning(path));
            }
            Err(Errno::ACCESS | Errno::PERM) => return Err(CallError::NotPermitted(path)),
            Err(error) => return Err(failed(error)),
        }
        sleep(PAUSE);
    }
}
