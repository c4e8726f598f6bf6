//! A profile without a secret that travels: both programs, line by line.

use spa_core::file::client::ClientFile;
use spa_core::file::profile::ProfileFile;

use crate::own_profiles::{fed, tells_no_key};
use crate::scratch::{Done, Scratch};

const FILE: &str = "home/.config/spa/profiles/laptop.spa.toml";
const PENDING: &str = "home/.config/spa/enrolments/laptop.toml";

fn begin(scratch: &Scratch) -> String {
    let done = scratch.client("enrol vpn.example.org --name laptop").ok();
    assert!(done.out.starts_with("spa-enrol:") && done.out.lines().count() == 1, "{}", done.out);
    done.out.trim().to_owned()
}

fn accept(scratch: &Scratch, line: &str, more: &str) -> Done {
    scratch.keygen(&format!("accept {line} --open tcp/22 --freshness clock {more}"))
}

fn finish(scratch: &Scratch, line: &str) -> Done {
    scratch.client(&format!("enrol --finish {line}"))
}

fn fingerprint(done: &Done) -> String {
    let words = done.out.split_whitespace().chain(done.err.split_whitespace());
    let prints: Vec<&str> = words.filter(|word| word.len() == 19 && word.matches('-').count() == 3).collect();
    assert_eq!(prints.len(), 1, "{}{}", done.out, done.err);
    prints[0].to_owned()
}

#[test]
fn two_lines_make_both_halves_and_neither_holds_a_secret() {
    let scratch = Scratch::new();
    let line = begin(&scratch);
    assert_eq!(scratch.mode(PENDING), 0o600);
    assert_eq!(scratch.mode("home/.config/spa/enrolments"), 0o700);
    assert_eq!(begin(&scratch), line, "the same line as long as its answer is missing");

    let accepted = accept(&scratch, &line, "--window 45s --yes").ok();
    assert!(accepted.out.starts_with("spa-answer:") && accepted.out.lines().count() == 1, "{}", accepted.out);
    let answer = accepted.out.trim();
    let finished = finish(&scratch, answer).ok();
    assert_eq!(fingerprint(&accepted), fingerprint(&finished));

    let half = scratch.read(FILE);
    let (client, server) = (
        ClientFile::parse(&half).unwrap(),
        ProfileFile::parse(&scratch.read("etc/profiles/laptop.toml")).unwrap(),
    );
    assert_eq!(client.key.to_base64(), server.key.to_base64());
    assert_eq!((client.key_id(), client.suite), (server.key_id(), server.suite));
    assert_eq!((client.server.as_str(), client.window.as_secs()), ("vpn.example.org", 45));
    assert_eq!((scratch.mode(FILE), scratch.mode("etc/profiles/laptop.toml")), (0o600, 0o600));
    assert!(!scratch.path(PENDING).exists(), "the client's own key is of no more use");
    for done in [&accepted, &finished] {
        tells_no_key(done, &half);
        tells_no_key(done, &scratch.read("etc/site.toml").replace("key = ", "site_key = "));
    }
    scratch.client("--dry-run -D 192.0.2.1").ok();

    finish(&scratch, answer).failed(3, "no enrolment is pending here that this line answers");
    let again = accept(&scratch, &line, "--yes --name other").failed(3, "this line was accepted already");
    assert!(again.out.is_empty());
    scratch.client("enrol vpn.example.org --name laptop").failed(3, "there is a profile laptop already");
}

#[test]
fn nothing_is_made_before_the_fingerprints_were_compared() {
    let scratch = Scratch::new();
    let line = begin(&scratch);
    let done = accept(&scratch, &line, "");
    assert!(done.out.is_empty(), "no answer that could be used: {}", done.out);
    done.failed(2, "there is nobody to ask whether the fingerprints are the same");
    assert!(!scratch.path("etc/profiles/laptop.toml").exists());
    // The same line can be taken up again.
    accept(&scratch, &line, "--yes").ok();
}

