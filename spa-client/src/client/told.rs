//! What `--json` prints: one object on one line, for scripts. Its fields keep their names and meanings
//! (docs/man/source/spa-client.1, "JSON").

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use spa_core::receipt::Outcome;
use spa_core::request::{Open, Verb};
use spa_core::service::Service;
use spa_core::time::UnixMillis;

use super::address::Route;
use super::command::Command;
use super::knock::Plan;
use super::profile::Profile;
use super::reach::Reached;
use super::receipts::Answer;
use crate::clock::utc;
use crate::failure::Failure;
use crate::output::say;
use crate::secret_file::plain;

/// How a command went. What is not known or does not belong to it is left out.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Told {
    /// The exit status.
    status: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<Vec<String>>,
    /// What is to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<String>,
    /// Whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u64>,
    /// RFC 3339, in UTC, by this machine's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_to: Option<Vec<SocketAddr>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_send: Option<Vec<Way>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<SocketAddr>,
    /// From the first knock to the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    milliseconds: Option<f64>,
    /// What the server said, if it was asked to.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts: Option<Vec<Said>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    believed_open: Option<bool>,
}

/// Where a dry run would send to.
#[derive(Debug, PartialEq, Serialize)]
struct Way {
    to: SocketAddr,
    /// The address that the datagram states; `source` where it states none.
    #[serde(rename = "for")]
    whom: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A receipt that says that all was done.
#[derive(Debug, PartialEq, Serialize)]
struct Said {
    from: SocketAddr,
    /// The address that the server saw.
    seen: IpAddr,
    /// RFC 3339, in UTC, by the server's clock.
    time: String,
    /// The same, of an `open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl Told {
    /// What was asked of whom.
    pub(super) fn of(command: &Command, profile: &Profile) -> Self {
        let named = |services: &[Service]| Some(services.iter().map(ToString::to_string).collect());
        let asked = match &command.verb {
            Verb::Open(Open { services, .. }) => Self {
                request: Some("open"),
                services: named(services),
                window: Some(command.expected_window().as_secs()),
                ..Self::default()
            },
            Verb::Close(services) => {
                Self { request: Some("close"), services: named(services), ..Self::default() }
            }
            Verb::Invoke { action, arguments } => Self {
                request: Some("invoke"),
                action: Some(action.clone()),
                argument: arguments.first().cloned(),
                ..Self::default()
            },
            Verb::Ping => Self { request: Some("ping"), ..Self::default() },
        };
        Self { profile: Some(profile.file.name.clone()), host: Some(command.host().to_string()), ..asked }
    }

    /// With the time of the command, and the addresses that its datagrams went to.
    pub(super) fn sent(self, time: UnixMillis, to: Vec<SocketAddr>) -> Self {
        Self { time: Some(utc(time)), sent_to: Some(to), ..self }
    }

    /// With what the server said of it.
    pub(super) fn receipts(self, answers: &[Answer]) -> Self {
        let said = |Answer { server, receipt, .. }: &Answer| Said {
            from: *server,
            seen: receipt.seen,
            time: utc(receipt.time),
            until: match receipt.outcome {
                Outcome::Done { until } => until.map(utc),
                Outcome::Refused(_) => None,
            },
        };
        let receipts = (!answers.is_empty()).then(|| answers.iter().map(said).collect());
        Self { receipts, ..self }
    }

    /// With what a dry run would send.
    pub(super) fn dry(self, command: &Command, plan: &Plan, time: UnixMillis) -> Self {
        let way = |route: &Route| Way {
            to: route.server,
            whom: route
                .stated(command.allow)
                .map_or_else(|| "source".to_owned(), |stated| stated.to_string()),
            error: route.local.as_ref().err().map(plain),
        };
        let ways = plan.knocks().map(|knock| way(&knock.route)).collect();
        Self { time: Some(utc(time)), would_send: Some(ways), ..self }
    }

    /// With the service's answer.
    pub(super) fn answered(self, reached: &Reached, took: Option<Duration>) -> Self {
        let milliseconds = took.map(|took| (took.as_secs_f64() * 10_000.0).round() / 10.0);
        Self { answered: Some(reached.server), milliseconds, ..self }
    }

    /// With the belief that made a knock needless, or not.
    pub(super) fn believed(self, open: bool) -> Self {
        Self { believed_open: Some(open), ..self }
    }

    /// Why it failed.
    pub(super) fn failed(failure: &Failure) -> Self {
        Self {
            status: failure.status as u8,
            error: Some(failure.sentence.clone()),
            hint: failure.hint.clone(),
            ..Self::default()
        }
    }

    /// Prints it.
    pub(super) fn say(&self) {
        // A struct of texts and numbers always has a text.
        say(&serde_json::to_string(self).unwrap_or_default());
    }
}
