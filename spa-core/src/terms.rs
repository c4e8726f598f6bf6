//! On which terms a door opens: what of a profile goes beyond who may open what.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

/// On which terms a door opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long it stays open.
    pub window: Duration,
    /// How long it may stay open from its opening while it is in use; `None` is the window and no longer.
    pub extend_to: Option<Duration>,
    /// What becomes of its sessions at its end.
    pub on_close: OnClose,
    /// Where it leads, if not to this host's own service.
    pub forward: Option<Forward>,
    /// Most doors that the profile may have open; the ceiling has another limit.
    pub most_doors: Option<NonZeroU32>,
}

impl Terms {
    /// Open for that long, and nothing else.
    pub const fn plain(window: Duration) -> Self {
        Self { window, extend_to: None, on_close: OnClose::Keep, forward: None, most_doors: None }
    }
}

/// What becomes of the sessions that were begun through a door when it closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnClose {
    /// They live on.
    #[default]
    Keep,
    /// They end with it.
    Cut,
}

/// How the doors of a profile end, but for their window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Each with its first connection.
    pub once: bool,
    /// What becomes of their sessions.
    pub on_close: OnClose,
    /// How long they may stay open from their opening while they are in use.
    pub extend_to: Option<Duration>,
}

/// Where a door leads: a service of an inner host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Forward {
    /// Address and port of the inner service.
    pub to: SocketAddr,
    /// What the inner host sees as the sender.
    pub source: SourceNat,
}

/// What an inner host sees as the sender of what is forwarded to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceNat {
    /// The client's own address.
    #[default]
    Keep,
    /// The address of the interface that it leaves by.
    Masquerade,
    /// This address of ours.
    Address(IpAddr),
}
