//! The socket, and who may use it: root, the user whom spad was started as, and the group of the socket's folder if that
//! folder hands its group on (the set-group-id bit). The modes of folder and socket say so first, SO_PEERCRED again.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::socketpair::Seqpacket;
use crate::sys::peer;

/// How many may wait to be heard, besides those that are.
const BACKLOG: i32 = 16;
/// Set-group-id.
const HANDS_ON: u32 = 0o2000;

/// The listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    own: u32,
    group: Option<u32>,
}

/// Somebody who called.
#[derive(Debug)]
pub enum Caller {
    /// He may ask.
    Welcome(Seqpacket),
    /// He may ask, and run actions: root, or whom spad runs as.
    Master(Seqpacket),
    /// He may not.
    Stranger(Seqpacket),
}

impl Listener {
    /// Makes the socket anew. To be called by the only daemon of its state folder, while files can still be made.
    ///
    /// # Errors
    /// No such folder, not writable, or its path is longer than a socket's may be.
    pub fn open(path: &Path) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        // A worker makes the one in /run as well.
        match rustix::fs::mkdir(folder, Mode::RWXU) {
            Err(error) if error != Errno::EXIST => return Err(error.into()),
            _ => {}
        }
        let address = SocketAddrUnix::new(path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::net::bind(&socket, &address)?;
        // Nobody gets in before `listen`.
        rustix::fs::chmod(path, Mode::from_raw_mode(0o660))?;
        let meta = fs::metadata(folder)?;
        let group = (meta.mode() & HANDS_ON != 0).then_some(meta.gid());
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Self { socket, own: rustix::process::geteuid().as_raw(), group })
    }

    /// The next who calls; `None` if nobody waits.
    pub fn accept(&self) -> Option<Caller> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::accept_with(&self.socket, flags).ok()?;
        let (user, own_group) = match peer::user(socket.as_fd()) {
            Ok(ids) => ids,
            Err(_) => return Some(Caller::Stranger(socket.into())),
        };
        if user == 0 || user == self.own {
            return Some(Caller::Master(socket.into()));
        }
        let may = self.is_of_the_group(&socket, own_group).unwrap_or(false);
        let socket = Seqpacket::from(socket);
        Some(if may { Caller::Welcome(socket) } else { Caller::Stranger(socket) })
    }

    fn is_of_the_group(&self, socket: &OwnedFd, own_group: u32) -> Result<bool, Errno> {
        let Some(group) = self.group else { return Ok(false) };
        Ok(own_group == group || peer::groups(socket.as_fd())?.contains(&group))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Why there is none, for the log and for status.
pub fn complaint(path: &Path, error: &io::Error) -> String {
    format!("no control socket at {}: {error}", path.display())
}
