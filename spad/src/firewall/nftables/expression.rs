//! Rules as the small programs that the kernel runs: what nft's text stands for, as nft itself would compile
//! it.

use std::net::IpAddr;

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, Expressions, Immediate, Lookup, Meta, MetaKey, Operator, Payload, Register,
    Verdict, VerdictAttribute,
};
use spa_core::service::Transport;

use super::key::{AddressType, Field};
use super::model::{Direction, Match, Operation, Rule, Segment, Selector, Update, Verdict as Ruling};
use crate::firewall::standing::Family;

/// First register of 4 bytes (`NFT_REG32_00`); the others follow.
const REGISTERS: u32 = 8;

const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

/// `NFT_PAYLOAD_NETWORK_HEADER`, `NFT_PAYLOAD_TRANSPORT_HEADER`.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

/// `NFT_CT_STATE`, `NFT_CT_DIRECTION`; bit of an established connection in the state.
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const CT_DIRECTION: u32 = 1;
const CT_ESTABLISHED: u32 = 2;
/// `IPS_DST_NAT`.
const CT_TRANSLATED: u32 = 1 << 5;
const CT_NEW: u32 = 8;

/// Where TCP's flags are, and what they are (RFC 9293, 3.1).
const TCP_FLAGS: u32 = 13;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// `NFT_DYNSET_OP_ADD`, `NFT_DYNSET_OP_DELETE`.
const ADD: u32 = 0;
const DELETE: u32 = 2;

/// `NFT_FIB_RESULT_ADDRTYPE`, `NFTA_FIB_F_DADDR`.
const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_DESTINATION: u32 = 2;

/// `NFTA_NAT_TYPE`, `_FAMILY`, `_REG_ADDR_MIN`, `_REG_PROTO_MIN`; `NFT_NAT_SNAT`, `NFT_NAT_DNAT`.
const NAT_TYPE: u16 = 1;
const NAT_FAMILY: u16 = 2;
const NAT_ADDRESS: u16 = 3;
const NAT_PORT: u16 = 5;
const SNAT: u32 = 0;
const DNAT: u32 = 1;

/// `NFT_LOOKUP_F_INV`.
const LOOKUP_INVERTED: u32 = 1;

/// `NF_DROP`, `NF_ACCEPT`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// The rule's program, in a table of that family.
pub(super) fn of_rule(rule: &Rule, family: Family) -> Vec<Expressions> {
    let program = rule.matches.iter().flat_map(|m| of_match(m, family));
    let updates = rule.updates.iter().flat_map(of_update);
    // A rule that has looked at an address knows the packet's family, as if its table saw no other.
    let asked = |m: &Match| matches!(m, Match::In(fields, _) if !preconditions(fields, family).is_empty());
    let sees = if rule.matches.iter().any(asked) { Family::Ip } else { family };
    program.chain(updates).chain(of_verdict(rule.verdict, sees)).collect()
}

/// The program of a rule that does nothing but jump.
pub(super) fn of_jump(chain: &str) -> Vec<Expressions> {
    let verdict = vec![VerdictAttribute::Code(Verdict::Jump), VerdictAttribute::Chain(chain.to_owned())];
    vec![ruling(verdict)]
}

/// Parts of the kernel that the rule needs and that may be missing or a module of their own.
pub(super) fn features(rule: &Rule) -> String {
    let of_match = |m: &Match| match m {
        Match::Established(_) | Match::New | Match::Translated => Some("nft_ct (CONFIG_NFT_CT)"),
        Match::In(selectors, _) | Match::NotIn(selectors, _)
            if selectors.contains(&Selector::AddressType) =>
        {
            Some("nft_fib_inet (CONFIG_NFT_FIB_INET)")
        }
        Match::ToThisHost => Some("nft_fib_inet (CONFIG_NFT_FIB_INET)"),
        _ => None,
    };
    let of_verdict = match rule.verdict {
        Ruling::CountAndDrop => Some("nft_counter (CONFIG_NFT_COUNTER)"),
        Ruling::Dnat(..) | Ruling::Snat(..) => Some("nft_nat (CONFIG_NFT_NAT)"),
        Ruling::Masquerade => Some("nft_masq (CONFIG_NFT_MASQ)"),
        _ => None,
    };
    let mut features: Vec<_> = rule.matches.iter().filter_map(of_match).chain(of_verdict).collect();
    if features.is_empty() {
        features.push("nf_tables (CONFIG_NF_TABLES_INET)");
    }
    features.join(" or ")
}

