//! What is said at the end: what was made, and what is left to do. No secret is in it.

use std::env;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use humantime::format_duration;
use spa_core::crypto::key::KeyId;
use spa_core::name::ProfileName;
use spa_core::service;

use super::args::Kind;
use super::folder::Folders;
use super::freshness::Choice;
use super::profile::Wish;
use super::site::Site;
use super::told::{Told, Touched};
use super::{actions, machine, port};
use crate::host::Host;
use crate::owner::is_root;
use crate::secret_file::shell_word;
use crate::usage::listed;

/// All that the text tells of.
pub(super) struct Report<'a> {
    pub(super) wish: &'a Wish<'a>,
    pub(super) folders: &'a Folders,
    pub(super) outputs: &'a [PathBuf],
    pub(super) site: &'a Site,
    pub(super) choice: Choice,
}

impl Report<'_> {
    /// The text, in several lines.
    pub(super) fn text(&self, machine_id: &str) -> String {
        let mut lines = self.made();
        lines.extend(self.notes(machine_id).into_iter().map(|note| format!("note: {note}")));
        lines.push(String::new());
        for (name, output) in self.wish.names.iter().zip(self.outputs) {
            lines.push(format!("On the client {name}:"));
            lines.push(format!("  {}", self.copy(name.as_str(), output)));
            let terms = self.wish.terms;
            let opening = (!terms.open.is_empty()).then(|| format!("-A {}", listed(&terms.services(), "")));
            let invoking = terms.actions().into_iter().map(|action| format!("--invoke {action}"));
            let commands = opening.into_iter().chain(invoking);
            lines.extend(
                commands.map(|what| format!("  spa-client {what} -D {} --profile {name}", self.wish.server)),
            );
        }
        lines.extend(self.ends());
        lines.join("\n")
    }

    /// The same for scripts. `key_ids`: one for each name.
    pub(super) fn tell(&self, machine_id: &str, key_ids: &[KeyId], told: &mut Told) {
        let object = told.object();
        object.made_site = Some(self.site.is_new);
        object.port = Some(self.site.file.port.get());
        object.notes = self.notes(machine_id);
        let mut outputs = self.outputs.iter();
        for (name, key_id) in self.wish.names.iter().zip(key_ids) {
            let file = self.folders.profile(name.as_str());
            let mut touched = Touched::new(name, Some(*key_id), file);
            touched.client_half = outputs.next().cloned();
            object.profiles.push(touched);
        }
    }

    /// What is left to do on this side.
    pub(super) fn ends(&self) -> [String; 2] {
        let port = self.site.file.port;
        [
            format!("In the provider's firewall, if there is one: let UDP port {port} through."),
            "If spad is running: systemctl reload spad, or send it a SIGHUP.".to_owned(),
        ]
    }

    /// What is there now.
    pub(super) fn made(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.site.is_new {
            lines.push(format!(
                "made the site {}: UDP port {}",
                self.folders.site().display(),
                self.site.file.port
            ));
        }
        for (name, output) in self.wish.names.iter().zip(self.outputs) {
            lines.extend(self.profile(name));
            lines.push(format!(
                "  client's half {} (secret; remove it here once it is copied)",
                output.display()
            ));
        }
        lines
    }

    /// One profile, and where the server's half of it lies.
    pub(super) fn profile(&self, name: &ProfileName) -> [String; 2] {
        let terms = self.wish.terms;
        let opens = match terms.services().as_slice() {
            [] => "nothing".to_owned(),
            services => {
                let [window, longest] = [terms.window, terms.max_window].map(format_duration);
                format!("{} for {window}, at most {longest}", service::list(services))
            }
        };
        let invokes = match terms.actions().as_slice() {
            [] => String::new(),
            actions => format!("; may invoke {}", listed(actions, "")),
        };
        let server = self.folders.profile(name.as_str());
        [
            format!("made the profile {name}: opens {opens}{invokes}"),
            format!("  server's half {}", server.display()),
        ]
    }

    /// What the operator should know besides.
    pub(super) fn notes(&self, machine_id: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if self.site.is_new && machine_id.is_empty() {
            notes.push(machine::NO_ID.to_owned());
        }
        if self.site.is_new && port::is_used(self.site.file.port) {
            notes.push(format!(
                "another program has UDP port {}; once spad guards it, nothing reaches that program",
                self.site.file.port
            ));
        }
        if let Err(why) = &self.site.journal {
            notes.push(format!(
                "the replay journal {why}: spad will begin a new one when it starts, and admit nothing until that \
                 is settled"
            ));
        }
        if self.choice == Choice::NoClock {
            notes.push(
                "this machine has no real-time clock, so the profile is monotonic: one device, whose requests must \
                 follow one another (--freshness clock overrules that)"
                    .to_owned(),
            );
        }
        if self.wish.terms.receipt {
            notes.push("receipts are sent if spad.toml has `receipts = true` below [ceiling]".to_owned());
        }
        let unknown = actions::unknown(self.folders, &self.wish.terms.actions());
        notes.extend(unknown.iter().map(|name| {
            format!(
                "spad.toml does not name the action {name}; until it has [action.{name}], that is refused"
            )
        }));
        if self.choice != Choice::Said(Kind::Clock) && self.wish.terms.expires.is_some() {
            notes.push("--expires goes by this machine's clock, right or wrong".to_owned());
        }
        notes
    }

    /// The line that fetches a client's half to where spa-client looks for it, under the name that it looks for.
    fn copy(&self, name: &str, output: &Path) -> String {
        let host = match &self.wish.server {
            Host::Address(IpAddr::V6(v6)) => format!("[{v6}]"),
            host => host.to_string(),
        };
        let source = shell_word(&format!("{}@{host}:{}", user(), output.display()));
        format!(
            "mkdir -p -m 700 ~/.config/spa/profiles && scp -p {source} ~/.config/spa/profiles/{name}.spa.toml"
        )
    }
}

/// Whose file it is, for the client's `scp`.
fn user() -> String {
    let name =
        if is_root() { env::var("SUDO_USER") } else { env::var("USER").or_else(|_| env::var("LOGNAME")) };
    let good = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    name.ok().filter(good).unwrap_or_else(|| "root".to_owned())
}
