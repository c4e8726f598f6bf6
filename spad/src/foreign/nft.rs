//! Chains of nftables, from the JSON of `nft` (libnftables-json(5)).

use serde_json::Value;

use super::nat::Target;
use super::packet::{Meets, Packet, all, any, not};
use super::walk::{Base, Chain, Does, Hook, Rule};

/// The chains as this packet meets them.
///
/// - `entries`: the list behind `nftables`.
pub(super) fn chains(entries: &[Value], packet: &Packet) -> Vec<Chain> {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let table = |one: &Value| format!("{} {}", text(&one["family"]), text(&one["table"]));
    let objects = |kind: &'static str| entries.iter().map(move |e| &e[kind]).filter(|o| o.is_object());
    let mut chains: Vec<Chain> = objects("chain")
        .filter(|chain| ["inet", "ip", "ip6"].contains(&text(&chain["family"]).as_str()))
        .filter(|chain| chain["family"] != if packet.v6 { "ip" } else { "ip6" })
        .map(|chain| Chain {
            table: table(chain),
            name: text(&chain["name"]),
            base: base(chain),
            rules: Vec::new(),
        })
        .collect();
    for rule in objects("rule") {
        let (place, name) = (table(rule), text(&rule["chain"]));
        let chain = chains.iter_mut().find(|chain| chain.table == place && chain.name == name);
        let Some(chain) = chain else { continue };
        let sets = Sets { entries, family: &rule["family"], table: &rule["table"] };
        chain.rules.extend(rules(rule, &sets, packet));
    }
    chains
}

fn base(chain: &Value) -> Option<Base> {
    let hook = match chain["hook"].as_str()? {
        "prerouting" => Hook::Prerouting,
        "input" => Hook::Input,
        "forward" => Hook::Forward,
        _ => Hook::Elsewhere,
    };
    let priority = chain["prio"].as_i64().unwrap_or(0);
    Some(Base { hook, nat: chain["type"] == "nat", priority, drops: chain["policy"] == "drop" })
}

/// One rule; several where a verdict map chooses.
fn rules(rule: &Value, sets: &Sets<'_>, packet: &Packet) -> Vec<Rule> {
    let name = format!("rule {}", rule["handle"]);
    let mut meets = Some(true);
    let mut found = Vec::new();
    for expression in rule["expr"].as_array().into_iter().flatten() {
        let Some((kind, value)) = expression.as_object().and_then(|object| object.iter().next()) else {
            continue;
        };
        let here = |meets, does| Rule { name: name.clone(), meets, does };
        match kind.as_str() {
            "match" => meets = all([meets, matches(value, sets, packet)]),
            "vmap" => {
                for (key, verdict) in pairs(&value["data"], sets) {
                    if let Some(does) = does(verdict) {
                        let chosen = holds(&value["key"], key, sets, packet);
                        found.push(here(all([meets, chosen]), does));
                    }
                }
                return found;
            }
            // What else may end a rule is not looked into.
            "limit" | "quota" | "connlimit" | "ct count" | "xt" => meets = all([meets, None]),
            "dnat" | "redirect" => {
                let ports = rule["expr"].as_array().into_iter().flatten().find_map(|e| dports(&e["match"]));
                for target in Target::of_json(value, kind == "redirect", ports.as_deref(), |map| {
                    pairs(map, sets).into_iter().map(|(k, v)| (k.clone(), v.clone())).collect()
                }) {
                    found.push(here(meets, Does::To(target)));
                }
                return found;
            }
            _ => {
                if let Some(does) = does(expression) {
                    found.push(here(meets, does));
                    return found;
                }
            }
        }
    }
    found
}

/// The text in which a rule names the ports it is for.
fn dports(matched: &Value) -> Option<String> {
    let is_dport = matched["left"]["payload"]["field"] == "dport" && matched["op"] != "!=";
    is_dport.then(|| plain(&matched["right"]))
}

/// A value as nft's text would have it, about.
pub(super) fn plain(value: &Value) -> String {
    if let Some(range) = value["range"].as_array() {
        return range.iter().map(plain).collect::<Vec<_>>().join("-");
    }
    if let Some(set) = value["set"].as_array() {
        return set.iter().map(plain).collect::<Vec<_>>().join(", ");
    }
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn does(expression: &Value) -> Option<Does> {
    let (kind, value) = expression.as_object()?.iter().next()?;
    let target = || value["target"].as_str().unwrap_or_default().to_owned();
    Some(match kind.as_str() {
        "accept" => Does::Accept,
        "drop" => Does::Drop,
        "reject" => Does::Reject,
        "return" => Does::Return,
        "jump" => Does::Jump(target()),
        "goto" => Does::Goto(target()),
        _ => return None,
    })
}

/// Named sets and maps of a rule's table.
struct Sets<'a> {
    entries: &'a [Value],
    family: &'a Value,
    table: &'a Value,
}

