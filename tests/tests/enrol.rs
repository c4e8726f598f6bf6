//! Enrolment as two people do it, and the knock that comes of it.

use lab::{A, B, Lab, SSH, SSH6};

#[test]
fn a_profile_that_was_enrolled_by_two_public_lines_opens_and_who_read_them_does_not() {
    let Some(lab) = Lab::new() else { return };
    let (_service, spad) = lab.guard_ssh();
    lab.stays_shut(A, SSH);

    let line = lab.client(A, &["enrol", "server.test", "--name", "phone"]).ok().out;
    let options = ["--open", "tcp/22", "--window", "2s", "--freshness", "clock", "--yes"];
    let accepted = lab.keygen(&[&["accept", line.trim()], &options[..]].concat()).ok();
    spad.reload();
    let finished = lab.client(A, &["enrol", "--finish", accepted.out.trim()]).ok();
    let shown =
        finished.out.lines().find_map(|line| line.strip_prefix("fingerprint: ")).expect("it is shown");
    assert!(accepted.err.contains(shown), "{shown}: {}", accepted.text());

    lab.client(A, &["--profile", "phone"]).ok();
    lab.opens(A, SSH);
    lab.opens(A, SSH6);
    lab.stays_shut(B, SSH);

    // Whoever read both lines has no enrolment that is pending: B's own does not fit.
    lab.client(B, &["enrol", "server.test", "--name", "mallory"]).ok();
    let refused = lab.client(B, &["enrol", "--finish", accepted.out.trim()]);
    assert_eq!(refused.status, Some(3), "{}", refused.text());

    // Under a passphrase the same profile goes on.
    lab.write("pass", "correct horse\n");
    lab.sh(A, "chmod 600 /run/lab/pass");
    lab.client(A, &["profiles", "encrypt", "phone", "--passphrase-file", "/run/lab/pass"]).ok();
    lab.shuts(A, SSH, std::time::Duration::from_secs(3));
    lab.client(A, &["--profile", "phone", "-4", "--passphrase-file", "/run/lab/pass"]).ok();
    lab.opens(A, SSH);
}
