//! Beside the chains of an operator: what others do there later, tables of one family, and a chain that is not there.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::namespace::{Namespace, load, output, sh};
use super::world::{CLIENT, HOST, STRANGER, World};
use super::*;
use crate::firewall::choice::choose;
use crate::firewall::standing::{Backend, Standing, Variant};

const SECOND: Duration = Duration::from_secs(1);

/// An operator's table whose policy drops, with 80 open.
fn dropping(family: &str) -> String {
    format!(
        "table {family} filter {{
            chain input {{
                type filter hook input priority 0; policy drop;
                iif lo accept
                ct state established,related accept
                meta l4proto {{ icmp, ipv6-icmp }} accept
                tcp dport 80 accept
            }}
        }}"
    )
}

/// Opened, not prepared. On the host.
fn beside(point: &str) -> Box<dyn Firewall> {
    by(Backend::Nftables, point)
}

fn by(backend: Backend, point: &str) -> Box<dyn Firewall> {
    let standing = Standing::new(backend, true, Some(point.parse().unwrap())).unwrap();
    let (mut firewall, _) = choose(&standing, None).unwrap();
    firewall.listen().unwrap();
    firewall
}

/// Asks as the monitor does, until something is lost.
fn is_lost(firewall: &mut dyn Firewall) -> bool {
    let deadline = Instant::now() + SECOND / 2;
    while Instant::now() < deadline {
        let soon = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        poll(&mut [PollFd::from_borrowed_fd(firewall.descriptor().unwrap(), PollFlags::IN)], Some(&soon))
            .unwrap();
        if firewall.lost() {
            return true;
        }
    }
    false
}

fn rules() -> Vec<String> {
    let listing = output("nft -a -s list chain inet filter input");
    listing
        .lines()
        .filter(|line| line.contains("# handle") && !line.contains("chain"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_jump_stays_at_the_head_whatever_others_insert() {
    let Some(world) = World::new() else { return };
    let _service = World::serve(&world.host, 22);
    world.host.run(|| {
        load(&dropping("inet"));
        let mut firewall = beside("inet filter input");
        firewall.prepare(&plan()).unwrap();
        let open = [set(door(address(CLIENT[0]), "tcp/22"), MINUTE, "")];
        firewall.apply(&open).unwrap();
        while is_lost(&mut *firewall) {}
        #[rustfmt::skip]
        let hands = [
            // what somebody else does, whether it gets before us
            ("nft insert rule inet filter input tcp dport 22 drop",                              true),
            ("nft insert rule inet filter input drop",                                           true),
            ("nft insert rule inet filter input tcp dport 8080 accept",                          true),
            ("nft add rule inet filter input tcp dport 8443 accept",                             false),
            ("nft add chain inet filter other; nft add rule inet filter other drop",             false),
            ("nft add table inet another; nft add chain inet another input",                     false),
            ("nft insert rule inet filter input jump spad",                                      true),
            ("nft insert rule inet filter spad drop",                                            true),
        ];
        for (command, before) in hands {
            let theirs = |rules: Vec<String>| -> Vec<String> {
                rules.into_iter().filter(|rule| !rule.contains("jump spad")).collect()
            };
            sh(command);
            let foreign = theirs(rules());
            assert_eq!(is_lost(&mut *firewall), before, "{command}");
            if before {
                firewall.prepare(&plan()).unwrap();
                assert!(!is_lost(&mut *firewall), "our own doing");
                assert!(rules()[0].contains("jump spad"), "{command}: {:#?}", rules());
                assert_eq!(rules().iter().filter(|rule| rule.contains("jump spad")).count(), 1, "{command}");
                assert_eq!(theirs(rules()), foreign, "rules of others keep handles and order");
                assert!(world.peer_reaches(CLIENT[0], HOST[0], 22), "{command}: who knocked");
            }
            assert!(!world.peer_reaches(STRANGER[0], HOST[0], 22), "{command}: who did not");
        }
    });
}

#[test]
fn by_iptables_nft_it_does_too() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        sh("iptables-nft -P INPUT DROP; ip6tables-nft -P INPUT DROP; iptables-nft -A INPUT -i lo -j ACCEPT");
        let mut firewall = by(Backend::Iptables(Variant::Nft), "filter INPUT");
        firewall.prepare(&plan()).unwrap();
        assert!(!firewall.lost() && firewall.others_changed(), "the rules are there");
        assert!(!firewall.lost() && !firewall.others_changed(), "nothing happened");
        #[rustfmt::skip]
        let hands = [
            // what somebody else does, whether it gets before us
            ("iptables-nft -A INPUT -p tcp --dport 8443 -j ACCEPT",        false),
            ("iptables-nft -I INPUT -p tcp --dport 22 -j DROP",            true),
            ("ip6tables-nft -I INPUT -j DROP",                             true),
            ("iptables-nft -I FORWARD -j DROP",                            false),
        ];
        for (command, before) in hands {
            sh(command);
            assert_eq!(firewall.lost(), before, "{command}");
            assert!(firewall.others_changed(), "{command}");
            assert_eq!(firewall.lost(), before, "{command}: until it is put right");
            if before {
                firewall.prepare(&plan()).unwrap();
                assert!(!firewall.lost(), "{command}: put right");
            }
            for program in ["iptables", "ip6tables"] {
                let rules = output(&format!("{program}-nft -S INPUT"));
                assert!(rules.lines().nth(1).unwrap().ends_with("-j SPAD"), "{command}: {rules}");
            }
        }
    });
}

