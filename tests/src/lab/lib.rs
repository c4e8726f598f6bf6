//! Laboratories for black-box tests: a server, its clients and what stands around them, each a network
//! namespace of one machine, with the real programs, the real kernel and real packets.
//!
//! A laboratory vanishes by itself. All of it lives in namespaces that one process holds (`lab.rs`); that
//! process ends when the test does, however it ends, and the kernel then removes processes, networks,
//! firewall tables and files together. Names cannot collide, so tests run side by side.
//!
//! ```text
//! lab.rs       the laboratory and the processes in it    network.rs   hosts, addresses, wires
//! process.rs   a running program, its end, its children  probes.rs    connect, scan, send, hold a session
//! programs.rs  where the programs under test are         site.rs      configuration, keys, the client
//! spad.rs      the daemon: start, log, kill              clock.rs     a clock and a disk that tests may spoil
//! watch.rs     when a door was open, and for whom        rules.rs     the rules of others
//! machine.rs   a machine with a root folder and a systemd of its own
//! ```

mod clock;
mod lab;
mod machine;
mod network;
mod probes;
mod process;
mod programs;
mod rules;
mod site;
mod spad;
mod waiting;
mod watch;

pub use clock::{Clock, Disk, Synchronised, no_clock};
pub use lab::{Lab, OUTPUT_LIMIT};
pub use machine::{Booted, Machine};
pub use network::{A, B, BOX, Extra, Host, INNER, NAT, NAT_A, NAT_B, SERVER, SSH, SSH6};
pub use probes::{Reaction, Session};
pub use process::{Done, Running};
pub use programs::{helper, program, repository};
pub use site::Config;
pub use spad::Spad;
pub use waiting::{eventually, skip, untried};
pub use watch::{Sender, Watch, longest_stretch, now};
