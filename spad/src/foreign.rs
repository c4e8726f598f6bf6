//! Rules of others that would defeat a knock: a deny for a service behind the guard. Asked of the `nft` program, because
//! only `spad check` does so, and only reads.

use std::process::Command;

use serde_json::Value;
use spa_core::service::{Protected, Service};
use spa_core::target::Target;

use crate::firewall::standing::{AttachPoint, Stand};

/// One sentence for each chain of another table that drops a protected service of this host, or what is led on to an
/// inner one.
pub fn deny(protect: &[Protected], forward: &[Target], stand: &Stand) -> Vec<String> {
    let listing = Command::new("nft").args(["-j", "list", "ruleset"]).output();
    let Ok(listing) = listing else {
        return vec!["the program nft is not here, so rules of others were not looked at".to_owned()];
    };
    let Ok(ruleset) = serde_json::from_slice::<Value>(&listing.stdout) else {
        return vec!["the rules of others cannot be listed (not root?), and were not looked at".to_owned()];
    };
    let mut found = Vec::new();
    for protected in protect.iter().filter(|protected| protected.host.is_none()) {
        found.extend(denies(&ruleset, protected.service, stand));
    }
    found.extend(holds_back(&ruleset, forward));
    found
}

/// Chains at the forward hook that drop by policy, and accept nothing that is translated or goes to the target.
fn holds_back(ruleset: &Value, forward: &[Target]) -> Vec<String> {
    let entries = ruleset["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    for chain in entries.iter().map(|entry| &entry["chain"]) {
        if chain["hook"] != "forward" || chain["policy"] != "drop" {
            continue;
        }
        let part = |name: &str| chain[name].as_str().unwrap_or("?").to_owned();
        let rules = entries.iter().map(|entry| &entry["rule"]).filter(|rule| {
            // Chains that it jumps to are in its table; which of them it reaches does not matter for a warning.
            rule["table"] == chain["table"] && rule["family"] == chain["family"] && ends_in(rule, &["accept"])
        });
        let accepting: Vec<String> = rules.map(|rule| rule["expr"].to_string()).collect();
        for target in forward {
            let address = target.address();
            let sees = chain["family"] == "inet" || (chain["family"] == "ip") == address.is_ipv4();
            let lets = |rule: &String| {
                // What nft does not read of iptables-nft's rules is listed without its meaning.
                rule.contains("\"dnat\"") || rule.contains(&format!("\"{address}\""))
            };
            if sees && !accepting.iter().any(lets) {
                found.push(format!(
                    "{} {} {}: its policy is drop, and no rule there is seen to accept what is led to {target}; add `ct status dnat accept` (iptables: -d {address} -j ACCEPT), and accept established replies",
                    part("family"), part("table"), part("name")
                ));
            }
        }
    }
    found
}

