//! The command line of `spa-keygen`.

use std::io::IsTerminal as _;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser, Subcommand, ValueEnum};
use humantime::format_duration;
use spa_core::action::ActionName;
use spa_core::crypto::suite::Suite;
use spa_core::file::fields::{BadDuration, BadMoment, parse_moment};
use spa_core::name::ProfileName;
use spa_core::profile::{DEFAULT_MAX_WINDOW, DEFAULT_WINDOW};
use spa_core::request::Request;
use spa_core::service::Service;
use spa_core::time::UnixMillis;

use crate::clock;
use crate::failure::Failure;
use crate::host::Host;
use crate::usage::{self, Habits};

const EXAMPLES: &str = "\
Examples, on the server:
  spa-keygen laptop --server vpn.example.org --open tcp/22
  spa-keygen anna ben --server 192.0.2.1 --open tcp/22,udp/51820 --out keys
  spa-keygen guest --server vpn.example.org --open tcp/443 --expires 2027-01-01
  spa-keygen alarm --server vpn.example.org --invoke wake-nas
  spa-keygen accept spa-enrol:... --open tcp/22       answer the line of spa-client enrol
  spa-keygen phone --server vpn.example.org --open tcp/22 --qr
  spa-keygen list                                     what there is, and when it was last used
  spa-keygen rotate laptop --server vpn.example.org   a new key; the old one works for 7 days more
  spa-keygen revoke laptop                            nothing is opened any more";

/// What people type who know other programs for keys.
pub(super) const HABITS: [Habits; 7] = [
    ("-A", "--open"),
    ("--access", "--open"),
    ("-D", "--server"),
    ("--destination", "--server"),
    ("-o", "--out"),
    ("-f", "--out"),
    ("-t", "--suite"),
];

/// Makes a profile on the server: its half of the keys, and the client's.
#[derive(Debug, Parser)]
#[command(name = "spa-keygen", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    /// One name for each device, like laptop
    #[arg(value_name = "NAME", required = true)]
    pub(super) names: Vec<ProfileName>,

    /// Name or address of this server, as its clients reach it
    #[arg(long, value_name = "HOST", required = true)]
    pub(super) server: Option<Host>,

    #[command(flatten)]
    pub(super) terms: Terms,

    /// File of the client's half, or a folder for it [default: ./NAME.spa.toml]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,

    /// Also show the client's half as a QR code, on a terminal; with =always wherever the output goes
    #[arg(long, value_name = "always", num_args = 0..=1, require_equals = true, default_missing_value = "terminal",
          hide_possible_values = true)]
    pub(super) qr: Option<Qr>,

    /// Print one JSON object on one line, also when it fails; for scripts
    #[arg(long, conflicts_with = "qr")]
    pub(super) json: bool,

    #[command(subcommand)]
    pub(super) task: Option<Task>,
}

/// What else there is to do than to make both halves.
#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Answer the line that spa-client enrol printed: makes the server's half, and prints a line for the client
    Accept(Accept),
    /// Give a profile, or the site, a new key; the one before works for a while
    Rotate(Rotate),
    /// Take profiles away: the running spad closes their doors at once
    Revoke(Revoke),
    /// Say which profiles there are, how long they last, and when each was last used
    List(List),
}

/// An enrolment.
#[derive(Debug, clap::Args)]
pub(super) struct Accept {
    /// The client's line, or - to read it from standard input
    #[arg(value_name = "LINE")]
    pub(super) line: String,

    /// What the profile is called [default: as the client wishes]
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<ProfileName>,

    /// Name or address of this server, as its clients reach it [default: as the client has it]
    #[arg(long, value_name = "HOST")]
    pub(super) server: Option<Host>,

    /// Do not ask whether the client shows the same fingerprint; compare it before the profile is relied on
    #[arg(long)]
    pub(super) yes: bool,

    /// Print one JSON object on one line, also when it fails; for scripts
    #[arg(long, requires = "yes")]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) terms: Terms,
}

/// A key in place of another.
#[derive(Debug, clap::Args)]
pub(super) struct Rotate {
    /// The profile that gets a new key
    #[arg(value_name = "NAME", required_unless_present = "site")]
    pub(super) name: Option<ProfileName>,

    /// The key of the site instead: makes every client's half anew; the one before is valid until --finish
    #[arg(long, conflicts_with_all = ["name", "overlap"])]
    pub(super) site: bool,

    /// End the validity of the site's key before the present one
    #[arg(long, requires = "site", conflicts_with_all = ["server", "out"])]
    pub(super) finish: bool,

    /// Name or address of this server, as its clients reach it
    #[arg(long, value_name = "HOST", required_unless_present = "finish")]
    pub(super) server: Option<Host>,

    /// For how long the present key still works, beside the new one: a time, or `until-used`; 0s ends it at once
    #[arg(long, value_name = "TIME", value_parser = overlap, default_value = "7days")]
    pub(super) overlap: Wished,

    /// File of the client's half, or a folder for it [default: ./NAME.spa.toml]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,

    /// Print one JSON object on one line, also when it fails; for scripts
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) place: Place,
}

/// Profiles that are to open nothing any more.
#[derive(Debug, clap::Args)]
pub(super) struct Revoke {
    /// Names of the profiles
    #[arg(value_name = "NAME", required = true)]
    pub(super) names: Vec<ProfileName>,

    /// Print one JSON object on one line, also when it fails; for scripts
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) place: Place,
}

/// What there is.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Print it as JSON
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) place: Place,
}

