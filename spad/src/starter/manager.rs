//! What the service manager is told: datagrams of `NAME=value` lines to the socket that $NOTIFY_SOCKET names (sd_notify(3)).
//! Without such a socket nothing is said.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::ClockId;
use tracing::warn;

/// Names the socket. No child inherits it: what one of them said would count as the daemon's word.
pub(super) const VARIABLE: &str = "NOTIFY_SOCKET";

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub(super) struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    told: Told,
    /// What found no room: to be said with the next sign of life.
    unsaid: String,
}

/// In which state it takes the daemon to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Starting,
    Ready,
    Reloading,
}

impl Manager {
    /// The one that started this process.
    pub(super) fn of_this_process() -> Self {
        Self::at(std::env::var_os(VARIABLE))
    }

    fn at(name: Option<OsString>) -> Self {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Self::default() };
        match open(&name) {
            Ok(socket) => Self { socket: Some(socket), ..Self::default() },
            Err(error) => {
                warn!("${VARIABLE} is {}, where nobody can be told anything: {error}", name.display());
                Self::default()
            }
        }
    }

    /// A worker took over. `another`: the one that was asked for by a reload is still to come.
    pub(super) fn serving(&mut self, another: bool) {
        let ready = self.ready(another);
        self.say(format!("{ready}STATUS=serving\n"));
    }

    /// The files are about to be read anew. Followed by [`Self::serving`] or [`Self::refused`].
    pub(super) fn reloading(&mut self) {
        // Before the first "ready" it is only a start that takes longer.
        if self.told == Told::Starting {
            return;
        }
        self.told = Told::Reloading;
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        self.say(format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the files anew\n"));
    }

    /// A new worker did not take over. `serves`: an old one goes on. `another`: as for [`Self::serving`].
    pub(super) fn refused(&mut self, serves: bool, another: bool) {
        // A reload is over whatever came of it; a start is not.
        let ready = if self.told == Told::Starting { "" } else { self.ready(another) };
        let status = match serves {
            true => "serving as before: the files were refused, see the log",
            false => "nobody hears a knock: no worker can start, see the log",
        };
        self.say(format!("{ready}STATUS={status}\n"));
    }

    fn ready(&mut self, another: bool) -> &'static str {
        let news = self.told != Told::Ready && !(self.told == Told::Reloading && another);
        if news {
            self.told = Told::Ready;
        }
        if news { "READY=1\n" } else { "" }
    }

    /// Something ended and is being started again.
    pub(super) fn mending(&mut self, what: &str) {
        self.say(format!("STATUS={what} ended, starting another\n"));
    }

    /// All that should live answers.
    pub(super) fn alive(&mut self) {
        self.say("WATCHDOG=1\n".to_owned());
    }

    /// The daemon was asked to end, or cannot go on.
    pub(super) fn stopping(&mut self) {
        self.say("STOPPING=1\nSTATUS=ending, the guard stays\n".to_owned());
    }

    fn say(&mut self, lines: String) {
        let Some((socket, address)) = &self.socket else { return };
        let mut all = std::mem::take(&mut self.unsaid);
        all.push_str(&lines);
        if let Err(error) = socket.send_to_addr(all.as_bytes(), address)
            && error.kind() == io::ErrorKind::WouldBlock
            && lines != "WATCHDOG=1\n"
        {
            self.unsaid = all;
        }
    }
}

fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that hangs does not hang this process.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}
