//! `spad explain`: what the daemon would have made of the datagrams of a capture file, and why. The same gate judges, and
//! the same table of leases; both are thrown away afterwards. Writes no file, opens no socket but to ask for the host's addresses.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap::{Capture, Offline};
use serde::Serialize;
use spa_core::address::OwnAddresses;
use spa_core::file::fields::write_moment;
use spa_core::frame::{Datagram, Link};
use spa_core::gate::{Dropped, Gate, Verdict};
use spa_core::journal::{Loaded, Loss, load};
use spa_core::keyring::Keyring;
use spa_core::lease::{Change, LeaseTable};
use spa_core::policy::{Admission, Effect};
use spa_core::profile::{Freshness, JournalEpoch};
use spa_core::replay::Replay;
use spa_core::time::{BootTime, Now, UnixMillis};
use tracing::{error, warn};

use crate::config::{Config, ConfigError};
use crate::doctor::Form;
use crate::exit::ExitStatus;
use crate::monitor::words;
use crate::operator::say;
use crate::site::Site;
use crate::starter::Options;
use crate::surroundings::{Routes, Surroundings};

/// What is to be explained.
pub struct What {
    /// Of tcpdump or another program of libpcap.
    pub capture: PathBuf,
    /// When the first packet is to have come; as the file says if `None`.
    pub at: Option<UnixMillis>,
    /// A folder with a copy of the journal; nothing was admitted before if `None`.
    pub journal: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum Unexplained {
    #[error("{0}")]
    Config(ConfigError),
    #[error("{file}: {why} (hint: name a file that tcpdump -w wrote)")]
    Capture { file: String, why: String },
    #[error("{folder}: the journal there {why} (hint: copy this site's journal.a and journal.b into it)")]
    Journal { folder: String, why: Loss },
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<&Unexplained> for ExitStatus {
    fn from(why: &Unexplained) -> Self {
        match why {
            Unexplained::Io(_) => Self::Failure,
            _ => Self::Configuration,
        }
    }
}

/// Prints a line for each datagram to the SPA port.
pub fn run(options: &Options, what: &What, form: Form) -> ExitStatus {
    match explain(options, what, form) {
        Ok(()) => ExitStatus::Done,
        Err(why) => {
            error!("{why}");
            (&why).into()
        }
    }
}

fn explain(options: &Options, what: &What, form: Form) -> Result<(), Unexplained> {
    let config = Config::open(&options.config).map_err(Unexplained::Config)?;
    // Nothing is left out as expired: that it was is then said of what it asked for.
    let site = Site::open(&options.config, UnixMillis::EPOCH).map_err(Unexplained::Config)?;
    for reason in &site.left_out {
        warn!("left out: {reason}");
    }
    let surroundings = Surroundings::read(&config.interfaces, &Routes::open()?)?;
    let unreadable = |why: String| Unexplained::Capture { file: what.capture.display().to_string(), why };
    let mut capture = Capture::from_file(&what.capture).map_err(|error| unreadable(error.to_string()))?;
    let dlt = capture.get_datalink().0;
    let link = Link::from_dlt(dlt).ok_or_else(|| unreadable(format!("its link type {dlt} is not known")))?;
    let (port, header_keys) = (site.file.port, site.file.header_keys());
    let mut replay = match &what.journal {
        Some(folder) => remembered(folder, &site, &config)?,
        None => fresh(&site, &config),
    };
    let keyring = Keyring::new(site.profiles);
    replay.forget_absent(&keyring);
    let own = OwnAddresses::from_iter(surroundings.addresses).with_links(surroundings.on_link);
    let mut court = Court {
        gate: Gate::new(header_keys, keyring, replay, own).with_actions(config.table.to_invoke()),
        leases: LeaseTable::default(),
        config,
    };
    let mut clock = Clock { first: None, at: what.at };
    let (mut admitted, mut judged, mut others) = (0_u64, 0_u64, 0_u64);
    while let Some((stamp, frame)) = next(&mut capture).map_err(unreadable)? {
        let now = clock.read(stamp);
        match Datagram::parse(link, None, &frame) {
            Ok(datagram) if datagram.destination.port() == port.get() => {
                let finding = court.judge(&datagram, now);
                judged += 1;
                admitted += u64::from(finding.verdict == "admitted");
                say(&match form {
                    Form::Lines => finding.to_string(),
                    Form::Json => serde_json::to_string(&finding).unwrap_or_default(),
                });
            }
            _ => others += 1,
        }
    }
    if matches!(form, Form::Lines) {
        say(&format!(
            "{judged} datagrams to udp/{port}, {admitted} of them admitted; {others} other packets"
        ));
    }
    Ok(())
}

/// The next packet of a file, and when it came.
fn next(capture: &mut Capture<Offline>) -> Result<Option<(UnixMillis, Vec<u8>)>, String> {
    match capture.next_packet() {
        Ok(packet) => {
            let seconds = u64::try_from(packet.header.ts.tv_sec).unwrap_or(0);
            let micros = u64::try_from(packet.header.ts.tv_usec).unwrap_or(0);
            let since = Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros));
            Ok(Some((UnixMillis::clamped(since), packet.data.to_vec())))
        }
        Err(pcap::Error::NoMorePackets) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// The memory of a daemon whose first day it is.
fn fresh(site: &Site, config: &Config) -> Replay {
    // Whichever life of the journal the profiles belong to, it is taken to go on.
    let epoch = site.profiles.iter().find_map(|profile| match profile.freshness {
        Freshness::Monotonic(epoch) => Some(epoch),
        Freshness::Clock => profile.successor.map(|successor| successor.epoch),
    });
    Replay::restore(epoch.unwrap_or(JournalEpoch([0; 8])), true, config.skew, [])
}

fn remembered(folder: &Path, site: &Site, config: &Config) -> Result<Replay, Unexplained> {
    let files = ["journal.a", "journal.b"].map(|name| fs::read(folder.join(name)).ok());
    match load(files.each_ref().map(Option::as_deref), site.file.id, site.file.machine(), None) {
        Loaded::Intact { whole, .. } => {
            let header = whole.header;
            Ok(Replay::restore(header.epoch, header.settled, config.skew, whole.records))
        }
        Loaded::Lost { why, .. } => Err(Unexplained::Journal { folder: folder.display().to_string(), why }),
    }
}

/// The times of a file, moved so that it begins when it is to begin.
struct Clock {
    first: Option<UnixMillis>,
    at: Option<UnixMillis>,
}

impl Clock {
    fn read(&mut self, stamp: UnixMillis) -> Now {
        let first = *self.first.get_or_insert(stamp);
        let begun = self.at.unwrap_or(first);
        let passed = stamp.since(first);
        // What came before the first packet, as the file says, did so by so much.
        let wall = begun.plus(passed).minus(first.since(stamp));
        Now { wall, boot: BootTime::new(passed), synchronised: true }
    }
}

/// All that judges.
struct Court {
    gate: Gate,
    leases: LeaseTable,
    config: Config,
}

/// One datagram.
#[derive(Serialize)]
struct Finding {
    /// When it came, UTC.
    at: String,
    from: String,
    to: String,
    /// `admitted`, `dropped`.
    verdict: &'static str,
    /// One of the reasons that the counters have.
    reason: Option<&'static str>,
    /// Whose it is, if that is proven.
    profile: Option<String>,
    /// A line for what it does, or why it does nothing.
    what: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} > {} {}", self.at, self.from, self.to, self.verdict)?;
        if let Some(profile) = &self.profile {
            write!(f, " profile={profile}")?;
        }
        if let Some(reason) = self.reason {
            write!(f, " reason={reason}")?;
        }
        write!(f, ": {}", self.what.join("; "))
    }
}

