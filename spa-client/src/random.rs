//! The operating system's random generator, for keys and for nonces.

use rand::TryRng as _;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::failure::{Failure, Status};

/// Draws from the operating system each time; nothing is kept that a fork or a snapshot could repeat.
pub(crate) type Random = UnwrapErr<SysRng>;

/// The generator, once it is known to work: after its first bytes the kernel's does not fail any more.
pub(crate) fn random() -> Result<Random, Failure> {
    SysRng.try_next_u64().map_err(|error| {
        Failure::new(
            Status::Other,
            format!("the operating system gives no random numbers: {error}"),
            "early after boot, wait a moment and try again",
        )
    })?;
    Ok(UnwrapErr(SysRng))
}
