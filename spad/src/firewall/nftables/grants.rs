//! The sets that hold open doors: which doors each of them holds, and how their keys are made and read.

use std::net::IpAddr;

use spa_core::grantee::Grantee;
use spa_core::lease::{Door, Limit};
use spa_core::prefix::PrefixLength;
use spa_core::service::{Service, Transport};

use super::key::{Field, Key, Value, of_service, to_address};
use super::model::Match;
use super::model::Selector::{InterfaceIndex, Port, Protocol, SourcePort, SourceV4, SourceV6};
use super::place::{Names, Place};

/// One of the sets that hold open doors. All are exact sets: in one of ranges, doors of profiles that know nothing of each
/// other would refuse one another where they overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grants {
    /// One address.
    V4,
    V6,
    /// One address, and the source port that alone may pass.
    PortV4,
    PortV6,
    /// One address, for one connection.
    OnceV4,
    OnceV6,
    /// An IPv6 link-local address and the interface that leads to its link.
    OnLink,
    /// What is left of an address behind a mask: prefixes of one length.
    Prefix(PrefixLength),
}

/// Names of sets by the length of their prefixes, in a table of our own and in somebody else's.
macro_rules! by_length {
    ($name:literal: $($bits:literal)*) => {
        &[$(($bits, [concat!($name, $bits), concat!("spad_", $name, $bits)])),*]
    };
}
const PREFIX4: &[(u8, [&str; 2])] =
    by_length!("prefix4_": 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
const PREFIX6: &[(u8, [&str; 2])] = by_length!("prefix6_": 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64);

impl Grants {
    /// Those that are there whatever the plan says.
    pub(super) const FIXED: [Self; 7] =
        [Self::V4, Self::V6, Self::PortV4, Self::PortV6, Self::OnceV4, Self::OnceV6, Self::OnLink];

    /// The set that holds this door; `None` if none can.
    pub(super) fn of(door: &Door) -> Option<Self> {
        let (v4, v6) = match door.limit {
            Limit::None => (Self::V4, Self::V6),
            Limit::SourcePort(_) => (Self::PortV4, Self::PortV6),
            Limit::Once => (Self::OnceV4, Self::OnceV6),
        };
        match door.grantee {
            Grantee::Address(address) => Some(if address.to_canonical().is_ipv4() { v4 } else { v6 }),
            Grantee::Prefix { .. } if v4 == Self::V4 => door.grantee.prefix_length().map(Self::Prefix),
            Grantee::OnLink { .. } if v4 == Self::V4 => Some(Self::OnLink),
            Grantee::Prefix { .. } | Grantee::OnLink { .. } => None,
        }
    }

    /// The set of that name.
    pub(super) fn named(place: &Place, name: &str) -> Option<Self> {
        let prefixes = [(PREFIX4, "ipv4"), (PREFIX6, "ipv6")];
        let length = |(table, family): (&[(u8, [&str; 2])], &str)| {
            let (bits, _) = table.iter().find(|(_, names)| names[index(place)] == name)?;
            format!("{family}/{bits}").parse().ok()
        };
        let fixed = Self::FIXED.into_iter().find(|set| set.name(place) == name);
        fixed.or_else(|| prefixes.into_iter().find_map(length).map(Self::Prefix))
    }

    pub(super) fn name(self, place: &Place) -> &'static str {
        let names: &Names = place.names();
        match self {
            Self::V4 => names.grants.v4,
            Self::V6 => names.grants.v6,
            Self::PortV4 => names.ports.v4,
            Self::PortV6 => names.ports.v6,
            Self::OnceV4 => names.once.v4,
            Self::OnceV6 => names.once.v6,
            Self::OnLink => names.links,
            Self::Prefix(length) => {
                let table = if length.is_ipv6() { PREFIX6 } else { PREFIX4 };
                // Each length has a name, which a test shows; the kernel refuses an empty one.
                let found = table.iter().find(|(bits, _)| *bits == length.bits());
                found.map_or("", |(_, names)| names[index(place)])
            }
        }
    }

    /// What a key is made of.
    pub(super) fn fields(self) -> &'static [Field] {
        use Field::{InterfaceIndex, Ipv4, Ipv6, Port, Protocol};
        match self {
            Self::V4 | Self::OnceV4 => &[Ipv4, Protocol, Port],
            Self::V6 | Self::OnceV6 => &[Ipv6, Protocol, Port],
            Self::PortV4 => &[Ipv4, Protocol, Port, Port],
            Self::PortV6 => &[Ipv6, Protocol, Port, Port],
            Self::OnLink => &[Ipv6, InterfaceIndex, Protocol, Port],
            Self::Prefix(length) if length.is_ipv6() => &[Ipv6, Protocol, Port],
            Self::Prefix(_) => &[Ipv4, Protocol, Port],
        }
    }

    /// Whether its doors end with a connection, so that to match is not all that there is to do.
    pub(super) fn is_once(self) -> bool {
        matches!(self, Self::OnceV4 | Self::OnceV6)
    }

    /// Whether a packet comes through a door of this set.
    pub(super) fn holds(self, place: &Place) -> Match {
        let name = self.name(place);
        match self {
            Self::V4 | Self::OnceV4 => Match::In(&[SourceV4, Protocol, Port], name),
            Self::V6 | Self::OnceV6 => Match::In(&[SourceV6, Protocol, Port], name),
            Self::PortV4 => Match::In(&[SourceV4, Protocol, Port, SourcePort], name),
            Self::PortV6 => Match::In(&[SourceV6, Protocol, Port, SourcePort], name),
            Self::OnLink => Match::In(&[SourceV6, InterfaceIndex, Protocol, Port], name),
            Self::Prefix(length) => Match::InPrefix(length, name),
        }
    }

    /// The key of a door that belongs here.
    pub(super) fn key(door: &Door) -> Key {
        let mut key = vec![Value::address(door.grantee.address())];
        key.extend(door.grantee.interface().map(Value::InterfaceIndex));
        key.extend(of_service(door.service));
        if let Limit::SourcePort(port) = door.limit {
            key.push(Value::Port(port));
        }
        key
    }

    /// The door for one address whose key this is.
    pub(super) fn plain(key: &[u8]) -> Option<Door> {
        Self::V4.door(key).or_else(|| Self::V6.door(key))
    }

    /// The door whose key this is, or `None` if it is not one that we would have made.
    pub(super) fn door(self, key: &[u8]) -> Option<Door> {
        let width: u32 = self.fields().iter().map(|field| field.width()).sum();
        if key.len() != width as usize {
            return None;
        }
        let (address, mut rest) = key.split_at_checked(self.fields().first()?.width() as usize)?;
        let address = to_address(address)?;
        let mut word = || rest.split_first_chunk::<4>().map(|(word, behind)| (rest = behind, *word).1);
        let grantee = match (self, address) {
            (Self::OnLink, IpAddr::V6(address)) => {
                Grantee::OnLink { address, interface: u32::from_ne_bytes(word()?) }
            }
            (Self::Prefix(length), _) => Grantee::prefix(address, length.bits())?,
            _ => address.into(),
        };
        let [protocol, ..] = word()?;
        let transport = Transport::from_number(protocol.into())?;
        let mut port = || word().map(|[high, low, ..]| u16::from_be_bytes([high, low]));
        let service = Service::new(transport, port()?.try_into().ok()?);
        let limit = match self {
            Self::PortV4 | Self::PortV6 => Limit::SourcePort(port()?),
            Self::OnceV4 | Self::OnceV6 => Limit::Once,
            _ => Limit::None,
        };
        Some(Door { grantee, service, limit })
    }
}

