//! What happens: told to whoever watches, and kept by `spad audit`. Names and fields are never renamed (spad(8), "Events"), and
//! nothing here is ever caused by an unauthenticated datagram.

use serde::{Deserialize, Serialize};

/// What kind of event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An authentic request was admitted.
    Admitted,
    /// A door was opened.
    Opened,
    /// A door that was open stays so for longer.
    Refreshed,
    /// A door was shut.
    Closed,
    /// An authentic request, or part of one, was refused.
    Refused,
    /// An action was asked for, and handed to the runner.
    Invoked,
    /// The sessions of a door that shut were ended.
    Cut,
    /// The first worker of a monitor took over.
    Serving,
    /// Another worker took over, or was turned away.
    Reload,
    /// The firewall is as it should be again.
    Repair,
    /// Something is not as it should be.
    #[default]
    Trouble,
    /// An audit began.
    Begun,
    /// An audit missed some.
    Missed,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Admitted,
        Self::Opened,
        Self::Refreshed,
        Self::Closed,
        Self::Refused,
        Self::Invoked,
        Self::Cut,
        Self::Serving,
        Self::Reload,
        Self::Repair,
        Self::Trouble,
        Self::Begun,
        Self::Missed,
    ];

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Its stable id in systemd's journal (sd_journal_print(3), `MESSAGE_ID`).
    pub const fn message_id(self) -> &'static str {
        self.row().1
    }

    /// How much it matters (syslog(3)): 4 for a warning, 5 for what an operator did, 6 for the rest.
    pub const fn priority(self) -> u8 {
        self.row().2
    }

    #[rustfmt::skip]
    const fn row(self) -> (&'static str, &'static str, u8) {
        match self {
            Self::Admitted  => ("admitted",  "9f2d5c1e7a0b4d3896e1c4a7b85f0d01", 6),
            Self::Opened    => ("opened",    "9f2d5c1e7a0b4d3896e1c4a7b85f0d02", 6),
            Self::Refreshed => ("refreshed", "9f2d5c1e7a0b4d3896e1c4a7b85f0d03", 6),
            Self::Closed    => ("closed",    "9f2d5c1e7a0b4d3896e1c4a7b85f0d04", 6),
            Self::Refused   => ("refused",   "9f2d5c1e7a0b4d3896e1c4a7b85f0d05", 4),
            Self::Cut       => ("cut",       "9f2d5c1e7a0b4d3896e1c4a7b85f0d06", 6),
            Self::Serving   => ("serving",   "9f2d5c1e7a0b4d3896e1c4a7b85f0d07", 5),
            Self::Reload    => ("reload",    "9f2d5c1e7a0b4d3896e1c4a7b85f0d08", 5),
            Self::Repair    => ("repair",    "9f2d5c1e7a0b4d3896e1c4a7b85f0d09", 5),
            Self::Trouble   => ("trouble",   "9f2d5c1e7a0b4d3896e1c4a7b85f0d0a", 4),
            Self::Begun     => ("begun",     "9f2d5c1e7a0b4d3896e1c4a7b85f0d0b", 5),
            Self::Missed    => ("missed",    "9f2d5c1e7a0b4d3896e1c4a7b85f0d0c", 4),
            Self::Invoked   => ("invoked",   "9f2d5c1e7a0b4d3896e1c4a7b85f0d0d", 5),
        }
    }
}

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When (RFC 3339, by the server's clock).
    pub at: String,
    /// What kind.
    pub event: Kind,
    /// One sentence, as in the log.
    pub text: String,
    /// Which of this monitor's events, from 1; nothing for those of the audit itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// What is known of it.
    #[serde(flatten)]
    pub facts: Facts,
}

/// What is known of an event, as far as it has such a thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Name of the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// `tcp/22`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// An address, a prefix, or a link-local address and the index of its interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grantee: Option<String>,
    /// The only source ports: `5-7, 9`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<String>,
    /// Whole seconds for which it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// Where it leads, if not to this host's own service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<String>,
    /// Name of the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Its argument, if it was given one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
    /// Why, in one stable word: the reason of a refusal, or what closed a door.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many refusals of this kind this line stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Whether the files are in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken: Option<bool>,
    /// How many events were missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
    /// TCP connections that lived when the door shut, and what they had carried until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Bytes from the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_in: Option<u64>,
    /// Bytes to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
}

impl Facts {
    /// Of a reason alone.
    pub fn because(reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..Self::default() }
    }
}

/// Why a door was shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its time was over.
    Window,
    /// The profile that opened it.
    Asked,
    /// `spad revoke`.
    Operator,
    /// The ceiling of a new configuration.
    Configuration,
    /// Its profile is no longer served.
    Profile,
    /// The interface of a link-local door went.
    Interface,
    /// A monitor found it in the kernel as it cannot have been left there.
    Strange,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 7] = [
        Self::Window,
        Self::Asked,
        Self::Operator,
        Self::Configuration,
        Self::Profile,
        Self::Interface,
        Self::Strange,
    ];

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Asked => "asked",
            Self::Operator => "operator",
            Self::Configuration => "configuration",
            Self::Profile => "profile",
            Self::Interface => "interface",
            Self::Strange => "strange",
        }
    }

    /// In the words of the log.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Window => "its window ended",
            Self::Asked => "its profile asked for it",
            Self::Operator => "the operator revoked it",
            Self::Configuration => "spad.toml no longer allows it",
            Self::Profile => "its profile is gone",
            Self::Interface => "its interface is gone",
            Self::Strange => "it had no end, or was put back after it",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_ids_are_unique_and_what_json_says() {
        let names: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        let ids: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.message_id()).collect();
        assert_eq!((names.len(), ids.len()), (Kind::ALL.len(), Kind::ALL.len()));
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
