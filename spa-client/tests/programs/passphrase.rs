//! A client's half under a passphrase.

use std::fs;

use crate::own_profiles::{fed, tells_no_key};
use crate::scratch::Scratch;

const FILE: &str = "home/.config/spa/profiles/laptop.spa.toml";

/// A profile, and the file of a passphrase for it.
fn scratch() -> (Scratch, crate::scratch::Listener, String) {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22");
    scratch.write("pass", "correct horse\nsecond line\n", 0o600);
    let half = scratch.read(FILE);
    (scratch, listener, half)
}

#[test]
fn a_profile_under_a_passphrase_knocks_with_it_only() {
    let (scratch, listener, half) = scratch();
    let done = scratch.client("profiles encrypt laptop --passphrase-file pass").ok();
    tells_no_key(&done, &half);
    let text = scratch.read(FILE);
    let key = half.lines().find_map(|line| line.strip_prefix("key = \"")).unwrap();
    assert!(
        text.contains("encrypted = \"") && !text.contains(&key[..8]) && !text.contains("tcp/22"),
        "{text}"
    );
    assert_eq!(scratch.mode(FILE), 0o600);
    let listed = scratch.client("profiles").ok().out;
    assert_eq!(listed, "laptop  127.0.0.1  ?  under a passphrase\n");
    let shown = scratch.client("profiles show laptop").ok().out;
    assert!(shown.contains("under a passphrase"), "{shown}");

    scratch.client("--profile laptop --passphrase-file pass").ok();
    assert_eq!(listener.heard().len(), 2);
    // By the server's name too, and nobody is asked twice.
    scratch.client("-D 127.0.0.1 --passphrase-file pass --copies 1").ok();
    assert_eq!(listener.heard().len(), 1);

    scratch.write("wrong", "correct  horse\n", 0o600);
    scratch.write("empty", "\nsecond\n", 0o600);
    scratch.write("loose", "correct horse\n", 0o640);
    #[rustfmt::skip]
    let rows = [
        ("--passphrase-file wrong",   "wrong passphrase, or the file was changed"),
        ("--passphrase-file empty",   "the passphrase is empty"),
        ("--passphrase-file loose",   "others than its owner have access to it"),
        ("--passphrase-file missing", "cannot read missing"),
        ("profiles encrypt laptop --passphrase-file pass", "is under a passphrase already"),
    ];
    for (arguments, part) in rows {
        let done = scratch.client(arguments).failed(3, part);
        assert!(!done.err.contains("horse"), "{}", done.err);
    }
    assert!(listener.heard().is_empty());

    scratch.client("profiles decrypt laptop --passphrase-file wrong").failed(3, "wrong passphrase");
    scratch.client("profiles decrypt laptop --passphrase-file pass").ok();
    assert_eq!(scratch.read(FILE), half, "as it was");
    scratch.client("profiles decrypt laptop --passphrase-file pass").failed(3, "is not under a passphrase");
    scratch.client("--profile laptop").ok();
}

#[test]
fn what_was_changed_or_costs_too_much_is_refused() {
    let (scratch, _listener, _) = scratch();
    scratch.client("profiles encrypt laptop --passphrase-file pass").ok();
    let text = scratch.read(FILE);
    #[rustfmt::skip]
    let rows = [
        // replace, by, part of the sentence. The first byte is the version, the next four the memory.
        ("server = \"127.0.0.1\"", "server = \"127.0.0.2\"", "wrong passphrase, or the file was changed"),
        ("encrypted = \"AQABAAA",  "encrypted = \"Af////8",  "would cost more than allowed"),
        ("encrypted = \"AQ",       "encrypted = \"Ag",       "this one is of version 2"),
        ("encrypted = \"AQ",       "encrypted = \"A!",       "not base64"),
        ("encrypted = \"",         "encrypted = \"\" # ",    "is incomplete"),
        ("name = ",                "nmae = ",                "unknown field `nmae`"),
    ];
    for (from, to, part) in rows {
        assert!(text.contains(from), "{from}: {text}");
        scratch.write(FILE, text.replace(from, to), 0o600);
        scratch.client("--dry-run --passphrase-file pass").failed(3, part);
    }
}

#[test]
fn an_encrypted_profile_can_be_taken_in() {
    let (scratch, _listener, _) = scratch();
    scratch.client("profiles encrypt laptop --passphrase-file pass").ok();
    let text = scratch.read(FILE);
    fed(&scratch, "spa-client", &["profiles", "import", "-", "--name", "copy"], &text).ok();
    scratch.client("--dry-run --profile copy --passphrase-file pass").ok();
}

#[test]
fn without_a_terminal_and_a_file_it_is_told_where_a_passphrase_may_come_from() {
    let (scratch, _listener, _) = scratch();
    scratch.client("profiles encrypt laptop --passphrase-file pass").ok();
    // A session of its own has no terminal.
    let mut command = std::process::Command::new("setsid");
    command.args(["--wait", env!("CARGO_BIN_EXE_spa-client"), "--dry-run"]).env_clear();
    let output = command.env("HOME", scratch.path("home")).env("PATH", "/usr/bin:/bin").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("no terminal to ask on") && error.contains("--passphrase-file FILE"), "{error}");
}

/// A terminal on which something is typed.
fn typed(scratch: &Scratch, arguments: &str, keys: &str) -> (bool, String) {
    let script = r"
import os, pty, select, sys, termios, time
pid, fd = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:2] + sys.argv[3:])
out, lines = b'', sys.argv[2].split('|')
while select.select([fd], [], [], 20)[0]:
    try: some = os.read(fd, 4096)
    except OSError: break
    if not some: break
    out += some
    if not lines or not out.rstrip(b' ').endswith((b':', b']')): continue
    # Nobody types before the terminal has stopped showing it, which is a moment after the question.
    until = time.time() + 5
    while out.endswith(b': ') and termios.tcgetattr(fd)[3] & termios.ECHO and time.time() < until: time.sleep(0.01)
    os.write(fd, lines.pop(0).encode() + b'\n'); out += b'\n'
sys.stdout.buffer.write(out)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", script, env!("CARGO_BIN_EXE_spa-client"), keys]).args(arguments.split(' '));
    let output = command.env("HOME", scratch.path("home")).current_dir(&scratch.0).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn at_a_terminal_it_is_asked_for_and_never_shown() {
    let (scratch, _listener, half) = scratch();
    let (done, text) = typed(&scratch, "profiles encrypt laptop", "battery|batterie");
    assert!(!done && text.contains("the two passphrases differ"), "{text}");
    assert_eq!(scratch.read(FILE), half);
    let (done, text) = typed(&scratch, "profiles encrypt laptop", "battery staple|battery staple");
    assert!(done && !text.contains("battery"), "{text}");
    let (done, text) = typed(&scratch, "--dry-run", "battery staple");
    assert!(done && !text.contains("battery") && text.matches("Passphrase of").count() == 1, "{text}");
    let (done, text) = typed(&scratch, "--dry-run", "battery");
    assert!(!done && text.contains("wrong passphrase"), "{text}");

    // Other questions have visible answers.
    let (done, text) = typed(&scratch, "profiles remove laptop", "n");
    assert!(!done && scratch.path(FILE).exists(), "{text}");
    let (done, text) = typed(&scratch, "profiles remove laptop", "y");
    assert!(done && fs::symlink_metadata(scratch.path(FILE)).is_err(), "{text}");
}
