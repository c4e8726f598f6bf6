//! The log: lines on standard error, times in UTC.

use std::io;

use tracing_subscriber::filter::LevelFilter;

/// From the command line: `-q` and `-v`.
pub fn start(quiet: bool, verbose: bool) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::WARN,
        (false, true) => LevelFilter::DEBUG,
        (false, false) => LevelFilter::INFO,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false)
        .with_writer(io::stderr)
        // Where a line cannot be written, another about that would end the process.
        .log_internal_errors(false)
        .init();
}