fn of_match(m: &Match, family: Family) -> Vec<Expressions> {
    match *m {
        Match::Loopback => {
            let mut name = b"lo".to_vec();
            name.resize(Field::Interface.width() as usize, 0);
            vec![meta(MetaKey::Iifname, 0), compare(Operator::Equal, name)]
        }
        Match::ToThisHost => vec![
            load(Selector::AddressType, 0),
            compare(Operator::Equal, (AddressType::Local as u32).to_ne_bytes().to_vec()),
        ],
        Match::Translated => vec![
            other("ct", &[(1, REGISTERS), (2, CT_STATUS)]),
            mask(CT_TRANSLATED.to_ne_bytes().to_vec()),
            compare(Operator::NotEqual, 0_u32.to_ne_bytes().to_vec()),
        ],
        Match::Transport(transport) => of_transport(transport),
        Match::UdpPort(port) => {
            let mut program = of_transport(Transport::Udp);
            program.extend([
                load(Selector::Port, 0),
                compare(Operator::Equal, port.get().to_be_bytes().to_vec()),
            ]);
            program
        }
        Match::Established(direction) => {
            let direction = match direction {
                Direction::Original => 0,
                Direction::Reply => 1,
            };
            vec![
                other("ct", &[(1, REGISTERS), (2, CT_DIRECTION)]),
                compare(Operator::Equal, vec![direction]),
                other("ct", &[(1, REGISTERS), (2, CT_STATE)]),
                mask(CT_ESTABLISHED.to_ne_bytes().to_vec()),
                compare(Operator::NotEqual, 0_u32.to_ne_bytes().to_vec()),
            ]
        }
        Match::New => vec![
            other("ct", &[(1, REGISTERS), (2, CT_STATE)]),
            mask(CT_NEW.to_ne_bytes().to_vec()),
            compare(Operator::NotEqual, 0_u32.to_ne_bytes().to_vec()),
        ],
        Match::Segment(segment) => {
            let flags = match segment {
                Segment::Syn => SYN,
                Segment::Ack => ACK,
            };
            vec![
                payload(TRANSPORT, TCP_FLAGS, 1, 0),
                mask(vec![SYN | RST | ACK]),
                compare(Operator::Equal, vec![flags]),
            ]
        }
        Match::In(selectors, set) => look_up(selectors, set, None, family),
        Match::NotIn(selectors, set) => look_up(selectors, set, Some(Lookup::Flags(LOOKUP_INVERTED)), family),
        Match::InPrefix(length, set) => {
            let source = if length.is_ipv6() { Selector::SourceV6 } else { Selector::SourceV4 };
            let mut program = look_up(&[source, Selector::Protocol, Selector::Port], set, None, family);
            let loaded = program.iter().position(|one| matches!(one, Expressions::Payload(_)));
            program.insert(loaded.map_or(0, |at| at + 1), mask(octets(length.mask())));
            program
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

fn of_transport(transport: Transport) -> Vec<Expressions> {
    vec![meta(MetaKey::L4Proto, 0), compare(Operator::Equal, vec![transport.number()])]
}

/// Loads the fields into registers one after the other, as the key has them, and looks the key up.
fn look_up(selectors: &[Selector], set: &str, more: Option<Lookup>, family: Family) -> Vec<Expressions> {
    let mut program = preconditions(selectors, family);
    program.extend(load_key(selectors));
    let mut lookup = vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(register(0))];
    lookup.extend(more);
    program.push(Expressions::Lookup(lookup));
    program
}

fn load_key(selectors: &[Selector]) -> Vec<Expressions> {
    let mut word = 0;
    let mut next = |selector: &Selector| {
        let at = word;
        word += selector.field().width() / 4;
        load(*selector, at)
    };
    selectors.iter().map(&mut next).collect()
}

/// Adds the packet's key to a set, or takes it away. That the packet has such a key is what the rule's matches saw.
fn of_update(update: &Update) -> Vec<Expressions> {
    let (operation, timeout) = match update.operation {
        Operation::Add(timeout) => (ADD, timeout.as_millis() as u64),
        Operation::Delete => (DELETE, 0),
    };
    let mut attributes = vec![
        DefaultNla::new(1, [update.set.as_bytes(), &[0]].concat()),
        DefaultNla::new(3, operation.to_be_bytes().to_vec()),
        DefaultNla::new(4, REGISTERS.to_be_bytes().to_vec()),
    ];
    if timeout != 0 {
        attributes.push(DefaultNla::new(6, timeout.to_be_bytes().to_vec()));
    }
    let mut program = load_key(update.key);
    program.push(Expressions::Other { expression_type: "dynset".to_owned(), attributes });
    program
}

/// An address can be read only from a packet of its family, a TCP port only from a TCP segment.
fn preconditions(selectors: &[Selector], family: Family) -> Vec<Expressions> {
    let family = selectors.iter().find_map(|selector| match selector.field() {
        // Other tables see packets of one family only.
        Field::Ipv4 if family == Family::Inet => Some(NFPROTO_IPV4),
        Field::Ipv6 if family == Family::Inet => Some(NFPROTO_IPV6),
        _ => None,
    });
    let family = family.map(|family| vec![meta(MetaKey::Nfproto, 0), compare(Operator::Equal, vec![family])]);
    let tcp = selectors.contains(&Selector::TcpSource) || selectors.contains(&Selector::TcpDestination);
    let tcp = tcp.then(|| of_transport(Transport::Tcp));
    family.into_iter().chain(tcp).flatten().collect()
}

impl Selector {
    /// Type of the field in a key that this is compared with.
    fn field(self) -> Field {
        match self {
            Self::Interface => Field::Interface,
            Self::InterfaceIndex => Field::InterfaceIndex,
            Self::AddressType => Field::AddressType,
            Self::Protocol => Field::Protocol,
            Self::Port | Self::SourcePort | Self::TcpSource | Self::TcpDestination => Field::Port,
            Self::SourceV4 | Self::DestinationV4 => Field::Ipv4,
            Self::SourceV6 | Self::DestinationV6 => Field::Ipv6,
        }
    }
}

fn load(selector: Selector, word: u32) -> Expressions {
    match selector {
        Selector::Interface => meta(MetaKey::Iifname, word),
        Selector::InterfaceIndex => meta(MetaKey::Iif, word),
        Selector::Protocol => meta(MetaKey::L4Proto, word),
        Selector::AddressType => {
            other("fib", &[(1, REGISTERS + word), (2, FIB_ADDRESS_TYPE), (3, FIB_DESTINATION)])
        }
        // RFC 9293 and RFC 768: both begin with the source port, then the destination port.
        Selector::SourcePort | Selector::TcpSource => payload(TRANSPORT, 0, 2, word),
        Selector::Port | Selector::TcpDestination => payload(TRANSPORT, 2, 2, word),
        // RFC 791, section 3.1.
        Selector::SourceV4 => payload(NETWORK, 12, 4, word),
        Selector::DestinationV4 => payload(NETWORK, 16, 4, word),
        // RFC 8200, section 3.
        Selector::SourceV6 => payload(NETWORK, 8, 16, word),
        Selector::DestinationV6 => payload(NETWORK, 24, 16, word),
    }
}

/// Translates by what a map has for these fields: an address, and for `DNAT` a port behind it.
fn translate(
    kind: u32,
    (family, selectors, map): (Family, &[Selector], &str),
    sees: Family,
) -> Vec<Expressions> {
    let mut program = look_up(selectors, map, Some(Lookup::DestinationRegister(register(0))), sees);
    let (number, address) = match family {
        Family::Ip6 => (NFPROTO_IPV6, Field::Ipv6),
        Family::Ip | Family::Inet => (NFPROTO_IPV4, Field::Ipv4),
    };
    let mut nat = vec![(NAT_TYPE, kind), (NAT_FAMILY, number.into()), (NAT_ADDRESS, REGISTERS)];
    if kind == DNAT {
        nat.push((NAT_PORT, REGISTERS + address.width() / 4));
    }
    program.push(other("nat", &nat));
    program
}

/// - `sees`: of which family a packet may be that gets here.
fn of_verdict(verdict: Ruling, sees: Family) -> Vec<Expressions> {
    match verdict {
        Ruling::Dnat(family, selectors, map) => return translate(DNAT, (family, selectors, map), sees),
        Ruling::Snat(family, selectors, map) => return translate(SNAT, (family, selectors, map), sees),
        Ruling::Masquerade => return vec![other("masq", &[])],
        _ => {}
    }

    let code = |code| vec![VerdictAttribute::Code(code)];
    let (counted, verdict) = match verdict {
        Ruling::Accept => (false, code(Verdict::Other(ACCEPT))),
        Ruling::Return => (false, code(Verdict::Return)),
        Ruling::Drop => (false, code(Verdict::Other(DROP))),
        Ruling::CountAndDrop => (true, code(Verdict::Other(DROP))),
        Ruling::Goto(chain) => {
            (false, vec![VerdictAttribute::Code(Verdict::Goto), VerdictAttribute::Chain(chain.to_owned())])
        }
        Ruling::Dnat(..) | Ruling::Snat(..) | Ruling::Masquerade => return Vec::new(),
    };
    counted.then(|| other("counter", &[])).into_iter().chain([ruling(verdict)]).collect()
}

fn ruling(verdict: Vec<VerdictAttribute>) -> Expressions {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(verdict)),
    ])
}

