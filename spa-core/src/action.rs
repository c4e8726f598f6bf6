//! Named actions: what a request may have run on the server, by its name and with one argument of a list at most. What is
//! run, the server's own configuration says; of a request no text goes further than this file.

use std::fmt;
use std::str::FromStr;

use crate::name::is_name;

/// 1 to 32 letters, digits, dots, dashes and underscores, the first no dot and no dash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionName(String);

/// Text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of an action: use 1 to 32 letters, digits, dots, dashes and underscores, the first no dot and no dash"
)]
pub struct BadActionName(String);

impl ActionName {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ActionName {
    type Err = BadActionName;

    fn from_str(text: &str) -> Result<Self, BadActionName> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(BadActionName(text.to_owned())) }
    }
}

/// An action, as far as a request can name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its name.
    pub name: ActionName,
    /// What may be appended: one of these, or nothing.
    pub arguments: Vec<String>,
}

/// Which action, and which of its arguments: places in the [`Actions`] of one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Place of the action.
    pub action: u8,
    /// Place of the argument among those of the action.
    pub argument: Option<u8>,
}

/// All that a configuration names, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actions(Vec<Action>);

impl Actions {
    /// Most actions, and most arguments of one.
    pub const MOST: usize = 64;

    /// These, put in order.
    pub fn new(actions: impl IntoIterator<Item = Action>) -> Self {
        let mut actions: Vec<Action> = actions.into_iter().collect();
        actions.sort_by(|one, other| one.name.cmp(&other.name));
        Self(actions)
    }

    /// Which one this is, if there is an action of that name, and it takes that argument.
    pub fn find(&self, name: &str, argument: Option<&str>) -> Option<Invocation> {
        let place = self.0.iter().position(|action| action.name.as_str() == name)?;
        let argument = match argument {
            None => None,
            Some(asked) => {
                let place = self.0.get(place)?.arguments.iter().position(|known| known == asked)?;
                Some(u8::try_from(place).ok()?)
            }
        };
        Some(Invocation { action: u8::try_from(place).ok()?, argument })
    }

    /// What this means here: the action, and the argument. `None` if there is no such place.
    pub fn named(&self, invocation: Invocation) -> Option<(&ActionName, Option<&str>)> {
        let action = self.0.get(usize::from(invocation.action))?;
        let argument = match invocation.argument {
            None => None,
            Some(place) => Some(action.arguments.get(usize::from(place))?.as_str()),
        };
        Some((&action.name, argument))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions() -> Actions {
        let action = |name: &str, arguments: &[&str]| Action {
            name: name.parse().unwrap(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        };
        Actions::new([action("wake", &["nas1", "nas2"]), action("backup", &[])])
    }

    #[test]
    fn an_action_is_found_by_its_name_and_an_argument_of_its_list() {
        let found = |action, argument| Some(Invocation { action, argument });
        #[rustfmt::skip]
        let rows = [
            // name, argument, found, why
            ("backup", None,         found(0, None),    "in the order of the names"),
            ("wake",   None,         found(1, None),    "an argument may be left away"),
            ("wake",   Some("nas2"), found(1, Some(1)), "the second"),
            ("wake",   Some("nas3"), None,              "not in its list"),
            ("wake",   Some(""),     None,              "nothing is not an argument"),
            ("wake",   Some("nas"),  None,              "part of one"),
            ("backup", Some("nas1"), None,              "another's"),
            ("Wake",   None,         None,              "letters count"),
            ("",       None,         None,              "no name"),
        ];
        for (name, argument, expected, why) in rows {
            let invocation = actions().find(name, argument);
            assert_eq!(invocation, expected, "{why}");
            if let Some(invocation) = invocation {
                let actions = actions();
                let (named, with) = actions.named(invocation).unwrap();
                assert_eq!((named.as_str(), with), (name, argument), "{why}");
            }
        }
    }

    #[test]
    fn a_place_that_is_none_names_nothing() {
        for (action, argument) in [(2, None), (u8::MAX, None), (0, Some(0)), (1, Some(2)), (1, Some(u8::MAX))]
        {
            assert_eq!(actions().named(Invocation { action, argument }), None, "{action} {argument:?}");
        }
    }

    #[test]
    fn a_name_can_stand_in_a_log_and_in_an_environment() {
        for (text, good) in
            [("wake-nas", true), ("7", true), ("", false), ("-x", false), (".x", false), ("a b", false)]
        {
            assert_eq!(text.parse::<ActionName>().is_ok(), good, "{text:?}");
        }
        assert!("a".repeat(33).parse::<ActionName>().is_err());
    }
}
