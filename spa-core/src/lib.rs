//! Single Packet Authorization as a pure library: no sockets, files, clocks or threads.
//! Bytes, times and randomness are arguments; a verdict comes out. Start reading at [`gate`].
//!
//! The rules and every number are those of `docs/SPEC.md`.
#![forbid(unsafe_code)]

pub mod action;
pub mod address;
pub mod bpf;
pub mod cbor;
pub mod ceiling;
pub mod crypto;
pub mod enrolment;
pub mod envelope;
pub mod file;
#[cfg(test)]
mod fixture;
pub mod frame;
pub mod gate;
pub mod grantee;
pub mod journal;
pub mod keyring;
pub mod lease;
pub mod name;
pub mod policy;
pub mod prefix;
pub mod profile;
pub mod rate;
pub mod reader;
pub mod receipt;
pub mod reject;
pub mod replay;
pub mod request;
pub mod scheme;
pub mod service;
pub mod settling;
pub mod slots;
pub mod stranger;
pub mod target;
pub mod terms;
pub mod time;
pub mod udp;
