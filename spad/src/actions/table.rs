//! `[action.NAME]` and `[hooks]` of spad.toml: all that can be said of them without looking at the host.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use spa_core::action::{self, ActionName, Actions};
use spa_core::file::fields;

use super::Occasion;

/// Words of a command.
const MOST_WORDS: usize = 64;
/// Bytes of all of them.
const MOST_BYTES: usize = 8 * 1024;
/// Bytes of an argument: no request can name a longer one.
const MOST_ARGUMENT: usize = 128;
/// How long a command may take: never longer than this.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// A command and what it runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The program by its whole path, and its words.
    pub argv: Vec<String>,
    /// One of these may follow, where a client invokes it.
    pub arguments: Vec<String>,
    /// Whose rights it has.
    pub user: String,
    /// Its group, if not the user's own.
    pub group: Option<String>,
    /// Killed after so long.
    pub limit: Duration,
}

/// What spad.toml says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// By name.
    pub actions: BTreeMap<ActionName, Action>,
    /// What is run by itself.
    pub hooks: BTreeMap<Occasion, Vec<ActionName>>,
}

/// `[action.NAME]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActionTable {
    argv: Vec<String>,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default = "nobody")]
    user: String,
    group: Option<String>,
    #[serde(default = "soon", deserialize_with = "fields::duration")]
    limit: Duration,
}

/// `[hooks]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HooksTable {
    #[serde(default, deserialize_with = "fields::texts")]
    on_open: Vec<ActionName>,
    #[serde(default, deserialize_with = "fields::texts")]
    on_refresh: Vec<ActionName>,
    #[serde(default, deserialize_with = "fields::texts")]
    on_close: Vec<ActionName>,
    #[serde(default, deserialize_with = "fields::texts")]
    on_refuse: Vec<ActionName>,
}

fn nobody() -> String {
    "nobody".to_owned()
}

const fn soon() -> Duration {
    Duration::from_secs(10)
}

impl Table {
    /// What the two tables of the file say together.
    ///
    /// # Errors
    /// One sentence, which names the field.
    pub(crate) fn new(actions: BTreeMap<String, ActionTable>, hooks: HooksTable) -> Result<Self, String> {
        if actions.len() > Actions::MOST {
            return Err(format!("[action]: {} actions, {} at most", actions.len(), Actions::MOST));
        }
        let named = actions.into_iter().map(|(name, table)| {
            let name: ActionName = name.parse().map_err(|error| format!("[action]: {error}"))?;
            let action = table.read().map_err(|why| format!("action.{name}.{why}"))?;
            Ok((name, action))
        });
        let actions = named.collect::<Result<BTreeMap<_, _>, String>>()?;
        let HooksTable { on_open, on_refresh, on_close, on_refuse } = hooks;
        let hooks = [
            (Occasion::Open, on_open),
            (Occasion::Refresh, on_refresh),
            (Occasion::Close, on_close),
            (Occasion::Refuse, on_refuse),
        ];
        for (occasion, names) in &hooks {
            if let Some(name) = names.iter().find(|name| !actions.contains_key(*name)) {
                return Err(format!("hooks.on_{}: there is no [action.{name}]", occasion.name()));
            }
            if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
                return Err(format!("hooks.on_{} names an action twice", occasion.name()));
            }
        }
        let hooks = hooks.into_iter().filter(|(_, names)| !names.is_empty()).collect();
        Ok(Self { actions, hooks })
    }

    /// What a request can name of it.
    pub fn to_invoke(&self) -> Actions {
        Actions::new(
            self.actions.iter().map(|(name, action)| action::Action {
                name: name.clone(),
                arguments: action.arguments.clone(),
            }),
        )
    }

    /// Whether there is anything to run.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }
}

