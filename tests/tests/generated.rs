//! What is made from the parsers' own definitions and committed: the manual pages of the programs, the completions of three
//! shells, and what `--help` prints. A test makes each anew and compares; `make docs` (`UPDATE=1`) writes it instead.

mod generated {
    pub(crate) mod page;
}

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command as Process;

use clap::Command;
use clap_complete::Shell;
use generated::page;
use lab::repository;

/// The programs, as their parsers see them, and their manual pages.
fn programs() -> [(Command, &'static str); 3] {
    [
        (spa_client::client::command_line(), "spa-client.1"),
        (spa_client::keygen::command_line(), "spa-keygen.1"),
        (<spad::arguments::Arguments as clap::CommandFactory>::command(), "spad.8"),
    ]
}

/// Compares a committed file with what it should be, or writes it where `UPDATE` is set.
fn committed(path: &str, text: &str) {
    let file = repository().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().expect("a file lies in a folder")).expect("the folder can be made");
        // At once, because another test may be reading it.
        let new = PathBuf::from(format!("{}.new", file.display()));
        fs::write(&new, text).unwrap_or_else(|error| panic!("{path}: {error}"));
        fs::rename(&new, &file).unwrap_or_else(|error| panic!("{path}: {error}"));
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    if found == text {
        return;
    }
    let pairs = found.lines().zip(text.lines()).enumerate();
    let first = pairs.into_iter().find(|(_, (found, text))| found != text).map_or(0, |(at, _)| at);
    let line = |text: &str| text.lines().nth(first).unwrap_or("(the end)").to_owned();
    panic!(
        "{path}:{}: says\n  {}\nand should say\n  {}\nhint: `make docs` writes it anew",
        first + 1,
        line(&found),
        line(text)
    );
}

#[test]
fn manual_pages_are_what_the_parsers_make_of_their_sources() {
    for (command, name) in programs() {
        let path = format!("docs/man/source/{name}");
        let source = fs::read_to_string(repository().join(&path)).expect("the source is there");
        let text = page::page(&source, command, &path).unwrap_or_else(|wrong| panic!("{path}: {wrong}"));
        committed(&format!("docs/man/{name}"), &text);
    }
}

#[test]
fn an_option_or_command_that_a_source_names_must_exist_and_those_it_forgets_stand_there_all_the_same() {
    let command = || spa_client::client::command_line();
    let bare =
        page::page(".SH COMMANDS\n@commands\n.SH OPTIONS\n@options\n", command(), "x").expect("a page");
    for (word, why) in [
        ("\\fB\\-\\-access\\fR \\fISERVICE\\fR", "an option"),
        ("\\fBconnect\\fR \\fIHOST\\fR \\fIPORT\\fR", "a command"),
        ("\\fBrun\\fR \\-\\- \\fICOMMAND\\fR...", "a command with a command"),
        ("\\fB\\-\\-wait\\fR[=\\fITIME\\fR]", "a value that may be left out"),
    ] {
        assert!(bare.contains(word), "{why}: {word} in\n{bare}");
    }
    #[rustfmt::skip]
    let rows = [
        // source, what is wrong with it
        ("@option --acces\nProse.\n@commands\n@options\n", "no option --acces"),
        ("@command conect\nProse.\n@commands\n@options\n", "no command conect"),
        ("@option connect --json\n@commands\n@options\n",  "no option connect --json"),
        ("@oops\n",                                        "no directive @oops"),
        ("@options\n",                                     "@commands is missing"),
        ("@commands\n",                                    "@options is missing"),
        ("@option --wait\n@option --wait\n",               "--wait twice"),
    ];
    for (source, wrong) in rows {
        let said = page::page(source, command(), "x").expect_err(source);
        assert!(said.contains(wrong), "{source}: {said}");
    }
}

/// Every `--option` in a text.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

/// Every option that the program or a command of it has.
fn known(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|one| Some(format!("--{}", one.get_long()?)));
    own.chain(command.get_subcommands().flat_map(known)).collect()
}

