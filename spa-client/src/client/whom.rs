//! For whom a door is to open: an address, a prefix, a word for the own address; and from which ports.

use std::net::IpAddr;
use std::str::FromStr;

use spa_core::address::{may_be_granted, may_open_for};
use spa_core::grantee::Grantee;
use spa_core::policy::Narrowing;
use spa_core::request::Stated;

/// Source ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SourcePorts(pub(super) u16, pub(super) u16);

/// Text that is no source port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use a port like 40000, or a range like 40000-40010 of at most {} ports", Narrowing::MOST_PORTS)]
pub(super) struct BadSourcePorts;

impl FromStr for SourcePorts {
    type Err = BadSourcePorts;

    fn from_str(text: &str) -> Result<Self, BadSourcePorts> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0 && !text.starts_with('+'));
        let (Some(low), Some(high)) = (port(low), port(high)) else { return Err(BadSourcePorts) };
        let more = high.checked_sub(low).ok_or(BadSourcePorts)?;
        if usize::from(more) < Narrowing::MOST_PORTS { Ok(Self(low, high)) } else { Err(BadSourcePorts) }
    }
}

/// For whom a door is to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allow {
    /// The own address where the world sees it, else whoever the datagram comes from.
    Auto,
    /// Whoever the datagram comes from: for clients whose address is translated on the way.
    Source,
    /// The own address as a STUN server sees it, where it tells one; else as `auto`.
    Resolve,
    /// The own address as the server's last receipt told it, where one did; else as `auto`.
    Learnt,
    /// This address, which must be the source, or this prefix, which must hold it; or the profile must allow any.
    Stated(Stated),
}

/// Text that names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadAllow {
    /// Neither an address nor a word that is known.
    #[error("use an address like 192.0.2.7, a prefix like 192.0.2.0/24, or source, resolve, learnt or auto")]
    Shape,
    /// A prefix with bits behind its length.
    #[error("bits behind the prefix are set: write its first address, like 192.0.2.0/24")]
    HostBits,
    /// An address that every server refuses.
    #[error("no server opens a door for such an address or prefix")]
    Never,
}

impl FromStr for Allow {
    type Err = BadAllow;

    fn from_str(text: &str) -> Result<Self, BadAllow> {
        match text {
            "auto" => Ok(Self::Auto),
            "source" => Ok(Self::Source),
            "resolve" => Ok(Self::Resolve),
            "learnt" => Ok(Self::Learnt),
            _ => stated(text).map(Self::Stated),
        }
    }
}

fn stated(text: &str) -> Result<Stated, BadAllow> {
    let Some((first, bits)) = text.split_once('/') else {
        let address: IpAddr = text.parse().map_err(|_| BadAllow::Shape)?;
        // The server knows by which link it came.
        let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let may = may_be_granted(address) || link_local;
        return if may { Ok(Stated { address, prefix: None }) } else { Err(BadAllow::Never) };
    };
    let address: IpAddr = first.parse().map_err(|_| BadAllow::Shape)?;
    let bits: u8 = bits.parse().map_err(|_| BadAllow::Shape)?;
    if bits >= if address.is_ipv4() { 32 } else { 128 } {
        return Err(BadAllow::Shape);
    }
    let grantee = Grantee::prefix(address, bits).ok_or(BadAllow::HostBits)?;
    let may = may_open_for(grantee) && grantee.prefix_length().is_some();
    if may { Ok(Stated { address, prefix: Some(bits) }) } else { Err(BadAllow::Never) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_whom() {
        #[rustfmt::skip]
        let rows = [
            // text, as it is sent or why not, why
            ("192.0.2.7",        Ok("192.0.2.7"),        "an address"),
            ("192.0.2.0/24",     Ok("192.0.2.0/24"),     "a prefix"),
            ("2001:db8::/64",    Ok("2001:db8::/64"),    "a prefix"),
            ("fe80::7",          Ok("fe80::7"),          "an address of the link"),
            ("192.0.2.7/24",     Err(BadAllow::HostBits), "whose first address is another"),
            ("192.0.2.7/32",     Err(BadAllow::Shape),   "an address, spelled as a prefix"),
            ("192.0.2.0/x",      Err(BadAllow::Shape),   "no length"),
            ("0.0.0.0/0",        Err(BadAllow::Never),   "everybody"),
            ("192.0.0.0/7",      Err(BadAllow::Never),   "wider than any that a server can allow"),
            ("2001:db8::/96",    Err(BadAllow::Never),   "narrower than any that a server can allow"),
            ("127.0.0.0/16",     Err(BadAllow::Never),   "loopback"),
            ("fe80::/64",        Err(BadAllow::Never),   "of whichever link"),
            ("fe80::7%eth0",     Err(BadAllow::Shape),   "a name that only this machine knows"),
        ];
        for (text, expected, why) in rows {
            let sent = text.parse::<Allow>().map(|allow| match allow {
                Allow::Stated(stated) => stated.to_string(),
                other => format!("{other:?}"),
            });
            assert_eq!(sent, expected.map(str::to_owned), "{text}: {why}");
        }
    }

    #[test]
    fn source_ports() {
        #[rustfmt::skip]
        let rows = [
            ("40000",        Some(SourcePorts(40_000, 40_000)), "a port"),
            ("40000-40010",  Some(SourcePorts(40_000, 40_010)), "a range"),
            ("1-256",        Some(SourcePorts(1, 256)),         "as many as there may be"),
            ("1-257",        None,                              "one more"),
            ("40010-40000",  None,                              "backwards"),
            ("0",            None,                              "no port"),
            ("65536",        None,                              "no port"),
            ("40000-",       None,                              "half a range"),
            ("+7",           None,                              "a sign"),
        ];
        for (text, expected, why) in rows {
            assert_eq!(text.parse().ok(), expected, "{text}: {why}");
        }
    }
}