impl ActionTable {
    fn read(self) -> Result<Action, String> {
        let Self { argv, arguments, user, group, limit } = self;
        if !argv.first().is_some_and(|program| program.starts_with('/')) {
            return Err(
                "argv begins with the whole path of a program, like [\"/usr/bin/logger\", \"hello\"]"
                    .to_owned(),
            );
        }
        let all = argv.iter().map(String::len).sum::<usize>();
        if argv.len() > MOST_WORDS || all > MOST_BYTES {
            return Err(format!("argv has more than {MOST_WORDS} words, or more than {MOST_BYTES} bytes"));
        }
        if argv.iter().any(|word| word.contains('\0')) {
            return Err("argv holds a NUL, which no program can be given".to_owned());
        }
        if arguments.len() > Actions::MOST
            || arguments.iter().collect::<BTreeSet<_>>().len() < arguments.len()
        {
            return Err(format!("arguments has more than {} words, or one twice", Actions::MOST));
        }
        let odd =
            |word: &&String| !(1..=MOST_ARGUMENT).contains(&word.len()) || word.contains(char::is_control);
        if let Some(word) = arguments.iter().find(odd) {
            return Err(format!(
                "arguments: {word:?} is not 1 to {MOST_ARGUMENT} bytes without control characters"
            ));
        }
        if limit > LONGEST {
            return Err("limit is longer than 1h".to_owned());
        }
        Ok(Action { argv, arguments, user, group, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const GOOD: &str = "format = 1\n[capture]\ninterfaces = [\"eth0\"]\n[firewall]\nprotect = []\n";

    #[test]
    fn actions_and_hooks_are_read_and_what_cannot_be_run_is_refused() {
        let long = format!("[action.a]\nargv = [\"/bin/true\", \"{}\"]", "x".repeat(8192));
        let many: String = (0..65).map(|n| format!("[action.a{n}]\nargv = [\"/bin/true\"]\n")).collect();
        #[rustfmt::skip]
        let rows = [
            // text, a part of the refusal; none where all is well
            ("[action.a]\nargv = [\"/bin/true\"]",                                     None),
            ("[action.a]\nargv = [\"/bin/true\"]\n[hooks]\non_open = [\"a\"]",         None),
            ("[action.a]\nargv = [\"/bin/true\"]\nlimit = \"1h\"",                     None),
            ("[hooks]\non_open = []",                                                  None),
            ("[action.a]",                                                             Some("missing field `argv`")),
            ("[action.a]\nargv = []",                                                  Some("action.a.argv begins with the whole path")),
            ("[action.a]\nargv = [\"true\"]",                                          Some("action.a.argv begins with the whole path")),
            ("[action.a]\nargv = [\"./true\"]",                                        Some("action.a.argv begins with the whole path")),
            ("[action.a]\nargv = [\"/bin/echo\", \"\\u0000\"]",                        Some("action.a.argv holds a NUL")),
            (&long,                                                                    Some("more than 8192 bytes")),
            (&many,                                                                    Some("65 actions, 64 at most")),
            ("[action.\"a b\"]\nargv = [\"/bin/true\"]",                               Some("\"a b\" is not the name of an action")),
            ("[action.a]\nargv = [\"/bin/true\"]\narguments = [\"\"]",                 Some("action.a.arguments: \"\" is not 1 to 128 bytes")),
            ("[action.a]\nargv = [\"/bin/true\"]\narguments = [\"x\\n\"]",             Some("without control characters")),
            ("[action.a]\nargv = [\"/bin/true\"]\narguments = [\"x\", \"x\"]",         Some("or one twice")),
            ("[action.a]\nargv = [\"/bin/true\"]\nlimit = \"61m\"",                    Some("action.a.limit is longer than 1h")),
            ("[action.a]\nargv = [\"/bin/true\"]\nlimit = \"1ms\"",                    Some("is not a duration of at least a second")),
            ("[action.a]\nargv = [\"/bin/true\"]\nshell = true",                       Some("unknown field `shell`")),
            ("[hooks]\non_open = [\"b\"]",                                             Some("hooks.on_open: there is no [action.b]")),
            ("[action.a]\nargv = [\"/bin/true\"]\n[hooks]\non_close = [\"a\", \"a\"]", Some("hooks.on_close names an action twice")),
            ("[hooks]\non_start = []",                                                 Some("unknown field `on_start`")),
        ];
        for (text, refusal) in rows {
            let parsed = Config::parse(&format!("{GOOD}{text}\n"));
            match (parsed, refusal) {
                (Ok(_), None) => {}
                (Err(fault), Some(part)) if fault.reason.contains(part) => {}
                (parsed, _) => panic!("{text}: {:?}", parsed.map(|config| config.table)),
            }
        }
        let config = Config::parse(&format!("{GOOD}[action.a]\nargv = [\"/bin/true\"]\n")).unwrap();
        let action = config.table.actions.values().next().unwrap();
        assert_eq!((action.user.as_str(), action.limit), ("nobody", Duration::from_secs(10)));
        assert_eq!(action.group, None, "the user's own");
    }
}
