//! Where `spad audit` puts events: a file, or systemd's journal. Neither is waited for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::event::Event;

/// systemd-journald's own protocol (systemd.io, "Native Journal Protocol").
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Where to put them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A line of JSON each.
    File(PathBuf),
    /// An entry each, with fields.
    Journal,
}

/// An open target.
pub(super) enum Sink {
    File(Lines),
    Journal(UnixDatagram),
}

impl Sink {
    pub(super) fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::File(path) => Ok(Self::File(Lines { file: open(path)?, path: path.clone() })),
            Target::Journal => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                Ok(Self::Journal(socket))
            }
        }
    }

    /// Writes it whole, or not at all.
    pub(super) fn put(&mut self, event: &Event) -> io::Result<()> {
        match self {
            Self::File(lines) => lines.put(&(serde_json::to_string(event).unwrap_or_default() + "\n")),
            Self::Journal(socket) => socket.send_to(&entry(event), JOURNAL).map(drop),
        }
    }
}

/// A file to which lines are appended, until somebody renames it away.
pub(super) struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    fn put(&mut self, line: &str) -> io::Result<()> {
        let own = self.file.metadata()?;
        let there = fs::metadata(&self.path).map(|there| (there.dev(), there.ino()));
        if there.ok() != Some((own.dev(), own.ino())) {
            self.file = open(&self.path)?;
        }
        let length = self.file.metadata()?.len();
        self.file.write_all(line.as_bytes()).inspect_err(|_| {
            // A disk that is full takes half a line.
            let _ = self.file.set_len(length);
        })
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_char_device() { Ok(file) } else { Err(io::Error::other("not a file")) }
}

/// A journal entry: `NAME=value` a line. No value has a line end: it would begin another field.
fn entry(event: &Event) -> Vec<u8> {
    let mut fields = vec![
        ("MESSAGE".to_owned(), event.text.clone()),
        ("MESSAGE_ID".to_owned(), event.event.message_id().to_owned()),
        ("PRIORITY".to_owned(), event.event.priority().to_string()),
        ("SYSLOG_IDENTIFIER".to_owned(), "spad-audit".to_owned()),
    ];
    let object = serde_json::to_value(event).unwrap_or_default();
    for (name, value) in object.as_object().into_iter().flatten().filter(|(name, _)| *name != "text") {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        fields.push((format!("SPAD_{}", name.to_uppercase()), value));
    }
    let line = |(name, value): (String, String)| format!("{name}={}\n", value.replace(['\n', '\0'], " "));
    fields.into_iter().map(line).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::event::{Facts, Kind};

    #[test]
    fn no_value_begins_a_field_of_the_journal() {
        let facts = Facts { profile: Some("a\nPRIORITY=0".into()), times: Some(7), ..Facts::default() };
        let event = Event { event: Kind::Refused, text: "no\nMESSAGE=yes".into(), facts, ..Event::default() };
        let entry = String::from_utf8(entry(&event)).unwrap();
        let lines: Vec<&str> = entry.lines().collect();
        assert_eq!(
            lines[..3],
            ["MESSAGE=no MESSAGE=yes", &format!("MESSAGE_ID={}", Kind::Refused.message_id()), "PRIORITY=4"]
        );
        assert!(lines.contains(&"SPAD_PROFILE=a PRIORITY=0") && lines.contains(&"SPAD_TIMES=7"), "{entry}");
        assert!(lines.contains(&"SPAD_EVENT=refused"), "{entry}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("PRIORITY=")).count(), 1);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        assert!(open(Path::new("/")).is_err());
        assert!(open(Path::new("/nowhere/at/all")).is_err());
    }
}
