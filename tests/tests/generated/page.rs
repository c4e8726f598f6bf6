//! A manual page from its source: prose in roff, and directives in whose place stands what the parser knows.
//!
//! | line of the source | what it becomes |
//! |---|---|
//! | `@synopsis [--option …]` | one form of the command line for the program (with these options named) and for each command |
//! | `@command NAME` | the entry of a command: how it is typed, its help, the prose up to the next directive, its own options |
//! | `@option [COMMAND] --option` | the entry of an option or of an operand: how it is typed, its help, the prose, the default |
//! | `@commands`, `@options` | the entries of all that the source does not name, in the order of the parser; prose after it is kept |
//! | `@VERSION@` anywhere | the version of the programs |
//!
//! A section heading ends an entry, too. Entries come in the order of the source.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, Command};

/// The words of man(7) or those of mdoc(7), as the source has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Man,
    Mdoc,
}

/// A directive with the prose that belongs to it, or prose alone.
struct Part<'a> {
    directive: Option<&'a str>,
    prose: String,
}

struct Page<'a> {
    command: &'a Command,
    dialect: Dialect,
    /// Prose of entries, by what follows `@command` or `@option`.
    commands: BTreeMap<&'a str, &'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

/// The page that `source` and a parser make.
///
/// # Errors
/// A sentence when the source names what does not exist or names it twice, or has no place for what it does not name.
pub(crate) fn page(source: &str, mut command: Command, path: &str) -> Result<String, String> {
    command.build();
    let parts = parts(source);
    let dialect = if source.contains(".Dd ") { Dialect::Mdoc } else { Dialect::Man };
    let mut page = Page { command: &command, dialect, commands: BTreeMap::new(), options: BTreeMap::new() };
    for part in &parts {
        let (word, rest) = part.directive.map_or(("", ""), |line| line.split_once(' ').unwrap_or((line, "")));
        let known = match word {
            "" | "@synopsis" | "@commands" | "@options" => continue,
            "@command" => &mut page.commands,
            "@option" => &mut page.options,
            _ => return Err(format!("no directive {word}")),
        };
        if known.insert(rest, &part.prose).is_some() {
            return Err(format!("{rest} twice"));
        }
    }
    page.all_exist()?;
    for (place, needed) in [("@commands", page.leaves().next().is_some()), ("@options", true)] {
        if needed && !parts.iter().any(|part| part.directive == Some(place)) {
            return Err(format!("{place} is missing: the place for what the source does not name"));
        }
    }
    let mut text = format!(
        ".\\\" Made by `make docs` from {path} and the program's own definition of its command line: change those.\n"
    );
    for part in &parts {
        let (word, rest) = part.directive.map_or(("", ""), |line| line.split_once(' ').unwrap_or((line, "")));
        match word {
            "@synopsis" => text += &(page.synopsis(rest) + &part.prose),
            "@command" => text += &page.command(rest),
            // What belongs to a command stands in the command's entry.
            "@option" if rest.contains(' ') => {}
            "@option" => text += &page.option("", rest),
            "@commands" => {
                let forgotten = page.leaves().filter(|(path, _)| !page.commands.contains_key(path.as_str()));
                text.extend(forgotten.map(|(path, _)| page.command(&path)));
                text += &part.prose;
            }
            "@options" => {
                let own =
                    own_arguments(page.command).filter(|one| !page.options.contains_key(key(one).as_str()));
                text.extend(own.map(|one| page.option("", &key(one))));
                text += &part.prose;
            }
            _ => text += &part.prose,
        }
    }
    Ok(text.replace("@VERSION@", command.get_version().unwrap_or_default()))
}

