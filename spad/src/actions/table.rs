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
