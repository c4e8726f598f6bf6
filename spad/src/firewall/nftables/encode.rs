//! What is ours as netlink messages: what `prepare` and `teardown` send.

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, InetHookNumber, ListAttribute, NfTablesMessage, RuleAttribute,
    RuleMessage, SetAttribute, SetFlags, SetMessage, TableAttribute, TableFlags, TableMessage,
};

use super::elements::{add, empty};
use super::expression;
use super::key::{Field, bytes};
use super::model::{Chain, Kind, Rule, Set, Table};
use super::place::Place;
use crate::firewall::error::Aim;
use crate::firewall::netlink::Step;

/// Bits of one field's type in a set's key type (nftables, `TYPE_BITS`).
const TYPE_BITS: u32 = 6;

/// Type-length-value in a set's user data that tells nft the byte order of single-field keys
/// (`NFTNL_UDATA_SET_KEYBYTEORDER`), and its two values.
const KEY_BYTE_ORDER: u8 = 0;
const HOST_ORDER: u32 = 1;
const BIG_ENDIAN: u32 = 2;

/// `NF_ACCEPT`.
const POLICY_ACCEPT: u32 = 1;

/// The transaction that creates what is ours, or brings what is there up to date. Elements of the grant and
/// keep sets stay.
///
/// - `unused`: sets of doors that an earlier plan had and this one has not. No rule looks into them any more, but a
///   later plan could bring them back with what is in them.
pub(super) fn prepare(table: &Table<'_>, unused: &[&'static str]) -> Vec<Step> {
    let place = table.place;
    // The operator's table is there, or else there is nothing to attach to.
    let mut steps: Vec<_> = (*place == Place::Own).then(|| new_table(place)).into_iter().collect();
    steps.extend(table.sets.iter().enumerate().map(|(index, set)| new_set(place, set, index)));
    steps.extend(table.chains.iter().map(|chain| new_chain(place, chain)));
    steps.extend(table.chains.iter().map(|chain| flush_chain(place, chain.name)));
    for set in &table.sets {
        if set.planned {
            steps.push(empty(place, set.name));
        }
        steps.extend(add(place, set.name, set.elements.iter().map(|key| bytes(key).into())));
    }
    for chain in &table.chains {
        steps.extend(chain.rules.iter().map(|rule| new_rule(place, chain, rule)));
    }
    steps.extend(unused.iter().map(|set| empty(place, set)));
    steps
}

/// The transaction that removes our table with all that is in it, if it is there.
pub(super) fn remove_table() -> Vec<Step> {
    // Deleting what is not there is an error: so make sure that it is.
    let name = || TableMessage { attributes: vec![TableAttribute::Name(Place::Own.table().into())] };
    vec![
        frame("table", NLM_F_CREATE, NfTablesMessage::NewTable(name())),
        frame("table", 0, NfTablesMessage::DeleteTable(name())),
    ]
}

/// The transaction that removes our chains and sets from the operator's table, where no jump leads to them.
pub(super) fn remove_parts(table: &Table<'_>) -> Vec<Step> {
    let place = table.place;
    // Deleting what is not there is an error: so make sure that it is.
    let mut steps: Vec<_> =
        table.sets.iter().enumerate().map(|(index, set)| new_set(place, set, index)).collect();
    steps.extend(table.chains.iter().map(|chain| new_chain(place, chain)));
    steps.extend(table.chains.iter().map(|chain| flush_chain(place, chain.name)));
    steps.extend(table.chains.iter().map(|chain| delete_chain(place, chain.name)));
    steps.extend(table.sets.iter().map(|set| {
        let attributes = vec![SetAttribute::Table(place.table().into()), SetAttribute::Name(set.name.into())];
        frame(format!("set {}", set.name), 0, NfTablesMessage::DeleteSet(SetMessage { attributes }))
    }));
    steps
}

/// Removes a chain that is there and that no rule leads to.
pub(super) fn remove_chain(place: &Place, chain: &str) -> [Step; 2] {
    [flush_chain(place, chain), delete_chain(place, chain)]
}

fn delete_chain(place: &Place, chain: &str) -> Step {
    let attributes = vec![ChainAttribute::Table(place.table().into()), ChainAttribute::Name(chain.into())];
    frame(format!("chain {chain}"), 0, NfTablesMessage::DeleteChain(ChainMessage { attributes }))
}

/// The question whether our table is there.
pub(super) fn get_table() -> NfTablesMessage {
    let attributes = vec![TableAttribute::Name(Place::Own.table().into())];
    NfTablesMessage::GetTable(TableMessage { attributes })
}

/// The question whether a chain is there.
pub(super) fn get_chain(place: &Place, chain: &str) -> NfTablesMessage {
    let attributes = vec![ChainAttribute::Table(place.table().into()), ChainAttribute::Name(chain.into())];
    NfTablesMessage::GetChain(ChainMessage { attributes })
}

