//! Elements of sets: open doors and kept sessions, added, removed and read back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetElementAttribute, SetElementList, SetElementMessage,
};
use spa_core::lease::{Change, Door};

use super::grants::Grants;
use super::key::{self, Key};
use super::listed::Listed;
use super::place::Place;
use crate::firewall::element::{Element, cuts, printable};
use crate::firewall::error::Aim;
use crate::firewall::netlink::Step;
use crate::firewall::plan::Session;

/// Elements in one message: the list is one attribute, and an attribute has 64 KiB at most.
const PER_MESSAGE: usize = 256;

/// Shortest and longest timeout (10 ms and 100 years). A timeout of zero means "for ever" to the kernel, and
/// so does one that its clock tick (up to 10 ms) rounds down to zero.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// A comment's place in an element's user data (`NFTNL_UDATA_SET_ELEM_COMMENT`).
const COMMENT: u8 = 0;

/// One element to be added or removed.
pub(super) struct Item {
    key: Vec<u8>,
    timeout: Option<Duration>,
    comment: Option<String>,
    /// What a map has for it.
    data: Option<Vec<u8>>,
}

impl From<Vec<u8>> for Item {
    fn from(key: Vec<u8>) -> Self {
        Self { key, timeout: None, comment: None, data: None }
    }
}

impl Item {
    /// One that ends by itself.
    pub(super) fn new(key: Vec<u8>, timeout: Duration) -> Self {
        Self { timeout: Some(timeout.clamp(SHORTEST, LONGEST)), ..key.into() }
    }

    pub(super) fn with_comment(self, comment: &str) -> Self {
        Self { comment: Some(printable(comment)), ..self }
    }

    pub(super) fn with_data(self, data: Vec<u8>) -> Self {
        Self { data: Some(data), ..self }
    }
}

/// The transaction that makes these changes. Of several for one door the last counts.
///
/// Every door is first made to be there and then removed, which cannot fail whatever the kernel has; and then
/// added where it is to be open. So a timeout that is changed is changed in every kernel: those before 6.12
/// leave the timeout of an element that is there as it is.
pub(super) fn apply(place: &Place, changes: &[Change]) -> Vec<Step> {
    let mut sets: BTreeMap<&'static str, BTreeMap<Key, Option<Wanted<'_>>>> = BTreeMap::new();
    for change in changes {
        let (door, wanted) = match change {
            // What leads on is let in by other sets (`forward.rs`).
            Change::Set { door, forward: Some(_), .. } => (door, None),
            Change::Set { door, timeout, comment, .. } => {
                (door, Some(Wanted { timeout: Some(*timeout), comment: Some(comment.as_str()) }))
            }
            Change::Remove { door } => (door, None),
        };
        // Nothing can ask for one that no set can hold.
        let Some(grants) = Grants::of(door) else { continue };
        sets.entry(grants.name(place)).or_default().insert(Grants::key(door), wanted);
        let cut = sets.entry(place.names().cut.of(door.grantee.address())).or_default();
        match cuts(change) {
            Some(true) => cut.insert(Grants::key(door), Some(Wanted { timeout: None, comment: None })),
            Some(false) => cut.insert(Grants::key(door), None),
            // It stays as it was, whatever an earlier change of these says.
            None if matches!(grants, Grants::V4 | Grants::V6) => cut.remove(&Grants::key(door)),
            None => None,
        };
    }
    let mut steps = Vec::new();
    for (set, doors) in sets {
        steps.extend(clear(place, set, doors.keys().map(|key| key::bytes(key))));
        let open = doors.iter().filter_map(|(key, wanted)| {
            let Wanted { timeout, comment } = (*wanted)?;
            let item = Item::from(key::bytes(key));
            let item = timeout.map_or(item, |timeout| Item::new(key::bytes(key), timeout));
            Some(match comment {
                Some(comment) => item.with_comment(comment),
                None => item,
            })
        });
        steps.extend(add(place, set, open));
    }
    steps
}

/// An element that is to be there.
#[derive(Clone, Copy)]
struct Wanted<'c> {
    timeout: Option<Duration>,
    comment: Option<&'c str>,
}

/// The transaction that lets sessions through these doors live again.
pub(super) fn uncut(place: &Place, doors: &[Door]) -> Vec<Step> {
    let mut sets: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for door in doors {
        let address = door.grantee.address();
        let keys: &mut Vec<Vec<u8>> = sets.entry(place.names().cut.of(address)).or_default();
        keys.push(key::bytes(&Grants::key(&Door::plain(address, door.service))));
    }
    sets.into_iter().flat_map(|(set, keys)| clear(place, set, keys)).collect()
}

/// The transaction that lets these sessions live on.
pub(super) fn keep(place: &Place, sessions: &[Session]) -> Vec<Step> {
    let sets = by_set(place, sessions).into_iter();
    sets.flat_map(|(set, keys)| add(place, set, keys.into_iter().map(Item::from))).collect()
}

