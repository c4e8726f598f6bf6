//! `spad apply --confirm`: a new configuration stays only if somebody can still say so, whatever dies meanwhile.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::ChildStdin;
use std::time::Duration;

use lab::{A, Config, Lab, Running, SERVER, SSH, Spad, eventually, program};
use rustix::process::Signal;

const SECOND: Duration = Duration::from_secs(1);
const WEB: &str = "10.77.0.1:80";

/// spad guards tcp/22, and spad.toml says that tcp/80 is to be guarded too.
fn changed() -> Option<(Lab, Running, Spad)> {
    let lab = Lab::new()?;
    lab.configure(&Config::protecting(&["tcp/22"]));
    lab.profile("laptop");
    let service = lab.serve(SERVER, &["tcp/22", "tcp/80"]);
    let spad = lab.spad();
    lab.opens(A, WEB);
    lab.configure(&new());
    Some((lab, service, spad))
}

fn new() -> Config {
    Config::protecting(&["tcp/22", "tcp/80"])
}

/// `spad apply` at work.
struct Apply {
    program: Running,
}

const SAID: &str = "apply.out";

impl Apply {
    fn start(lab: &Lab, time: &str) -> (Self, ChildStdin) {
        let (program, input) = lab.start_spad_command(&["apply", "--confirm", time], SAID);
        (Self { program }, input)
    }

    fn says(&self, lab: &Lab, words: &str) {
        eventually(&format!("{words:?} is said"), 10 * SECOND, || lab.read(SAID).contains(words));
    }
}

/// spad.toml is as it was, and so is what is guarded; the new text is where it says.
fn is_as_before(lab: &Lab) {
    assert_eq!(lab.read("etc/spad.toml"), Config::protecting(&["tcp/22"]).text());
    assert_eq!(lab.read("etc/spad.toml.trial"), new().text());
    eventually("tcp/80 is no longer guarded", 10 * SECOND, || lab.probe(A, WEB) == "open");
    lab.stays_shut(A, SSH);
}

#[test]
fn a_configuration_that_is_confirmed_stays() {
    for by_enter in [true, false] {
        let Some((lab, _service, mut spad)) = changed() else { return };
        let path = lab.path("etc/spad.toml");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is ours");
        let (mut apply, mut input) = Apply::start(&lab, "50s");
        apply.says(&lab, "in force for 50s");
        lab.stays_shut(A, WEB);
        assert_eq!(lab.read("etc/spad.toml"), Config::protecting(&["tcp/22"]).text(), "not confirmed yet");
        if by_enter {
            input.write_all(b"\n").expect("it reads");
        } else {
            lab.spad_command(&["confirm"]).ok();
        }
        assert_eq!(apply.program.wait(10 * SECOND).code(), Some(0), "{}", lab.read(SAID));
        apply.says(&lab, "confirmed: ");
        assert_eq!(lab.read("etc/spad.toml"), new().text());
        assert!(!lab.path("etc/spad.toml.trial").exists());
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o7777, 0o640, "mode and owner stay");
        spad.says_times("serving", 3);
        lab.stays_shut(A, WEB);
        let again = lab.spad_command(&["confirm"]);
        assert_eq!(again.status, Some(1), "{}", again.text());
        assert!(again.err.contains("is not on trial"), "{}", again.text());
        let nothing = lab.spad_command(&["apply", "--confirm", "50s"]).ok();
        assert!(nothing.out.contains("nothing to apply"), "{}", nothing.text());
        assert_eq!(spad.stop(), Some(0));
    }
}

#[test]
fn without_an_answer_spad_goes_back_by_itself_and_says_so() {
    let Some((lab, _service, spad)) = changed() else { return };
    let (mut apply, input) = Apply::start(&lab, "3s");
    apply.says(&lab, "in force for 3s");
    lab.stays_shut(A, WEB);
    // The end of the input is no answer: so a session ends that was cut.
    drop(input);
    assert_eq!(apply.program.wait(20 * SECOND).code(), Some(1));
    apply.says(&lab, "not confirmed: the configuration before is in force again, and yours is in ");
    spad.says("nobody confirmed the configuration on trial");
    is_as_before(&lab);
    // Too late.
    let late = lab.spad_command(&["confirm"]);
    assert_eq!(late.status, Some(1), "{}", late.text());
    is_as_before(&lab);
}

