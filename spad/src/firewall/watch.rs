//! Watches over our table: tells when somebody else changed it.

use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NlasIterator};
use netlink_packet_netfilter::nftables::NfTablesMessageType as Kind;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterProtoFamily, NetfilterSubsystem};
use netlink_sys::Socket;
use rustix::net::RecvFlags;

use super::error::FirewallError;
use super::model::{TABLE, is_planned};
use super::netlink::receive;

/// Multicast group of nftables' changes (`NFNLGRP_NFTABLES`).
pub(super) const CHANGES: u32 = 7;

/// Length of the header before the attributes (`struct nfgenmsg`).
const HEADER: usize = 4;

/// A socket that becomes readable when any table changes. Made by [`super::Nftables::watch`].
pub struct Watch {
    socket: Socket,
    /// The port whose changes are our own.
    ours: u32,
    buffer: Vec<u8>,
}

impl Watch {
    pub(super) fn new(socket: Socket, ours: u32) -> Self {
        Self { socket, ours, buffer: vec![0; 64 * 1024] }
    }

    /// Reads all that is there without waiting, and says whether somebody else took something away from our
    /// table: the table, a chain, a set, a rule, or an element of a set that the plan fills. Putting the
    /// table to sleep counts too. If events were lost, the answer is yes: [`super::Nftables::prepare`] does
    /// no harm.
    pub fn lost(&mut self) -> bool {
        let mut lost = false;
        loop {
            match receive::<Event>(&self.socket, &mut self.buffer, RecvFlags::DONTWAIT) {
                Ok(messages) => {
                    lost |= messages.iter().any(|(header, payload)| match payload {
                        NetlinkPayload::InnerMessage(Event(loss)) => *loss && header.port_number != self.ours,
                        _ => false,
                    });
                }
                Err(FirewallError::Timeout(_)) => return lost,
                // An overrun: what was lost is unknown. What is still queued wakes the caller again.
                Err(_) => return true,
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether a change took something away from our table. Only as much of it is read as that takes: other
/// people's rules may hold anything.
struct Event(bool);

impl NetlinkDeserializable for Event {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self(is_loss(header.message_type, payload).unwrap_or(false)))
    }
}

fn is_loss(message_type: u16, payload: &[u8]) -> Option<bool> {
    let [kind, subsystem] = message_type.to_le_bytes();
    let family = NetfilterHeader::parse(payload).ok()?.family;
    if subsystem != u8::from(NetfilterSubsystem::NfTables) || family != NetfilterProtoFamily::Inet {
        return None;
    }
    // In every message about a part of a table the first attribute is the table's name, and in those about
    // elements the second is the set's.
    if name(payload, 1)? != TABLE {
        return None;
    }
    Some(match Kind::from(kind) {
        Kind::DeleteTable | Kind::DeleteChain | Kind::DeleteSet | Kind::DeleteRule => true,
        // Sent when its flags change, too.
        Kind::NewTable => true,
        Kind::DeleteSetElement => is_planned(&name(payload, 2)?),
        _ => false,
    })
}

fn name(payload: &[u8], attribute: u16) -> Option<String> {
    let mut attributes = NlasIterator::new(payload.get(HEADER..)?).flatten();
    let found = attributes.find(|found| found.kind() == attribute)?;
    Some(CStr::from_bytes_until_nul(found.value()).ok()?.to_str().ok()?.to_owned())
}
