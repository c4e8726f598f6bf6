//! Makes a profile: the server's half and the client's, and at first the site.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    spa_client::keygen::main()
}
