use serde_json::json;

use super::*;
use crate::firewall::standing::{Backend, Standing};

fn nft(entries: Value) -> Ruleset {
    Ruleset { nft: entries.as_array().cloned().unwrap_or_default(), ..Ruleset::default() }
}

fn ruleset(policy: &str, port: Value, verdict: &str) -> Ruleset {
    let mut end = serde_json::Map::new();
    end.insert(verdict.to_owned(), Value::Null);
    nft(json!([
        {"chain": {"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input",
                   "prio": 0, "policy": policy}},
        {"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 4, "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": port}},
            end]}}]))
}

fn guard() -> Standing {
    Standing { backend: Backend::Nftables, stand: Stand::Guard }
}

fn eth0() -> [String; 1] {
    ["eth0".to_owned()]
}

#[test]
fn a_deny_behind_the_guard_is_found() {
    let protect = ["tcp/22".parse().unwrap()];
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
        let denied = deny(&ruleset(policy, port, verdict), &protect, &guard(), &eth0());
        assert_eq!(denied.len(), found, "{why}: {denied:?}");
    }
}

#[test]
fn a_condition_is_met_by_what_a_new_packet_of_a_stranger_is() {
    let left = |protocol: &str, field: &str| json!({"payload": {"protocol": protocol, "field": field}});
    let meta = |key: &str| json!({"meta": {"key": key}});
    let state = || json!({"ct": {"key": "state"}});
    let network = json!({"prefix": {"addr": "10.0.0.0", "len": 8}});
    let both = json!({"concat": [left("ip", "saddr"), left("tcp", "dport")]});
    #[rustfmt::skip]
    let rows = [
        // op, left, right, accepted, why
        ("in", state(),                  json!(["established", "related"]),   false, "it is new"),
        ("==", state(),                  json!({"set": ["new", "invalid"]}),  true,  "it is new"),
        ("!=", state(),                  json!("new"),                        false, "it is new"),
        ("==", meta("iifname"),          json!("eth*"),                       true,  "a pattern"),
        ("==", meta("iif"),              json!("lo"),                         false, "another interface"),
        ("!=", meta("iif"),              json!("lo"),                         true,  "not that one"),
        ("==", meta("l4proto"),          json!({"set": ["icmp", "tcp"]}),     true,  "TCP"),
        ("==", left("ip", "protocol"),   json!("tcp"),                        true,  "IPv4"),
        ("==", left("ip6", "nexthdr"),   json!("tcp"),                        false, "not IPv6"),
        ("==", left("ip", "saddr"),      network.clone(),                     false, "nobody knows it"),
        ("!=", left("ip", "saddr"),      network,                             true,  "nobody knows it"),
        ("==", both,                     json!("@friends"),                   false, "it is in no set of addresses"),
        ("==", left("tcp", "dport"),     json!("@ports"),                     true,  "a named set"),
        ("!=", left("tcp", "dport"),     json!(5),                            true,  "another port"),
        ("!=", left("udp", "dport"),     json!(5),                            false, "another transport"),
        ("==", left("icmp", "type"),     json!("echo-request"),               false, "no ICMP"),
    ];
    for (op, left, right, accepted, why) in rows {
        let rules = nft(json!([
            {"set": {"family": "inet", "table": "t", "name": "ports", "elem": [80, {"range": [20, 30]}]}},
            {"set": {"family": "inet", "table": "t", "name": "friends", "elem": [{"concat": ["10.0.0.1", 22]}]}},
            {"chain": {"family": "inet", "table": "t", "name": "input", "type": "filter", "hook": "input",
                       "prio": 0, "policy": "drop"}},
            {"rule": {"family": "inet", "table": "t", "chain": "input", "handle": 4, "expr": [
                {"match": {"op": op, "left": left, "right": right}}, {"counter": null}, {"accept": null}]}}]));
        let packet = packets("tcp/22".parse().unwrap(), &eth0()).next().unwrap();
        let (_, _, fate) = rules.fates(&packet).remove(0);
        assert_eq!((fate.accept.is_some(), fate.drop.is_some()), (accepted, !accepted), "{why}: {fate:?}");
    }
}

