//! What goes through the doors: the kernel's own counts of each TCP connection that lives, asked by the program that shows
//! them. The elements of the firewall's sets could count as well, but they see a connection's first packet only: the rest of
//! it is accepted before.

use spa_core::lease::{Door, Limit};
use spa_core::service::{Service, Transport};
use tracing::warn;

use super::answer::Grant;
use super::event::Facts;
use crate::firewall;

/// Fills in what is known of each.
pub(super) fn count(grants: &mut [Grant]) {
    let doors: Vec<Option<Door>> = grants.iter().map(door).collect();
    let known: Vec<Door> = doors.iter().flatten().copied().collect();
    match firewall::carried(&known) {
        Ok(carried) => {
            let mut carried = carried.into_iter();
            for (grant, _) in grants.iter_mut().zip(&doors).filter(|(_, door)| door.is_some()) {
                grant.through = carried.next();
            }
        }
        Err(error) => warn!("what goes through the doors is not known: {error}"),
    }
}

/// What goes through the door of an event when it shuts, if the kernel counts there: this host's own TCP services.
pub(super) fn count_event(facts: &mut Facts) {
    let door = || {
        let service: Service = facts.service.as_deref()?.parse().ok()?;
        let grantee = facts.grantee.as_deref()?.parse().ok()?;
        let whole = service.transport() == Transport::Tcp && facts.source_ports.is_none();
        whole.then_some(Door { grantee, service, limit: Limit::None })
    };
    let Some(door) = door() else { return };
    // An audit without it is one all the same, and a line for each event would say nothing new.
    let carried = firewall::carried(&[door]).unwrap_or_default();
    // Where it led to an inner host nothing lives here either.
    if let Some(through) = carried.first().filter(|through| through.connections > 0) {
        facts.connections = Some(through.connections.into());
        facts.bytes_in = Some(through.bytes_in);
        facts.bytes_out = Some(through.bytes_out);
    }
}

/// The door of a grant, if its connections are this host's own.
fn door(grant: &Grant) -> Option<Door> {
    let service: Service = grant.service.parse().ok()?;
    let local = service.transport() == Transport::Tcp && grant.forward.is_none();
    let limit = grant.source_port.map_or(Limit::None, Limit::SourcePort);
    local.then_some(Door { grantee: grant.grantee.parse().ok()?, service, limit })
}