/// Cuts the source before each directive, and before each heading.
fn parts(source: &str) -> Vec<Part<'_>> {
    let mut parts = vec![Part { directive: None, prose: String::new() }];
    let (mut lists, mut outer) = (0, 0);
    for line in source.lines() {
        if line.starts_with('@') {
            outer = lists;
            parts.push(Part { directive: Some(line), prose: String::new() });
            continue;
        }
        lists += i32::from(line.starts_with(".Bl"));
        // The end of the list that entries stand in, not of one in their prose.
        let end = line.starts_with(".El") && lists == outer;
        lists -= i32::from(line.starts_with(".El"));
        if end || [".SH", ".Sh", ".Ss"].iter().any(|heading| line.starts_with(heading)) {
            parts.push(Part { directive: None, prose: String::new() });
        }
        if let Some(part) = parts.last_mut() {
            part.prose += &format!("{line}\n");
        }
    }
    parts
}

/// What an argument is called in a source: its long option, or the name of its value.
fn key(argument: &Arg) -> String {
    argument.get_long().map_or_else(|| value_name(argument), |long| format!("--{long}"))
}

fn value_name(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let names: Vec<&str> = names.iter().map(clap::builder::Str::as_str).collect();
    if names.is_empty() { argument.get_id().as_str().to_uppercase() } else { names.join(" ") }
}

fn takes_value(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
}

/// The visible arguments of a command, without those that it has from the program and without --help.
fn own_arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let inner = command.get_bin_name().is_some_and(|name| name.contains(' '));
    let inherited = move |one: &Arg| inner && (one.is_global_set() || one.get_id() == "help");
    command.get_arguments().filter(move |one| !one.is_hide_set() && !inherited(one))
}

/// A value, or several of which one is meant.
fn italic(value: &str) -> String {
    let words: Vec<_> = value.split('|').map(|one| format!("\\fI{}\\fR", escape(one))).collect();
    words.join("|")
}

