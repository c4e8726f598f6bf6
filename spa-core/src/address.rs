//! For whom a door may open: the stated address must be the packet's source, and some may never be granted anything.
//!
//! The binding is judged before freshness and a datagram that fails it is not remembered: a copy that somebody forwards
//! from elsewhere neither opens for him nor burns the owner's own.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use crate::grantee::Grantee;
use crate::keyring::Authentic;
use crate::profile::Profile;
use crate::reject::Reject;
use crate::request::{Request, Stated};

/// The unicast addresses of this host: where a knock may be sent, and for whom no door opens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses {
    /// Those that mean this host wherever a packet comes in.
    everywhere: HashSet<IpAddr>,
    /// IPv6 link-local ones, which mean it on the link of one interface only.
    on_link: HashSet<(Ipv6Addr, NonZeroU32)>,
}

impl FromIterator<IpAddr> for OwnAddresses {
    fn from_iter<T: IntoIterator<Item = IpAddr>>(addresses: T) -> Self {
        Self { everywhere: addresses.into_iter().collect(), on_link: HashSet::new() }
    }
}

impl OwnAddresses {
    /// The same with these IPv6 link-local addresses, each with the index of its interface.
    pub fn with_links(self, on_link: impl IntoIterator<Item = (Ipv6Addr, NonZeroU32)>) -> Self {
        Self { on_link: on_link.into_iter().collect(), ..self }
    }

    /// Whether `address` is one of them for a packet that came in by that interface.
    pub fn contains(&self, address: IpAddr, interface: Option<NonZeroU32>) -> bool {
        let on_link = |address, interface| self.on_link.contains(&(address, interface));
        self.everywhere.contains(&address)
            || matches!((address, interface), (IpAddr::V6(v6), Some(interface)) if on_link(v6, interface))
    }
}

/// 0.0.0.0/8 "this network", 127.0.0.0/8, 224.0.0.0/4 multicast and 240.0.0.0/4 reserved with the broadcast address.
const REFUSED_V4: [(Ipv4Addr, u8); 3] =
    [(Ipv4Addr::UNSPECIFIED, 8), (Ipv4Addr::new(127, 0, 0, 0), 8), (Ipv4Addr::new(224, 0, 0, 0), 3)];

/// The first 96 bits zero: unspecified, loopback and the IPv4-compatible form; then IPv4-mapped, multicast, and link-local:
/// those mean another host on every link, so that a door without its interface would be open to all of them.
const REFUSED_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::UNSPECIFIED, 96),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
];

/// Whether an address may be granted anything at all, on whichever host.
pub fn may_be_granted(address: IpAddr) -> bool {
    prefix_may_be_granted(address, if address.is_ipv4() { 32 } else { 128 })
}

/// Whether those whom a request names may be granted anything at all, on whichever host.
pub fn may_open_for(grantee: Grantee) -> bool {
    match grantee {
        Grantee::Address(address) => may_be_granted(address),
        Grantee::Prefix { first, bits } => prefix_may_be_granted(first, bits),
        Grantee::OnLink { address, interface } => address.is_unicast_link_local() && interface != 0,
    }
}

/// None of its addresses may be one that may not.
fn prefix_may_be_granted(first: IpAddr, bits: u8) -> bool {
    let free = |refused: IpAddr, length: u8| !share(first, refused, bits.min(length));
    match first {
        IpAddr::V4(_) => REFUSED_V4.into_iter().all(|(refused, length)| free(refused.into(), length)),
        IpAddr::V6(_) => REFUSED_V6.into_iter().all(|(refused, length)| free(refused.into(), length)),
    }
}

