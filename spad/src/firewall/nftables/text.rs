//! What is ours as nft's text: what `nft -f` loads into a ruleset that holds nothing of ours.

use std::fmt;

use super::key::{Field, Value};
use super::model::{
    Chain, Direction, Kind, Match, Operation, Rule, Segment, Selector, Set, Table, Update, Verdict,
};
use super::place::Place;

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, table) = (self.place.family().name(), self.place.table());
        writeln!(f, "table {family} {table} {{")?;
        self.sets.iter().try_for_each(|set| write!(f, "{set}"))?;
        self.chains.iter().try_for_each(|chain| write!(f, "{chain}"))?;
        writeln!(f, "}}")?;
        if let Place::Beside { chain, .. } = self.place {
            let entrance = self.place.names().entrance;
            writeln!(f, "insert rule {family} {table} {chain} jump {entrance}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |fields: &[Field]| dotted(fields.iter().map(|field| field.name()));
        if self.data.is_empty() {
            writeln!(f, "  set {} {{\n    type {}", self.name, fields(self.key))?;
        } else {
            writeln!(f, "  map {} {{\n    type {} : {}", self.name, fields(self.key), fields(self.data))?;
        }
        match (self.timeouts, self.dynamic) {
            (_, true) => writeln!(f, "    flags dynamic, timeout")?,
            (true, false) => writeln!(f, "    flags timeout")?,
            (false, false) => {}
        }
        if !self.elements.is_empty() {
            let elements: Vec<_> = self.elements.iter().map(dotted).collect();
            writeln!(f, "    elements = {{ {} }}", elements.join(", "))?;
        }
        writeln!(f, "  }}")
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  chain {} {{", self.name)?;
        if let Some(priority) = self.priority {
            let (kind, hook) = match self.kind {
                Kind::Filter => ("filter", "prerouting"),
                Kind::DestinationNat => ("nat", "prerouting"),
                Kind::SourceNat => ("nat", "postrouting"),
            };
            writeln!(f, "    type {kind} hook {hook} priority {priority}; policy accept;")?;
        }
        self.rules.iter().try_for_each(|rule| writeln!(f, "    {rule}"))?;
        writeln!(f, "  }}")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.matches.iter().try_for_each(|m| write!(f, "{m} "))?;
        self.updates.iter().try_for_each(|update| write!(f, "{update} "))?;
        write!(f, "{}", self.verdict)
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = dotted(self.key);
        match self.operation {
            Operation::Add(timeout) => {
                write!(f, "add @{} {{ {key} timeout {}s }}", self.set, timeout.as_secs())
            }
            Operation::Delete => write!(f, "delete @{} {{ {key} }}", self.set),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("iifname \"lo\""),
            Self::ToThisHost => f.write_str("fib daddr type local"),
            Self::Translated => f.write_str("ct status dnat"),
            Self::Transport(transport) => write!(f, "meta l4proto {transport}"),
            Self::UdpPort(port) => write!(f, "udp dport {port}"),
            Self::Established(Direction::Original) => {
                f.write_str("ct direction original ct state established")
            }
            Self::Established(Direction::Reply) => f.write_str("ct direction reply ct state established"),
            Self::New => f.write_str("ct state new"),
            Self::Segment(Segment::Syn) => f.write_str("tcp flags & (syn | rst | ack) == syn"),
            Self::Segment(Segment::Ack) => f.write_str("tcp flags & (syn | rst | ack) == ack"),
            Self::In(selectors, set) => write!(f, "{} @{set}", dotted(*selectors)),
            Self::NotIn(selectors, set) => write!(f, "{} != @{set}", dotted(*selectors)),
            Self::InPrefix(length, set) => {
                let source = if length.is_ipv6() { Selector::SourceV6 } else { Selector::SourceV4 };
                let rest = dotted([Selector::Protocol, Selector::Port]);
                write!(f, "{source} & {} . {rest} @{set}", length.mask())
            }
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interface => "iifname",
            Self::InterfaceIndex => "meta iif",
            Self::AddressType => "fib daddr type",
            Self::Protocol => "meta l4proto",
            Self::Port => "th dport",
            Self::SourcePort => "th sport",
            Self::SourceV4 => "ip saddr",
            Self::DestinationV4 => "ip daddr",
            Self::SourceV6 => "ip6 saddr",
            Self::DestinationV6 => "ip6 daddr",
            Self::TcpSource => "tcp sport",
            Self::TcpDestination => "tcp dport",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Return => f.write_str("return"),
            Self::Drop => f.write_str("drop"),
            Self::CountAndDrop => f.write_str("counter drop"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::Dnat(family, selectors, map) => {
                write!(f, "dnat {} to {} map @{map}", family.name(), dotted(*selectors))
            }
            Self::Snat(family, selectors, map) => {
                write!(f, "snat {} to {} map @{map}", family.name(), dotted(*selectors))
            }
            Self::Masquerade => f.write_str("masquerade"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(address) => write!(f, "{address}"),
            Self::Ipv6(address) => write!(f, "{address}"),
            Self::Protocol(transport) => write!(f, "{transport}"),
            Self::Port(port) => write!(f, "{port}"),
            Self::Interface(name) => write!(f, "\"{name}\""),
            Self::InterfaceIndex(index) => write!(f, "{index}"),
            Self::AddressType(kind) => f.write_str(&format!("{kind:?}").to_lowercase()),
        }
    }
}

/// Parts joined as nft joins the fields of a key: `10.0.0.1 . tcp . 22`.
fn dotted<T: fmt::Display>(parts: impl IntoIterator<Item = T>) -> String {
    parts.into_iter().map(|part| part.to_string()).collect::<Vec<_>>().join(" . ")
}