#[test]
fn a_manual_page_speaks_of_no_option_that_no_program_has() {
    // Of other programs, in examples.
    let foreign = ["--unit", "--on-active", "--noflush"].map(str::to_owned);
    let all: BTreeSet<String> = programs()
        .into_iter()
        .flat_map(|(mut command, _)| {
            command.build();
            known(&command)
        })
        .chain(foreign)
        .collect();
    for name in ["spa-client.1", "spa-keygen.1", "spad.8", "spad.toml.5"] {
        let page = fs::read_to_string(repository().join("docs/man").join(name)).expect("the page is there");
        let plain = page.replace("\\-", "-").replace("\\fB", " ").replace("\\fR", " ").replace("Fl -", "--");
        let unknown: Vec<_> = options(&plain).difference(&all).cloned().collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
}

/// The program's help and that of each of its commands, as they are printed.
fn help(program: &Command, command: &Command, path: &str, text: &mut String) {
    let words = path.split(' ').chain(["--help"]);
    let printed = program.clone().try_get_matches_from(words).expect_err("help ends the parsing");
    *text += &format!("$ {path} --help\n{printed}\n");
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
    {
        help(program, inner, &format!("{path} {}", inner.get_name()), text);
    }
}

#[test]
fn what_help_prints_is_reviewed() {
    // Whatever terminal the tests are run in.
    let [client, keygen, spad] = programs().map(|(command, _)| command.term_width(100));
    for command in [spa_client::client::helping(client), keygen, spad] {
        let name = command.get_name().to_owned();
        let mut text = String::new();
        help(&command, &command, &name, &mut text);
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        committed(&format!("tests/snapshots/help-{name}.txt"), &(lines.join("\n") + "\n"));
    }
}

/// Where a shell looks for the completions of a program, below `share`, and the file's name here.
fn completion_file(shell: Shell, program: &str) -> String {
    match shell {
        Shell::Zsh => format!("_{program}"),
        Shell::Fish => format!("{program}.fish"),
        _ => format!("{program}.bash"),
    }
}

/// A built command as its help shows it: without hidden options, which the completions of some shells would offer, and with
/// those of the whole program only where they are of use.
fn visible(command: &Command) -> Command {
    // Those two come by themselves.
    let is_own = |name: &str| !["help", "version"].contains(&name);
    let arguments = command.get_arguments().filter(|one| !one.is_hide_set() && is_own(one.get_id().as_str()));
    let inner = command.get_subcommands().filter(|one| !one.is_hide_set() && is_own(one.get_name()));
    let mut copy = Command::new(&*command.get_name().to_owned().leak())
        .about(command.get_about().cloned().unwrap_or_default());
    if let Some(version) = command.get_version() {
        copy = copy.version(&*version.to_owned().leak());
    }
    copy.args(arguments.map(|one| one.clone().global(false))).subcommands(inner.map(visible))
}

#[test]
fn completions_are_what_the_parsers_make() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let [client, keygen, spad] = programs().map(|(command, _)| command);
        for mut command in [spa_client::client::helping(client), keygen, spad] {
            // Only then does each command have the options that hold everywhere.
            command.build();
            let (mut command, name) = (visible(&command), command.get_name().to_owned());
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command, &name, &mut text);
            let text = String::from_utf8(text).expect("completions are text");
            // clap_complete 4.6.11 names a program with a dash in two ways, and then finds none of its commands
            // (clap issue 6421).
            let text = text.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"));
            assert!(!text.contains("--role"), "what no person types is not completed");
            committed(&format!("packaging/completions/{}", completion_file(shell, &name)), &text);
        }
    }
}

/// What a bash with the completions of `words[0]` offers for the last of these words.
fn offered(words: &[&str]) -> Vec<String> {
    let file: PathBuf =
        repository().join("packaging/completions").join(completion_file(Shell::Bash, words[0]));
    // As bash does at the Tab key: the function that `complete -F` named, with the words typed so far.
    let script = r#"
        set -eu
        source "$1"; shift
        function=$(complete -p "$1" | sed 's/.* -F \([^ ]*\) .*/\1/')
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        set +eu
        previous=$(($# - 1))
        "$function" "$1" "${@: -1}" "${!previous}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Process::new("bash");
    bash.args(["--norc", "--noprofile", "-c", script, "bash"]).arg(file).args(words);
    let done = bash.output().expect("bash can be started");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_real_bash_completes_commands_and_options() {
    #[rustfmt::skip]
    let rows: [(&[&str], &[&str]); 10] = [
        // typed, offered
        (&["spa-client", "con"],                  &["connect"]),
        (&["spa-client", "ens"],                  &["ensure"]),
        (&["spa-client", "--dest"],               &["--destination"]),
        (&["spa-client", "connect", "--prof"],    &["--profile"]),
        (&["spa-client", "keep", "--wind"],       &["--window"]),
        // These do not knock.
        (&["spa-client", "profiles", "--"],       &["--passphrase-file", "--json", "--quiet", "--help"]),
        (&["spa-client", "enrol", "--w"],         &[]),
        (&["spa-keygen", "--fresh"],              &["--freshness"]),
        (&["spad", "tear"],                       &["teardown"]),
        (&["spad", "doctor", "--self"],           &["--self-test"]),
    ];
    for (typed, expected) in rows {
        assert_eq!(offered(typed), expected, "{typed:?}");
    }
}

#[test]
fn zsh_and_fish_can_read_their_completions() {
    for (shell, file) in [("zsh", Shell::Zsh), ("fish", Shell::Fish)] {
        let Ok(found) = Process::new(shell).arg("--version").output() else {
            assert!(std::env::var_os("CI").is_none(), "{shell} is missing");
            eprintln!("SKIPPED: {shell} is not installed, its completions are not read");
            continue;
        };
        assert!(found.status.success());
        for (command, _) in programs() {
            let path =
                repository().join("packaging/completions").join(completion_file(file, command.get_name()));
            let done = Process::new(shell).arg("-n").arg(&path).output().expect("it was there a moment ago");
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.status.success() && said.is_empty(), "{}: {said}", path.display());
        }
    }
}
