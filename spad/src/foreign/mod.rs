//! Rules of others, as far as they decide whether spad's do what they should. Read by the programs `nft` and
//! `iptables-save`, because only `spad check` and `spad doctor` look, and only look.

mod copy;
mod iptables;
mod nat;
mod nft;
mod packet;
mod walk;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use spa_core::service::{Protected, Service, Transport};
use spa_core::target::Target;

pub use copy::Copy;
pub use nat::ways_round;
pub use packet::Packet;
pub use walk::{Fate, Hook};

use crate::firewall::standing::{Backend, Stand, Standing};
use walk::{Chain, walk};

/// All rules of this network namespace, unread.
#[derive(Debug, Default)]
pub struct Ruleset {
    /// The list behind `nftables` in nft's JSON.
    nft: Vec<Value>,
    /// Program, whether it is for IPv6, text.
    iptables: Vec<(&'static str, bool, String)>,
    /// Addresses of this host.
    own: BTreeSet<IpAddr>,
    /// One sentence for each kind of rules that could not be read.
    pub unread: Vec<String>,
}

/// The tables of iptables, which nft lists as well.
const TABLES: [&str; 5] = ["filter", "mangle", "nat", "raw", "security"];

impl Ruleset {
    /// Reads them.
    ///
    /// - `own`: the addresses of this host.
    pub fn read(own: &BTreeSet<IpAddr>) -> Self {
        let mut found = Self { own: own.clone(), ..Self::default() };
        for (nft, legacy, v6) in [
            ("iptables-nft-save", "iptables-legacy-save", false),
            ("ip6tables-nft-save", "ip6tables-legacy-save", true),
        ] {
            if let Some(text) = output(nft, &[]) {
                found.iptables.push((nft.trim_end_matches("-save"), v6, text));
            }
            // Asked without need, it would load its modules.
            let names = if v6 { "ip6_tables_names" } else { "ip_tables_names" };
            let used = std::fs::read(Path::new("/proc/net").join(names)).is_ok_and(|names| !names.is_empty());
            if let Some(text) = output(legacy, &[]).filter(|_| used) {
                found.iptables.push((legacy.trim_end_matches("-save"), v6, text));
            }
        }
        match output("nft", &["-j", "list", "ruleset"]).map(|json| serde_json::from_str::<Value>(&json)) {
            None => found.unread.push(
                "the rules of others cannot be listed by the program nft (not here, or not root), and were not looked at"
                    .to_owned(),
            ),
            Some(Ok(mut value)) => {
                found.nft = value["nftables"].as_array_mut().map(std::mem::take).unwrap_or_default();
            }
            Some(Err(error)) => found.unread.push(format!("what nft lists is not understood: {error}")),
        }
        found.forget_twins();
        found
    }

    /// Forgets what nft lists of iptables' own tables: it does not know all of it, and iptables-save does.
    fn forget_twins(&mut self) {
        let of = |v6| self.iptables.iter().any(|(program, six, _)| *six == v6 && program.ends_with("nft"));
        let read = [of(false), of(true)];
        let is_base =
            |chain: &Value| chain["name"].as_str().is_some_and(|name| chain["hook"] == name.to_lowercase());
        let twins: Vec<(Value, Value)> = self
            .nft
            .iter()
            .map(|entry| &entry["chain"])
            .filter(|chain| TABLES.iter().any(|table| chain["table"] == *table) && is_base(chain))
            .filter(|chain| chain["family"] == "ip" && read[0] || chain["family"] == "ip6" && read[1])
            .map(|chain| (chain["family"].clone(), chain["table"].clone()))
            .collect();
        self.nft.retain(|entry| {
            let Some((kind, inner)) = entry.as_object().and_then(|object| object.iter().next()) else {
                return false;
            };
            let table = if kind == "table" { &inner["name"] } else { &inner["table"] };
            !twins.iter().any(|(family, twin)| inner["family"] == *family && table == twin)
        });
    }

