//! Against the real kernel: every test has network namespaces of its own.

mod attach;
mod conformance;
mod elements;
mod listing;
mod namespace;
mod packets;
mod passers_by;
mod trouble;
mod world;

use std::net::IpAddr;
use std::time::Duration;

use spa_core::lease::{Change, Door};
use spa_core::terms::OnClose;

use super::nftables::Nftables;
use super::{Firewall, Interfaces, Plan};

/// Guards tcp/22 and udp/5300 on the interface `outside`.
fn plan() -> Plan {
    Plan {
        interfaces: Interfaces::Named(vec!["outside".parse().unwrap()]),
        protect: vec!["tcp/22".parse().unwrap(), "udp/5300".parse().unwrap()],
        always_allow: Vec::new(),
        forward: Vec::new(),
        forward_sources: Vec::new(),
        spa_port: 23571.try_into().unwrap(),
        keep: Vec::new(),
    }
}

fn prepared(plan: &Plan) -> Nftables {
    let mut nftables = Nftables::guard().unwrap();
    nftables.prepare(plan).unwrap();
    nftables
}

fn door(address: impl Into<IpAddr>, service: &str) -> Door {
    Door::plain(address.into(), service.parse().unwrap())
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn set(door: Door, timeout: Duration, comment: &str) -> Change {
    Change::Set { door, timeout, comment: comment.into(), on_close: OnClose::Keep, forward: None }
}

const MINUTE: Duration = Duration::from_secs(60);
