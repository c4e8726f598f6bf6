//! What an event has run, and what the command learns of it.

use std::time::Duration;

use spa_core::action::ActionName;
use spa_core::file::fields::{parse_moment, write_moment};

use super::table::{Action, Table};
use crate::operator::event::{Event, Kind};

/// What causes a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Occasion {
    /// A door was opened.
    Open,
    /// It stays open for longer.
    Refresh,
    /// It was shut.
    Close,
    /// An authentic request was refused.
    Refuse,
    /// A client asked for it.
    Invoke,
}

impl Occasion {
    /// Its name in `SPAD_EVENT`, and behind `on_`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Refresh => "refresh",
            Self::Close => "close",
            Self::Refuse => "refuse",
            Self::Invoke => "invoke",
        }
    }

    /// That of an event; most have none.
    pub(super) const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Opened => Some(Self::Open),
            Kind::Refreshed => Some(Self::Refresh),
            Kind::Closed => Some(Self::Close),
            Kind::Refused => Some(Self::Refuse),
            Kind::Invoked => Some(Self::Invoke),
            _ => None,
        }
    }
}

/// One command to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) action: ActionName,
    pub(super) occasion: Occasion,
    /// Appended to the words of the action.
    pub(super) argument: Option<String>,
    /// Names and values, and nothing else but `PATH`.
    pub(super) environment: Vec<(&'static str, String)>,
}

/// What this event has run. Of an invocation the name and the argument are looked up again, in the runner's own copy of the
/// table: whoever tells events can have nothing run that does not stand there.
pub(super) fn wanted(table: &Table, event: &Event) -> Vec<Wanted> {
    let Some(occasion) = Occasion::of(event.event) else { return Vec::new() };
    let argument = event.facts.argument.clone();
    let names: Vec<&ActionName> = match occasion {
        Occasion::Invoke => {
            let asked = event.facts.action.as_deref().unwrap_or_default();
            let takes =
                |action: &Action| argument.as_ref().is_none_or(|word| action.arguments.contains(word));
            let known = table.actions.iter().filter(|(name, action)| name.as_str() == asked && takes(action));
            known.map(|(name, _)| name).collect()
        }
        _ => table.hooks.get(&occasion).into_iter().flatten().collect(),
    };
    let run = |action: &ActionName| Wanted {
        action: action.clone(),
        occasion,
        argument: argument.clone(),
        environment: environment(action, occasion, event),
    };
    names.into_iter().map(run).collect()
}

fn environment(action: &ActionName, occasion: Occasion, event: &Event) -> Vec<(&'static str, String)> {
    let facts = &event.facts;
    let until = facts.window.and_then(|window| {
        Some(write_moment(parse_moment(&event.at).ok()?.plus(Duration::from_secs(window))))
    });
    let known = [
        ("SPAD_PROFILE", facts.profile.clone()),
        ("SPAD_ADDRESS", facts.grantee.clone()),
        ("SPAD_SERVICE", facts.service.clone()),
        ("SPAD_WINDOW", facts.window.map(|window| window.to_string())),
        ("SPAD_UNTIL", until),
        ("SPAD_REASON", facts.reason.clone()),
        ("SPAD_TIMES", facts.times.map(|times| times.to_string())),
        ("SPAD_ARGUMENT", facts.argument.clone()),
    ];
    let always = [("SPAD_ACTION", action.to_string()), ("SPAD_EVENT", occasion.name().to_owned())];
    always.into_iter().chain(known.into_iter().filter_map(|(name, value)| Some((name, value?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::operator::event::Facts;

    fn table() -> Table {
        let text = "format = 1\n[capture]\ninterfaces = [\"eth0\"]\n[firewall]\nprotect = []\n\
                    [action.log]\nargv = [\"/bin/true\"]\n[action.wake]\nargv = [\"/bin/true\"]\narguments = [\"nas1\"]\n\
                    [hooks]\non_open = [\"log\", \"wake\"]\non_refuse = [\"log\"]\n";
        Config::parse(text).unwrap().table
    }

    fn event(event: Kind, facts: Facts) -> Event {
        Event { at: "2026-11-21T23:59:50Z".into(), event, facts, ..Event::default() }
    }

    fn invoked(action: &str, argument: Option<&str>) -> Event {
        let (action, argument) = (Some(action.to_owned()), argument.map(str::to_owned));
        event(Kind::Invoked, Facts { action, argument, ..Facts::default() })
    }

    #[test]
    fn an_event_has_run_what_its_hook_names_and_an_invocation_what_the_table_has() {
        #[rustfmt::skip]
        let rows = [
            (event(Kind::Opened, Facts::default()),    vec!["log", "wake"], "in their order"),
            (event(Kind::Refused, Facts::default()),   vec!["log"],         "another hook"),
            (event(Kind::Closed, Facts::default()),    vec![],              "no hook"),
            (event(Kind::Admitted, Facts::default()),  vec![],              "no occasion"),
            (event(Kind::Trouble, Facts::default()),   vec![],              "no occasion either"),
            (invoked("wake", None),                    vec!["wake"],        "without its argument"),
            (invoked("wake", Some("nas1")),            vec!["wake"],        "with one of its list"),
            (invoked("wake", Some("nas2")),            vec![],              "not in the list"),
            (invoked("halt", None),                    vec![],              "not in the table"),
            (event(Kind::Invoked, Facts::default()),   vec![],              "no name at all"),
        ];
        for (event, names, why) in rows {
            let wanted = wanted(&table(), &event);
            assert_eq!(wanted.iter().map(|run| run.action.as_str()).collect::<Vec<_>>(), names, "{why}");
        }
    }

    #[test]
    fn the_environment_says_what_is_known_and_until_when() {
        let facts = Facts {
            profile: Some("laptop".into()),
            service: Some("tcp/22".into()),
            grantee: Some("192.0.2.7".into()),
            window: Some(30),
            ..Facts::default()
        };
        let run = &wanted(&table(), &event(Kind::Opened, facts))[0];
        let said: Vec<String> =
            run.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = [
            "SPAD_ACTION=log",
            "SPAD_EVENT=open",
            "SPAD_PROFILE=laptop",
            "SPAD_ADDRESS=192.0.2.7",
            "SPAD_SERVICE=tcp/22",
            "SPAD_WINDOW=30",
            "SPAD_UNTIL=2026-11-22T00:00:20Z",
        ];
        assert_eq!(said, expected);
        let facts = Facts { times: Some(12), ..Facts::because("skewed") };
        let run = &wanted(&table(), &event(Kind::Refused, facts))[0];
        assert!(run.environment.contains(&("SPAD_TIMES", "12".to_owned())));
        assert!(run.environment.contains(&("SPAD_REASON", "skewed".to_owned())));
    }
}