impl<'a> Sets<'a> {
    fn elements(&self, name: &str) -> Option<&'a [Value]> {
        let is_it = |set: &&Value| {
            set["name"] == *name && set["table"] == *self.table && set["family"] == *self.family
        };
        let sets = self.entries.iter().flat_map(|entry| [&entry["set"], &entry["map"]]);
        let found = sets.filter(|set| set.is_object()).find(is_it)?;
        Some(found["elem"].as_array().map(Vec::as_slice).unwrap_or_default())
    }
}

/// Keys and data of a map, in place or named.
fn pairs<'a>(data: &'a Value, sets: &Sets<'a>) -> Vec<(&'a Value, &'a Value)> {
    let list = match data.as_str().and_then(|name| name.strip_prefix('@')) {
        Some(name) => sets.elements(name),
        None => data["set"].as_array().map(Vec::as_slice),
    };
    let pair = |one: &'a Value| Some((one.get(0)?, one.get(1)?));
    list.unwrap_or_default().iter().filter_map(pair).collect()
}

fn matches(matched: &Value, sets: &Sets<'_>, packet: &Packet) -> Meets {
    let found = holds(&matched["left"], &matched["right"], sets, packet);
    let negated = matched["op"] == "!=" || matched["op"] == "<" || matched["op"] == ">";
    match negated {
        false => found,
        true if matched["op"] == "!=" => {
            // `tcp dport != 5` is for TCP only.
            all([applies(&matched["left"], packet), not(found)])
        }
        true => all([applies(&matched["left"], packet), None]),
    }
}

/// Whether the packet has such a field at all.
fn applies(left: &Value, packet: &Packet) -> Meets {
    let payload = &left["payload"];
    match payload["protocol"].as_str() {
        None | Some("th") => Some(true),
        Some("ip") => Some(!packet.v6),
        Some("ip6") => Some(packet.v6),
        Some(protocol @ ("tcp" | "udp")) => Some(packet.is_transport(protocol)),
        Some(_) => Some(false),
    }
}

/// Whether what stands left is, or is among, what stands right.
fn holds(left: &Value, right: &Value, sets: &Sets<'_>, packet: &Packet) -> Meets {
    if let Some(name) = right.as_str().and_then(|name| name.strip_prefix('@')) {
        let grants = if packet.v6 { "grants6" } else { "grants4" };
        if packet.granted && name.trim_start_matches("spad_").starts_with(grants) {
            return Some(true);
        }
        let elements = sets.elements(name)?;
        return any(elements.iter().map(|one| holds(left, one, sets, packet)));
    }
    if right["elem"].is_object() {
        return holds(left, &right["elem"]["val"], sets, packet);
    }
    let list = right["set"].as_array().or_else(|| right.as_array());
    if let Some(list) = list {
        return any(list.iter().map(|one| holds(left, one, sets, packet)));
    }
    if let Some(fields) = left["concat"].as_array() {
        let parts = right["concat"].as_array()?;
        return all(fields.iter().zip(parts).map(|(field, part)| holds(field, part, sets, packet)));
    }
    is(left, right, packet)
}

/// Whether one field of the packet has this value.
fn is(left: &Value, right: &Value, packet: &Packet) -> Meets {
    let word = plain(right);
    if let Some(key) = left["meta"]["key"].as_str() {
        return match key {
            "iif" | "iifname" => packet.comes_by(&word, '*'),
            "l4proto" => Some(packet.is_transport(&word)),
            "nfproto" => Some(word == if packet.v6 { "ipv6" } else { "ipv4" }),
            "protocol" => Some(word == if packet.v6 { "ip6" } else { "ip" }),
            "pkttype" => Some(word == "host"),
            _ => None,
        };
    }
    if let Some(key) = left["ct"]["key"].as_str() {
        return match key {
            "state" => Some(word == "new"),
            "direction" => Some(word == "original"),
            "status" if word == "dnat" => Some(packet.translated),
            _ => None,
        };
    }
    // One flag is a list in some versions and a word in others.
    let flags = &left["fib"]["flags"];
    if left["fib"]["result"] == "type" && (*flags == "daddr" || *flags == serde_json::json!(["daddr"])) {
        return Some((word == "local") == packet.to.is_none());
    }
    let payload = &left["payload"];
    let applies = match payload.is_object() {
        true => applies(left, packet),
        false => return None,
    };
    let is = match (payload["protocol"].as_str()?, payload["field"].as_str()?) {
        ("ip", "protocol") | ("ip6", "nexthdr") => Some(packet.is_transport(&word)),
        // Nobody knows this client.
        ("ip" | "ip6", "saddr") => Some(right["prefix"]["len"] == 0),
        ("ip" | "ip6", "daddr") => match right["prefix"].as_object() {
            Some(prefix) => packet.goes_to(&format!("{}/{}", plain(&prefix["addr"]), prefix["len"])),
            None => packet.goes_to(&word),
        },
        (_, "dport") => match right["range"].as_array().map(Vec::as_slice) {
            Some([low, high]) => packet.is_port(low.as_u64()?, high.as_u64()?),
            _ => right.as_u64().and_then(|port| packet.is_port(port, port)),
        },
        _ => None,
    };
    all([applies, is])
}
