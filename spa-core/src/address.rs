//! For whom a door may open: the stated address must be the packet's source, and some may never be granted anything.
//!
//! The binding is judged before freshness and a datagram that fails it is not remembered: a copy that somebody forwards
//! from elsewhere neither opens for him nor burns the owner's own.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::grantee::Grantee;
use crate::keyring::Authentic;
use crate::profile::Profile;
use crate::reject::Reject;
use crate::request::{Request, Stated};

/// The unicast addresses of this host: where a knock may be sent, and for whom no door opens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses(HashSet<IpAddr>);

impl FromIterator<IpAddr> for OwnAddresses {
    fn from_iter<T: IntoIterator<Item = IpAddr>>(addresses: T) -> Self {
        Self(addresses.into_iter().collect())
    }
}

impl OwnAddresses {
    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

/// Whether an address may be granted anything at all, on whichever host.
pub fn may_be_granted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => ipv4_may_be_granted(v4),
        IpAddr::V6(v6) => ipv6_may_be_granted(v6),
    }
}

fn ipv4_may_be_granted(address: Ipv4Addr) -> bool {
    // 0.0.0.0/8 "this network", 127.0.0.0/8, 224.0.0.0/4 multicast, 240.0.0.0/4 reserved with the broadcast address.
    !matches!(address.octets()[0], 0 | 127 | 224..=255)
}

fn ipv6_may_be_granted(address: Ipv6Addr) -> bool {
    let embeds_ipv4 = address.to_ipv4_mapped().is_some() || address.segments()[..6] == [0; 6];
    // The first 96 bits zero: unspecified, loopback and the IPv4-compatible form. Link-local addresses mean another
    // host on every link, so a door without its interface would be open to all of them.
    !(embeds_ipv4 || address.is_multicast() || address.is_unicast_link_local())
}

/// An authentic request and those for whom it asks. Only [`bind`] can make one.
pub struct Bound<'k> {
    profile: &'k Profile,
    request: Request,
    grantees: Vec<Grantee>,
}

impl<'k> Bound<'k> {
    /// Profile, request, and for whom. Consumes the proof.
    pub fn into_parts(self) -> (&'k Profile, Request, Vec<Grantee>) {
        (self.profile, self.request, self.grantees)
    }

    /// Whose request it is.
    pub const fn profile(&self) -> &'k Profile {
        self.profile
    }

    /// What it says.
    pub const fn request(&self) -> &Request {
        &self.request
    }
}

/// Step 7: binds an authentic request to the packet that carried it.
pub fn bind<'k>(
    authentic: Authentic<'k>,
    source: IpAddr,
    own: &OwnAddresses,
) -> Result<Bound<'k>, (&'k Profile, Reject)> {
    let (profile, request) = authentic.into_parts();
    let refused = || (profile, Reject::Address);
    let grantees = match request.addresses.as_slice() {
        [] if profile.require_stated => return Err(refused()),
        [] => vec![source.into()],
        stated if profile.any_address || stated.iter().all(|stated| covers(stated, source)) => {
            stated.iter().map(grantee).collect()
        }
        _ => return Err(refused()),
    };
    let refuses = |address| !may_be_granted(address) || own.contains(address);
    if grantees.iter().any(|grantee| refuses(grantee.address())) {
        return Err(refused());
    }
    Ok(Bound { profile, request, grantees })
}

fn grantee(stated: &Stated) -> Grantee {
    match stated.prefix {
        None => Grantee::Address(stated.address),
        Some(bits) => Grantee::Prefix { first: stated.address, bits },
    }
}

fn covers(stated: &Stated, source: IpAddr) -> bool {
    let Some(prefix) = stated.prefix else { return stated.address == source };
    match (stated.address, source) {
        (IpAddr::V4(network), IpAddr::V4(source)) => {
            (network.to_bits() ^ source.to_bits()).leading_zeros() >= u32::from(prefix)
        }
        (IpAddr::V6(network), IpAddr::V6(source)) => {
            (network.to_bits() ^ source.to_bits()).leading_zeros() >= u32::from(prefix)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_be_granted_anything() {
        #[rustfmt::skip]
        let rows = [
            // address, may be granted, why
            ("192.0.2.7",            true,  "an address"),
            ("10.1.2.3",             true,  "a private one"),
            ("0.0.0.0",              false, "unspecified"),
            ("0.1.2.3",              false, "this network"),
            ("127.0.0.1",            false, "loopback"),
            ("127.255.0.9",          false, "loopback, all of it"),
            ("224.0.0.1",            false, "multicast"),
            ("239.255.255.255",      false, "multicast, last"),
            ("240.0.0.1",            false, "reserved"),
            ("255.255.255.255",      false, "broadcast"),
            ("2001:db8::7",          true,  "an address"),
            ("fd00::7",              true,  "a unique local one"),
            ("::",                   false, "unspecified"),
            ("::1",                  false, "loopback"),
            ("::ffff:192.0.2.7",     false, "IPv4-mapped"),
            ("::192.0.2.7",          false, "IPv4-compatible"),
            ("ff02::1",              false, "multicast"),
            ("fe80::1",              false, "link-local"),
        ];
        for (address, granted, why) in rows {
            assert_eq!(may_be_granted(address.parse().unwrap()), granted, "{address}: {why}");
        }
    }

    #[test]
    fn a_prefix_covers_its_addresses_only() {
        let stated = |address: &str, prefix| Stated { address: address.parse().unwrap(), prefix };
        #[rustfmt::skip]
        let rows = [
            (stated("192.0.2.7", None),          "192.0.2.7",   true),
            (stated("192.0.2.7", None),          "192.0.2.8",   false),
            (stated("192.0.2.0", Some(24)),      "192.0.2.8",   true),
            (stated("192.0.2.0", Some(24)),      "192.0.3.8",   false),
            (stated("0.0.0.0", Some(0)),         "192.0.3.8",   true),
            (stated("2001:db8::", Some(64)),     "2001:db8::9", true),
            (stated("2001:db8::", Some(64)),     "192.0.2.8",   false),
        ];
        for (stated, source, expected) in rows {
            assert_eq!(covers(&stated, source.parse().unwrap()), expected, "{stated:?} {source}");
        }
    }
}
