//! `spad apply`: a changed spad.toml is tried, and stays only if whoever changed it can still say so.
//!
//! The text that is in force is put back into spad.toml *before* the new one is tried. So whatever ends, this program,
//! its terminal, the daemon or the machine, what follows is the text that was in force before:
//!
//! 1. The changed text moves to `spad.toml.trial`, dated when the trial ends; spad.toml gets the kept text.
//! 2. SIGUSR1: the daemon takes the file on trial, and counts its time itself (`starter/trial.rs`).
//! 3. Confirmed in time: `spad.toml.trial` becomes spad.toml, in one step; SIGHUP.
//! 4. Otherwise the daemon takes spad.toml again, and `spad.toml.trial` stays for whoever wants to mend it.

mod exchange;
mod prompt;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use tracing::error;

use crate::config::{Config, ConfigError};
use crate::exit::ExitStatus;
use crate::firewall::standing::Stand;
use crate::kept::{self, KeptError};
use crate::lock::Holder;
use crate::session;
use crate::starter::{LONGEST, Options, trial_path};
use prompt::{Answer, Prompt};

/// The shortest trial: a new session has to be opened in it.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long the daemon may take to load a configuration.
const TAKES_OVER: Duration = Duration::from_secs(30);
/// How often it is asked whether it did.
const LOOK: Duration = Duration::from_millis(50);

