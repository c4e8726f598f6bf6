//! Watches over what is ours: tells when somebody else changed it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::NetlinkPayload;
use netlink_packet_netfilter::NetfilterSubsystem;
use netlink_packet_netfilter::nftables::NfTablesMessageType as Kind;
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;
use rustix::net::RecvFlags;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use spa_core::bpf::{Condition, Operation, Program};

use super::place::{Place, protocol_family};
use crate::firewall::error::FirewallError;
use crate::firewall::netlink::receive;
use crate::firewall::raw::{Raw, name};
use crate::sys::filter;

/// Multicast group of nftables' changes (`NFNLGRP_NFTABLES`).
const CHANGES: u32 = 7;
/// Bytes that the queue of changes may take.
const QUEUE: usize = 1 << 20;

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
    /// Begins to listen.
    ///
    /// The kernel leaves out what we do ourselves: tens of thousands of doors would overrun the queue, be taken for a
    /// loss, and be put back by as many changes again.
    pub(super) fn open(place: Place, ours: u32) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        filter::attach(socket.as_fd(), others_than(ours).instructions())?;
        // Others may have large sets, too. Where it is refused, an overrun is only likelier.
        let _ = set_socket_recv_buffer_size_force(&socket, QUEUE);
        socket.add_membership(CHANGES)?;
        Ok(Self { socket, place, ours, buffer: vec![0; 64 * 1024], rivals: false })
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

/// Drops messages whose first names this port as its cause. The kernel never puts what two have caused into one.
fn others_than(port: u32) -> Program {
    // `nlmsg_pid`, which the filter reads as if it were big-endian.
    let (offset, port) = (12, u32::from_be_bytes(port.to_ne_bytes()));
    let mut program = Program::new();
    program.push(Operation::LoadWord, offset);
    program.test(Condition::Equal, port, 0, 1);
    program.push(Operation::Take, 0);
    program.push(Operation::Take, u32::MAX);
    program
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
            Kind::DeleteSetElement if place.is_planned(attribute(2)?) => Loss::Sure,
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
        Kind::DeleteSetElement if ours(attribute(2)?) && place.is_planned(attribute(2)?) => Loss::Sure,
        _ => Loss::None,
    })
}