#[test]
fn whoever_changes_lines_is_seen() {
    let (scratch, between) = (Scratch::new(), Scratch::new());
    let honest = begin(&scratch);
    let his = begin(&between);
    // He gives the server his own line, and the client an answer of a site of his own.
    let at_server = accept(&scratch, &his, "--yes").ok();
    let forged = accept(&between, &honest, "--yes").ok();
    let at_client = finish(&scratch, forged.out.trim()).ok();
    assert_ne!(fingerprint(&at_client), fingerprint(&at_server));
    assert!(at_client.err.contains("spa-client profiles remove laptop"), "{}", at_client.err);
}

#[test]
fn a_line_that_is_wrong_is_told_in_one_sentence() {
    let scratch = Scratch::new();
    let line = begin(&scratch);
    let answer = accept(&scratch, &line, "--yes").ok().out.trim().to_owned();
    let begun_anew = scratch.client("enrol vpn.example.org --name laptop --force").ok().out;
    assert_ne!(begun_anew.trim(), line);
    let before = scratch.files();
    #[rustfmt::skip]
    let rows = [
        // line, status, part of the sentence, why
        (answer.as_str(),                   3, "no enrolment is pending here that this line answers", "of the one before"),
        (line.as_str(),                     2, "this is the client's own line",   "the wrong direction"),
        (&answer[..answer.len() - 9],       2, "cut off or changed",              "cut off"),
        (&answer[4..],                      2, "no line of an enrolment",         "its beginning is missing"),
        ("hello",                           2, "no line of an enrolment",         "something else"),
    ];
    for (typed, status, part, why) in rows {
        let done = finish(&scratch, typed);
        assert!(done.err.contains(part), "{why}: {}", done.err);
        done.failed(status, part);
    }
    #[rustfmt::skip]
    let rows = [
        (answer.as_str(),                   "this is a server's answer",       "the wrong direction"),
        (&line[..line.len() - 1],           "cut off or changed",              "cut off"),
        ("format=1",                        "no line of an enrolment",         "something else"),
    ];
    for (typed, part, why) in rows {
        let done = accept(&scratch, typed, "--yes");
        assert!(done.err.contains(part), "{why}: {}", done.err);
        done.failed(2, part);
    }
    accept(&scratch, begun_anew.trim(), "--yes").failed(3, "etc/profiles/laptop.toml exists already");
    assert_eq!(scratch.files(), before, "nothing was made");
    scratch.client("enrol other.example.org --name laptop").failed(3, "is pending, for vpn.example.org");
}

#[test]
fn both_lines_may_come_by_a_paste_and_the_server_may_name_things_otherwise() {
    let scratch = Scratch::new();
    let line = begin(&scratch);
    let wrapped = format!("{}\n", line);
    let words = [
        "accept",
        "-",
        "--open",
        "tcp/22",
        "--freshness",
        "clock",
        "--yes",
        "--name",
        "anna-laptop",
        "--server",
        "192.0.2.1",
        "--config-dir",
        "etc",
        "--state-dir",
        "state",
    ];
    let accepted = fed(&scratch, "spa-keygen", &words, &wrapped).ok();
    let finished = fed(&scratch, "spa-client", &["enrol", "--finish", "-"], &accepted.out).ok();
    assert!(
        finished.out.contains("made the profile anna-laptop: opens tcp/22 at 192.0.2.1"),
        "{}",
        finished.out
    );
    assert!(scratch.path("home/.config/spa/profiles/anna-laptop.spa.toml").exists());
    assert!(scratch.path("etc/profiles/anna-laptop.toml").exists());
}

#[test]
fn an_enrolment_that_others_can_read_is_refused() {
    let scratch = Scratch::new();
    let line = begin(&scratch);
    let answer = accept(&scratch, &line, "--yes").ok().out;
    let text = scratch.read(PENDING);
    scratch.write(PENDING, &text, 0o644);
    let done = finish(&scratch, answer.trim()).failed(3, "others than its owner have access to it");
    assert!(done.err.contains("chmod 600 "), "{}", done.err);
    scratch.write(PENDING, &text, 0o600);
    finish(&scratch, answer.trim()).ok();
}