#[test]
fn a_way_round_the_guard_is_found() {
    let rule = |port: Value, to: Value| {
        json!([
            {"map": {"family": "ip", "table": "n", "name": "m", "elem": [[2222, 22]]}},
            {"chain": {"family": "ip", "table": "n", "name": "pre", "type": "nat", "hook": "prerouting",
                       "prio": -100, "policy": "accept"}},
            {"rule": {"family": "ip", "table": "n", "chain": "pre", "handle": 7, "expr": [
                {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                           "right": port}}, to]}}])
    };
    let by_map = json!({"redirect": {"port": {"map": {"key": {}, "data": "@m"}}}});
    #[rustfmt::skip]
    let rows = [
        // port, does, protected, found, why
        (json!(2222), json!({"redirect": {"port": 22}}),                    "tcp/22",             1, "a redirect"),
        (json!(2222), json!({"redirect": {"port": 23}}),                    "tcp/22",             0, "to another service"),
        (json!(2222), json!({"dnat": {"addr": "192.0.2.1", "port": 22}}),   "tcp/22",             1, "to an address of this host"),
        (json!(2222), json!({"dnat": {"addr": "10.0.0.9", "port": 22}}),    "tcp/22",             0, "to another host's"),
        (json!(2222), json!({"dnat": {"addr": "10.0.0.9", "port": 22}}),    "tcp/22@10.0.0.9",    1, "to a protected inner host"),
        (json!(22),   json!({"dnat": {"addr": "10.0.0.9"}}),                "tcp/22@10.0.0.9",    1, "with the port as it is"),
        (json!(22),   json!({"redirect": {"port": 22}}),                    "tcp/22",             0, "guarded by its outer port"),
        (json!({"set": [2222, 2223]}), by_map,                              "tcp/22",             1, "by a map"),
        (json!(2222), json!({"redirect": {"port": 22}}),                    "udp/22",             0, "another transport"),
    ];
    let own: BTreeSet<IpAddr> = ["192.0.2.1".parse().unwrap()].into();
    for (port, does, protected, found, why) in rows {
        let ways = ways_round(
            &Ruleset { own: own.clone(), ..nft(rule(port, does)) },
            &[protected.parse().unwrap()],
            &eth0(),
        );
        assert_eq!(ways.len(), found, "{why}: {ways:?}");
    }
    let legacy = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 2222 -j DNAT --to-destination 192.0.2.1:22\n\
                  -A PREROUTING -p tcp -m tcp --dport 2223 -j REDIRECT --to-ports 22\nCOMMIT\n";
    let rules =
        Ruleset { iptables: vec![("iptables-legacy", false, legacy.to_owned())], own, ..Ruleset::default() };
    let ways = ways_round(&rules, &["tcp/22".parse().unwrap()], &eth0());
    assert_eq!(ways.len(), 2, "{ways:?}");
    let guarded = ["tcp/22".parse().unwrap(), "tcp/2222".parse().unwrap()];
    assert_eq!(ways_round(&rules, &guarded, &eth0()).len(), 1, "2222 is guarded itself");
}

#[test]
fn our_own_rules_let_in_who_has_knocked() {
    let rules = nft(json!([
        {"set": {"family": "inet", "table": "filter", "name": "spad_grants4", "elem": []}},
        {"chain": {"family": "inet", "table": "filter", "name": "spad"}},
        {"chain": {"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input",
                   "prio": 0, "policy": "drop"}},
        {"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 4,
                  "expr": [{"jump": {"target": "spad"}}]}},
        {"rule": {"family": "inet", "table": "filter", "chain": "spad", "handle": 5, "expr": [
            {"match": {"op": "==", "left": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}},
                {"meta": {"key": "l4proto"}}, {"payload": {"protocol": "th", "field": "dport"}}]},
                "right": "@spad_grants4"}}, {"accept": null}]}}]));
    let stranger = packets("tcp/22".parse().unwrap(), &eth0()).next().unwrap();
    assert!(rules.fates(&stranger)[0].2.denied().is_some());
    let known = Packet { granted: true, ..stranger };
    assert_eq!(rules.fates(&known)[0].2.denied(), None);
}

