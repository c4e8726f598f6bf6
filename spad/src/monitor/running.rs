//! The runner's place at the control socket, and what workers ask it to run. The monitor never waits for a runner, and keeps
//! nothing for one that comes later: what was not handed over is not run.

use rustix::event::{PollFd, PollFlags};
use spa_core::action::{ActionName, Actions, Invocation};
use spa_core::time::BootTime;
use tracing::{info, warn};

use super::Monitor;
use crate::ask::Ask;
use crate::operator::answer::{Answer, Watching};
use crate::operator::event::Facts;
use crate::operator::question;
use crate::socketpair::{ChannelError, Received, Seqpacket};

/// One at a time, beside the callers: they cannot take its place.
#[derive(Default)]
pub(super) struct Seat {
    socket: Option<Seqpacket>,
    /// It did not keep up, and that was said.
    behind: bool,
    /// What is only observed runs nothing.
    observes: bool,
}

impl Seat {
    pub(super) fn new(observes: bool) -> Self {
        Self { observes, ..Self::default() }
    }

    pub(super) fn is_taken(&self) -> bool {
        self.socket.is_some()
    }

    pub(super) fn descriptor(&self) -> Option<PollFd<'_>> {
        self.socket.as_ref().map(|socket| PollFd::new(socket, PollFlags::IN))
    }

    /// Takes note that it went.
    pub(super) fn attend(&mut self) {
        let Some(socket) = &self.socket else { return };
        // Who has asked has nothing more to say.
        if !matches!(socket.receive::<{ question::SIZE }>(), Ok(Received::Nothing)) {
            info!("the runner of actions is gone");
            self.socket = None;
        }
    }

    /// Gives somebody the seat, which is free.
    pub(super) fn take(&mut self, socket: Seqpacket, watching: Watching, configuration: Option<u64>) {
        if socket.send_packet(&Answer::Watching(watching).to_packet()).is_ok() {
            info!("a runner of actions is there");
            self.socket = Some(socket);
            self.behind = false;
            configuration.into_iter().for_each(|fingerprint| self.configured(fingerprint));
        }
    }

    /// Says which file is in force. Who does not hear that would run what another file says: he may call again.
    pub(super) fn configured(&mut self, fingerprint: u64) {
        let packet = Answer::Configuration(fingerprint).to_packet();
        self.socket = self.socket.take().filter(|socket| socket.send_packet(&packet).is_ok());
    }

    /// Tells it an event; says whether that was handed over.
    pub(super) fn tell(&mut self, packet: &[u8]) -> bool {
        let Some(socket) = self.socket.as_ref().filter(|_| !self.observes) else { return false };
        match socket.send_packet(packet) {
            Ok(()) => {
                self.behind = false;
                true
            }
            Err(ChannelError::Full) => {
                if !std::mem::replace(&mut self.behind, true) {
                    warn!("the runner of actions does not keep up: what it does not take is not run");
                }
                false
            }
            Err(_) => {
                self.socket = None;
                false
            }
        }
    }
}

/// What a worker means that was made for the actions `of`, if that is still in force: one that retires means those of the file
/// before, where the same places may have been others'.
fn meant<'a>(
    of: &'a Actions,
    in_force: &Actions,
    invocation: Invocation,
) -> Option<(&'a ActionName, Option<&'a str>)> {
    of.named(invocation).filter(|(action, argument)| in_force.find(action.as_str(), *argument).is_some())
}

impl Monitor<'_> {
    /// Has an action run that a worker asks for, by its place among the actions that it was made for. Returns whether that was
    /// handed to the runner.
    pub(super) fn invoke(&mut self, ask: &Ask, invocation: Invocation, of: &Actions, now: BootTime) -> bool {
        let Some(serving) = &self.serving else { return false };
        let profile = &ask.profile;
        let Some((action, argument)) = meant(of, &serving.config.table.to_invoke(), invocation) else {
            self.reporter.refused(profile, "ceiling", "not run: no such action in spad.toml", now);
            return false;
        };
        let what = argument.map_or_else(|| action.to_string(), |argument| format!("{action} {argument}"));
        self.tell_admitted(profile);
        let grantees: Vec<String> = ask.grantees.iter().map(ToString::to_string).collect();
        let grantee = grantees.join(" ");
        let line = format!("invoked {what} for {grantee} profile={profile}");
        let facts = Facts {
            profile: Some(profile.to_string()),
            grantee: Some(grantee),
            action: Some(action.to_string()),
            argument: argument.map(str::to_owned),
            ..Facts::default()
        };
        let handed = self.desk.tell_of_an_invocation(&line, facts);
        if handed {
            info!("{line}");
        } else {
            let why = match self.options.observe {
                true => format!("not run: {what}: spad only observes"),
                false => format!("not run: {what}: nobody runs actions (systemctl status spad-runner)"),
            };
            self.reporter.refused(profile, "runner", why, now);
        }
        handed
    }
}

