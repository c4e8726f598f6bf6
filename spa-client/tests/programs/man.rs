//! The man pages say what the programs can, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::scratch::Scratch;

fn page(program: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/man/{program}.1"));
    fs::read_to_string(path).unwrap().replace("\\-", "-")
}

/// Every `--option` in a text.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

#[test]
fn man_pages_and_help_name_the_same_options() {
    let scratch = Scratch::new();
    for program in ["spa-client", "spa-keygen"] {
        let help = scratch.run(program, &["--help"]).ok().out;
        assert_eq!(options(&page(program)), options(&help), "{program}");
    }
}

#[test]
fn man_pages_have_the_sections_that_people_look_for() {
    for program in ["spa-client", "spa-keygen"] {
        let page = page(program);
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "FILES", "EXAMPLES", "SEE ALSO"]
        {
            let quoted = page.contains(&format!(".SH \"{section}\"\n"));
            assert!(quoted || page.contains(&format!(".SH {section}\n")), "{program}: {section}");
        }
        assert!(page.contains(&format!("spad {}", env!("CARGO_PKG_VERSION"))), "{program}: the version");
    }
}

#[test]
fn the_client_page_lists_every_exit_status() {
    let page = page("spa-client");
    let statuses = page.split(".SH \"EXIT STATUS\"").nth(1).unwrap().split(".SH").next().unwrap();
    for status in 0..=8 {
        assert!(statuses.contains(&format!("\n.B {status}\n")), "{status}");
    }
}