#[test]
fn the_chain_that_will_be_attached_to_defeats_nothing() {
    let protect = ["tcp/22".parse().unwrap()];
    #[rustfmt::skip]
    let rows = [
        // attached to, found
        ("inet filter input", 0),
        ("inet other input",  1),
    ];
    for (point, found) in rows {
        let standing = Standing { backend: Backend::Nftables, stand: Stand::Attach(point.parse().unwrap()) };
        let denied = deny(&ruleset("drop", json!(443), "accept"), &protect, &standing, &eth0());
        assert_eq!(denied.len(), found, "{point}: {denied:?}");
    }
}

#[test]
fn a_container_under_two_numbers_is_found() {
    let saved = "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n\
                 -A DOCKER ! -i docker0 -p tcp -m tcp --dport 9443 -j DNAT --to-destination 172.17.0.2:443\n\
                 -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8443 -j DNAT --to-destination 172.17.0.2:443\n\
                 -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n";
    let rules = Ruleset { iptables: vec![("iptables-nft", false, saved.to_owned())], ..Ruleset::default() };
    let protect = ["tcp/9443".parse().unwrap()];
    let ways = ways_round(&rules, &protect, &eth0());
    assert!(matches!(&*ways, [way] if way.contains("8443")), "{ways:?}");
    assert!(rules.translates(protect[0], &eth0()), "somebody is behind it");
}

#[test]
fn a_published_port_is_followed_to_where_it_leads() {
    let saved = "*nat\n:PREROUTING ACCEPT [0:0]\n\
                 -A PREROUTING -p tcp -m tcp --dport 9443 -j DNAT --to-destination 172.17.0.2:443\nCOMMIT\n\
                 *filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n\
                 -A FORWARD -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 443 -j ACCEPT\nCOMMIT\n";
    let denied = |saved: &str| {
        let rules =
            Ruleset { iptables: vec![("iptables-nft", false, saved.to_owned())], ..Ruleset::default() };
        deny(&rules, &["tcp/9443".parse().unwrap()], &guard(), &eth0())
    };
    assert_eq!(denied(saved), Vec::<String>::new(), "it does not pass INPUT");
    let shut = denied(&saved.replace("--dport 443 -j ACCEPT", "--dport 80 -j ACCEPT"));
    assert!(matches!(&*shut, [by] if by.contains("iptables-nft filter FORWARD: its policy")), "{shut:?}");
}

#[test]
fn what_only_this_host_sends_is_no_way_round() {
    let saved = "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -m tcp --dport 2222 -j REDIRECT --to-ports 22\nCOMMIT\n";
    let rules = Ruleset { iptables: vec![("iptables-nft", false, saved.to_owned())], ..Ruleset::default() };
    let ways = ways_round(&rules, &["tcp/22".parse().unwrap()], &eth0());
    assert_eq!(ways, Vec::<String>::new());
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
        ("ip",   "drop",   None,                 1, "nothing is accepted"),
        ("inet", "drop",   Some(to("10.0.0.6")), 1, "another host is"),
        ("ip",   "drop",   Some(translated),     0, "what is translated is"),
        ("ip",   "drop",   Some(to("10.0.0.5")), 0, "the target is"),
        ("ip",   "accept", None,                 0, "everything is"),
        ("ip6",  "drop",   None,                 0, "a chain that sees no IPv4"),
    ];
    for (family, policy, accepted, found, why) in rows {
        let mut entries = vec![json!({"chain": {"family": family, "table": "filter", "name": "FORWARD",
            "type": "filter", "hook": "forward", "prio": 0, "policy": policy}})];
        entries.extend(accepted.map(|condition| {
            json!({"rule": {"family": family, "table": "filter", "chain": "FORWARD", "handle": 4,
                            "expr": [condition, {"accept": null}]}})
        }));
        let held = held_back(&nft(entries.into()), &["10.0.0.5:443".parse().unwrap()], &eth0());
        assert_eq!(held.len(), found, "{why}: {held:?}");
    }
}
