//! The walk of an imagined packet through the chains of others.

use super::packet::Meets;

/// The kernel jumps no deeper (`NFT_JUMP_STACK_SIZE`).
const DEPTH: usize = 16;

/// A hook of netfilter that a packet from outside passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Whatever comes in.
    Prerouting,
    /// What is for this host.
    Input,
    /// What is for another.
    Forward,
    /// Any other, which it does not.
    Elsewhere,
}

/// A chain as one packet meets it.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    /// Program or family, and table: only chains of the same jump to one another.
    pub(super) table: String,
    pub(super) name: String,
    pub(super) base: Option<Base>,
    pub(super) rules: Vec<Rule>,
}

/// Where a base chain hangs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    pub(super) hook: Hook,
    /// Whether it translates addresses; it then decides nothing else.
    pub(super) nat: bool,
    pub(super) priority: i64,
    pub(super) drops: bool,
}

/// A rule as one packet meets it.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// How the operator finds it.
    pub(super) name: String,
    pub(super) meets: Meets,
    pub(super) does: Does,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Accept,
    Drop,
    Reject,
    Return,
    Jump(String),
    Goto(String),
    /// Translates the destination.
    To(super::nat::Target),
    /// Counts, marks, logs …
    Nothing,
}

/// What may become of the packet: each way with what leads there first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// It passes.
    pub accept: Option<String>,
    /// It vanishes.
    pub drop: Option<String>,
    /// It is answered with an error.
    pub reject: Option<String>,
}

impl Fate {
    /// What keeps the packet out for certain.
    pub fn denied(&self) -> Option<&str> {
        match self.accept {
            Some(_) => None,
            None => self.drop.as_deref().or(self.reject.as_deref()),
        }
    }
}

/// The fate of the packet in one base chain.
pub(super) fn walk(chains: &[Chain], at: &Chain, base: Base) -> Fate {
    let mut fate = Fate::default();
    if pass(chains, at, 0, &mut fate) {
        let way = if base.drops { &mut fate.drop } else { &mut fate.accept };
        way.get_or_insert_with(|| "its policy".to_owned());
    }
    fate
}

/// Goes through a chain; says whether the packet may come out at its end.
fn pass(chains: &[Chain], chain: &Chain, depth: usize, fate: &mut Fate) -> bool {
    let mut comes_out = false;
    for rule in chain.rules.iter().filter(|rule| rule.meets != Some(false)) {
        let sure = rule.meets == Some(true);
        let way = match &rule.does {
            Does::Accept => &mut fate.accept,
            Does::Drop => &mut fate.drop,
            Does::Reject => &mut fate.reject,
            Does::Nothing | Does::To(_) => continue,
            Does::Return if sure => return true,
            Does::Return => {
                comes_out = true;
                continue;
            }
            Does::Jump(name) => {
                let returns = enter(chains, chain, name, depth, fate);
                if sure && !returns {
                    return comes_out;
                }
                continue;
            }
            Does::Goto(name) => {
                comes_out |= enter(chains, chain, name, depth, fate);
                if sure {
                    return comes_out;
                }
                continue;
            }
        };
        way.get_or_insert_with(|| rule.name.clone());
        if sure {
            return comes_out;
        }
    }
    true
}

fn enter(chains: &[Chain], from: &Chain, name: &str, depth: usize, fate: &mut Fate) -> bool {
    let found = chains.iter().find(|chain| chain.table == from.table && chain.name == name);
    match found {
        Some(chain) if depth < DEPTH => pass(chains, chain, depth + 1, fate),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rules<'r> = &'r [(Meets, Does)];

    fn chain(name: &str, rules: Rules<'_>) -> Chain {
        let rule = |(at, (meets, does)): (usize, &(Meets, Does))| Rule {
            name: format!("{name} {at}"),
            meets: *meets,
            does: does.clone(),
        };
        let rules = rules.iter().enumerate().map(rule).collect();
        Chain { table: "t".to_owned(), name: name.to_owned(), base: None, rules }
    }

    #[test]
    fn what_is_not_known_leaves_both_ways_open() {
        use Does::{Accept, Drop, Goto, Jump, Reject, Return};

        let (yes, no, perhaps) = (Some(true), Some(false), None);
        let sub = || "sub".to_owned();
        #[rustfmt::skip]
        let rows: [(Rules<'_>, Rules<'_>, bool, [bool; 3], &str); 11] = [
            // input, sub, policy drops, may be accepted / dropped / rejected, why
            (&[], &[],                                                 true,  [false, true, false], "the policy"),
            (&[(yes, Accept)], &[],                                    true,  [true, false, false], "a sure accept"),
            (&[(no, Accept)], &[],                                     true,  [false, true, false], "an accept of others"),
            (&[(perhaps, Accept)], &[],                                true,  [true, true, false],  "an accept of some"),
            (&[(yes, Drop), (yes, Accept)], &[],                       false, [false, true, false], "the first counts"),
            (&[(perhaps, Reject), (yes, Drop)], &[],                   false, [false, true, true],  "shut in either way"),
            (&[(yes, Jump(sub())), (yes, Drop)], &[(yes, Accept)],     false, [true, false, false], "accepted below"),
            (&[(yes, Jump(sub())), (yes, Drop)], &[(yes, Return)],     false, [false, true, false], "and back"),
            (&[(yes, Goto(sub())), (yes, Accept)], &[],                true,  [false, true, false], "a goto does not come back"),
            (&[(perhaps, Jump(sub())), (yes, Accept)], &[(yes, Drop)], true,  [true, true, false],  "some are dropped below"),
            (&[(yes, Jump(sub()))], &[(yes, Jump(sub()))],             true,  [false, true, false], "a ring ends"),
        ];
        for (input, below, drops, ways, why) in rows {
            let chains = [chain("input", input), chain("sub", below)];
            let base = Base { hook: Hook::Input, nat: false, priority: 0, drops };
            let fate = walk(&chains, &chains[0], base);
            let found = [&fate.accept, &fate.drop, &fate.reject].map(Option::is_some);
            assert_eq!(found, ways, "{why}: {fate:?}");
        }
    }
}
