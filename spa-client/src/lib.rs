//! The two programs of a user: `spa-client` knocks, `spa-keygen` makes the keys to knock with. Each is a folder here;
//! what both need stands beside them.
#![forbid(unsafe_code)]

mod ask;
mod clock;
mod failure;
mod host;
mod nearest;
mod new_file;
mod output;
mod owner;
mod random;
mod secret_file;
mod usage;

pub mod client;
pub mod keygen;
pub mod stun;
