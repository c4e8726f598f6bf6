//! What is answered: JSON, one object a packet, of a size that is bounded. What `--json` prints has these fields and no others
//! (spad(8), "What --json prints"); a field is never renamed, and new ones may come.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use super::event::Event;
pub use crate::firewall::Through;

/// Most bytes of a packet.
pub const MOST: usize = 32 * 1024;
/// Grants in one packet.
pub const GRANTS: usize = 16;
/// Most doors that are named where some are closed; more are counted.
pub const NAMED: usize = 64;

/// A packet of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The whole answer.
    Status(Box<Status>),
    /// Some of them; more follow until an empty one.
    Grants(Vec<Grant>),
    /// The whole answer.
    Revoked(Revoked),
    /// The whole answer.
    Reloaded(Reloaded),
    /// From here on it is told what happens.
    Watching(Watching),
    /// To the runner: which spad.toml is in force ([`crate::config::Config::fingerprint`]), now and after each change.
    Configuration(u64),
    /// It happened; more follow, without end.
    Event(Box<Event>),
    /// The question is refused, and why.
    Refused(String),
}

/// How the daemon is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Of the running daemon.
    pub version: String,
    /// Whole seconds since spad was started.
    pub uptime: u64,
    /// Whole seconds since the present configuration took over; `null` before the first did.
    pub serving: Option<u64>,
    /// The SPA port.
    pub port: Option<u16>,
    /// How many profiles are served.
    pub profiles: usize,
    /// What of the firewall is spad's, and why there.
    pub firewall: Option<Place>,
    /// Those listened on, as the configuration means them now.
    pub interfaces: BTreeMap<String, String>,
    /// How many doors are open.
    pub doors: usize,
    /// How old and new are told apart: `trusted`, `synchronised` or `unsynchronised`.
    pub clock: String,
    /// Requests that were admitted since the monitor started.
    pub admitted: u64,
    /// Datagrams that were dropped, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Frames that the captures had no room for.
    pub lost: u64,
    /// The last reload, if there was one.
    pub reload: Option<LastReload>,
    /// How many events there were, by kind.
    pub events: BTreeMap<String, u64>,
    /// Since the monitor started.
    pub reloads: Reloads,
    /// Whether a runner is there; `null` where spad.toml names no actions.
    pub runner: Option<bool>,
    /// What is not as it should be: one sentence each. Empty: all is well.
    pub degraded: Vec<String>,
    /// The same in stable words, each once.
    pub parts: BTreeSet<Part>,
}

/// Workers that took over after the first, and those that were turned away.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Reloads {
    /// The files are in force.
    pub taken: u64,
    /// They are not.
    pub refused: u64,
}

/// What may be degraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Nobody has served yet, or nobody hears.
    Worker,
    /// One is missing, down, or without a filter in the kernel.
    Interfaces,
    /// Lost, or not writable.
    Journal,
    /// Some are left out, or shut.
    Profiles,
    /// Nobody vouches for it.
    Clock,
    /// Frames were lost within the last minute.
    Captures,
    /// It is being repaired, or cannot be.
    Firewall,
    /// Rules of others drop what is accepted.
    Rules,
    /// What is in force cannot be kept for the next boot.
    Guard,
    /// They cannot be ended.
    Sessions,
    /// The last one was refused.
    Reload,
    /// That of the worker may reach the swap.
    Memory,
    /// Some are named, and nobody runs them.
    Actions,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 13] = [
        Self::Worker,
        Self::Interfaces,
        Self::Journal,
        Self::Profiles,
        Self::Clock,
        Self::Captures,
        Self::Firewall,
        Self::Rules,
        Self::Guard,
        Self::Sessions,
        Self::Reload,
        Self::Memory,
        Self::Actions,
    ];

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Interfaces => "interfaces",
            Self::Journal => "journal",
            Self::Profiles => "profiles",
            Self::Clock => "clock",
            Self::Captures => "captures",
            Self::Firewall => "firewall",
            Self::Rules => "rules",
            Self::Guard => "guard",
            Self::Sessions => "sessions",
            Self::Reload => "reload",
            Self::Memory => "memory",
            Self::Actions => "actions",
        }
    }
}

