//! Elements of sets as the kernel lists them. The library's own reading takes a time that grows with the square of a
//! message's elements: minutes for as many doors as there may be.

use std::collections::BTreeSet;
use std::time::Duration;

use netlink_packet_netfilter::NetfilterSubsystem;
use netlink_packet_netfilter::nftables::NfTablesMessageType as Kind;

use super::place::{Place, protocol_family};
use crate::firewall::raw::{Attributes, Raw, attributes, get};

/// `NFTA_SET_ELEM_LIST_*`.
const TABLE: u16 = 1;
const SET: u16 = 2;
const ELEMENTS: u16 = 3;
/// `NFTA_LIST_ELEM`.
const ELEMENT: u16 = 1;
/// `NFTA_SET_ELEM_*`.
const KEY: u16 = 1;
const DATA: u16 = 2;
const EXPIRATION: u16 = 5;
const USER_DATA: u16 = 6;
/// `NFTA_DATA_VALUE`.
const VALUE: u16 = 1;

/// One element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: Vec<u8>,
    /// What a map has for the key; empty in a set.
    pub(super) data: Vec<u8>,
    /// How long it stays; `None` if it has no end.
    pub(super) remaining: Option<Duration>,
    pub(super) user_data: Vec<u8>,
}

/// The question for all elements of a set.
pub(super) fn question(place: &Place, set: &str) -> Raw {
    Raw {
        subsystem: NetfilterSubsystem::NfTables.into(),
        kind: Kind::GetSetElement.into(),
        family: protocol_family(place.family()).into(),
        attributes: Attributes::default().text(TABLE, place.table()).text(SET, set),
    }
}

/// The elements in the answers.
pub(super) fn read(answers: &[Raw]) -> Vec<Listed> {
    let lists = answers.iter().filter_map(|answer| answer.attributes.get(ELEMENTS));
    let elements = lists.flat_map(attributes).filter(|(kind, _)| *kind == ELEMENT);
    elements.filter_map(|(_, element)| of_element(element)).collect()
}

/// Their keys.
pub(super) fn keys(listed: &[Listed]) -> BTreeSet<&[u8]> {
    listed.iter().map(|element| element.key.as_slice()).collect()
}

fn of_element(element: &[u8]) -> Option<Listed> {
    let value = |kind| get(element, kind).and_then(|data| get(data, VALUE)).map(<[u8]>::to_vec);
    let millis = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
    Some(Listed {
        key: value(KEY)?,
        data: value(DATA).unwrap_or_default(),
        remaining: get(element, EXPIRATION).and_then(millis).map(Duration::from_millis),
        user_data: get(element, USER_DATA).unwrap_or_default().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_from_all_answers() {
        let value = |bytes: &[u8]| Attributes::default().bytes(VALUE, bytes);
        let element = |n: u8| {
            let all = Attributes::default().nest(KEY, &value(&[n; 4]));
            all.bytes(EXPIRATION, &u64::from(n).to_be_bytes()).bytes(USER_DATA, b"who")
        };
        let list = |ns: &[u8]| {
            let elements = ns.iter().fold(Attributes::default(), |all, n| all.nest(ELEMENT, &element(*n)));
            let attributes = Attributes::default().text(TABLE, "spad").nest(ELEMENTS, &elements);
            Raw { subsystem: 10, kind: 12, family: 1, attributes }
        };
        let listed = read(&[list(&[1, 2]), list(&[3])]);
        assert_eq!(keys(&listed), BTreeSet::from([&[1; 4][..], &[2; 4], &[3; 4]]));
        assert_eq!(listed[1].remaining, Some(Duration::from_millis(2)));
        assert_eq!((listed[2].user_data.as_slice(), listed[2].data.as_slice()), (&b"who"[..], &[][..]));
    }
}
