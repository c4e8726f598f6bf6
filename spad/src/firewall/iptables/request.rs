//! What the monitor and the loader say to each other: one message of fixed size each way, in one spelling.

use std::collections::BTreeSet;

use spa_core::reader::Reader;
use spa_core::service::{Service, Transport};
use spa_core::target::{Target, is_one_host};

use super::forward::Leads;
use super::rules::{Ruleset, Stand};
use crate::config::{MOST_SOURCES, MOST_TARGETS};
use crate::firewall::standing::{AttachPoint, Variant};
use crate::wire::{address, put_address};

/// Task (1 byte), variant (1 byte), length of the chain's name (1 byte, 0 for guard mode), its bytes; what NAT is to do
/// (1 byte), how many targets and senders (1 byte each), their bytes; zeros; of each transport one bit for every port,
/// set where that service is protected, from the lowest bit of the first byte on.
pub(super) const REQUEST: usize = SERVICES + TRANSPORTS.len() * PORTS;

/// Where the bits begin.
const SERVICES: usize = 3 + 32 + 3 + MOST_TARGETS * 19 + MOST_SOURCES * 17;
const PORTS: usize = (u16::MAX as usize + 1) / 8;
const TRANSPORTS: [Transport; 2] = [Transport::Tcp, Transport::Udp];

/// Length of the reason (0: it is loaded), its bytes.
pub(super) const ANSWER: usize = 1 + 255;

/// What it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Load the rules.
    Load,
    /// Say whether the jump is at the head of the chain that leads to ours.
    Look,
}

pub(super) fn request(task: Task, variant: Variant, ruleset: &Ruleset) -> [u8; REQUEST] {
    let Ruleset { stand, leads, services } = ruleset;
    let chain = match stand {
        Stand::Guard => "",
        Stand::Attach(chain) => chain,
    };
    let variant = match variant {
        Variant::Host => 0,
        Variant::Nft => 1,
        Variant::Legacy => 2,
    };
    // A chain's name has 28 bytes at most (`AttachPoint`).
    let mut bytes = vec![task as u8, variant, chain.len() as u8];
    bytes.extend_from_slice(chain.as_bytes());
    bytes.resize(3 + 32, 0);
    let kind = match leads {
        Leads::Nowhere => 0,
        Leads::NoLonger => 1,
        Leads::To(..) => 2,
    };
    // spad.toml names no more than fit (`MOST_TARGETS`).
    bytes.extend([kind, leads.targets().len() as u8, leads.sources().len() as u8]);
    for target in leads.targets() {
        put_address(&mut bytes, target.address());
        bytes.extend_from_slice(&target.port().get().to_be_bytes());
    }
    for source in leads.sources() {
        put_address(&mut bytes, *source);
    }
    bytes.resize(SERVICES, 0);
    for transport in TRANSPORTS {
        let mut bits = [0; PORTS];
        for service in services.iter().filter(|service| service.transport() == transport) {
            let port = usize::from(service.port().get());
            if let Some(byte) = bits.get_mut(port / 8) {
                *byte |= 1 << (port % 8);
            }
        }
        bytes.extend_from_slice(&bits);
    }
    bytes.try_into().unwrap_or([u8::MAX; REQUEST])
}

/// Nothing but what `request` makes: the name of a chain becomes part of a text that the programs read, and so do
/// addresses and ports.
pub(super) fn understand(bytes: &[u8; REQUEST]) -> Option<(Task, Variant, Ruleset)> {
    let (task, variant, ruleset) = parse(bytes)?;
    (request(task, variant, &ruleset) == *bytes).then_some((task, variant, ruleset))
}

fn parse(bytes: &[u8; REQUEST]) -> Option<(Task, Variant, Ruleset)> {
    let (fields, bits) = bytes.split_at_checked(SERVICES)?;
    let mut r = Reader::new(fields);
    let task = r.u8().ok()?;
    let task = [Task::Load, Task::Look].into_iter().find(|one| *one as u8 == task)?;
    let variant = match r.u8().ok()? {
        0 => Variant::Host,
        1 => Variant::Nft,
        2 => Variant::Legacy,
        _ => return None,
    };
    let length = usize::from(r.u8().ok()?);
    let chain = r.array::<32>().ok()?;
    let chain = std::str::from_utf8(chain.get(..length)?).ok()?;
    let stand = if chain.is_empty() {
        Stand::Guard
    } else {
        Stand::Attach(format!("filter {chain}").parse::<AttachPoint>().ok()?.chain)
    };
    let [kind, targets, sources] = *r.array::<3>().ok()?;
    let mut target = || Target::new(address(&mut r)?, r.u16().ok()?.try_into().ok()?);
    let targets: Vec<_> = (0..targets).map(|_| target()).collect::<Option<_>>()?;
    let mut source = || address(&mut r).filter(|address| is_one_host(*address));
    let sources: Vec<_> = (0..sources).map(|_| source()).collect::<Option<_>>()?;
    let leads = match kind {
        0 => Leads::Nowhere,
        1 => Leads::NoLonger,
        2 => Leads::To(targets, sources),
        _ => return None,
    };
    Some((task, variant, Ruleset { stand, leads, services: services(bits) }))
}

