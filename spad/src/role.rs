//! What the starter starts, and the first steps of a process that it started.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::socketpair::Seqpacket;
use crate::sys;

/// A child of the starter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Touches the firewall, sees neither packet nor key.
    Monitor,
    /// Sees packets and keys, can only ask.
    Worker,
    /// Runs `iptables-restore` with fixed texts; a child of the monitor, where the backend is iptables.
    Loader,
    /// Sends receipts, where spad.toml allows any.
    Sender,
    /// Starts one command and ends all that came from it; a child of the runner.
    Supervisor,
    /// Becomes a command; a child of its supervisor.
    Command,
}

impl Role {
    /// The name on the command line, after `--role`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Worker => "worker",
            Self::Loader => "loader",
            Self::Sender => "sender",
            Self::Supervisor => "supervisor",
            Self::Command => "command",
        }
    }

    /// This very program, to be started anew in this role.
    pub fn command(self) -> Command {
        // Not the program's path: an update may have replaced it meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("spad").args(["--role", self.name()]);
        command
    }

    /// The first call of a child: ignores the signals that are meant for the starter, gives the process a name
    /// that `ps` and `pgrep` show, and takes its channel.
    ///
    /// # Errors
    /// It was not started by one of us.
    pub fn enter(self) -> io::Result<Seqpacket> {
        let channel = Seqpacket::from_stdin()?;
        sys::signal::ignore_requests_to_end()?;
        rustix::thread::set_name(match self {
            Self::Monitor => c"spad-monitor",
            Self::Worker => c"spad-worker",
            Self::Loader => c"spad-loader",
            Self::Sender => c"spad-sender",
            Self::Supervisor => c"spad-supervisor",
            Self::Command => c"spad-command",
        })?;
        Ok(channel)
    }
}
