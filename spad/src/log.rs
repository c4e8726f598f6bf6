//! The log: lines on standard error. systemd's journal adds the time and keeps how much a line matters; anywhere else the
//! line itself says both, times in UTC.

use std::io::{self, Write};
use std::os::fd::AsFd;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// From the command line: `-q` and `-v`.
pub fn start(quiet: bool, verbose: bool) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::WARN,
        (false, true) => LevelFilter::DEBUG,
        (false, false) => LevelFilter::INFO,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false)
        // Where a line cannot be written, another about that would end the process.
        .log_internal_errors(false);
    if is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), io::stderr()) {
        lines.without_time().with_level(false).with_writer(ToJournal).init();
    } else {
        lines.with_writer(io::stderr).init();
    }
}

/// Whether this is the stream that systemd connected with its journal (systemd.exec(5), `$JOURNAL_STREAM`): a program that
/// was started by a unit may have been given another since.
fn is_journal(variable: Option<&str>, stream: impl AsFd) -> bool {
    let named = || {
        let (device, inode) = variable?.split_once(':')?;
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    };
    let stat = || rustix::fs::fstat(stream).ok();
    named().is_some_and(|named| stat().is_some_and(|stat| (stat.st_dev, stat.st_ino) == named))
}

/// Puts before each line how much it matters (sd-daemon(3)).
struct ToJournal;

impl<'w> MakeWriter<'w> for ToJournal {
    type Writer = Prefixed;

    fn make_writer(&'w self) -> Prefixed {
        Prefixed(b"<6>")
    }

    fn make_writer_for(&'w self, line: &Metadata<'_>) -> Prefixed {
        Prefixed(match *line.level() {
            Level::ERROR => b"<3>",
            Level::WARN => b"<4>",
            Level::INFO => b"<6>",
            Level::DEBUG | Level::TRACE => b"<7>",
        })
    }
}

struct Prefixed(&'static [u8]);

impl Write for Prefixed {
    /// One write a line: other processes write to the same stream.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(&[self.0, line].concat())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_told_from_other_streams_by_device_and_inode() {
        let stream = std::fs::File::open("/dev/null").unwrap();
        let stat = rustix::fs::fstat(&stream).unwrap();
        let (device, inode) = (stat.st_dev, stat.st_ino);
        #[rustfmt::skip]
        let rows = [
            // variable, is it, why
            (Some(format!("{device}:{inode}")),     true,  "this very stream"),
            (Some(format!("{device}:{}", inode+1)), false, "what a shell led elsewhere"),
            (Some(format!("{inode}:{device}")),     false, "another's numbers"),
            (Some(device.to_string()),              false, "half of it"),
            (Some("a:b".to_owned()),                false, "no numbers"),
            (None,                                  false, "not started by systemd"),
        ];
        for (variable, expected, why) in rows {
            assert_eq!(is_journal(variable.as_deref(), &stream), expected, "{why}");
        }
    }
}