impl Court {
    fn judge(&mut self, datagram: &Datagram<'_>, now: Now) -> Finding {
        self.leases.expire(now.boot);
        let verdict = self.gate.judge(datagram, now);
        let (at, from, to) =
            (write_moment(now.wall), datagram.source.to_string(), datagram.destination.to_string());
        match verdict {
            Verdict::Admit(admission) => {
                let what = self.carry_out(&admission, now);
                let profile = Some(admission.profile().to_string());
                Finding { at, from, to, verdict: "admitted", reason: None, profile, what }
            }
            Verdict::Drop(Dropped { reject, profile, .. }) => {
                let (reason, what) = (Some(reject.name()), vec![reject.to_string()]);
                let profile = profile.map(|profile| profile.to_string());
                Finding { at, from, to, verdict: "dropped", reason, profile, what }
            }
        }
    }

    /// As the monitor does, without a firewall behind it.
    fn carry_out(&mut self, admission: &Admission, now: Now) -> Vec<String> {
        let Self { leases, config, .. } = self;
        let ceiling = &config.ceiling;
        match admission.effect() {
            Effect::Close { services } => {
                let changes = leases.close(admission.key_id(), services, admission.time(), now.boot);
                let closed = words::of_doors(changes.iter().filter_map(Change::closes));
                if closed.is_empty() {
                    return vec!["closes nothing that is open".to_owned()];
                }
                closed.into_iter().map(|door| format!("closes {}", door.text)).collect()
            }
            Effect::Invoke(invocation) => {
                let actions = config.table.to_invoke();
                let named = actions.named(*invocation);
                let (action, argument) = named.map_or((String::new(), ""), |(name, argument)| {
                    (name.to_string(), argument.unwrap_or_default())
                });
                vec![format!("invokes {action} {argument}").trim_end().to_owned()]
            }
            Effect::Open { services, narrowing, terms } => {
                let window = humantime::format_duration(terms.window.min(ceiling.max_window));
                let led = terms.forward.map(|to| format!(" to {to}")).unwrap_or_default();
                let (mut opened, mut what) = (Vec::new(), Vec::new());
                for door in narrowing.doors(admission.grantees(), services) {
                    let (holder, asked) = (admission.key_id(), admission.time());
                    match leases.open(door, holder, asked, terms, now.boot, ceiling) {
                        Ok(_) => opened.push(door),
                        Err(above) => what.push(format!("does not open {door}: {above}")),
                    }
                }
                let opens = words::of_doors(opened).into_iter();
                opens.map(|door| format!("opens {}{led} for {window}", door.text)).chain(what).collect()
            }
        }
    }
}
