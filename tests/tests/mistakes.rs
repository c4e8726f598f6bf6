//! What the programs say to mistakes that people make, word for word: tests/snapshots/mistakes.txt holds the commands and,
//! below each, what it printed and its exit status. `make docs` (`UPDATE=1`) writes the answers anew, for review.

use std::fs;

use lab::{A, Lab, program, repository};

/// What stands before each line of an answer.
const MARK: &str = "|";

/// Runs a line as a shell would, in a home of its own, and tells what came and how it ended.
fn answer(lab: &Lab, line: &str) -> String {
    let spad = program("spad");
    let programs = spad.parent().expect("a program lies in a folder").display();
    let home = Lab::inside("somebody");
    let script = format!(
        "exec 2>&1; unset XDG_CONFIG_HOME XDG_STATE_HOME; export HOME={home} PATH={programs}:$PATH; cd {home}; {line}"
    );
    let done = lab.run(A, "sh", &["-c", &script]);
    let status = done.status.map_or_else(|| "a signal".to_owned(), |code| format!("status {code}"));
    let lines = done.out.lines().map(|line| without_time(line).replace(&home, "~")).chain([status]);
    lines.map(|line| format!("{MARK} {line}").trim_end().to_owned() + "\n").collect()
}

/// A line of a log without its time, which no two runs share.
fn without_time(line: &str) -> String {
    match line.split_once("Z ") {
        Some((time, rest)) if time.starts_with("20") && time.contains('T') => {
            format!("TIME {}", rest.trim_start())
        }
        _ => line.to_owned(),
    }
}

#[test]
fn what_is_said_to_mistakes_is_reviewed() {
    let Some(lab) = Lab::new() else { return };
    let path = repository().join("tests/snapshots/mistakes.txt");
    let told = fs::read_to_string(&path).expect("the file is there");
    lab.sh(A, &format!("mkdir {}", Lab::inside("somebody")));
    let (mut made, mut mistakes) = (String::new(), 0);
    // What begins with the mark is the answer of the last time.
    for line in told.lines().filter(|line| !line.starts_with(MARK)) {
        made += &format!("{line}\n");
        if let Some(command) = line.strip_prefix("$ ") {
            let said = answer(&lab, command);
            assert!(!said.contains("c2VjcmV0"), "{command}: what may be a secret is not repeated\n{said}");
            mistakes += usize::from(!said.ends_with("status 0\n"));
            made += &said;
        }
    }
    assert!(mistakes >= 25, "only {mistakes}");
    if std::env::var_os("UPDATE").is_some() {
        return fs::write(&path, &made).expect("the file can be written");
    }
    for (at, (told, made)) in (1..).zip(told.lines().zip(made.lines())) {
        assert_eq!(told, made, "tests/snapshots/mistakes.txt:{at} (`make docs` writes it anew)");
    }
    assert_eq!(told, made);
}
