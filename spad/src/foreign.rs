//! Rules of others that would defeat a knock: a deny for a service behind the guard. Asked of the `nft` program, because
//! only `spad check` does so, and only reads.

use std::process::Command;

use serde_json::Value;
use spa_core::service::{Protected, Service};

use crate::firewall::standing::{AttachPoint, Stand};

/// One sentence for each chain of another table that drops a protected service of this host.
pub fn deny(protect: &[Protected], stand: &Stand) -> Vec<String> {
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
