//! The two programs as their users see them: arguments in, files, datagrams, text and an exit status out.
//! Nothing leaves this machine.

// A test says what is wrong by panicking; so do its helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admitted;
mod enrol;
mod invoke;
mod json;
mod keygen;
mod keygen_invoke;
mod keygen_json;
mod knock;
mod man;
mod monotonic;
mod own_profiles;
mod owners;
mod passphrase;
mod profiles;
mod qr;
mod scratch;
mod site;
mod usage;