#[test]
fn rules_of_others_are_looked_at_again_when_they_change() {
    let Some(world) = World::new() else { return };
    world.host.run(|| {
        load(&dropping("inet"));
        let mut firewall = beside("inet filter input");
        firewall.prepare(&plan()).unwrap();
        firewall.apply(&[set(door(address(CLIENT[0]), "tcp/22"), MINUTE, "")]).unwrap();
        let changed = |firewall: &mut dyn Firewall| {
            sleep(SECOND / 20);
            let lost = firewall.lost();
            (lost, firewall.others_changed())
        };
        assert_eq!(changed(&mut *firewall), (false, false), "our own doing");
        assert_eq!(firewall.defeated().unwrap(), Vec::<String>::new());
        load("table inet rival { chain late { type filter hook input priority 10; policy drop; }; }");
        assert_eq!(changed(&mut *firewall), (false, true), "a chain that drops");
        assert_eq!(firewall.defeated().unwrap().len(), 1);
        sh("nft add set inet rival many '{ type ipv4_addr; }'; nft add element inet rival many '{ 192.0.2.1 }'");
        assert_eq!(changed(&mut *firewall), (false, false), "elements drop nobody by themselves");
        sh("nft delete table inet rival");
        assert_eq!(changed(&mut *firewall), (false, true), "and is gone");
        assert_eq!(firewall.defeated().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_table_of_one_family_opens_for_that_family() {
    for (index, family) in ["ip", "ip6"].into_iter().enumerate() {
        let Some(world) = World::new() else { return };
        let _service = World::serve(&world.host, 22);
        world.host.run(|| load(&dropping(family).replace("{ icmp, ipv6-icmp }", "{ 1, 58 }")));
        let mut firewall = world.host.run(|| {
            let mut firewall = beside(&format!("{family} filter input"));
            firewall.prepare(&plan()).unwrap();
            firewall
        });
        let (host, client) = (HOST[index], CLIENT[index]);
        assert!(!world.peer_reaches(client, host, 22), "{family}: before the knock");
        firewall.apply(&[0, 1].map(|n| set(door(address(CLIENT[n]), "tcp/22"), MINUTE, ""))).unwrap();
        assert!(world.peer_reaches(client, host, 22), "{family}: after the knock");
        assert!(!world.peer_reaches(STRANGER[index], host, 22), "{family}: who did not knock");
        let said = firewall.defeated().unwrap();
        let other = if family == "ip" { "sees no IPv6" } else { "sees no IPv4" };
        assert!(said.len() == 1 && said[0].contains(other), "{said:?}");
        world.host.run(|| firewall.teardown().unwrap());
        assert!(!world.host.run(|| output("nft list ruleset")).contains("spad"), "{family}");
    }
}

#[test]
fn a_chain_that_is_not_there_is_named_and_nothing_is_made() {
    let Some(world) = World::new() else { return };
    world.host.run(|| {
        for (rules, point) in [
            (String::new(), "inet filter input"),
            (dropping("inet"), "inet filter incoming"),
            (dropping("inet"), "ip filter input"),
        ] {
            sh("nft flush ruleset");
            load(&rules);
            let before = output("nft -a list ruleset");
            let refusal = beside(point).prepare(&plan()).unwrap_err().to_string();
            let expected = format!(
                "there is no chain {point} to attach to (hint: it must be loaded before spad starts)"
            );
            assert_eq!(refusal, expected);
            assert_eq!(output("nft -a list ruleset"), before);
        }
    });
}