impl Page<'_> {
    /// Every command that does something by itself, with the words that it is typed with.
    fn leaves(&self) -> impl Iterator<Item = (String, &Command)> {
        let mut leaves = Vec::new();
        collect(self.command, "", &mut leaves);
        leaves.into_iter()
    }

    fn find(&self, path: &str) -> Option<&Command> {
        if path.is_empty() {
            return Some(self.command);
        }
        path.split(' ').try_fold(self.command, |command, word| command.find_subcommand(word))
    }

    fn all_exist(&self) -> Result<(), String> {
        for path in self.commands.keys() {
            if !self.leaves().any(|(one, _)| one == **path) {
                return Err(format!("no command {path}"));
            }
        }
        for path in self.options.keys() {
            let (command, option) = path.rsplit_once(' ').unwrap_or(("", path));
            let exists = |command| own_arguments(command).any(|one| key(one) == option);
            if !self.find(command).is_some_and(exists) {
                return Err(format!("no option {path}"));
            }
        }
        Ok(())
    }

    fn synopsis(&self, named: &str) -> String {
        let mut forms = vec![self.form(self.command, "", &named.split_whitespace().collect::<Vec<_>>())];
        forms.extend(self.leaves().map(|(path, command)| self.form(command, &path, &[])));
        forms.join(if self.dialect == Dialect::Man { ".PP\n" } else { "" })
    }

    /// How one command is typed: what it needs, what of its own it may have, and that there are options for all.
    fn form(&self, command: &Command, path: &str, named: &[&str]) -> String {
        let man = self.dialect == Dialect::Man;
        let name = self.command.get_name();
        let mut words = vec![match (man, path.is_empty()) {
            (true, true) => format!("\\fB{}\\fR", escape(name)),
            (true, false) => format!("\\fB{} {}\\fR", escape(name), escape(path)),
            (false, true) => ".Nm".to_owned(),
            (false, false) => format!(".Nm\n.Cm {path}"),
        }];
        let optional = |one: &&Arg| {
            let own = !path.is_empty() && !one.is_positional() || named.contains(&key(one).as_str());
            !one.is_required_set() && (own || one.is_positional())
        };
        let (operands, options): (Vec<&Arg>, Vec<&Arg>) = own_arguments(command)
            .filter(|one| one.is_required_set() || optional(one))
            .partition(|one| one.is_positional());
        // The command behind the two dashes comes after everything else.
        let (last, first): (Vec<&Arg>, Vec<&Arg>) = operands.into_iter().partition(|one| one.is_last_set());
        for one in first.into_iter().chain(options) {
            let (open, close) = if one.is_required_set() { ("", "") } else { ("[", "]") };
            words.push(match (man, one.is_required_set()) {
                (true, _) => format!("{open}{}{close}", self.typed(one, false)),
                (false, true) => format!(".{}", self.typed(one, false)),
                (false, false) => format!(".Op {}", self.typed(one, false)),
            });
        }
        words.push(if man { "[\\fIOPTION\\fR]...".to_owned() } else { ".Op Ar OPTION ...".to_owned() });
        words.extend(last.into_iter().map(|one| self.typed(one, false)));
        words.join(if man { " " } else { "\n" }) + "\n"
    }

    /// An argument as it is typed, in roff; in entries of options with its short form, too.
    fn typed(&self, argument: &Arg, both: bool) -> String {
        let value = value_name(argument);
        let names = argument.get_value_names().map_or(1, |names| names.len().max(1));
        let many = argument.get_num_args().is_some_and(|range| range.max_values() > names)
            || argument.is_positional() && matches!(argument.get_action(), ArgAction::Append);
        if self.dialect == Dialect::Mdoc {
            let long = argument.get_long().map(|long| format!("-{long}"));
            let short =
                argument.get_short().map(|short| short.to_string()).filter(|_| both || long.is_none());
            let flags: Vec<String> = short.into_iter().chain(long).collect();
            let mut words = if flags.is_empty() { vec![] } else { vec![format!("Fl {}", flags.join(" , "))] };
            if takes_value(argument) {
                words.push(format!("Ar {value}"));
            }
            return words.join(" ") + if many { " ..." } else { "" };
        }
        let value = if names > 1 { Self::values(argument) } else { italic(&value) };
        let more = if many { "..." } else { "" };
        if argument.is_positional() {
            return if argument.is_last_set() {
                format!("\\-\\- {value}{more}")
            } else {
                format!("{value}{more}")
            };
        }
        let long = argument.get_long().map(|long| format!("\\fB\\-\\-{}\\fR", escape(long)));
        let short = argument.get_short().map(|short| format!("\\fB\\-{short}\\fR"));
        let short = short.filter(|_| both || long.is_none());
        let flags: Vec<String> = short.into_iter().chain(long).collect();
        let flags = flags.join(", ");
        let may_be_left_out = argument.get_num_args().is_some_and(|range| range.min_values() == 0);
        match (takes_value(argument), may_be_left_out) {
            (false, _) => flags,
            (true, true) => format!("{flags}[={value}]"),
            (true, false) => format!("{flags} {value}{more}"),
        }
    }

    /// Several values with names of their own, those in brackets that may be left out.
    fn values(argument: &Arg) -> String {
        let least = argument.get_num_args().map_or(0, |range| range.min_values());
        let names = argument.get_value_names().unwrap_or_default().iter().enumerate();
        let words = names.map(|(at, name)| match italic(name) {
            word if at < least => word,
            word => format!("[{word}]"),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// The entry of a command, with its own options.
    fn command(&self, path: &str) -> String {
        let Some(command) = self.find(path) else { return String::new() };
        let man = self.dialect == Dialect::Man;
        let operands: Vec<&Arg> =
            own_arguments(command).filter(|one| one.is_positional() || one.is_required_set()).collect();
        let typed = operands.iter().map(|one| {
            let typed = self.typed(one, false);
            match (man, one.is_required_set()) {
                (_, true) => typed,
                (true, false) => format!("[{typed}]"),
                (false, false) => format!("Op {typed}"),
            }
        });
        let typed = typed.map(|word| format!(" {word}")).collect::<String>();
        let mut text = if man {
            format!(".TP\n\\fB{}\\fR{typed}\n", escape(path))
        } else {
            format!(".It Cm {path}{typed}\n")
        };
        text += &sentence(command.get_about().map(ToString::to_string).unwrap_or_default().as_str()).0;
        text += self.commands.get(path).copied().unwrap_or_default();
        let own: String = own_arguments(command)
            .filter(|one| {
                !one.is_positional() || self.options.contains_key(format!("{path} {}", key(one)).as_str())
            })
            .map(|one| self.option(path, &key(one)))
            .collect();
        match (own.is_empty(), man) {
            (true, _) => text,
            (false, true) => text + ".RS\n" + &own + ".RE\n",
            (false, false) => text + ".Bl -tag -width Ds\n" + &own + ".El\n",
        }
    }

    /// The entry of an option or operand of the command (of the program where that is empty).
    fn option(&self, path: &str, name: &str) -> String {
        let name = name.rsplit(' ').next().unwrap_or(name);
        let found = self.find(path).and_then(|command| own_arguments(command).find(|one| key(one) == name));
        let Some(argument) = found else { return String::new() };
        let typed = self.typed(argument, true);
        let mut text =
            if self.dialect == Dialect::Man { format!(".TP\n{typed}\n") } else { format!(".It {typed}\n") };
        let (help, told) = sentence(&argument.get_help().map(ToString::to_string).unwrap_or_default());
        text += &help;
        if !argument.is_hide_possible_values_set() && takes_value(argument) {
            let values: Vec<String> = argument
                .get_possible_values()
                .iter()
                .filter(|value| !value.is_hide_set())
                .map(|value| format!("\\fB{}\\fR", escape(value.get_name())))
                .collect();
            if !values.is_empty() {
                text += &format!("One of {}.\n", values.join(", "));
            }
        }
        let entry = if path.is_empty() { name.to_owned() } else { format!("{path} {name}") };
        text += self.options.get(entry.as_str()).copied().unwrap_or_default();
        let set: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = told.or_else(|| (!set.is_empty() && takes_value(argument)).then(|| set.join(",")));
        text + &default.map(|default| format!("Default: {}.\n", markup(&default))).unwrap_or_default()
    }
}

/// Commands that group others are not typed alone, and have no entry.
fn collect<'a>(command: &'a Command, path: &str, leaves: &mut Vec<(String, &'a Command)>) {
    for inner in command.get_subcommands() {
        if inner.is_hide_set() || inner.get_name() == "help" {
            continue;
        }
        let path = format!("{path} {}", inner.get_name()).trim().to_owned();
        if !inner.is_subcommand_required_set() {
            leaves.push((path.clone(), inner));
        }
        collect(inner, &path, leaves);
    }
}

/// A line of help as a sentence of roff, and the default that it tells in square brackets.
fn sentence(help: &str) -> (String, Option<String>) {
    let (help, default) = match help.split_once(" [default: ") {
        Some((help, default)) => (help, Some(default.trim_end_matches(']').to_owned())),
        None => (help, None),
    };
    if help.is_empty() {
        return (String::new(), default);
    }
    let end = if help.ends_with(['.', '?', '!']) { "" } else { "." };
    // A new sentence begins a new line, so that roff sets the space between two.
    (format!("{}{end}\n", markup(help).replace(". ", ".\n")), default)
}

/// Plain text for roff: what stands in back-quotes, and options, in bold.
fn markup(text: &str) -> String {
    let mut roff = String::new();
    for (at, piece) in text.split('`').enumerate() {
        if at % 2 == 1 {
            roff += &format!("\\fB{}\\fR", escape(piece));
            continue;
        }
        for word in piece.split_inclusive(' ') {
            let end = word.trim_end_matches([' ', ',', '.', ';', ':']).len();
            let (option, rest) = word.split_at(end);
            let is_option = option.starts_with('-') && option.len() > 1;
            // The dash of a range or a file name is typed; that of a word is a hyphen.
            let is_typed = option.contains(|c: char| c.is_ascii_digit() || "/.".contains(c));
            roff += &match (is_option, is_typed) {
                (true, _) => format!("\\fB{}\\fR{rest}", escape(option)),
                (false, true) => escape(word),
                (false, false) => word.replace('\\', "\\e"),
            };
        }
    }
    // A line that begins like this would be a request to roff.
    if roff.starts_with(['.', '\'']) { format!("\\&{roff}") } else { roff }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
