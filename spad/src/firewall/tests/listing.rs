//! The text and the messages make the same table, and touch no other.

use super::namespace::{Namespace, listing, load, output};
use super::*;
use crate::firewall::Session;
use crate::firewall::nftables::{Place, text};
use crate::firewall::plan::InterfaceName;

/// A plan with something in every set.
fn full() -> Plan {
    let session =
        |client: &str, server: &str| Session::new(client.parse().unwrap(), server.parse().unwrap()).unwrap();
    let names = ["outside", "wg0", "enp0s31f6.100", "abcdefghijklmno"];
    Plan {
        interfaces: Interfaces::Named(
            names.iter().map(|name| name.parse::<InterfaceName>().unwrap()).collect(),
        ),
        protect: ["udp/51820", "tcp/443", "tcp/22", "tcp/22", "tcp/443@10.0.0.5", "udp/53@2001:db8::5"]
            .map(|service| service.parse().unwrap())
            .into(),
        always_allow: ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.8"].map(address).into(),
        forward: ["10.0.0.5:443", "[2001:db8::5]:443"].map(|to| to.parse().unwrap()).into(),
        forward_sources: vec![address("192.0.2.1")],
        spa_port: 23571.try_into().unwrap(),
        keep: vec![
            session("10.0.0.1:50000", "10.0.0.2:22"),
            session("[2001:db8::1]:50000", "[2001:db8::2]:22"),
            session("[::ffff:10.0.0.3]:50000", "[::ffff:10.0.0.2]:22"),
        ],
    }
}

fn empty() -> Plan {
    Plan { interfaces: Interfaces::Any, protect: Vec::new(), ..plan() }
}

#[test]
fn text_and_messages_make_the_same_table() {
    for (plan, what) in [(full(), "full"), (empty(), "empty"), (plan(), "usual")] {
        let Some(by_text) = Namespace::new() else { return };
        let by_text = by_text.run(|| {
            load(&text(&Place::Own, &plan));
            (listing(), output("nft --debug=netlink list ruleset"))
        });
        let Some(by_messages) = Namespace::new() else { return };
        let by_messages = by_messages.run(|| {
            prepared(&plan);
            (listing(), output("nft --debug=netlink list ruleset"))
        });
        assert_eq!(by_text.0, by_messages.0, "{what}");
        // The programs too, which nft prints as text only as well as it understands them.
        assert_eq!(programs(&by_text.1), programs(&by_messages.1), "{what}");
    }
}

/// The lines of rules' programs. Sets are left out: their elements come in no order.
fn programs(listing: &str) -> Vec<&str> {
    listing.lines().filter(|line| line.starts_with("  [")).collect()
}

#[test]
fn the_listing_can_be_saved_and_loaded_again() {
    let Some(one) = Namespace::new() else { return };
    let saved = one.run(|| {
        let mut nftables = prepared(&full());
        nftables.apply(&[set(door(address("192.0.2.9"), "tcp/22"), MINUTE, "by \"me\"\\")]).unwrap();
        listing()
    });
    let Some(other) = Namespace::new() else { return };
    other.run(|| load(&saved));
}

#[test]
fn preparing_again_changes_nothing() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        let mut nftables = prepared(&full());
        let once = listing();
        nftables.prepare(&full()).unwrap();
        assert_eq!(listing(), once);
        Nftables::guard().unwrap().prepare(&full()).unwrap();
        assert_eq!(listing(), once, "from another socket");
    });
}

#[test]
fn another_plan_takes_the_place_of_the_first() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        let mut nftables = prepared(&full());
        nftables.prepare(&Plan { keep: Vec::new(), ..empty() }).unwrap();
        nftables.drop_kept(&full().keep).unwrap();
        let second = listing();
        nftables.teardown().unwrap();
        nftables.prepare(&empty()).unwrap();
        assert_eq!(second, listing());
    });
}

#[test]
fn other_tables_stay_as_they_are() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        load(
            "table inet filter {
                set grants4 {
                    type ipv4_addr
                    elements = { 192.0.2.1 }
                }
                chain guard {
                    type filter hook prerouting priority -150; policy accept;
                    tcp dport 22 counter accept
                }
            }
            table ip spad {
                chain guard {
                    tcp dport 22 drop
                }
            }",
        );
        let before = output("nft -a list ruleset");
        let mut nftables = prepared(&full());
        nftables.apply(&[set(door(address("192.0.2.9"), "tcp/22"), MINUTE, "")]).unwrap();
        let during = output("nft -a list table inet filter; nft -a list table ip spad");
        assert_eq!(during, before);
        nftables.teardown().unwrap();
        assert_eq!(output("nft -a list ruleset"), before);
    });
}

#[test]
fn teardown_needs_no_table() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        let mut nftables = Nftables::guard().unwrap();
        assert!(!nftables.exists().unwrap());
        nftables.teardown().unwrap();
        nftables.prepare(&full()).unwrap();
        assert!(nftables.exists().unwrap());
        nftables.teardown().unwrap();
        assert!(!nftables.exists().unwrap());
        assert_eq!(output("nft list ruleset"), "");
    });
}