fn denies(ruleset: &Value, service: Service, stand: &Stand) -> Vec<String> {
    let entries = ruleset["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rules: Vec<&Value> = entries.iter().map(|entry| &entry["rule"]).filter(|r| r.is_object()).collect();
    let mut found = Vec::new();
    for chain in entries.iter().map(|entry| &entry["chain"]) {
        let ours = chain["table"] == "spad" && chain["family"] == "inet";
        // At the head of the chain that we attach to, an accept comes before whatever that chain says.
        let attached = matches!(stand, Stand::Attach(point) if is_at(chain, point));
        if ours || attached || chain["hook"] != "input" || chain["type"] != "filter" {
            continue;
        }
        let place =
            [&chain["family"], &chain["table"], &chain["name"]].map(|part| part.as_str().unwrap_or("?"));
        let place = place.join(" ");
        // Chains that the base chain jumps to are in its table; which of them it reaches does not matter for a warning.
        let own = |rule: &&&Value| rule["table"] == chain["table"] && rule["family"] == chain["family"];
        let about: Vec<&&Value> = rules.iter().filter(own).filter(|rule| names(rule, service)).collect();
        if let Some(rule) = about.iter().find(|rule| ends_in(rule, &["drop", "reject"])) {
            found.push(format!(
                "{place}: rule {} denies {service}, so a knock would open nothing; {}",
                rule["handle"],
                match stand {
                    Stand::Guard => "remove it, the guard does the same",
                    Stand::Attach(_) => "an accept in another chain does not overrule it",
                }
            ));
        } else if chain["policy"] == "drop" && !about.iter().any(|rule| ends_in(rule, &["accept"])) {
            found.push(format!(
                "{place}: its policy is drop and no rule accepts {service}, so a knock would open nothing; {}",
                match stand {
                    Stand::Guard => format!("accept {service} there, the guard keeps strangers out"),
                    Stand::Attach(_) => "an accept in another chain does not overrule it".to_owned(),
                }
            ));
        }
    }
    found
}

/// Whether it is the chain that we attach to; iptables' has the same names in two families.
fn is_at(chain: &Value, point: &AttachPoint) -> bool {
    let same_family = match point.family {
        Some(family) => chain["family"] == family.name(),
        None => chain["family"] != "inet",
    };
    same_family && chain["table"] == *point.table && chain["name"] == *point.chain
}

fn ends_in(rule: &Value, verdicts: &[&str]) -> bool {
    let expressions = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
    expressions.iter().any(|expression| verdicts.iter().any(|verdict| expression.get(verdict).is_some()))
}

/// Whether a rule matches the port of a service.
fn names(rule: &Value, service: Service) -> bool {
    let expressions = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
    expressions.iter().map(|expression| &expression["match"]).any(|matched| {
        let payload = &matched["left"]["payload"];
        let protocol = payload["protocol"].as_str().unwrap_or_default();
        payload["field"] == "dport"
            && (protocol == "th" || protocol == service.transport().to_string())
            && matched["op"] != "!="
            && holds(&matched["right"], service.port().get())
    })
}

/// Whether a port, a range or a set of either holds this port.
fn holds(right: &Value, port: u16) -> bool {
    let port = u64::from(port);
    if let Some(range) = right["range"].as_array() {
        let end = |at: usize| range.get(at).and_then(Value::as_u64).unwrap_or_default();
        return (end(0)..=end(1)).contains(&port);
    }
    if let Some(set) = right["set"].as_array() {
        return set.iter().any(|one| holds(one, u16::try_from(port).unwrap_or_default()));
    }
    right.as_u64() == Some(port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ruleset(policy: &str, port: Value, verdict: &str) -> Value {
        let mut end = serde_json::Map::new();
        end.insert(verdict.to_owned(), Value::Null);
        json!({"nftables": [
            {"chain": {"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input",
                       "prio": 0, "policy": policy}},
            {"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 4, "expr": [
                {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": port}},
                end]}}]})
    }

    #[test]
    fn a_deny_behind_the_guard_is_found() {
        let service = "tcp/22".parse().unwrap();
        #[rustfmt::skip]
        let rows = [
            // policy, port, verdict, found, why
            ("accept", json!(22),                        "drop",   1, "a drop"),
            ("accept", json!({"set": [22, 443]}),        "reject", 1, "a reject of a set"),
            ("accept", json!({"range": [1, 1024]}),      "drop",   1, "a drop of a range"),
            ("accept", json!(443),                       "drop",   0, "another port"),
            ("drop",   json!(22),                        "accept", 0, "policy drop, and an accept"),
            ("drop",   json!(443),                       "accept", 1, "policy drop, and an accept of another"),
        ];
        for (policy, port, verdict, found, why) in rows {
            assert_eq!(denies(&ruleset(policy, port, verdict), service, &Stand::Guard).len(), found, "{why}");
        }
    }

    #[test]
    fn what_holds_back_a_forward_is_found() {
        let translated = json!({"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}});
        let to = |address: &str| {
            let field = json!({"payload": {"protocol": "ip", "field": "daddr"}});
            json!({"match": {"op": "==", "left": field, "right": address}})
        };
        #[rustfmt::skip]
        let rows = [
            // family, policy, accepted, found, why
            ("ip",   "drop",   json!([]),              1, "nothing is accepted"),
            ("inet", "drop",   json!([to("10.0.0.6")]), 1, "another host is"),
            ("ip",   "drop",   json!([translated]),    0, "what is translated is"),
            ("ip",   "drop",   json!([to("10.0.0.5")]), 0, "the target is"),
            ("ip",   "accept", json!([]),              0, "everything is"),
            ("ip6",  "drop",   json!([]),              0, "a chain that sees no IPv4"),
        ];
        for (family, policy, accepted, found, why) in rows {
            let mut expressions = accepted.as_array().cloned().unwrap_or_default();
            expressions.push(json!({"accept": null}));
            let accepts = if expressions.len() > 1 { expressions } else { Vec::new() };
            let chain = json!({"family": family, "table": "filter", "name": "FORWARD", "type": "filter", "hook": "forward",
                               "prio": 0, "policy": policy});
            let rule = json!({"family": family, "table": "filter", "chain": "FORWARD", "handle": 4, "expr": accepts});
            let ruleset = json!({"nftables": [{"chain": chain}, {"rule": rule}]});
            let held = holds_back(&ruleset, &["10.0.0.5:443".parse().unwrap()]);
            assert_eq!(held.len(), found, "{why}: {held:?}");
        }
    }

    #[test]
    fn the_chain_that_is_attached_to_defeats_nothing() {
        let service = "tcp/22".parse().unwrap();
        #[rustfmt::skip]
        let rows = [
            // attached to, found
            ("inet filter input", 0),
            ("inet other input",  1),
            ("ip filter input",   1),
            ("filter input",      1),
        ];
        for (point, found) in rows {
            let stand = Stand::Attach(point.parse().unwrap());
            let denied = denies(&ruleset("drop", json!(443), "accept"), service, &stand);
            assert_eq!(denied.len(), found, "{point}: {denied:?}");
        }
    }
}
