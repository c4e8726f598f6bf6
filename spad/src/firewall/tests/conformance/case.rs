//! One backend in one mode, on a host of its own whose operator has rules already.

use super::super::namespace::{load, output, sh};
use super::super::world::World;
use super::super::*;
use crate::firewall::choice::choose;
use crate::firewall::standing::Standing;

/// A backend in a mode.
pub(super) struct Candidate {
    pub(super) name: &'static str,
    /// As spad.toml has it: backend and attach.
    backend: &'static str,
    attach: Option<&'static str>,
    /// The programs that speak with it: `""` for nft, else the infix of iptables' names.
    infix: Option<&'static str>,
}

const fn candidate(
    name: &'static str,
    backend: &'static str,
    attach: Option<&'static str>,
    infix: Option<&'static str>,
) -> Candidate {
    Candidate { name, backend, attach, infix }
}

pub(super) const CANDIDATES: &[Candidate] = &[
    candidate("nft guard", "nftables", None, None),
    candidate("nft attach", "nftables", Some("inet filter input"), None),
    candidate("ipt-nft guard", "iptables-nft", None, Some("-nft")),
    candidate("ipt-nft attach", "iptables-nft", Some("filter INPUT"), Some("-nft")),
    candidate("ipt-legacy guard", "iptables-legacy", None, Some("-legacy")),
    candidate("ipt-legacy attach", "iptables-legacy", Some("filter INPUT"), Some("-legacy")),
];

/// What an operator has whose own policy drops: 22 and 5300 shut, 80 open.
const DROPPING: &str = "table inet filter {
    chain input {
        type filter hook input priority 0; policy drop;
        iif lo accept
        ct state established,related accept
        meta l4proto { icmp, ipv6-icmp } accept
        tcp dport 80 counter accept comment \"of the operator\"
    }
}";

/// What an operator has who lets everything in.
const OPEN: &str = "table inet filter {
    chain input {
        type filter hook input priority 0; policy accept;
        tcp dport 80 counter accept comment \"of the operator\"
    }
}
table ip nat {
    chain prerouting {
        type nat hook prerouting priority -100; policy accept;
        tcp dport 8888 redirect to :80
    }
}";

const DROPPING_IPTABLES: &str = "*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:other - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p ICMP -j ACCEPT
-A INPUT -j other
-A other -p tcp -m tcp --dport 80 -m comment --comment \"of the operator\" -j ACCEPT
COMMIT
";

const OPEN_IPTABLES: &str = "*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 80 -m comment --comment \"of the operator\" -j MARK --set-xmark 0x1/0xffffffff
COMMIT
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 81 -j ACCEPT
COMMIT
";

impl Candidate {
    /// What stands in the names of iptables' programs, if they speak with it.
    pub(super) fn infix(&self) -> Option<&'static str> {
        self.infix
    }

    pub(super) fn guards(&self) -> bool {
        self.attach.is_none()
    }

    pub(super) fn standing(&self) -> Standing {
        use crate::firewall::standing::{Backend, Variant};
        let backend = match self.backend {
            "nftables" => Backend::Nftables,
            "iptables-nft" => Backend::Iptables(Variant::Nft),
            _ => Backend::Iptables(Variant::Legacy),
        };
        let point = self.attach.map(|point| point.parse().unwrap());
        Standing::new(backend, self.attach.is_some(), point).unwrap()
    }
}

/// One question's own host.
pub(super) struct Case<'c> {
    pub(super) candidate: &'c Candidate,
    pub(super) world: World,
}

impl<'c> Case<'c> {
    pub(super) fn new(candidate: &'c Candidate) -> Self {
        let world = World::new().expect("there was one before");
        let case = Self { candidate, world };
        case.world.host.run(|| case.reload());
        case
    }

    /// The operator's manager loads its rules, and flushes what is not its own. On the host.
    pub(super) fn reload(&self) {
        let guards = self.candidate.guards();
        let Some(infix) = self.candidate.infix else {
            return load(&format!("flush ruleset\n{}", if guards { OPEN } else { DROPPING }));
        };
        let text = if guards { OPEN_IPTABLES } else { DROPPING_IPTABLES };
        for (program, protocol) in [("iptables", "icmp"), ("ip6tables", "ipv6-icmp")] {
            let text = text.replace("ICMP", protocol);
            sh(&format!("{program}{infix}-restore --wait=20 <<'END'\n{text}END"));
        }
    }

    /// Opened, but not prepared. On the host.
    pub(super) fn open(&self) -> Box<dyn Firewall> {
        let (mut firewall, _) = choose(&self.candidate.standing(), None).unwrap();
        firewall.listen().unwrap();
        firewall
    }

    pub(super) fn prepared(&self, plan: &Plan) -> Box<dyn Firewall> {
        self.world.host.run(|| {
            let mut firewall = self.open();
            firewall.prepare(plan).unwrap();
            assert!(firewall.exists().unwrap());
            firewall
        })
    }

    /// All rules and sets, ours and the operator's, without what counts packets and time.
    pub(super) fn listing(&self) -> String {
        let text = self.world.host.run(|| match self.candidate.infix {
            None => output("nft -a -s list ruleset"),
            Some(infix) => output(&format!(
                "ipset save | sort; for t in raw mangle nat filter; do iptables{infix}-save -t $t; \
                 ip6tables{infix}-save -t $t; done"
            )),
        });
        let plain = |line: &str| {
            // How a set's memory is laid out depends on how old its maker is, and on chance.
            let line = line.split(" bucketsize ").next().unwrap_or_default();
            let line = line.split(" initval ").next().unwrap_or_default();
            let line = line.split(" expires ").next().unwrap_or_default();
            // Packets and bytes of a chain's policy.
            line.split(" [").next().unwrap_or_default().to_owned()
        };
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(plain).collect::<Vec<_>>().join("\n")
    }

    /// The operator's rules, in their order, with their handles.
    pub(super) fn foreign(&self) -> String {
        if self.candidate.infix.is_some() {
            let listing = self.listing();
            let theirs = listing.lines().filter(|line| !line.contains("spad") && !line.contains("SPAD"));
            // A table that nobody had used before is listed with its empty chains from then on.
            let theirs = theirs.filter(|line| line.starts_with("-A") || line.starts_with(":other"));
            return theirs.collect::<Vec<_>>().join("\n");
        }
        // What is ours is a block at the first level (our table) or at the second (our sets and chains), or the
        // jump.
        let (mut theirs, mut inside) = (Vec::new(), None);
        for line in self.listing().lines() {
            let indent = line.len() - line.trim_start().len();
            match inside {
                Some(at) if line.trim() == "}" && indent == at => inside = None,
                Some(_) => {}
                None if line.contains("spad") && line.contains('{') => inside = Some(indent),
                None if line.contains("jump spad") || line.trim().is_empty() => {}
                None => theirs.push(line.to_owned()),
            }
        }
        theirs.join("\n")
    }
}
