//! A configuration on trial (`spad apply`): it stands beside spad.toml, and is in force until its time ends, a signal
//! says so, or this process ends. Whatever happens, what follows is spad.toml.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::Options;

/// The longest trial: nobody waits longer to be let in again.
pub const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Where the configuration on trial is, for that of this path. Its time of modification is when the trial ends.
pub fn path(config: &Path) -> PathBuf {
    let mut path = config.as_os_str().to_owned();
    path.push(".trial");
    path.into()
}

#[derive(Debug, Default)]
pub(super) struct Trial {
    /// While there is one.
    ends: Option<Instant>,
    /// The worker that was started last is for the trial.
    newcomer: bool,
    /// The worker that serves is.
    in_force: bool,
}

impl Trial {
    /// Begins one. Returns whether a new worker is needed.
    pub(super) fn begin(&mut self, config: &Path, now: Instant) -> bool {
        match remaining(&path(config)) {
            Ok(time) => {
                info!(
                    "{} is on trial for {} s; then {} counts again, unless it is confirmed",
                    path(config).display(),
                    time.as_secs_f32().round(),
                    config.display()
                );
                self.ends = Some(now + time);
                true
            }
            Err(error) => {
                warn!("{}: no trial: {error}", path(config).display());
                false
            }
        }
    }

    pub(super) fn ends(&self) -> Option<Instant> {
        self.ends
    }

    /// What the next worker is to read.
    pub(super) fn options<'o>(&mut self, options: &'o Options) -> Cow<'o, Options> {
        self.newcomer = self.ends.is_some();
        if !self.newcomer {
            return Cow::Borrowed(options);
        }
        Cow::Owned(Options { config: path(&options.config), ..options.clone() })
    }

    /// Whether its time is over, told once: a new worker is needed.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        let over = self.ends.is_some_and(|end| end <= now);
        if over {
            warn!("nobody confirmed the configuration on trial; going back to the one before");
            self.end();
        }
        over
    }

    /// It ends now.
    pub(super) fn end(&mut self) {
        self.ends = None;
    }

    /// The newcomer took over.
    pub(super) fn took_over(&mut self) {
        self.in_force = self.newcomer;
    }

    /// A newcomer did not take over, which ends the trial. Returns whether another is needed: what was tried may not
    /// stay in force because the way back failed once.
    pub(super) fn was_refused(&mut self) -> bool {
        self.end();
        self.in_force
    }
}

/// How long the file says; by the wall clock, which is asked now and never again.
fn remaining(path: &Path) -> io::Result<Duration> {
    let ends = fs::symlink_metadata(path)?.modified()?;
    let time = ends.duration_since(SystemTime::now());
    time.map(|time| time.min(LONGEST)).map_err(|_| io::Error::other("its time is over"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn begun(now: Instant) -> Trial {
        Trial { ends: Some(now + MINUTE), ..Trial::default() }
    }

    fn options() -> Options {
        Options {
            config: "/etc/spad/spad.toml".into(),
            state_dir: "/state".into(),
            log: Vec::new(),
            again: false,
            observe: false,
        }
    }

    #[test]
    fn while_it_lasts_workers_read_the_file_on_trial() {
        let now = Instant::now();
        let mut trial = begun(now);
        assert_eq!(trial.options(&options()).config, Path::new("/etc/spad/spad.toml.trial"));
        assert!(!trial.is_over(now + MINUTE - Duration::from_nanos(1)));
        assert!(trial.is_over(now + MINUTE), "exactly at its end");
        assert!(!trial.is_over(now + MINUTE), "told once");
        assert_eq!(trial.options(&options()).config, Path::new("/etc/spad/spad.toml"));
    }

    #[test]
    fn the_way_back_is_tried_until_it_worked() {
        let mut trial = begun(Instant::now());
        trial.options(&options());
        trial.took_over();
        trial.end();
        trial.options(&options());
        assert!(trial.was_refused(), "once");
        trial.options(&options());
        assert!(trial.was_refused(), "and again");
        trial.options(&options());
        trial.took_over();
        assert!(!trial.was_refused(), "a later reload that is refused changes nothing");
    }

    #[test]
    fn a_newcomer_of_the_trial_that_takes_over_after_its_end_does_not_stay() {
        let mut trial = begun(Instant::now());
        trial.options(&options());
        trial.end();
        trial.took_over();
        trial.options(&options());
        assert!(trial.was_refused(), "the way back is still to be gone");
    }

    #[test]
    fn a_refused_trial_is_over_and_leaves_nothing_to_go_back_from() {
        let mut trial = begun(Instant::now());
        trial.options(&options());
        assert!(!trial.was_refused());
        assert_eq!(trial.ends(), None);
    }

    #[test]
    fn without_a_trial_a_refusal_asks_for_nothing() {
        let mut trial = Trial::default();
        trial.options(&options());
        trial.took_over();
        assert!(!trial.was_refused());
    }
}