#[cfg(test)]
mod tests {
    use spa_core::action::Action;

    use super::*;

    const BEGINS: Watching = Watching { monitor: 1, next: 7 };

    fn pair() -> (Seqpacket, Seqpacket) {
        Seqpacket::pair().unwrap()
    }

    fn packets(socket: &Seqpacket) -> usize {
        let mut packet = [0; 4096];
        std::iter::from_fn(|| rustix::io::read(socket, &mut packet).ok())
            .take_while(|length| *length > 0)
            .count()
    }

    #[test]
    fn a_runner_hears_where_it_begins_what_is_in_force_and_what_happens() {
        let (ours, theirs) = pair();
        let mut seat = Seat::new(false);
        assert!(!seat.tell(b"nobody is there"));
        seat.take(ours, BEGINS, Some(5));
        assert!(seat.is_taken() && seat.tell(b"event"));
        assert_eq!(packets(&theirs), 3);
        seat.attend();
        assert!(seat.is_taken(), "it has nothing to say");
        drop(theirs);
        seat.attend();
        assert!(!seat.is_taken());
    }

    #[test]
    fn a_runner_that_does_not_keep_up_misses_events_but_no_configuration() {
        let (ours, theirs) = pair();
        let mut seat = Seat::new(false);
        seat.take(ours, BEGINS, None);
        let handed = (0..100_000).take_while(|_| seat.tell(&[0; 512])).count();
        assert!(handed > 10 && handed < 100_000, "{handed}");
        assert!(seat.is_taken(), "it may catch up");
        assert_eq!(packets(&theirs), handed + 1);
        assert!(seat.tell(b"heard again"));
        while seat.tell(&[0; 512]) {}
        seat.configured(5);
        assert!(!seat.is_taken(), "it would run what another file says");
    }

    #[test]
    fn what_a_worker_means_is_said_by_its_own_file_and_must_be_in_force() {
        let actions = |all: &[(&str, &[&str])]| {
            Actions::new(all.iter().map(|(name, arguments)| Action {
                name: name.parse().unwrap(),
                arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            }))
        };
        let before = actions(&[("backup", &[]), ("wake", &["nas1", "nas2"])]);
        let inserted = actions(&[("attach", &[]), ("backup", &[]), ("wake", &["nas0", "nas1"])]);
        let at = |action, argument| Invocation { action, argument };
        #[rustfmt::skip]
        let rows = [
            // asked for, in force, meant, why
            (at(0, None),    &before,   Some(("backup", None)),       "the same file"),
            (at(0, None),    &inserted, Some(("backup", None)),       "another stands in its place now"),
            (at(1, Some(0)), &inserted, Some(("wake", Some("nas1"))), "an argument that moved"),
            (at(1, Some(1)), &inserted, None,                         "an argument that was taken away"),
            (at(2, None),    &inserted, None,                         "a place that its own file does not have"),
            (at(0, Some(0)), &before,   None,                         "an argument of one that takes none"),
            (at(0, None),    &actions(&[("wake", &[])]), None,        "an action that was taken away"),
        ];
        for (invocation, in_force, expected, why) in rows {
            let found = meant(&before, in_force, invocation);
            assert_eq!(found.map(|(action, argument)| (action.as_str(), argument)), expected, "{why}");
        }
    }

    #[test]
    fn what_is_only_observed_runs_nothing() {
        let (ours, theirs) = pair();
        let mut seat = Seat::new(true);
        seat.take(ours, BEGINS, Some(5));
        assert!(!seat.tell(b"event"));
        assert_eq!(packets(&theirs), 2);
    }
}