    fn chains(&self, packet: &Packet) -> Vec<Chain> {
        let mut chains = nft::chains(&self.nft, packet);
        for (program, _, saved) in self.iptables.iter().filter(|(_, v6, _)| *v6 == packet.v6) {
            chains.extend(iptables::chains(program, saved, packet));
        }
        chains
    }

    /// Whether something of ours stands in a table of the operator's.
    fn has_ours(&self) -> bool {
        self.nft.iter().any(|entry| entry["chain"]["name"] == "spad")
            || self.iptables.iter().any(|(_, _, saved)| saved.contains("\n:SPAD "))
    }

    /// The fate of a packet in each base chain that it passes, in order: the chain's name, its hook, the fate.
    pub fn fates(&self, packet: &Packet) -> Vec<(String, Hook, Fate)> {
        let mut found = self.at(packet, Hook::Prerouting);
        match self.translated(packet) {
            Some(inner) => found.extend(self.at(&inner, Hook::Forward)),
            None if packet.to.is_some() => found.extend(self.at(packet, Hook::Forward)),
            None => found.extend(self.at(packet, Hook::Input)),
        }
        found
    }

    fn at(&self, packet: &Packet, hook: Hook) -> Vec<(String, Hook, Fate)> {
        let chains = self.chains(packet);
        let mut bases: Vec<_> = chains
            .iter()
            .filter_map(|chain| Some((chain, chain.base?)))
            .filter(|(_, base)| !base.nat && base.hook == hook)
            .collect();
        bases.sort_by_key(|(_, base)| base.priority);
        let fate = |(chain, base): (&Chain, walk::Base)| {
            (format!("{} {}", chain.table, chain.name), hook, walk(&chains, chain, base))
        };
        bases.into_iter().map(fate).collect()
    }

    /// The packet behind the first rule that sends it to another host: a published port.
    fn translated(&self, packet: &Packet) -> Option<Packet> {
        let (_, _, target) = self.translations(packet).into_iter().next()?;
        let to = target.address.filter(|address| !self.own.contains(address))?;
        let port = target.ports.map(|(low, _)| low).or(packet.port);
        Some(Packet { to: Some(to), port, translated: true, ..packet.clone() })
    }

    /// Whether a service's destination port is looked for by a rule that translates it: then somebody else listens.
    pub fn translates(&self, one: Protected, interfaces: &[String]) -> bool {
        packets(one, interfaces).any(|packet| !self.translations(&packet).is_empty())
    }

    /// Whether our guard can be walked through: what is in a set of ipset is not known here.
    pub fn is_walkable(&self, backend: &Backend) -> bool {
        let stands = self
            .nft
            .iter()
            .any(|entry| entry["chain"]["table"] == "spad" && entry["chain"]["family"] == "inet");
        match backend {
            Backend::Nftables => true,
            Backend::Iptables(_) => false,
            Backend::Auto => stands,
        }
    }