fn register(word: u32) -> Register {
    Register::from(REGISTERS + word)
}

fn meta(key: MetaKey, word: u32) -> Expressions {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(register(word))])
}

fn payload(base: u32, offset: u32, length: u32, word: u32) -> Expressions {
    Expressions::Payload(vec![
        Payload::DestinationRegister(register(word)),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
}

fn compare(operator: Operator, value: Vec<u8>) -> Expressions {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(register(0)),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(value)),
    ])
}

/// Leaves only these bits of what is in the first registers.
fn mask(bits: Vec<u8>) -> Expressions {
    let zeros = vec![0; bits.len()];
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(register(0)),
        Bitwise::DestinationRegister(register(0)),
        Bitwise::Length(zeros.len() as u32),
        Bitwise::Mask(DataAttribute::Value(bits)),
        Bitwise::Xor(DataAttribute::Value(zeros)),
    ])
}

/// An expression that the library does not model, by the numbers of its attributes
/// (linux/netfilter/nf_tables.h).
fn other(name: &str, attributes: &[(u16, u32)]) -> Expressions {
    let attribute = |(kind, value): &(u16, u32)| DefaultNla::new(*kind, value.to_be_bytes().to_vec());
    Expressions::Other {
        expression_type: name.to_owned(),
        attributes: attributes.iter().map(attribute).collect(),
    }
}
