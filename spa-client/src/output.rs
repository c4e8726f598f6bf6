//! Printing that does not mind whether anybody reads it: `println!` panics when a pipe is closed.

use std::io::Write as _;

/// A line, or several, for whoever called the program.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// The same beside the results: errors, warnings, and what `-v` adds.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
