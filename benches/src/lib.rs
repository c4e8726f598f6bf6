//! How fast spad is, beside fwknopd and knockd: real programs and real packets in network namespaces of their own.
//!
//! ```text
//! arena.rs    the two hosts, 65 536 client addresses, one daemon at a time
//! tools/      how each daemon is set up, started, knocked at and flooded
//! rows/       what is measured, one file a subject      report.rs   the table, bench.json, docs/PERFORMANCE.md
//! wire.rs     packets, one or a flood of them           doors.rs    when a door opens, seen from outside
//! usage.rs    processor time, memory, lost frames       stats.rs    median and spread
//! gate.rs     a gate in memory, for the micro-benchmarks
//! ```
#![deny(unsafe_code)]

pub mod arena;
pub mod doors;
pub mod gate;
pub mod report;
pub mod rows;
pub mod stats;
#[allow(unsafe_code)]
mod sys;
pub mod tools;
pub mod usage;
pub mod wire;
