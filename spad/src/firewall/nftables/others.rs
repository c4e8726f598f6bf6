//! Chains and rules of others, read no further than needed: they may hold anything.

use netlink_packet_netfilter::NetfilterSubsystem;

use super::place::{BESIDE, Place, protocol_family};
use crate::firewall::error::{Aim, FirewallError};
use crate::firewall::netlink::Channel;
use crate::firewall::raw::{Attributes, Raw, attributes, get, name, number};
use crate::firewall::standing::Family;

/// `NFT_MSG_GETCHAIN`, `NFT_MSG_GETRULE`, `NFT_MSG_GETGEN`.
const GET_CHAIN: u8 = 4;
const GET_RULE: u8 = 7;
const GET_GENERATION: u8 = 16;

/// `NFT_JUMP`, and `NF_DROP`.
const JUMP: u32 = (-3_i32).cast_unsigned();
const DROP: u32 = 0;

/// `NF_INET_LOCAL_IN`, `NF_INET_FORWARD`.
pub(super) const INPUT: u32 = 1;
pub(super) const FORWARD: u32 = 2;

/// A chain of any table that sees IP packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::firewall) struct Chain {
    pub(in crate::firewall) family: Family,
    pub(in crate::firewall) table: String,
    pub(super) name: String,
    /// Number of the hook and priority at it, of a base chain.
    pub(super) hook: Option<(u32, i32)>,
    pub(super) drops: bool,
}

/// A rule of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) chain: String,
    pub(super) handle: u64,
    pub(super) does: Does,
    /// The chain that it jumps to, for whatever packets.
    pub(super) leads_to: Option<String>,
}

/// All that is told apart of what a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Does {
    /// Nothing but jump to this chain.
    Jump(String),
    /// Drop or reject whatever comes.
    Drop,
    Other,
}

/// All chains, in the order of the kernel.
pub(in crate::firewall) fn chains(channel: &mut Channel) -> Result<Vec<Chain>, FirewallError> {
    let request = raw(GET_CHAIN, 0, Attributes::default());
    let answers = channel.dump(request, &Aim::whole())?;
    Ok(answers.iter().filter_map(to_chain).collect())
}

/// The rules of that table, each chain's from the first to the last.
pub(super) fn rules(channel: &mut Channel, family: Family, table: &str) -> Result<Vec<Rule>, FirewallError> {
    let request = raw(GET_RULE, u8::from(protocol_family(family)), Attributes::default().text(1, table));
    let answers = channel.dump(request, &Aim::whole())?;
    // Kernels that know no filter by table send all rules.
    let ours = answers.iter().filter(|answer| answer.attributes.get(1).and_then(name) == Some(table));
    Ok(ours.filter_map(to_rule).collect())
}

/// The number of the last change (`NFTA_GEN_ID`, 1).
pub(super) fn generation(channel: &mut Channel) -> Result<Option<u32>, FirewallError> {
    let answers = channel.read(raw(GET_GENERATION, 0, Attributes::default()), &Aim::whole())?;
    Ok(answers.iter().find_map(|answer| answer.attributes.get(1).and_then(number)))
}

/// Tables in which our chains stand beside the operator's.
pub(in crate::firewall) fn attached(chains: &[Chain]) -> Vec<Place> {
    let is_ours = |chain: &&Chain| chain.name == BESIDE.entrance;
    let has_doors = |entrance: &&Chain| {
        let doors = |chain: &Chain| {
            chain.name == BESIDE.doors && chain.family == entrance.family && chain.table == entrance.table
        };
        chains.iter().any(doors)
    };
    let place = |chain: &Chain| Place::Beside {
        family: chain.family,
        table: chain.table.clone(),
        chain: String::new(),
    };
    chains.iter().filter(is_ours).filter(has_doors).map(place).collect()
}

