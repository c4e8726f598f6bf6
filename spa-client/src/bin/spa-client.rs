//! Asks a server to open a door, with one datagram.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    spa_client::client::main()
}
