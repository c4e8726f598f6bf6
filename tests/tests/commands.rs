//! Every command line of ours that a page shows is one that the programs' own parsers take.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use clap::error::ErrorKind;
use lab::repository;

fn parser(program: &str) -> Command {
    match program {
        "spa-client" => spa_client::client::command_line(),
        "spa-keygen" => spa_client::keygen::command_line(),
        _ => <spad::arguments::Arguments as clap::CommandFactory>::command(),
    }
}

/// Words of a line as a shell splits them, up to what ends a command.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for (at, letter) in line.char_indices() {
        match (quote, letter) {
            (Some(end), letter) if letter == end => quote = None,
            (Some(_), letter) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                // A quotation that ends here and began before: the command stood inside it.
                if !line[at + 1..].contains(letter) {
                    break;
                }
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '&' | '|' | ';' | '>' | '<' | ')' | '`' | '#') => break,
            (None, ' ') => words.extend(word.take()),
            (None, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// The commands of ours in a text: where a command can stand, not where a program is only named.
fn commands(text: &str) -> Vec<(&'static str, Vec<String>)> {
    // What may stand before a command, blanks left out.
    let before =
        ["", "sudo", "$", "&&", "||", ";", "|", "(", "'", "\"", "`", "ProxyCommand", "ProxyCommand=", "exec"];
    let mut found = Vec::new();
    for program in ["spa-client", "spa-keygen", "spad"] {
        for (at, _) in text.match_indices(&format!("{program} ")) {
            let front = text[..at].trim_end();
            let last = front.rsplit(' ').next().unwrap_or("");
            let after = before.iter().any(|one| !one.is_empty() && last.ends_with(one));
            let ends = text[..at].ends_with([' ', '\'', '"', '`', '(', '=']) || at == 0;
            // The first line of what `spad status` prints.
            let is_version =
                text[at + program.len()..].trim_start().starts_with(|c: char| c.is_ascii_digit());
            if ends && (front.is_empty() || after) && !is_version {
                found.push((program, words(&text[at..])));
            }
        }
    }
    found
}

/// What a page writes for what the reader knows.
fn filled_in(word: &str) -> String {
    match word {
        "%h" | "HOST" => "server.example.org",
        "%p" | "PORT" => "22",
        "NAME" => "laptop",
        "TIME" => "30s",
        word => word,
    }
    .to_owned()
}

/// Lines of code of a page: indented, or between fences; of a manual page, those of its examples.
fn code(path: &Path, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut fenced, mut literal) = (false, false);
    let is_manual = path.components().any(|part| part.as_os_str() == "man");
    let is_help = path.to_string_lossy().contains("snapshots");
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        literal =
            (literal || line == ".nf" || line.starts_with(".Bd -literal")) && line != ".fi" && line != ".Ed";
        let plain = line.replace("\\-", "-").replace("\\(dq", "\"");
        match (is_manual, is_help) {
            (true, _) if literal => lines.push(plain),
            // What follows a wide gap explains the example.
            (_, true) if line.starts_with("  spa-") => {
                lines.push(line.trim().split("   ").next().unwrap_or("").to_owned());
            }
            (false, false) if fenced || line.starts_with("    ") => lines.push(line.trim().to_owned()),
            (false, false) => lines.extend(line.split('`').skip(1).step_by(2).map(|span| format!("`{span}"))),
            _ => {}
        }
    }
    lines
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md"].map(|name| repository().join(name)).to_vec();
    for folder in ["docs", "docs/guide", "docs/man", "tests/snapshots"] {
        let entries = fs::read_dir(repository().join(folder)).expect("the folder is there");
        pages
            .extend(entries.map(|entry| entry.expect("it can be read").path()).filter(|path| path.is_file()));
    }
    pages.retain(|path| !path.ends_with("mistakes.txt"));
    pages
}

#[test]
fn commands_are_found_where_a_command_can_stand() {
    #[rustfmt::skip]
    let rows: [(&str, &[&str]); 10] = [
        // text, the words of its commands
        ("sudo spad check",                                     &["spad check"]),
        ("systemctl start spad && spad check",                  &["spad check"]),
        ("a$ spa-client -A tcp/22 -D 10.99.0.1",                &["spa-client -A tcp/22 -D 10.99.0.1"]),
        ("ssh -oProxyCommand='spa-client connect %h %p' host",  &["spa-client connect %h %p"]),
        ("Match host a exec \"spa-client ensure %h\"",          &["spa-client ensure %h"]),
        ("sh -c 'systemctl stop spad; spad teardown'",          &["spad teardown"]),
        ("answer=$(spa-client --json --wait) || echo",          &["spa-client --json --wait"]),
        ("spa-client run -- sh -c 'a b' > c",                   &["spa-client run -- sh -c a b"]),
        ("systemctl enable spad spad-guard",                    &[]),
        ("spad        0.1.0, up 6s: all is well",               &[]),
    ];
    for (text, expected) in rows {
        let found: Vec<String> = commands(text).into_iter().map(|(_, words)| words.join(" ")).collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn every_command_that_a_page_shows_is_one_that_the_parser_takes() {
    let mut tried = 0;
    for path in pages() {
        let text = fs::read_to_string(&path).expect("pages are text");
        // What goes on in the next line is one command.
        let text = text.replace("\\\n", " ");
        for line in code(&path, &text) {
            for (program, words) in commands(&line) {
                let words: Vec<String> = words.iter().map(|word| filled_in(word)).collect();
                if words.iter().any(|word| word.contains('…') || word.contains("...")) {
                    continue;
                }
                tried += 1;
                let Err(error) = parser(program).try_get_matches_from(&words) else { continue };
                // A sentence may speak of a command or an option by its name alone.
                let lacks = error.kind() == ErrorKind::MissingRequiredArgument
                    || error.to_string().contains("none was supplied");
                let named = line.starts_with('`') && lacks;
                let fine =
                    named || matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
                assert!(fine, "{}: {line}\n{words:?}\n{error}", path.display());
            }
        }
    }
    assert!(tried >= 80, "only {tried} were found");
}