/// Whether two addresses are of one family and share their first `bits`.
fn share(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let shared = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return false,
    };
    shared >= u32::from(bits)
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
///
/// - `interface`: index of the one that the packet came in by, if that is known.
pub fn bind<'k>(
    authentic: Authentic<'k>,
    source: IpAddr,
    interface: Option<NonZeroU32>,
    own: &OwnAddresses,
) -> Result<Bound<'k>, (&'k Profile, Reject)> {
    let (profile, request) = authentic.into_parts();
    let refused = || (profile, Reject::Address);
    let sender = Grantee::sender(source, interface).ok_or_else(refused)?;
    let grantees = match request.addresses.as_slice() {
        [] if profile.require_stated => return Err(refused()),
        [] => vec![sender],
        stated if profile.any_address || stated.iter().all(|stated| covers(stated, source)) => {
            stated.iter().map(|stated| grantee(stated, source, sender)).collect()
        }
        _ => return Err(refused()),
    };
    if grantees.iter().any(|&grantee| !may_open_for(grantee) || is_own(grantee, own)) {
        return Err(refused());
    }
    Ok(Bound { profile, request, grantees })
}

/// A stated link-local address that is not the sender's has no link, and is refused with the other plain ones.
fn grantee(stated: &Stated, source: IpAddr, sender: Grantee) -> Grantee {
    match stated.prefix {
        None if stated.address == source => sender,
        None => Grantee::Address(stated.address),
        Some(bits) => Grantee::Prefix { first: stated.address, bits },
    }
}

/// A prefix may hold own addresses: it is a network that this host is in. What comes from outside with an own address as
/// its source is forged, and no worse than any other forged one of the same prefix.
fn is_own(grantee: Grantee, own: &OwnAddresses) -> bool {
    match grantee {
        Grantee::Address(address) => own.contains(address, None),
        Grantee::Prefix { .. } => false,
        Grantee::OnLink { address, interface } => own.contains(address.into(), NonZeroU32::new(interface)),
    }
}

fn covers(stated: &Stated, source: IpAddr) -> bool {
    match stated.prefix {
        None => stated.address == source,
        Some(bits) => share(stated.address, source, bits),
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
    fn a_prefix_may_be_granted_if_all_of_it_may() {
        #[rustfmt::skip]
        let rows = [
            // prefix, may be granted, why
            ("192.0.2.0/24",      true,  "a network"),
            ("126.0.0.0/8",       true,  "beside loopback"),
            ("126.0.0.0/7",       false, "holds loopback"),
            ("127.1.0.0/16",      false, "in loopback"),
            ("0.0.0.0/0",         false, "everything"),
            ("0.4.0.0/16",        false, "in this network"),
            ("192.0.0.0/2",       false, "holds multicast"),
            ("224.1.2.0/24",      false, "in multicast"),
            ("255.255.255.0/24",  false, "holds broadcast"),
            ("2001:db8::/64",     true,  "a network"),
            ("::/32",             false, "holds loopback and IPv4"),
            ("0:0:0:1::/64",      true,  "beside them"),
            ("::ffff:0:0/112",    false, "in the IPv4-mapped ones"),
            ("fe80::/64",         false, "link-local, of whichever link"),
            ("fe00::/8",          false, "holds link-local"),
            ("fc00::/7",          true,  "unique local"),
            ("ff02::/64",         false, "in multicast"),
        ];
        for (prefix, granted, why) in rows {
            let (first, bits) = prefix.split_once('/').unwrap();
            let grantee = Grantee::prefix(first.parse().unwrap(), bits.parse().unwrap()).unwrap();
            assert_eq!(may_open_for(grantee), granted, "{prefix}: {why}");
        }
    }

    #[test]
    fn an_address_of_a_link_is_own_on_that_link_only() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let own: OwnAddresses = [address("203.0.113.1")].into_iter().collect();
        let own = own.with_links([("fe80::1".parse().unwrap(), NonZeroU32::MIN)]);
        let (first, second) = (Some(NonZeroU32::MIN), NonZeroU32::new(2));
        #[rustfmt::skip]
        let rows = [
            ("203.0.113.1", first,  true,  "everywhere"),
            ("203.0.113.1", second, true,  "everywhere"),
            ("203.0.113.1", None,   true,  "everywhere"),
            ("fe80::1",     first,  true,  "on its link"),
            ("fe80::1",     second, false, "another host, on another link"),
            ("fe80::1",     None,   false, "on which link?"),
        ];
        for (text, interface, expected, why) in rows {
            assert_eq!(own.contains(address(text), interface), expected, "{text} {interface:?}: {why}");
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
