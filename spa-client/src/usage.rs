//! Command lines. What is wrong with one is said in one line that names what is right; nothing is guessed, because an
//! option that is mistaken for another could open the wrong door.

use std::error::Error as _;
use std::ffi::OsString;
use std::fmt::Display;
use std::num::NonZeroU16;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Parser};
use spa_core::file::fields::{BadDuration, parse_duration};

use crate::failure::Failure;
use crate::nearest::nearest;
use crate::output::say;

/// Options that other programs have for what an option of ours does: (theirs, ours).
pub(crate) type Habits = (&'static str, &'static str);

const NO_OPTION: &str = "a word that belongs to no option; did you forget -D before the server's name?";

/// Reads a command line; `None` if it asked for help or for the version, which are printed then.
///
/// - `shown`: the parser that prints the help.
pub(crate) fn parse<A: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    shown: impl FnOnce() -> Command,
    habits: &[Habits],
) -> Result<Option<A>, Failure> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let error = match A::try_parse_from(&arguments) {
        Ok(arguments) => return Ok(Some(arguments)),
        Err(error) => error,
    };
    let printed = match error.kind() {
        ErrorKind::DisplayVersion => Some(error),
        ErrorKind::DisplayHelp => shown().try_get_matches_from(&arguments).err(),
        _ => return Err(Failure::usage(sentence(&error, &meant(A::command(), &arguments), habits))),
    };
    if let Some(printed) = printed {
        say(printed.to_string().trim_end());
    }
    Ok(None)
}

/// The command whose options are meant: the last that the words name.
fn meant(mut command: Command, words: &[OsString]) -> Command {
    // So that each knows the options that hold everywhere.
    command.build();
    for word in words.iter().skip(1).filter_map(|word| word.to_str()) {
        let begins = |one: &&Command| !word.is_empty() && one.get_name().starts_with(word);
        let below = command.find_subcommand(word).or_else(|| {
            match command.get_subcommands().filter(begins).collect::<Vec<_>>()[..] {
                [only] => Some(only),
                _ => None,
            }
        });
        if let Some(below) = below {
            command = below.clone();
        }
    }
    command
}

fn sentence(error: &clap::Error, command: &Command, habits: &[Habits]) -> String {
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(typed))) => unknown(typed, command, habits),
        // A word that is no command is not quoted: it may be a secret in the wrong place.
        (ErrorKind::InvalidSubcommand, _) => match error.get(ContextKind::SuggestedSubcommand) {
            Some(ContextValue::Strings(near)) if !near.is_empty() => {
                format!("unknown command; did you mean {}?", near.join(" or "))
            }
            _ => NO_OPTION.to_owned(),
        },
        // The value is not quoted here: each kind of value says whether it may be.
        (ErrorKind::ValueValidation, Some(ContextValue::String(option))) if error.source().is_some() => {
            format!("{option}: {}", error.source().map(ToString::to_string).unwrap_or_default())
        }
        // Its first paragraph; what follows is the usage, and where to find help.
        _ => {
            let text = error.to_string();
            let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
            let paragraph = lines.collect::<Vec<_>>().join(" ");
            paragraph.strip_prefix("error: ").unwrap_or(&paragraph).to_owned()
        }
    }
}

fn unknown(typed: &str, command: &Command, habits: &[Habits]) -> String {
    // Behind an equals sign may stand a secret, and a word that is no option may be one.
    let typed = typed.split_once('=').map_or(typed, |(option, _)| option);
    if !typed.starts_with('-') {
        return NO_OPTION.to_owned();
    }
    let known = options(command);
    let longs = || known.iter().map(String::as_str).filter(|option| option.starts_with("--"));
    let meant: Vec<&str> = if let Some(&(_, ours)) = habits.iter().find(|(theirs, _)| *theirs == typed) {
        vec![ours]
    } else if typed.starts_with("--") {
        let begun: Vec<&str> = longs().filter(|option| option.starts_with(typed)).collect();
        if begun.is_empty() { nearest(typed, longs()).into_iter().collect() } else { begun }
    } else {
        // One letter has no near ones but itself in the other case.
        let short = known.iter().find(|option| option.eq_ignore_ascii_case(typed)).map(String::as_str);
        let letter = typed.trim_start_matches('-').to_ascii_lowercase();
        let begun = longs().find(|option| option.trim_start_matches('-').starts_with(&letter));
        short.or(begun).into_iter().collect()
    };
    match meant.as_slice() {
        [] => format!("unknown option {typed}; see --help"),
        [one] => format!("unknown option {typed}; did you mean {one}?"),
        [most @ .., last] => format!("ambiguous option {typed}; did you mean {} or {last}?", most.join(", ")),
    }
}

/// Every option as it is typed, in the order of the help text.
fn options(command: &Command) -> Vec<String> {
    let mut options = Vec::new();
    for argument in command.get_arguments() {
        options.extend(argument.get_long().map(|long| format!("--{long}")));
        options.extend(argument.get_short().map(|short| format!("-{short}")));
    }
    options
}

/// A span of whole seconds, as a request and the files have it.
pub(crate) fn duration(text: &str) -> Result<Duration, BadDuration> {
    Ok(Duration::from_secs(parse_duration(text)?.as_secs()))
}

/// A port.
pub(crate) fn port(text: &str) -> Result<NonZeroU16, &'static str> {
    text.parse().map_err(|_| "not a port: use a number from 1 to 65535")
}

/// All as one word; `none` where there is nothing.
pub(crate) fn listed<T: Display>(all: &[T], none: &str) -> String {
    if all.is_empty() {
        return none.to_owned();
    }
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Each once, in the order in which they were named.
pub(crate) fn without_repeats<T: Clone + PartialEq>(all: &[T]) -> Vec<T> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(one) {
            once.push(one.clone());
        }
    }
    once
}
