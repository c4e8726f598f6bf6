//! A packet that is imagined, and whether it meets a condition: yes, no, or not to be known.

use std::net::IpAddr;

use spa_core::service::Transport;

/// The first packet of a client whose address appears in nobody's rules.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Its address family.
    pub v6: bool,
    /// Where it comes in; `None` where that is not known.
    pub interface: Option<String>,
    /// Where it goes; `None` for this host, whichever of its addresses.
    pub to: Option<IpAddr>,
    /// TCP or UDP.
    pub transport: Transport,
    /// Its destination port; `None` stands for every one.
    pub port: Option<u16>,
    /// Whether its client has knocked.
    pub granted: bool,
    /// Whether its destination was translated.
    pub translated: bool,
}

/// What is known of a condition; `None` is "perhaps".
pub(super) type Meets = Option<bool>;

/// All must hold.
pub(super) fn all(conditions: impl IntoIterator<Item = Meets>) -> Meets {
    let mut known = Some(true);
    for condition in conditions {
        match condition {
            Some(false) => return Some(false),
            None => known = None,
            Some(true) => {}
        }
    }
    known
}

/// One is enough.
pub(super) fn any(conditions: impl IntoIterator<Item = Meets>) -> Meets {
    all(conditions.into_iter().map(not)).map(|none| !none)
}

pub(super) fn not(condition: Meets) -> Meets {
    condition.map(|met| !met)
}

impl Packet {
    pub(super) fn is_port(&self, low: u64, high: u64) -> Meets {
        self.port.map(|port| (low..=high).contains(&u64::from(port)))
    }

    pub(super) fn is_transport(&self, name: &str) -> bool {
        name == self.transport.to_string() || name.parse() == Ok(self.transport.number())
    }

    /// - `pattern`: a name; with `wildcard` at its end whatever begins so.
    pub(super) fn comes_by(&self, pattern: &str, wildcard: char) -> Meets {
        // No stranger comes by loopback.
        if pattern == "lo" {
            return Some(false);
        }
        let name = self.interface.as_deref()?;
        Some(match pattern.strip_suffix(wildcard) {
            Some(front) => name.starts_with(front),
            None => name == pattern,
        })
    }

    /// - `network`: an address, alone or with the length of its prefix.
    pub(super) fn goes_to(&self, network: &str) -> Meets {
        let to = self.to?;
        let (address, length) = match network.split_once('/') {
            Some((address, length)) => (address.parse().ok()?, length.parse::<u32>().ok()?),
            None => (network.parse().ok()?, 128),
        };
        Some(match (to, address) {
            (IpAddr::V4(to), IpAddr::V4(network)) => {
                let shift = 32 - length.min(32);
                (u64::from(to.to_bits()) >> shift) == (u64::from(network.to_bits()) >> shift)
            }
            (IpAddr::V6(to), IpAddr::V6(network)) => {
                let differ = to.to_bits() ^ network.to_bits();
                differ.leading_zeros() >= length.min(128)
            }
            _ => false,
        })
    }
}
