//! On which terms a door opens: what of a profile goes beyond who may open what.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::target::{Target, is_one_host};

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
    /// The inner service.
    pub to: Target,
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

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to)?;
        match self.source {
            SourceNat::Keep => Ok(()),
            SourceNat::Masquerade => f.write_str(" masqueraded"),
            SourceNat::Address(address) => write!(f, " as {address}"),
        }
    }
}

/// Text that says nothing of a sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not what an inner host can see as the sender: write keep, masquerade, or an address of this host"
)]
pub struct BadSource(String);

impl FromStr for SourceNat {
    type Err = BadSource;

    fn from_str(text: &str) -> Result<Self, BadSource> {
        match text {
            "keep" => Ok(Self::Keep),
            "masquerade" => Ok(Self::Masquerade),
            _ => {
                let address = text.parse().ok().filter(|address| is_one_host(*address));
                address.map(Self::Address).ok_or_else(|| BadSource(text.to_owned()))
            }
        }
    }
}

impl fmt::Display for SourceNat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("keep"),
            Self::Masquerade => f.write_str("masquerade"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_inner_host_sees_is_a_word_or_an_address() {
        #[rustfmt::skip]
        let rows = [
            // text, valid, why
            ("keep",         true,  "the client's own"),
            ("masquerade",   true,  "that of the interface"),
            ("192.0.2.1",    true,  "an address"),
            ("fd00::1",      true,  "an address"),
            ("127.0.0.1",    false, "loopback"),
            ("169.254.0.1",  false, "link-local"),
            ("eth1",         false, "an interface"),
        ];
        for (text, valid, why) in rows {
            let source = text.parse::<SourceNat>();
            assert_eq!(source.is_ok(), valid, "{text}: {why}");
            if let Ok(source) = source {
                assert_eq!(source.to_string(), text);
            }
        }
    }
}
