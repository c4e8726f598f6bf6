//! Rules for doors that end with a connection, and for doors whose sessions end with them. What each is for stands in
//! `nftables/model/ends.rs`.

use std::collections::BTreeSet;

use spa_core::service::Service;

use super::{always, granted, shut};
use crate::firewall::iptables::set::Family;

/// The chain for packets through doors whose sessions end with them.
pub(super) const CUTTING: &str = "SPAD-CUTTING";

/// Seconds that a handshake may take.
const HANDSHAKE: u32 = 120;

/// Before anything established is let through.
pub(super) fn first(family: Family) -> String {
    let names = family.names();
    let completes = format!(
        "-A SPAD-DOORS -p tcp -m tcp --tcp-flags SYN,RST,ACK ACK -m set --match-set {} src,src,dst -m conntrack \
         --ctstate ESTABLISHED --ctdir ORIGINAL",
        names.shaking
    );
    format!(
        "{completes} -j SET --del-set {} src,dst\n{completes} -j SET --del-set {} src,src,dst\n\
         -A SPAD-DOORS -m set --match-set {} src,dst -g {CUTTING}\n",
        names.once, names.shaking, names.cut
    )
}

/// Lets a connection begin by a door that is for one, and remembers it. Where there is no room to, it is not let in.
pub(super) fn begun(pass: &str, family: Family) -> String {
    let names = family.names();
    let begins = format!(
        "-A SPAD-DOORS -p tcp -m tcp --tcp-flags SYN,RST,ACK SYN -m conntrack --ctstate NEW -m set --match-set {} \
         src,dst",
        names.once
    );
    format!(
        "{begins} -j SET --add-set {} src,src,dst --exist --timeout {HANDSHAKE}\n\
         {begins} -m set --match-set {} src,src,dst -j {pass}\n",
        names.shaking, names.shaking
    )
}

/// Lets that through while the door is open, by the kernel's own time, and drops it from then on.
///
/// - `own`: rules for what only a guard lets through.
pub(super) fn cutting(pass: &str, own: &str, services: &BTreeSet<Service>, family: Family) -> String {
    always(CUTTING, pass, family) + own + &granted(CUTTING, pass, services, family) + &shut(CUTTING, family)
}