/// Why nothing was applied, or confirmed.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error(
        "spad does not run with {} (hint: start it; for a first start over ssh spad(8) has a way back)",
        .0.display()
    )]
    NotRunning(PathBuf),
    #[error(
        "spad runs with {} and not with {} (hint: --config, --state-dir)", .0.display(), .1.display()
    )]
    Another(PathBuf, PathBuf),
    #[error("{} is a symbolic link (hint: put the file itself there)", .0.display())]
    Link(PathBuf),
    #[error(
        "what is in force is not kept, so there is no way back to it (hint: is there room in the state folder? \
         `systemctl reload spad` applies without one)"
    )]
    NothingKept,
    #[error(
        "firewall.backend, mode or attach changed, which is not applied while spad runs (hint: stop spad, \
         `spad teardown`, start it)"
    )]
    Standing,
    #[error("{} is on trial (hint: `spad confirm` keeps it, `systemctl reload spad` ends it)", .0.display())]
    UnderWay(PathBuf),
    #[error("a trial lasts from 1s to 1h")]
    Time,
    #[error("{} is not on trial; {} counts (hint: `spad apply --confirm 60s`)", .0.display(), .1.display())]
    NoTrial(PathBuf, PathBuf),
    #[error(
        "spad did not take the configuration over, its log says why; the one before counts, and yours is in {}", .0.display()
    )]
    Refused(PathBuf),
    #[error("not confirmed: the configuration before is in force again, and yours is in {}", .0.display())]
    Unconfirmed(PathBuf),
    #[error(transparent)]
    Kept(#[from] KeptError),
    #[error("{0}")]
    Config(ConfigError),
    #[error("{path}: {source}", path = .0.display(), source = .1)]
    Io(PathBuf, #[source] io::Error),
}

impl From<&ApplyError> for ExitStatus {
    fn from(error: &ApplyError) -> Self {
        match error {
            ApplyError::Time => Self::Usage,
            ApplyError::Kept(_) | ApplyError::Config(_) | ApplyError::Standing | ApplyError::Link(_) => {
                Self::Configuration
            }
            ApplyError::Io(_, error) if error.kind() == io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Failure,
        }
    }
}

/// Tries the configuration that stands in spad.toml, and keeps it if that is confirmed within `time`.
pub fn run(options: &Options, time: Duration) -> ExitStatus {
    status(apply(options, time))
}

/// Confirms the configuration on trial.
pub fn confirm(options: &Options) -> ExitStatus {
    status(daemon(options).and_then(|daemon| keep(options, &daemon)))
}

fn status(result: Result<String, ApplyError>) -> ExitStatus {
    match result {
        Ok(line) => {
            println!("{line}");
            ExitStatus::Done
        }
        Err(refusal) => {
            error!("{refusal}");
            ExitStatus::from(&refusal)
        }
    }
}

fn apply(options: &Options, time: Duration) -> Result<String, ApplyError> {
    if !(SHORTEST..=LONGEST).contains(&time) {
        return Err(ApplyError::Time);
    }
    let config = &options.config;
    let daemon = daemon(options)?;
    let before = in_force(options)?;
    let trial = trial_path(config);
    // What is in force is not what to go back to.
    if fs::read_to_string(&trial).is_ok_and(|text| text == before.text) {
        return Err(ApplyError::UnderWay(trial));
    }
    let new = Config::open(config).map_err(ApplyError::Config)?;
    if new.text == before.text {
        return Ok(format!("{} is in force already; nothing to apply", config.display()));
    }
    if new.standing != before.standing {
        return Err(ApplyError::Standing);
    }
    let newly: Vec<_> = new.protect.iter().filter(|one| !before.protect.contains(one)).copied().collect();
    let until = Instant::now() + time;
    exchange::set_aside(config, &new.text, &before.text, &trial, SystemTime::now() + time)?;
    daemon.signal(Signal::USR1);
    if !becomes(options, &new.text, until.min(Instant::now() + TAKES_OVER)) {
        // It may still be about to.
        daemon.signal(Signal::HUP);
        return Err(ApplyError::Refused(trial));
    }
    if new.standing.stand == Stand::Guard
        && let Some(line) = session::would_live_on(&new.standing.stand, &newly)
    {
        println!("{line}");
    }
    println!(
        "in force for {}, then spad goes back by itself. Open a new session to this host; if that works, press Enter \
         here, or run `spad confirm` there.",
        humantime::format_duration(time)
    );
    let mut prompt = Prompt::new();
    while Instant::now() < until {
        match prompt.wait(LOOK * 4) {
            Answer::Yes => return keep(options, &daemon),
            Answer::Nothing if trial.exists() => {}
            // `spad confirm` has moved it.
            Answer::Nothing => return Ok(kept_line(config)),
        }
    }
    becomes(options, &before.text, Instant::now() + TAKES_OVER);
    Err(ApplyError::Unconfirmed(trial))
}

/// Makes the configuration on trial the one that counts.
fn keep(options: &Options, daemon: &Holder) -> Result<String, ApplyError> {
    let (config, trial) = (&options.config, trial_path(&options.config));
    // Not what somebody wrote there since, nor what is left of an earlier trial.
    let text = fs::read_to_string(&trial).unwrap_or_default();
    if text.is_empty() || in_force(options)?.text != text {
        return Err(ApplyError::NoTrial(trial, config.clone()));
    }
    exchange::confirm(&trial, config)?;
    // Should the daemon be gone by now, the next one reads spad.toml anyway.
    daemon.signal(Signal::HUP);
    Ok(kept_line(config))
}

fn kept_line(config: &Path) -> String {
    format!("confirmed: {} is what is in force", config.display())
}

/// The daemon that runs with this spad.toml and this state folder.
fn daemon(options: &Options) -> Result<Holder, ApplyError> {
    let config = &options.config;
    let daemon =
        Holder::of(&options.state_dir).ok_or_else(|| ApplyError::NotRunning(options.state_dir.clone()))?;
    let meta = fs::symlink_metadata(config).map_err(|error| ApplyError::Io(config.clone(), error))?;
    if meta.is_symlink() {
        return Err(ApplyError::Link(config.clone()));
    }
    let path = fs::canonicalize(config).map_err(|error| ApplyError::Io(config.clone(), error))?;
    if path == daemon.config { Ok(daemon) } else { Err(ApplyError::Another(daemon.config, path)) }
}

fn in_force(options: &Options) -> Result<Config, ApplyError> {
    Ok(kept::read(&options.state_dir)?.ok_or(ApplyError::NothingKept)?.kept.config)
}

/// Waits until the text is in force.
fn becomes(options: &Options, text: &str, deadline: Instant) -> bool {
    loop {
        if in_force(options).is_ok_and(|config| config.text == text) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK);
    }
}

/// Makes a change of names in a folder outlast a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
