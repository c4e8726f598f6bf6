//! The contestants: how each is set up, started, knocked at and flooded. Each has what its documentation shows: one
//! service, tcp/22, opened for 30 seconds.

mod fwknop;
mod knockd;
mod spad;

use std::net::Ipv4Addr;
use std::process::Command;

use crate::arena::{Arena, Daemon};
use crate::wire::Packet;

pub use fwknop::Fwknopd;
pub use knockd::Knockd;
pub use spad::Spad;

/// What somebody without a key can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Junk {
    /// Of the length and shape of a real knock.
    Random,
    /// The first bytes of a datagram that was captured, and junk behind them.
    CapturedHeader,
    /// A captured datagram, over and over.
    ExactReplay,
    /// A datagram captured ten minutes ago.
    StaleReplay,
}

impl Junk {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Random, Self::CapturedHeader, Self::ExactReplay, Self::StaleReplay];

    /// For titles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random junk",
            Self::CapturedHeader => "junk behind a captured header",
            Self::ExactReplay => "exact replays",
            Self::StaleReplay => "stale replays",
        }
    }
}

/// A daemon and its client.
pub trait Contestant: Sync {
    /// As it stands in the table.
    fn name(&self) -> &'static str;

    /// Why it cannot take part here.
    fn missing(&self) -> Option<String> {
        None
    }

    /// Starts the daemon with so many profiles.
    fn serve(&self, arena: &Arena, profiles: usize) -> Daemon;

    /// Its own client, knocking for this address with the first profile. To be started on the client host.
    fn client(&self, client: Ipv4Addr) -> Command;

    /// Knocks that are ready to be sent, one for each client; profiles take turns.
    fn knocks(&self, arena: &Arena, clients: &[Ipv4Addr], profiles: usize) -> Vec<Vec<Packet>>;

    /// Junk for a daemon with so many profiles, some hundred packets of it.
    ///
    /// # Errors
    /// Why there is no such junk.
    fn junk(&self, arena: &Arena, kind: Junk, profiles: usize) -> Result<Vec<Packet>, &'static str>;

    /// Frames or datagrams that came for the daemon since the last question and that it was too slow for.
    fn lost(&self, daemon: &Daemon) -> u64 {
        crate::usage::captured(&daemon.processes()).map_or(0, |(_, lost)| lost.into())
    }

    /// Words that the log has once for each knock that was accepted.
    fn accepted(&self) -> &'static str;
}

/// Whether a program is installed.
#[must_use]
pub fn installed(program: &str) -> bool {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|folder| std::path::Path::new(folder).join(program).is_file())
}