    /// Other programs that have rules here, as one knows them by the names of their tables and chains.
    pub fn managers(&self) -> Vec<&'static str> {
        let mut names: Vec<String> = Vec::new();
        for entry in &self.nft {
            for object in [&entry["table"], &entry["chain"]] {
                names.extend(object["name"].as_str().map(str::to_owned));
            }
        }
        for (_, _, saved) in &self.iptables {
            let chains = saved.lines().filter_map(|line| line.strip_prefix(':'));
            names.extend(chains.filter_map(|line| line.split(' ').next()).map(str::to_owned));
        }
        let known = [
            ("ufw-", "ufw"),
            ("ufw6-", "ufw"),
            ("firewalld", "firewalld"),
            ("INPUT_ZONES", "firewalld"),
            ("DOCKER", "Docker"),
            ("docker-", "Docker"),
            ("KUBE-", "Kubernetes"),
            ("LIBVIRT_", "libvirt"),
            ("libvirt_", "libvirt"),
            ("FWKNOP", "fwknop"),
            ("KNOCKD", "knockd"),
            ("f2b-", "fail2ban"),
        ];
        let mut found: Vec<_> = known
            .iter()
            .filter(|(front, _)| names.iter().any(|name| name.starts_with(front)))
            .map(|(_, program)| *program)
            .collect();
        found.dedup();
        found
    }
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// First packets of a stranger to a service, one for each interface and address family.
///
/// - `interfaces`: names; none stands for all.
pub fn packets(protected: Protected, interfaces: &[String]) -> impl Iterator<Item = Packet> {
    let mut names: Vec<Option<String>> = interfaces.iter().cloned().map(Some).collect();
    if names.is_empty() {
        names.push(None);
    }
    let families = match protected.host {
        Some(host) => vec![host.is_ipv6()],
        None => vec![false, true],
    };
    names.into_iter().flat_map(move |interface| {
        families.clone().into_iter().map(move |v6| Packet {
            v6,
            interface: interface.clone(),
            to: protected.host,
            transport: protected.service.transport(),
            port: Some(protected.service.port().get()),
            granted: false,
            translated: false,
        })
    })
}

/// One sentence for each chain that keeps a client out of a protected service who has knocked.
pub fn deny(
    ruleset: &Ruleset,
    protect: &[Protected],
    standing: &Standing,
    interfaces: &[String],
) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    // Before spad is attached, the chain that it will be in denies all that it will accept.
    let awaits = match &standing.stand {
        Stand::Attach(point) if !ruleset.has_ours() => Some(point.table.as_str()),
        _ => None,
    };
    for one in protect {
        for packet in packets(*one, interfaces).map(|packet| Packet { granted: true, ..packet }) {
            for (chain, _, fate) in ruleset.fates(&packet) {
                let Some(by) = fate.denied() else { continue };
                let table = chain.split(' ').nth(1);
                if chain.starts_with("inet spad ") || table.is_some() && table == awaits {
                    continue;
                }
                let cure = match (&standing.stand, by) {
                    (Stand::Attach(_), _) => "an accept in another chain does not overrule it".to_owned(),
                    (Stand::Guard, "its policy") => {
                        format!("accept {one} there, the guard keeps strangers out")
                    }
                    (Stand::Guard, _) => "remove it, the guard does the same".to_owned(),
                };
                let why = match by {
                    "its policy" => format!("its policy is drop and no rule accepts {one}"),
                    rule => format!("{rule} denies {one}"),
                };
                let sentence = format!("{chain}: {why}, so a knock would open nothing; {cure}");
                if !found.contains(&sentence) {
                    found.push(sentence);
                }
            }
        }
    }
    found
}

/// One sentence for each chain that drops what a door leads on to an inner host, by whichever transport.
pub fn held_back(ruleset: &Ruleset, forward: &[Target], interfaces: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for target in forward {
        let denying = |transport| -> Vec<(String, String)> {
            let service = Service::new(transport, target.port());
            let inner = Protected { service, host: Some(target.address()) };
            let packets = packets(inner, interfaces);
            let led = packets.map(|packet| Packet { granted: true, translated: true, ..packet });
            let fates = led.flat_map(|packet| ruleset.at(&packet, Hook::Forward));
            fates.filter_map(|(chain, _, fate)| Some((chain, fate.denied()?.to_owned()))).collect()
        };
        let by_udp = denying(Transport::Udp);
        let by_both = denying(Transport::Tcp).into_iter().filter(|one| by_udp.contains(one));
        for (chain, by) in by_both {
            let why = match by.as_str() {
                "its policy" => "its policy is drop, and no rule there is seen to accept".to_owned(),
                rule => format!("{rule} denies"),
            };
            let address = target.address();
            let sentence = format!(
                "{chain}: {why} what is led to {target}; add `ct status dnat accept` (iptables: -d {address} -j \
                 ACCEPT), and accept established replies"
            );
            if !found.contains(&sentence) {
                found.push(sentence);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
