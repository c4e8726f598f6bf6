//! User id and capabilities, given up together because each needs the other: without CAP_SETUID no other
//! uid, and with a new uid no capability.

use std::io;

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::SandboxError;
use crate::identity::Identity;

/// Takes the identity and keeps of all capabilities only `kept` (permitted and effective).
///
/// Returns whether the bounding set could be reduced too.
pub(super) fn reduce(identity: Identity, kept: CapabilitySet) -> Result<bool, SandboxError> {
    let step = |what| move |error: Errno| SandboxError::Step(what, error.into());
    let had = rustix::thread::capabilities(None).map_err(step("reading the capabilities"))?;
    if !had.permitted.contains(kept) {
        return Err(SandboxError::MissingCapability);
    }
    rustix::thread::set_no_new_privs(true).map_err(step("no_new_privs"))?;
    // First of all the bounding set: it needs CAP_SETPCAP, which goes with the uid.
    let bounded = had.effective.contains(CapabilitySet::SETPCAP);
    if bounded {
        for capability in known().filter(|capability| !kept.contains(*capability)) {
            rustix::thread::remove_capability_from_bounding_set(capability)
                .map_err(step("reducing the bounding set"))?;
        }
    }
    // Leaving uid 0 empties the permitted set unless told otherwise; told so only where something is kept.
    if !kept.is_empty() {
        rustix::thread::set_keep_capabilities(true).map_err(step("keeping capabilities"))?;
    }
    identity.take().map_err(|error| SandboxError::Step("taking the user id", error))?;
    rustix::thread::clear_ambient_capability_set().map_err(step("ambient capabilities"))?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(step("dropping capabilities"))?;
    if !kept.is_empty() {
        rustix::thread::set_keep_capabilities(false).map_err(step("keeping capabilities"))?;
    }
    Ok(bounded)
}

/// Lets programs that this process starts have `kept` too, whatever its uid.
pub(super) fn pass_on(kept: CapabilitySet) -> Result<(), SandboxError> {
    let step = |error: Errno| SandboxError::Step("capabilities for programs", error.into());
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: kept };
    rustix::thread::set_capabilities(None, sets).map_err(step)?;
    for capability in known().filter(|capability| kept.contains(*capability)) {
        rustix::thread::configure_capability_in_ambient_set(capability, true).map_err(step)?;
    }
    Ok(())
}

/// Whether exactly `kept` is left, in every set.
pub(super) fn are(kept: CapabilitySet, bounded: bool) -> io::Result<bool> {
    let now = rustix::thread::capabilities(None)?;
    if now != (CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() }) {
        return Ok(false);
    }
    for capability in known() {
        if rustix::thread::capability_is_in_ambient_set(capability)? {
            return Ok(false);
        }
        let reachable = rustix::thread::capability_is_in_bounding_set(capability)?;
        if bounded && reachable && !kept.contains(capability) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Every capability that this kernel has, also those newer than this program.
fn known() -> impl Iterator<Item = CapabilitySet> {
    (0..u64::BITS)
        .map(|bit| CapabilitySet::from_bits_retain(1 << bit))
        .take_while(|capability| rustix::thread::capability_is_in_bounding_set(*capability).is_ok())
}
