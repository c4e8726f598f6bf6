//! Watches over what is ours: tells when somebody else changed it.

use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::NetlinkPayload;
use netlink_packet_netfilter::NetfilterSubsystem;
use netlink_packet_netfilter::nftables::NfTablesMessageType as Kind;
use netlink_sys::Socket;
use rustix::net::RecvFlags;

use super::place::{Place, protocol_family};
use crate::firewall::error::FirewallError;
use crate::firewall::netlink::receive;
use crate::firewall::raw::{Raw, name};

/// Multicast group of nftables' changes (`NFNLGRP_NFTABLES`).
pub(super) const CHANGES: u32 = 7;

/// A socket that becomes readable when any table changes.
pub(super) struct Watch {
    socket: Socket,
    place: Place,
    /// The port whose changes are our own.
    ours: u32,
    buffer: Vec<u8>,
    /// Others have changed a rule or chain that may drop what is accepted here.
    rivals: bool,
}

impl Watch {
    pub(super) fn new(socket: Socket, place: Place, ours: u32) -> Self {
        Self { socket, place, ours, buffer: vec![0; 64 * 1024], rivals: false }
    }

    /// Reads all that is there without waiting, and says whether somebody else took something of ours away:
    /// the table, a chain, a set, a rule, or an element of a set that the plan fills. Putting our table to
    /// sleep counts too. If events were lost, the answer is yes: to prepare once more does no harm.
    pub(super) fn loss(&mut self) -> Loss {
        let mut loss = Loss::None;
        loop {
            match receive::<Raw>(&self.socket, &mut self.buffer, RecvFlags::DONTWAIT) {
                Ok(messages) => {
                    for (header, payload) in messages {
                        let NetlinkPayload::InnerMessage(event) = payload else { continue };
                        if header.port_number != self.ours {
                            self.rivals |= is_rule(&event);
                            loss = loss.max(of_event(&self.place, &event).unwrap_or(Loss::None));
                        }
                    }
                }
                Err(FirewallError::Timeout(_)) => return loss,
                // An overrun: what was lost is unknown. What is still queued wakes the caller again.
                Err(_) => {
                    self.rivals = true;
                    return Loss::Sure;
                }
            }
        }
    }

    /// Whether others changed any rule or chain, as far as [`Self::loss`] has read since the last call.
    pub(super) fn take_rivals(&mut self) -> bool {
        std::mem::take(&mut self.rivals)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether somebody else took something of ours away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loss {
    None,
    /// A rule of the operator's chain went, which may have been our jump, or came, which may stand before it.
    Perhaps,
    Sure,
}

/// Elements of sets come and go by the thousand, and decide over single addresses.
fn is_rule(event: &Raw) -> bool {
    let kinds = [Kind::NewChain, Kind::DeleteChain, Kind::NewRule, Kind::DeleteRule, Kind::DeleteTable];
    event.subsystem == u8::from(NetfilterSubsystem::NfTables) && kinds.contains(&Kind::from(event.kind))
}

/// Only as much of an event is read as that takes: other people's rules may hold anything.
fn of_event(place: &Place, event: &Raw) -> Option<Loss> {
    let same_family = event.family == u8::from(protocol_family(place.family()));
    if event.subsystem != u8::from(NetfilterSubsystem::NfTables) || !same_family {
        return None;
    }
    let attribute = |kind| event.attributes.get(kind).and_then(name);
    // In every message about a part of a table the first attribute is the table's name.
    if attribute(1)? != place.table() {
        return None;
    }
    let kind = Kind::from(event.kind);
    let Place::Beside { chain, .. } = place else {
        return Some(match kind {
            Kind::DeleteTable | Kind::DeleteChain | Kind::DeleteSet | Kind::DeleteRule => Loss::Sure,
            // Sent when its flags change, too.
            Kind::NewTable => Loss::Sure,
            // It may drop what we accept, or accept what we drop.
            Kind::NewRule => Loss::Sure,
            // The second attribute is the set's name.
            Kind::DeleteSetElement if place.names().is_planned(attribute(2)?) => Loss::Sure,
            _ => Loss::None,
        });
    };
    let ours = |name: &str| name.starts_with("spad");
    Some(match kind {
        Kind::DeleteTable => Loss::Sure,
        Kind::DeleteChain if ours(attribute(3)?) || attribute(3)? == chain => Loss::Sure,
        Kind::DeleteSet if ours(attribute(2)?) => Loss::Sure,
        Kind::DeleteRule | Kind::NewRule if ours(attribute(2)?) => Loss::Sure,
        Kind::DeleteRule | Kind::NewRule if attribute(2)? == chain => Loss::Perhaps,
        Kind::DeleteSetElement if ours(attribute(2)?) && place.names().is_planned(attribute(2)?) => {
            Loss::Sure
        }
        _ => Loss::None,
    })
}