/// The transaction that ends that.
pub(super) fn drop_kept(place: &Place, sessions: &[Session]) -> Vec<Step> {
    by_set(place, sessions).into_iter().flat_map(|(set, keys)| clear(place, set, keys)).collect()
}

fn by_set(place: &Place, sessions: &[Session]) -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut sets: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for session in sessions {
        let keys = sets.entry(place.names().keep.of(session.server().ip())).or_default();
        keys.push(key::bytes(&key::of_session(session)));
    }
    sets.values_mut().for_each(|keys| {
        keys.sort_unstable();
        keys.dedup();
    });
    sets
}

/// Adds elements; one that is there already is no error.
pub(super) fn add(place: &Place, set: &'static str, items: impl Iterator<Item = Item>) -> Vec<Step> {
    messages(place, set, items)
        .map(|message| step(set, NLM_F_CREATE, NfTablesMessage::NewSetElement(message)))
        .collect()
}

/// Removes elements, whether they are there or not. To remove one that is not, or one twice, is an error: so each is
/// made to be there first.
fn clear(place: &Place, set: &'static str, keys: impl IntoIterator<Item = Vec<u8>>) -> Vec<Step> {
    let keys = BTreeSet::from_iter(keys);
    let items = || keys.iter().cloned().map(Item::from);
    let mut steps = add(place, set, items());
    steps.extend(remove(place, set, items()));
    steps
}

/// Removes elements, all of which must be there.
pub(super) fn remove(place: &Place, set: &'static str, items: impl Iterator<Item = Item>) -> Vec<Step> {
    messages(place, set, items)
        .map(|message| step(set, 0, NfTablesMessage::DeleteSetElement(message)))
        .collect()
}

/// Removes all elements.
pub(super) fn empty(place: &Place, set: &'static str) -> Step {
    step(set, 0, NfTablesMessage::DeleteSetElement(message(place, set, None)))
}

fn step(set: &'static str, flags: u16, message: NfTablesMessage) -> Step {
    Step { message, flags, aim: Aim::Elements { set } }
}

fn messages(
    place: &Place,
    set: &'static str,
    items: impl Iterator<Item = Item>,
) -> impl Iterator<Item = SetElementMessage> {
    let items: Vec<_> = items.map(to_attributes).map(ListAttribute::Element).collect();
    let chunks: Vec<_> = items.chunks(PER_MESSAGE).map(<[_]>::to_vec).collect();
    chunks.into_iter().map(move |chunk| message(place, set, Some(chunk)))
}

fn message(
    place: &Place,
    set: &str,
    items: Option<Vec<ListAttribute<SetElementAttribute>>>,
) -> SetElementMessage {
    let mut attributes = vec![SetElementList::Table(place.table().into()), SetElementList::Set(set.into())];
    attributes.extend(items.map(SetElementList::Elements));
    SetElementMessage { attributes }
}

fn to_attributes(item: Item) -> Vec<SetElementAttribute> {
    let mut attributes = vec![SetElementAttribute::Key(DataAttribute::Value(item.key))];
    if let Some(data) = item.data {
        attributes.push(SetElementAttribute::Data(DataAttribute::Value(data)));
    }
    if let Some(timeout) = item.timeout {
        attributes.push(SetElementAttribute::Timeout(timeout.as_millis() as u64));
    }
    if let Some(comment) = item.comment {
        let mut user_data = vec![COMMENT, comment.len() as u8 + 1];
        user_data.extend(comment.as_bytes());
        user_data.push(0);
        attributes.push(SetElementAttribute::UserData(user_data));
    }
    attributes
}

/// Open doors among what the kernel lists of one set. Elements that no change of ours could have made are left out.
pub(super) fn to_elements(grants: Grants, listed: Vec<Listed>) -> Vec<Element> {
    let element = |one: Listed| {
        let comment = to_comment(&one.user_data).unwrap_or_default();
        Some(Element { door: grants.door(&one.key)?, remaining: one.remaining, comment, forward: None })
    };
    listed.into_iter().filter_map(element).collect()
}

/// Kept sessions among what the kernel lists.
pub(super) fn to_sessions(listed: &[Listed]) -> Vec<Session> {
    listed.iter().filter_map(|one| key::to_session(&one.key)).collect()
}

/// The comment in an element's user data: a row of type, length, value.
fn to_comment(mut user_data: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = user_data {
        let (value, rest) = rest.split_at_checked((*length).into())?;
        if *kind == COMMENT {
            return Some(String::from_utf8_lossy(value.strip_suffix(&[0])?).into_owned());
        }
        user_data = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_found_behind_other_user_data() {
        assert_eq!(to_comment(&[7, 2, 0, 0, 0, 3, b'h', b'i', 0]), Some("hi".into()));
        assert_eq!(to_comment(&[0, 9, b'h']), None, "longer than the data");
        assert_eq!(to_comment(&[]), None);
    }
}