/// Which of two names.
fn index(place: &Place) -> usize {
    usize::from(*place != Place::Own)
}

#[cfg(test)]
mod tests {
    use super::super::key::bytes;
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn doors_survive_the_way_to_the_kernel_and_back() {
        let prefix = |first: &str, bits| Grantee::Prefix { first: address(first), bits };
        let on_link = Grantee::OnLink { address: "fe80::7".parse().unwrap(), interface: 70_000 };
        #[rustfmt::skip]
        let rows = [
            // for whom, limit, set
            (address("192.0.2.7").into(),   Limit::None,              "grants4"),
            (address("2001:db8::7").into(), Limit::None,              "grants6"),
            (address("192.0.2.7").into(),   Limit::SourcePort(40000), "ports4"),
            (address("2001:db8::7").into(), Limit::SourcePort(0),     "ports6"),
            (address("192.0.2.7").into(),   Limit::Once,              "once4"),
            (address("2001:db8::7").into(), Limit::Once,              "once6"),
            (prefix("192.0.2.0", 24),       Limit::None,              "prefix4_24"),
            (prefix("2001:db8::", 64),      Limit::None,              "prefix6_64"),
            (on_link,                       Limit::None,              "links"),
        ];
        for (grantee, limit, name) in rows {
            for service in ["tcp/22", "udp/51820"] {
                let door = Door { grantee, service: service.parse().unwrap(), limit };
                let set = Grants::of(&door).unwrap();
                assert_eq!(set.name(&Place::Own), name);
                let there = bytes(&Grants::key(&door));
                assert_eq!(set.door(&there), Some(door));
                assert_eq!(set.door(&there[..there.len() - 4]), None, "{name}: cut");
                assert_eq!(set.door(&[&there[..], &[0; 4]].concat()), None, "{name}: longer");
            }
        }
        for grantee in [prefix("192.0.2.0", 24), on_link] {
            let door = Door { grantee, service: "tcp/22".parse().unwrap(), limit: Limit::SourcePort(1) };
            assert_eq!(Grants::of(&door), None, "no set holds both");
        }
    }

    #[test]
    fn a_strange_key_is_no_door() {
        assert_eq!(Grants::V4.door(&[0; 7]), None, "too short for anything");
        assert_eq!(Grants::V4.door(&[10, 0, 0, 1, 1, 0, 0, 0, 0, 22, 0, 0]), None, "ICMP");
        assert_eq!(Grants::V4.door(&[10, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0, 0]), None, "port 0");
        let narrow = Grants::Prefix("ipv4/24".parse().unwrap());
        assert_eq!(narrow.door(&[10, 0, 0, 1, 6, 0, 0, 0, 0, 22, 0, 0]), None, "a bit behind the prefix");
    }

    #[test]
    fn every_length_has_a_set_of_its_own() {
        let beside = Place::Beside {
            family: crate::firewall::standing::Family::Inet,
            table: "filter".to_owned(),
            chain: "input".to_owned(),
        };
        let lengths = (0..=128).flat_map(|bits| [format!("ipv4/{bits}"), format!("ipv6/{bits}")]);
        let mut count = 0;
        for length in lengths.filter_map(|text| text.parse::<PrefixLength>().ok()) {
            for place in [&Place::Own, &beside] {
                let set = Grants::Prefix(length);
                assert_eq!(Grants::named(place, set.name(place)), Some(set), "{length}");
            }
            count += 1;
        }
        assert_eq!(count, PREFIX4.len() + PREFIX6.len());
        assert_eq!(Grants::named(&Place::Own, "keep4"), None);
    }
}
