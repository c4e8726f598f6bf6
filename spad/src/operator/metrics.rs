//! `spad metrics`: what `spad status` says, in the text format of Prometheus. A process apart that asks the control socket;
//! the daemon knows nothing of it. No metric is of an address, and every label has a bounded number of values.

use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use tracing::error;

use super::answer::{Part, Status};
use super::call::CallError;
use super::scrape::{self, Listen};
use super::status::{ask_status, outcome, say};
use crate::exit::ExitStatus;

/// Where the metrics go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlet {
    /// Once to standard output.
    Once,
    /// A file for node_exporter's textfile collector, written anew each time.
    Textfile(PathBuf, Duration),
    /// To whoever asks there by HTTP.
    Listen(Listen),
}

/// A family of metrics: name, type, help. A counter starts anew with the monitor.
pub const FAMILIES: [(&str, &str, &str); 15] = [
    ("spad_up", "gauge", "Whether spad answers."),
    ("spad_build_info", "gauge", "1, with the version of the daemon that runs."),
    ("spad_uptime_seconds", "gauge", "Since spad was started."),
    ("spad_configuration_age_seconds", "gauge", "Since the present worker took over."),
    ("spad_profiles", "gauge", "Profiles that are served."),
    ("spad_doors_open", "gauge", "Doors that are open."),
    ("spad_requests_admitted_total", "counter", "Requests that were admitted."),
    (
        "spad_datagrams_refused_total",
        "counter",
        "Datagrams that were dropped, by reason, but for those that the kernel dropped.",
    ),
    ("spad_frames_lost_total", "counter", "Frames that the captures had no room for."),
    ("spad_events_total", "counter", "Events, by kind."),
    ("spad_reloads_total", "counter", "Reloads and renewals of the worker, by outcome."),
    ("spad_interface_up", "gauge", "Whether the interface is there and up."),
    ("spad_clock_vouched", "gauge", "Whether the clock is synchronised, or trusted by the configuration."),
    ("spad_runner_connected", "gauge", "Whether somebody runs the actions that spad.toml names."),
    ("spad_degraded", "gauge", "Whether this part is not as it should be."),
];

/// Gives them out, once or until it is interrupted.
pub fn metrics(state_dir: &Path, outlet: &Outlet) -> ExitStatus {
    let failed = |what: &dyn fmt::Display, error: io::Error| {
        error!("{what}: {error} (hint: the folder must exist, and no other program may have the port)");
        ExitStatus::Failure
    };
    match outlet {
        Outlet::Once => {
            let status = ask_status(state_dir);
            say(text(status.as_deref().ok()).trim_end());
            outcome(status.map(|_| ExitStatus::Done))
        }
        Outlet::Textfile(path, every) => {
            if let Err(error) = write(path, &now(state_dir)) {
                return failed(&path.display(), error);
            }
            let mut said = false;
            loop {
                sleep(*every);
                match write(path, &now(state_dir)) {
                    Ok(()) => said = false,
                    Err(error) if !std::mem::replace(&mut said, true) => {
                        error!("{}: {error}", path.display())
                    }
                    Err(_) => {}
                }
            }
        }
        Outlet::Listen(at) => match scrape::serve(at, || now(state_dir)) {
            Ok(never) => match never {},
            Err(error) => failed(at, error),
        },
    }
}

/// Who may not ask is told so by nothing but this: there is no other metric then.
fn now(state_dir: &Path) -> String {
    let status: Result<_, CallError> = ask_status(state_dir);
    text(status.as_deref().ok())
}

/// Whoever reads sees the old text or the new one, never half of either.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().ok_or_else(|| io::Error::other("not a file"))?.to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    fs::write(&new, text)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o644))?;
    fs::rename(&new, path)
}

/// The text format of Prometheus, version 0.0.4; of a daemon that does not answer, that alone.
fn text(status: Option<&Status>) -> String {
    let mut page = Page::default();
    page.one("spad_up", u64::from(status.is_some()));
    let Some(status) = status else { return page.0 };
    page.family("spad_build_info", [("version", status.version.as_str(), 1)]);
    page.one("spad_uptime_seconds", status.uptime);
    if let Some(age) = status.serving {
        page.one("spad_configuration_age_seconds", age);
    }
    page.one("spad_profiles", status.profiles as u64);
    page.one("spad_doors_open", status.doors as u64);
    page.one("spad_requests_admitted_total", status.admitted);
    let counts = status.refused.iter().map(|(name, count)| ("reason", name.as_str(), *count));
    page.family("spad_datagrams_refused_total", counts);
    page.one("spad_frames_lost_total", status.lost);
    let counts = status.events.iter().map(|(name, count)| ("event", name.as_str(), *count));
    page.family("spad_events_total", counts);
    let [taken, refused] = [status.reloads.taken, status.reloads.refused];
    page.family("spad_reloads_total", [("outcome", "taken", taken), ("outcome", "refused", refused)]);
    let states =
        status.interfaces.iter().map(|(name, state)| ("interface", name.as_str(), u64::from(state == "up")));
    page.family("spad_interface_up", states);
    page.one("spad_clock_vouched", u64::from(status.clock != "unsynchronised"));
    page.one("spad_runner_connected", u64::from(status.runner == Some(true)));
    let parts = Part::ALL.map(|part| ("part", part.name(), u64::from(status.parts.contains(&part))));
    page.family("spad_degraded", parts);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str) {
        for (name, kind, help) in FAMILIES.iter().filter(|family| family.0 == name) {
            // Writing to a String cannot fail.
            let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
    }

    fn one(&mut self, name: &str, value: u64) {
        self.head(name);
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// A label, its value, and the number; nothing at all of a family without members.
    fn family<'v>(&mut self, name: &str, all: impl IntoIterator<Item = (&'static str, &'v str, u64)>) {
        let mut all = all.into_iter().peekable();
        if all.peek().is_some() {
            self.head(name);
        }
        for (label, value, number) in all {
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = writeln!(self.0, "{name}{{{label}=\"{value}\"}} {number}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped_and_no_family_is_empty() {
        let mut page = Page::default();
        page.family("spad_interface_up", [("interface", "a\"b\\c\nd", 1)]);
        page.family("spad_degraded", []);
        let expected = "# HELP spad_interface_up Whether the interface is there and up.\n\
             # TYPE spad_interface_up gauge\n\
             spad_interface_up{interface=\"a\\\"b\\\\c\\nd\"} 1\n";
        assert_eq!(page.0, expected);
        assert_eq!(text(None), "# HELP spad_up Whether spad answers.\n# TYPE spad_up gauge\nspad_up 0\n");
    }
}