/// Where a site lies.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Folder of site.toml and profiles
    #[arg(long, value_name = "DIR", default_value = "/etc/spad")]
    pub(super) config_dir: PathBuf,

    /// Folder of the replay journal
    #[arg(long, value_name = "DIR", default_value = "/var/lib/spad")]
    pub(super) state_dir: PathBuf,
}

/// What a profile may do, and where its site lies.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").args(["open", "invoke"]).required(true).multiple(true))]
pub(super) struct Terms {
    /// What the profile may open, like tcp/22 or tcp/22,udp/51820
    #[arg(long, value_name = "SERVICE", value_delimiter = ',')]
    pub(super) open: Vec<Service>,

    /// Actions of spad.toml that it may have run, like wake-nas or wake-nas,backup; with no --open it opens nothing
    #[arg(long, value_name = "ACTION", value_delimiter = ',')]
    pub(super) invoke: Vec<ActionName>,

    /// UDP port of the site, when it is made [default: a random one that is free]
    #[arg(long, value_parser = usage::port)]
    pub(super) port: Option<NonZeroU16>,

    #[command(flatten)]
    pub(super) place: Place,

    /// How datagrams are sealed: aes256gcm or xchacha20poly1305
    #[arg(long, default_value_t)]
    pub(super) suite: Suite,

    /// How long a door stays open unless the client wishes otherwise
    #[arg(long, value_name = "TIME", value_parser = usage::duration, default_value = "30s")]
    pub(super) window: Duration,

    /// The longest that a client may wish for
    #[arg(long, value_name = "TIME", value_parser = usage::duration, default_value = "5m")]
    pub(super) max_window: Duration,

    /// Opens nothing from then on: 2027-01-01, or 2027-01-01T12:00:00Z
    #[arg(long, value_name = "DATE", value_parser = expiry)]
    pub(super) expires: Option<UnixMillis>,

    /// How old is told from new [default: clock, or monotonic on a machine without a real-time clock]
    #[arg(long, value_enum, hide_possible_values = true, value_name = "clock|monotonic")]
    pub(super) freshness: Option<Kind>,

    /// The server tells the client what became of each knock, if spad.toml allows receipts
    #[arg(long)]
    pub(super) receipt: bool,
}

/// Where a QR code may go: it is as good as the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Qr {
    /// To a terminal only.
    #[value(hide = true)]
    Terminal,
    /// Into a file or a pipe as well.
    Always,
}

/// The two ways of freshness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// By the server's clock.
    Clock,
    /// By the order of the client's own times.
    Monotonic,
}

impl Args {
    /// What the parser cannot see.
    pub(super) fn check(&self, now: UnixMillis) -> Result<(), Failure> {
        let repeated = (1..self.names.len()).find(|&at| self.names[..at].contains(&self.names[at]));
        if let Some(at) = repeated {
            return Err(Failure::usage(format!("the name {} stands there twice", self.names[at])));
        }
        if self.qr == Some(Qr::Terminal) && !std::io::stdout().is_terminal() {
            let sentence =
                "a QR code holds the keys and is shown on a terminal only; --qr=always overrules that";
            return Err(Failure::usage(sentence));
        }
        self.terms.check(now)
    }
}

impl Terms {
    /// What the parser cannot see.
    pub(super) fn check(&self, now: UnixMillis) -> Result<(), Failure> {
        if self.window > self.max_window {
            let [window, longest] = [self.window, self.max_window].map(format_duration);
            return Err(Failure::usage(format!(
                "--window {window} is longer than --max-window {longest}; shorten the one or lengthen the other"
            )));
        }
        if let Some(expires) = self.expires.filter(|&expires| expires <= now) {
            let (expires, now) = (clock::utc(expires), clock::utc(now));
            return Err(Failure::usage(format!(
                "--expires {expires} has passed; this machine's clock says {now}"
            )));
        }
        // A client asks for all of them at once unless it is told otherwise.
        if usage::without_repeats(&self.open).len() > Request::MAX_SERVICES {
            let most = Request::MAX_SERVICES;
            return Err(Failure::usage(format!(
                "a profile opens {most} services at most; make a second one"
            )));
        }
        Ok(())
    }

    /// Each service once.
    pub(super) fn services(&self) -> Vec<Service> {
        usage::without_repeats(&self.open)
    }

    /// Each action once.
    pub(super) fn actions(&self) -> Vec<ActionName> {
        usage::without_repeats(&self.invoke)
    }
}

// The help text names the defaults of the files; they are one and the same.
const _: () = assert!(DEFAULT_WINDOW.as_secs() == 30 && DEFAULT_MAX_WINDOW.as_secs() == 300);

/// How long a key is to work beside the one that takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wished {
    /// Not at all.
    Nothing,
    /// For so long.
    For(Duration),
    /// Until the new one is used.
    UntilUsed,
}

fn overlap(text: &str) -> Result<Wished, BadDuration> {
    match text {
        "0s" => Ok(Wished::Nothing),
        "until-used" => Ok(Wished::UntilUsed),
        _ => usage::duration(text).map(Wished::For),
    }
}

/// A moment, or the beginning of a day in UTC.
fn expiry(text: &str) -> Result<UnixMillis, BadMoment> {
    parse_moment(&format!("{text}T00:00:00Z")).or_else(|_| parse_moment(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_utc() {
        assert_eq!(expiry("2026-11-20"), parse_moment("2026-11-20T00:00:00Z"));
        assert_eq!(expiry("2026-11-20T10:00:00+02:00"), parse_moment("2026-11-20T08:00:00Z"));
        assert!(expiry("tomorrow").is_err());
    }
}