/// Puts the jump to our chain at the head of the operator's.
pub(super) fn new_jump(place: &Place, chain: &str) -> Step {
    let program = expression::of_jump(place.names().entrance);
    let attributes = vec![
        RuleAttribute::Table(place.table().into()),
        RuleAttribute::Chain(chain.into()),
        RuleAttribute::Expressions(program.into_iter().map(ListAttribute::from).collect()),
    ];
    frame(format!("the jump in {chain}"), NLM_F_CREATE, NfTablesMessage::NewRule(RuleMessage { attributes }))
}

/// Removes the rule with that handle.
pub(super) fn remove_rule(place: &Place, chain: &str, handle: u64) -> Step {
    let attributes = vec![
        RuleAttribute::Table(place.table().into()),
        RuleAttribute::Chain(chain.into()),
        RuleAttribute::Handle(handle),
    ];
    frame(format!("the jump in {chain}"), 0, NfTablesMessage::DeleteRule(RuleMessage { attributes }))
}

fn frame(what: impl Into<String>, flags: u16, message: NfTablesMessage) -> Step {
    Step { message, flags, aim: Aim::Frame { what: what.into() } }
}

fn new_table(place: &Place) -> Step {
    // No flag: wakes a table that somebody put to sleep.
    let attributes =
        vec![TableAttribute::Name(place.table().into()), TableAttribute::Flags(TableFlags::empty())];
    frame("table", NLM_F_CREATE, NfTablesMessage::NewTable(TableMessage { attributes }))
}

fn new_set(place: &Place, set: &Set, index: usize) -> Step {
    let type_of = |fields: &[Field]| fields.iter().fold(0, |all, field| all << TYPE_BITS | field.number());
    let length_of = |fields: &[Field]| fields.iter().map(|field| field.width()).sum();
    let host_order = matches!(set.key, [field] if field.in_host_order());
    let order = if host_order { HOST_ORDER } else { BIG_ENDIAN };
    let mut user_data = vec![KEY_BYTE_ORDER, size_of_val(&order) as u8];
    user_data.extend(order.to_ne_bytes());
    let mut flags = SetFlags::empty();
    flags.set(SetFlags::Timeout, set.timeouts);
    flags.set(SetFlags::Eval, set.dynamic);
    flags.set(SetFlags::Map, !set.data.is_empty());
    let mut attributes = vec![
        SetAttribute::Table(place.table().into()),
        SetAttribute::Name(set.name.into()),
        SetAttribute::Flags(flags),
        SetAttribute::KeyType(type_of(set.key)),
        SetAttribute::KeyLen(length_of(set.key)),
        SetAttribute::Id(index as u32 + 1),
    ];
    if !set.data.is_empty() {
        attributes.push(SetAttribute::DataType(type_of(set.data)));
        attributes.push(SetAttribute::DataLen(length_of(set.data)));
    }
    if let [_] = set.key {
        attributes.push(SetAttribute::UserData(user_data));
    }
    frame(format!("set {}", set.name), NLM_F_CREATE, NfTablesMessage::NewSet(SetMessage { attributes }))
}

fn new_chain(place: &Place, chain: &Chain) -> Step {
    let mut attributes =
        vec![ChainAttribute::Table(place.table().into()), ChainAttribute::Name(chain.name.into())];
    if let Some(priority) = chain.priority {
        let (kind, hook) = match chain.kind {
            Kind::Filter => ("filter", InetHookNumber::PreRouting),
            Kind::DestinationNat => ("nat", InetHookNumber::PreRouting),
            Kind::SourceNat => ("nat", InetHookNumber::PostRouting),
        };
        attributes.extend([
            ChainAttribute::Type(kind.into()),
            ChainAttribute::Policy(POLICY_ACCEPT),
            ChainAttribute::Hook(vec![Hook::Number(hook.into()), Hook::Priority(priority.cast_unsigned())]),
        ]);
    }
    let message = NfTablesMessage::NewChain(ChainMessage { attributes });
    frame(format!("chain {}", chain.name), NLM_F_CREATE, message)
}

/// Deletes the chain's rules. Those that follow in the same transaction take their place without a gap.
fn flush_chain(place: &Place, chain: &str) -> Step {
    let attributes = vec![RuleAttribute::Table(place.table().into()), RuleAttribute::Chain(chain.into())];
    let message = NfTablesMessage::DeleteRule(RuleMessage { attributes });
    frame(format!("the rules of chain {chain}"), 0, message)
}

fn new_rule(place: &Place, chain: &Chain, rule: &Rule) -> Step {
    let expressions =
        expression::of_rule(rule, place.family()).into_iter().map(ListAttribute::from).collect();
    let attributes = vec![
        RuleAttribute::Table(place.table().into()),
        RuleAttribute::Chain(chain.name.into()),
        RuleAttribute::Expressions(expressions),
    ];
    let aim = Aim::Use { what: format!("the rule \"{rule}\""), feature: expression::features(rule) };
    let message = NfTablesMessage::NewRule(RuleMessage { attributes });
    Step { message, flags: NLM_F_CREATE | NLM_F_APPEND, aim }
}
