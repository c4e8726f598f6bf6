//! Chains of iptables and ip6tables, from the text of `iptables-save`.

use super::nat::Target;
use super::packet::{Meets, Packet, all, any, not};
use super::walk::{Base, Chain, Does, Hook, Rule};

/// The chains as this packet meets them.
///
/// - `program`: named in front of the table.
/// - `saved`: the whole text.
pub(super) fn chains(program: &str, saved: &str, packet: &Packet) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut table = String::new();
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = format!("{program} {name}");
        } else if let Some(rest) = line.strip_prefix(':') {
            let mut words = rest.split(' ');
            let name = words.next().unwrap_or_default();
            let base = base(&table, name, words.next() == Some("DROP"));
            chains.push(Chain { table: table.clone(), name: name.to_owned(), base, rules: Vec::new() });
        } else if let Some(rest) = line.strip_prefix("-A ") {
            let words = words(rest);
            let name = words.first().map(String::as_str).unwrap_or_default();
            let chain = chains.iter_mut().find(|chain| chain.table == table && chain.name == name);
            if let Some(chain) = chain {
                chain.rules.push(rule(line, &words, packet));
            }
        }
    }
    chains
}

fn base(table: &str, name: &str, drops: bool) -> Option<Base> {
    let (_, table) = table.rsplit_once(' ')?;
    let hook = match name {
        "PREROUTING" => Hook::Prerouting,
        "INPUT" => Hook::Input,
        "FORWARD" => Hook::Forward,
        "OUTPUT" | "POSTROUTING" => Hook::Elsewhere,
        _ => return None,
    };
    let priority = match table {
        "raw" => -300,
        "mangle" => -150,
        "nat" => -100,
        "security" => 50,
        _ => 0,
    };
    Some(Base { hook, nat: table == "nat", priority, drops })
}

/// Words of a line; a quoted one may hold blanks.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted, mut word) = (Vec::new(), false, String::new());
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            letter => word.push(letter),
        }
    }
    words.push(word);
    words
}

fn rule(line: &str, words: &[String], packet: &Packet) -> Rule {
    let (mut meets, mut negated) = (Some(true), false);
    let (mut does, mut from, mut to, mut redirect) = (Does::Nothing, None, None, None);
    let mut words = words.iter().skip(1).map(String::as_str).peekable();
    while let Some(word) = words.next() {
        if word == "!" {
            negated = true;
            continue;
        }
        let mut values = Vec::new();
        while let Some(value) = words.next_if(|next| !next.starts_with('-') && *next != "!") {
            values.push(value);
        }
        let value = values.first().copied().unwrap_or_default();
        match word {
            "-j" | "-g" => {
                does = match value {
                    "ACCEPT" => Does::Accept,
                    "DROP" => Does::Drop,
                    "REJECT" => Does::Reject,
                    "RETURN" => Does::Return,
                    "DNAT" | "REDIRECT" => {
                        redirect = Some(value == "REDIRECT");
                        Does::Nothing
                    }
                    chain if word == "-g" => Does::Goto(chain.to_owned()),
                    // A target that is no chain is found nowhere, and the packet goes on.
                    chain => Does::Jump(chain.to_owned()),
                };
            }
            "--to-destination" | "--to-ports" => to = Some(value),
            _ => {
                if ["--dport", "--dports"].contains(&word) && !negated {
                    from = Some(value.replace(':', "-"));
                }
                let met = condition(word, &values, packet);
                meets = all([meets, if negated { not(met) } else { met }]);
            }
        }
        negated = false;
    }
    if let Some(redirect) = redirect {
        does = Does::To(Target::of_words(to, redirect, from));
    }
    Rule { name: format!("rule \"{line}\""), meets, does }
}

fn condition(option: &str, values: &[&str], packet: &Packet) -> Meets {
    let value = values.first().copied().unwrap_or_default();
    match option {
        // The match says nothing itself, but for those that count.
        "-m" => match value {
            "limit" | "hashlimit" | "connlimit" | "recent" | "statistic" | "time" | "string" | "u32"
            | "bpf" => None,
            _ => Some(true),
        },
        "--comment" | "--reject-with" | "--log-prefix" | "--log-level" => Some(true),
        "-p" => Some(value == "all" || packet.is_transport(value)),
        "-i" => packet.comes_by(value, '+'),
        // Nobody knows this client.
        "-s" => Some(value.ends_with("/0")),
        "-d" => packet.goes_to(value),
        "--dport" | "--dports" | "--destination-ports" => any(value.split(',').map(|part| {
            let (low, high) = part.split_once(':').unwrap_or((part, part));
            packet.is_port(low.parse().ok()?, high.parse().ok()?)
        })),
        "--ctstate" | "--state" => {
            Some(value.split(',').any(|state| state == "NEW" || packet.translated && state == "DNAT"))
        }
        "--ctdir" => Some(value == "ORIGINAL"),
        "--dst-type" => Some(value.split(',').any(|kind| kind == "LOCAL") == packet.to.is_none()),
        "--pkt-type" => Some(value == "unicast"),
        "--icmp-type" | "--icmpv6-type" => Some(false),
        "--match-set" => match value {
            value if value.starts_with("spad_grants") => Some(packet.granted),
            // Sets of interfaces.
            value if ["spad_lo", "spad_named", "spad_guarded"].iter().any(|set| value.starts_with(set)) => {
                None
            }
            // Nobody knows this client.
            _ => values.get(1).is_some_and(|ways| ways.starts_with("src")).then_some(false),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foreign::walk::walk;

    const UFW: &str = "*filter\n:INPUT DROP [0:0]\n:ufw-before-input - [0:0]\n:ufw-user-input - [0:0]\n\
        :ufw-not-local - [0:0]\n-A INPUT -j ufw-before-input\n-A INPUT -j ufw-user-input\n\
        -A ufw-before-input -i lo -j ACCEPT\n\
        -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
        -A ufw-before-input -m conntrack --ctstate INVALID -j DROP\n\
        -A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT\n\
        -A ufw-before-input -j ufw-not-local\n-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN\n\
        -A ufw-not-local -j DROP\n\
        -A ufw-user-input -p tcp -m tcp --dport 22 -m comment --comment \"it -j DROPs\" -j ACCEPT\n\
        -A ufw-user-input -s 10.0.0.0/8 -p tcp -m multiport --dports 80,8000:8100 -j ACCEPT\n\
        -A ufw-user-input ! -s 10.0.0.0/8 -p udp -m udp --dport 53 -j ACCEPT\nCOMMIT\n";

    #[test]
    fn a_packet_passes_what_ufw_has_written() {
        #[rustfmt::skip]
        let rows = [
            // service, accepted, why
            ("tcp/22",   true,  "accepted for all"),
            ("udp/22",   false, "another transport"),
            ("tcp/8080", false, "for a network that a stranger is not in"),
            ("udp/53",   true,  "for all but a network"),
        ];
        for (service, accepted, why) in rows {
            let protected = service.parse().unwrap();
            let packet = super::super::packets(protected, &["eth0".to_owned()]).next().unwrap();
            let chains = chains("iptables", UFW, &packet);
            let fate = walk(&chains, &chains[0], chains[0].base.unwrap());
            assert_eq!((fate.accept.is_some(), fate.drop.is_none()), (accepted, accepted), "{why}: {fate:?}");
        }
    }
}
