//! No file, no TCP port, no signal beyond what is open already (landlock).

use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use rustix::fs::{Mode, OFlags};

use super::SandboxError;

/// Forbids everything that landlock can forbid on this kernel. Returns the version in force.
///
/// A kernel without landlock is no error: the project supports 5.10, and the worker's system call filter
/// knows no `open` at all.
pub(super) fn forbid_everything() -> Result<Option<u8>, SandboxError> {
    let newest = ABI::V9;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(newest))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(newest)))
        .and_then(|rules| rules.scope(Scope::from_all(newest)))
        .and_then(Ruleset::create)
        // Our own check that the root folder is closed shall not stand in the machine's audit log.
        .and_then(|rules| rules.log_same_exec(false))
        .and_then(|rules| rules.restrict_self())
        .map_err(|error| SandboxError::Step("landlock", io::Error::other(error)))?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Ok(None),
        (_, LandlockStatus::Available { effective_abi, .. }) => Ok(Some(effective_abi as u8)),
        _ => Err(SandboxError::Leaky("landlock says that it is there and that it is not")),
    }
}

/// Whether the root folder can no longer be opened.
pub(super) fn is_closed() -> bool {
    rustix::fs::open("/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).is_err()
}
