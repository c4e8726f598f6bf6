//! The daemon's parts. A packet goes through them in this order: [`capture`] → [`worker`] (`spa_core::gate`) →
//! [`journal`] → [`ask`] → [`monitor`] (`spa_core::lease`) → [`firewall`].
//!
//! The library is for this package's own program and tests; its interface is not stable.

#![deny(unsafe_code)]

pub mod actions;
pub mod answer;
pub mod apply;
pub mod arguments;
pub mod ask;
pub mod capture;
pub mod check;
pub mod config;
pub mod control;
pub mod doctor;
pub mod exit;
pub mod explain;
pub mod firewall;
pub mod foreign;
pub mod guard;
pub mod identity;
pub mod journal;
pub mod kept;
pub mod lock;
pub mod log;
pub mod monitor;
mod offers;
pub mod operator;
pub mod overflow;
pub mod report;
pub mod role;
pub mod sandbox;
pub mod sender;
pub mod session;
pub mod site;
pub mod socketpair;
pub mod starter;
pub mod surroundings;
#[allow(unsafe_code)]
pub mod sys;
mod wire;
pub mod witness;
pub mod worker;