#[test]
fn whoever_dies_the_unconfirmed_configuration_does_not_stay() {
    for dies in ["apply", "worker", "monitor", "spad"] {
        let Some((lab, _service, mut spad)) = changed() else { return };
        let (mut apply, _input) = Apply::start(&lab, "5s");
        apply.says(&lab, "in force for 5s");
        lab.stays_shut(A, WEB);
        let again = match dies {
            "apply" => {
                apply.program.signal(Signal::KILL);
                None
            }
            "spad" => {
                // As in a reboot, where spad.toml is all that is left.
                apply.program.signal(Signal::KILL);
                spad.kill();
                Some(lab.spad())
            }
            role => {
                spad.kill_role(role);
                spad.says_times("serving", 3);
                lab.stays_shut(A, WEB);
                None
            }
        };
        is_as_before(&lab);
        let _ = apply.program.wait(20 * SECOND);
        drop(again);
    }
}

#[test]
fn a_reload_ends_the_trial_and_what_cannot_be_loaded_is_not_tried() {
    let Some((lab, _service, spad)) = changed() else { return };
    let (apply, _input) = Apply::start(&lab, "50s");
    apply.says(&lab, "in force for 50s");
    lab.stays_shut(A, WEB);
    // One at a time: what is tried is nothing to go back to.
    lab.configure(&Config::protecting(&["tcp/22", "tcp/443"]));
    let second = lab.spad_command(&["apply", "--confirm", "9s"]);
    assert_eq!(second.status, Some(1), "{}", second.text());
    assert!(second.err.contains("spad.toml.trial is on trial"), "{}", second.text());
    lab.configure(&Config::protecting(&["tcp/22"]));
    spad.reload();
    is_as_before(&lab);
    drop(apply);

    #[rustfmt::skip]
    let rows = [
        // from, to, part of what it says
        ("format = 1",         "format = 2",                                     "format = 1 only"),
        ("mode = \"guard\"",   "mode = \"attach\"\nattach = \"inet filter input\"", "which is not applied while spad runs"),
    ];
    for (from, to, words) in rows {
        let text = Config::protecting(&["tcp/22"]).text().replace(from, to);
        lab.write("etc/spad.toml", &text);
        let done = lab.spad_command(&["apply", "--confirm", "5s"]);
        assert_eq!(done.status, Some(3), "{to}: {}", done.text());
        assert!(done.err.contains(words), "{to}: {}", done.text());
        assert_eq!(lab.read("etc/spad.toml"), text, "{to}: it stays where it is");
    }
    lab.configure(&new());
    fs::rename(lab.path("etc/site.toml"), lab.path("site")).expect("it is ours");
    let refused = lab.spad_command(&["apply", "--confirm", "3s"]);
    assert_eq!(refused.status, Some(1), "{}", refused.text());
    assert!(refused.err.contains("spad did not take the configuration over"), "{}", refused.text());
    is_as_before(&lab);
}

#[test]
fn apply_needs_a_daemon_and_a_time_that_makes_sense() {
    let Some((lab, _service, mut spad)) = changed() else { return };
    for (time, status) in [("0s", 2), ("2h", 2), ("soon", 2)] {
        assert_eq!(lab.spad_command(&["apply", "--confirm", time]).status, Some(status), "{time}");
    }
    lab.write("other.toml", new().text());
    let (spad_program, other, state) = (program("spad"), Lab::inside("other.toml"), Lab::inside("state"));
    let arguments = ["--config", &other, "--state-dir", &state, "apply", "--confirm", "9s"];
    let other = lab.run(SERVER, spad_program.to_str().expect("it is text"), &arguments);
    assert_eq!(other.status, Some(1), "{}", other.text());
    assert!(other.err.contains("and not with"), "{}", other.text());
    assert_eq!(spad.stop(), Some(0));
    let none = lab.spad_command(&["apply", "--confirm", "9s"]);
    assert_eq!(none.status, Some(1), "{}", none.text());
    assert!(none.err.contains("spad does not run"), "{}", none.text());
    assert_eq!(lab.read("etc/spad.toml"), new().text());
    assert!(!lab.path("etc/spad.toml.trial").exists());
}