/// Says of each base chain at a hook whether it would drop what is accepted in another: an accept ends one base
/// chain, never the others at its hook, whatever their priority.
pub(super) fn defeats(
    channel: &mut Channel,
    rivals: &[Chain],
    family: Family,
    hook: u32,
    what: &str,
) -> Result<Vec<String>, FirewallError> {
    let mut found = Vec::new();
    for rival in rivals.iter().filter(|rival| family.carries(rival.family) || rival.family.carries(family)) {
        let Some((_, priority)) = rival.hook.filter(|(at, _)| *at == hook) else { continue };
        let rules = rules(channel, rival.family, &rival.table)?;
        let mut of_rival = rules.iter().filter(|rule| rule.chain == rival.name);
        let why = match of_rival.find(|rule| rule.does == Does::Drop) {
            Some(rule) => format!("its rule with handle {} drops the rest", rule.handle),
            None if rival.drops => "its policy is drop".to_owned(),
            None => continue,
        };
        found.push(format!(
            "chain {} {} {} (priority {priority}) sees the same packets, and {why}; an accept in {what} does not \
             overrule that: accept the protected services there as well",
            rival.family.name(),
            rival.table,
            rival.name
        ));
    }
    Ok(found)
}

fn raw(kind: u8, family: u8, attributes: Attributes) -> Raw {
    Raw { subsystem: NetfilterSubsystem::NfTables.into(), kind, family, attributes }
}

fn to_family(number: u8) -> Option<Family> {
    [Family::Inet, Family::Ip, Family::Ip6]
        .into_iter()
        .find(|family| u8::from(protocol_family(*family)) == number)
}

/// `NFTA_CHAIN_TABLE` 1, `_NAME` 3, `_HOOK` 4 (number 1, priority 2), `_POLICY` 5.
fn to_chain(answer: &Raw) -> Option<Chain> {
    let all = &answer.attributes;
    let hook = all.get(4).and_then(|hook| {
        let priority = number(get(hook, 2)?)?.cast_signed();
        Some((number(get(hook, 1)?)?, priority))
    });
    Some(Chain {
        family: to_family(answer.family)?,
        table: name(all.get(1)?)?.to_owned(),
        name: name(all.get(3)?)?.to_owned(),
        hook,
        drops: all.get(5).and_then(number) == Some(DROP),
    })
}

/// `NFTA_RULE_CHAIN` 2, `_HANDLE` 3, `_EXPRESSIONS` 4.
fn to_rule(answer: &Raw) -> Option<Rule> {
    let all = &answer.attributes;
    Some(Rule {
        chain: name(all.get(2)?)?.to_owned(),
        handle: u64::from_be_bytes(all.get(3)?.try_into().ok()?),
        does: all.get(4).and_then(does).unwrap_or(Does::Other),
        leads_to: all.get(4).and_then(leads_to).map(str::to_owned),
    })
}

fn leads_to(expressions: &[u8]) -> Option<&str> {
    let jump = |expression| {
        let verdict = get(get(get(expression, 2)?, 2)?, 2)?;
        let jumps = name(get(expression, 1)?)? == "immediate" && number(get(verdict, 1)?)? == JUMP;
        if jumps { name(get(verdict, 2)?) } else { None }
    };
    attributes(expressions).find_map(|(_, expression)| jump(expression))
}

/// What a rule does whose first expressions match nothing (`counter`, `log`). An expression has a name (1) and
/// data (2); that of `immediate` has data (2), a verdict (2), with code (1) and chain (2).
fn does(expressions: &[u8]) -> Option<Does> {
    let mut first = true;
    for (_, expression) in attributes(expressions) {
        match name(get(expression, 1)?)? {
            "counter" | "log" => {}
            "reject" => return Some(Does::Drop),
            "immediate" => {
                let verdict = get(get(get(expression, 2)?, 2)?, 2)?;
                return match number(get(verdict, 1)?)? {
                    DROP => Some(Does::Drop),
                    JUMP if first => Some(Does::Jump(name(get(verdict, 2)?)?.to_owned())),
                    _ => None,
                };
            }
            _ => return None,
        }
        first = false;
    }
    None
}