/// The services whose bits are set. There is none at port 0, so that a request that says so is not what `request` makes.
fn services(bits: &[u8]) -> BTreeSet<Service> {
    let mut services = BTreeSet::new();
    for (transport, bits) in TRANSPORTS.into_iter().zip(bits.chunks(PORTS)) {
        let is_set =
            |port: u16| bits.get(usize::from(port / 8)).is_some_and(|byte| byte >> (port % 8) & 1 == 1);
        let ports = (0..=u16::MAX).filter(|port| is_set(*port));
        services.extend(ports.filter_map(|port| Some(Service::new(transport, port.try_into().ok()?))));
    }
    services
}

pub(super) fn answer(reason: Option<&str>) -> [u8; ANSWER] {
    let reason = reason.unwrap_or_default().as_bytes();
    let reason = reason.get(..ANSWER - 1).unwrap_or(reason);
    let mut bytes = [0; ANSWER];
    for (to, from) in bytes.iter_mut().zip([reason.len() as u8].iter().chain(reason)) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_understood_and_nothing_else_is() {
        for stand in [Stand::Guard, Stand::Attach("ufw-user-input".to_owned())] {
            for task in [Task::Load, Task::Look] {
                for leads in [Leads::Nowhere, Leads::NoLonger, most()] {
                    let services = ["tcp/1", "tcp/65535", "udp/1", "udp/65535"].map(|s| s.parse().unwrap());
                    let ruleset = Ruleset { stand: stand.clone(), leads, services: services.into() };
                    let bytes = request(task, Variant::Legacy, &ruleset);
                    assert_eq!(understand(&bytes), Some((task, Variant::Legacy, ruleset)));
                }
            }
        }
        #[rustfmt::skip]
        let rows = [
            ([2, 0, 0, 0, 0],          "no such task"),
            ([0, 3, 0, 0, 0],          "no such variant"),
            ([0, 0, 255, b'A', b'B'],  "longer than the message"),
            ([0, 0, 2, b'-', b'j'],    "an option"),
            ([0, 0, 2, b'A', b'\n'],   "a second line"),
            ([0, 0, 2, 0xff, 0xff],    "no text"),
        ];
        for (first, why) in rows {
            let mut bytes = [0; REQUEST];
            bytes[..5].copy_from_slice(&first);
            assert_eq!(understand(&bytes), None, "{why}");
        }
    }

    /// As many as spad.toml may name.
    fn most() -> Leads {
        let target = |n: u16| Target::new([0xfd; 16].into(), n.try_into().unwrap()).unwrap();
        let targets = (1..=MOST_TARGETS as u16).map(target).collect();
        Leads::To(targets, vec![[0xfd; 16].into(); MOST_SOURCES])
    }

    #[test]
    fn a_target_that_is_none_ends_the_loader() {
        let leads = Leads::To(vec!["10.0.0.5:443".parse().unwrap()], vec!["192.0.2.1".parse().unwrap()]);
        let one = Ruleset { leads, ..Ruleset::bare(Stand::Guard) };
        #[rustfmt::skip]
        let rows = [
            // which byte, what, why
            (35, 0,   "a target, and yet none is wanted"),
            (35, 3,   "no such kind"),
            (36, 65,  "more than there are"),
            (38, 5,   "no such family"),
            (39, 127, "loopback"),
            (43, 0,   "another port, still good"),
            (46, 224, "a multicast address as the sender"),
            (SERVICES - 1, 1, "a byte behind the fields"),
            (SERVICES, 1, "tcp/0"),
            (SERVICES + PORTS, 1, "udp/0"),
            (SERVICES + PORTS, 2, "udp/1, still good"),
        ];
        for (at, byte, why) in rows {
            let mut bytes = request(Task::Load, Variant::Nft, &one);
            bytes[at] = byte;
            assert_eq!(understand(&bytes).is_some(), why.contains("still good"), "{why}");
        }
    }

    #[test]
    fn a_reason_is_cut_to_fit() {
        assert_eq!(answer(None)[0], 0);
        assert_eq!(answer(Some(&"x".repeat(1000)))[0], 255);
        assert_eq!(answer(Some("no"))[..3], [2, b'n', b'o']);
    }
}
