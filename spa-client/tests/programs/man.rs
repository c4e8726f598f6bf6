//! What the man pages must have beside the options and commands, which are made from the parsers (`tests/tests/generated.rs`).

use std::fs;
use std::path::Path;

fn page(program: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/man/{program}.1"));
    fs::read_to_string(path).unwrap().replace("\\-", "-")
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