/// Where the firewall is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Backend, mode and table.
    pub place: String,
    /// Why this backend.
    pub why: String,
}

/// A reload that is past.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastReload {
    /// Whole seconds since then.
    pub ago: u64,
    /// Whether it was taken.
    pub taken: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// Where in the row of events a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watching {
    /// Which monitor counts them: milliseconds since boot when it began, so that another one is told from this one.
    pub monitor: u64,
    /// The number of the first event that will be told.
    pub next: u64,
}

impl Watching {
    /// How many events were missed since this one was to come, if another call begins there. Of a monitor that is new at least so
    /// many: what the one before told last may be missing too.
    pub const fn missed_until(self, begins: Self) -> u64 {
        let heard = if self.monitor == begins.monitor { self.next } else { 1 };
        begins.next.saturating_sub(heard)
    }

    /// Takes note of the event with that number; says how many before it were missed.
    pub const fn follow(&mut self, number: u64) -> u64 {
        let missed = number.saturating_sub(self.next);
        self.next = number.saturating_add(1);
        missed
    }
}

/// A lease.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Name of the profile, where it is known.
    pub profile: Option<String>,
    /// Key id, eight hexadecimal digits.
    pub key_id: String,
    /// `tcp/22`
    pub service: String,
    /// An address, a prefix, or a link-local address and the index of its interface.
    pub grantee: String,
    /// The only source port, if there is one.
    pub source_port: Option<u16>,
    /// Ends with the first connection.
    pub once: bool,
    /// Where it leads, if not to this host's own service.
    pub forward: Option<String>,
    /// When it was opened (RFC 3339, by the server's clock); `null` if a monitor before this one did that.
    pub since: Option<String>,
    /// When it was last asked for, by the client's clock.
    pub asked: String,
    /// When it ends.
    pub until: String,
    /// Whole seconds that are left.
    pub remaining: u64,
    /// Whether its sessions end with it.
    pub cut: bool,
    /// TCP connections of the grantee to the service that live now, and what they have carried. `null` where nothing counts:
    /// UDP, and what is led to an inner host. Filled in by the program that asks, not by the daemon.
    #[serde(default)]
    pub through: Option<Through>,
}

/// What was closed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Revoked {
    /// Doors that are shut now, [`NAMED`] at most.
    pub closed: Vec<String>,
    /// Doors that somebody else holds open for the same grantee, likewise.
    pub still_open: Vec<String>,
    /// How many more of either kind.
    pub more: usize,
    /// Whether the kernel has done it; if not, it is tried again until it has.
    pub done: bool,
}

/// How a reload ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// Whether the files are in force.
    pub taken: bool,
    /// Why they are not.
    pub reason: Option<String>,
}

impl Answer {
    /// The packet.
    pub fn to_packet(&self) -> Vec<u8> {
        let refusal = || br#"{"Refused":"the answer does not fit"}"#.to_vec();
        serde_json::to_vec(self).ok().filter(|bytes| bytes.len() <= MOST).unwrap_or_else(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_packets_fit() {
        let grant = Grant {
            profile: Some("\"".repeat(32)),
            key_id: "ffffffff".into(),
            service: "tcp/65535".into(),
            grantee: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295".into(),
            source_port: Some(u16::MAX),
            once: false,
            forward: Some(
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535 as ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
                    .into(),
            ),
            since: Some("9999-12-31T23:59:59Z".into()),
            asked: "9999-12-31T23:59:59Z".into(),
            until: "9999-12-31T23:59:59Z".into(),
            remaining: u64::MAX,
            cut: false,
            through: None,
        };
        assert!(serde_json::to_vec(&Answer::Grants(vec![grant; GRANTS])).unwrap().len() < MOST);
        let door =
            "tcp/65535 for ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295 from ports 65535".to_owned();
        let half = vec![door; NAMED];
        let revoked = Revoked { closed: half.clone(), still_open: half, more: usize::MAX, done: false };
        assert!(serde_json::to_vec(&Answer::Revoked(revoked)).unwrap().len() < MOST);
        let long = Answer::Refused("x".repeat(MOST));
        assert!(long.to_packet().len() < 100, "never sent as it is");
    }
}
