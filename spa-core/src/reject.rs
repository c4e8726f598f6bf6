//! Why a datagram was dropped. For the operator only: nothing derived from this may reach the network.

use std::fmt;
use std::time::Duration;

/// One reason; each has one name, one counter and one vector. In the order in which they are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Not an unfragmented UDP datagram to an address of this host.
    Frame,
    /// Shorter or longer than a datagram of this protocol.
    Length,
    /// The check word is not zero: a stranger.
    Header,
    /// The header names a key that this site does not have.
    UnknownKey,
    /// The MAC does not belong to the datagram.
    Mac,
    /// The AEAD tag does not belong to the body.
    Aead,
    /// Not the one spelling of a request.
    Malformed,
    /// The stated address is not the packet's source, or none that may be granted anything.
    Address,
    /// The journal was lost and no clock has yet said when it is safe to go on.
    Unsettled,
    /// At or below the floor.
    Old,
    /// The clocks are further apart than the skew that is allowed.
    Skewed {
        /// By how much.
        by: Duration,
        /// Whether the client's clock is the one ahead.
        ahead: bool,
    },
    /// Admitted before.
    Replayed,
    /// More fresh requests than the profile's rate allows.
    Rate,
    /// Not allowed by the profile.
    Forbidden(Forbidden),
}

/// What of a request the profile does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// A service that is not in the profile's `open`.
    #[error("a service that the profile does not open")]
    Service,
    /// The profile has expired.
    #[error("something after the profile expired")]
    Expired,
    /// The key that takes the place of this one was used.
    #[error("something by a key whose successor is in use")]
    Superseded,
    /// A prefix of a length that is not in the profile's `prefixes`.
    #[error("a prefix of a length that the profile does not allow")]
    Prefix,
    /// A forward to where the profile does not lead.
    #[error("a target that is not in the profile's forward")]
    Target,
    /// A forward to an address of the other family.
    #[error("a forward from one address family to the other")]
    Family,
    /// A forward, a source-port range or `once` that is not offered, too wide, or not together: a narrowing that cannot be
    /// kept is never ignored.
    #[error(
        "a narrowing (forward, ports or once) that this server does not offer, or not together with the rest"
    )]
    Narrowing,
    /// An action that the profile may not have run or the server does not have, or an argument that it does not take.
    #[error("an action that the profile does not invoke, or with an argument that it does not take")]
    Action,
    /// A verb that the profile does not allow.
    #[error("a verb that the profile does not allow")]
    Verb,
}

impl Reject {
    /// How many reasons there are.
    pub const COUNT: usize = 14;

    /// The names, in the order of judging.
    pub const NAMES: [&'static str; Self::COUNT] = [
        "frame",
        "length",
        "header",
        "unknown-key",
        "mac",
        "aead",
        "malformed",
        "address",
        "unsettled",
        "old",
        "skewed",
        "replayed",
        "rate",
        "forbidden",
    ];

    /// Its place in [`Self::NAMES`] and among the counters.
    pub const fn index(self) -> usize {
        match self {
            Self::Frame => 0,
            Self::Length => 1,
            Self::Header => 2,
            Self::UnknownKey => 3,
            Self::Mac => 4,
            Self::Aead => 5,
            Self::Malformed => 6,
            Self::Address => 7,
            Self::Unsettled => 8,
            Self::Old => 9,
            Self::Skewed { .. } => 10,
            Self::Replayed => 11,
            Self::Rate => 12,
            Self::Forbidden(_) => 13,
        }
    }

    /// Its name in vectors, counters and logs.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame => f.write_str("not an unfragmented UDP datagram for this host"),
            Self::Length => f.write_str("not 256 to 1232 bytes"),
            Self::Header => f.write_str("not sealed for this site"),
            Self::UnknownKey => f.write_str("unknown key id"),
            Self::Mac => f.write_str("wrong MAC"),
            Self::Rate => f.write_str("more requests than the profile's rate allows"),
            Self::Aead => f.write_str("wrong AEAD tag"),
            Self::Malformed => f.write_str("not a request in its one spelling"),
            Self::Address => {
                f.write_str("the stated address is not the packet's source or may not be granted anything")
            }
            Self::Unsettled => {
                f.write_str("the journal was lost; waiting until no old datagram can be fresh")
            }
            Self::Old => f.write_str("older than what was last admitted or forgotten"),
            Self::Skewed { by, ahead } => {
                let by = humantime::format_duration(Duration::from_secs(by.as_secs()));
                write!(f, "clock differs by {by} (client {})", if *ahead { "ahead" } else { "behind" })
            }
            Self::Replayed => f.write_str("admitted before"),
            Self::Forbidden(what) => write!(f, "asked for {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skew_is_told_in_words() {
        let skewed = Reject::Skewed { by: Duration::from_millis(7_380_500), ahead: true };
        assert_eq!(skewed.to_string(), "clock differs by 2h 3m (client ahead)");
        assert_eq!(skewed.name(), "skewed");
    }
}
