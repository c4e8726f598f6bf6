//! A client written from SPEC.md alone, in another language, opens doors of spad.

use lab::{A, B, Done, Lab, Reaction, SSH, SSH6, repository};

fn spa_py(lab: &Lab, arguments: &[&str]) -> Done {
    let script = repository().join("tests/interop/spa.py");
    let arguments = [&[script.to_str().expect("text")], arguments].concat();
    lab.run(A, "python3", &arguments)
}

fn has_python(lab: &Lab) -> bool {
    let there = lab.run(A, "python3", &["--version"]).status == Some(0);
    if !there {
        lab::skip("python3 is missing");
    }
    there
}

#[test]
fn its_ciphers_pass_the_published_vectors() {
    let Some(lab) = Lab::new() else { return };
    if has_python(&lab) {
        spa_py(&lab, &["--self-test"]).ok();
    }
}

#[test]
fn it_opens_and_closes_with_both_suites() {
    let Some(lab) = Lab::new() else { return };
    if !has_python(&lab) {
        return;
    }
    lab.profile_with("phone", &["--open", "tcp/22", "--suite", "xchacha20poly1305"]);
    let (_service, _spad) = lab.guard_ssh();
    for name in ["laptop", "phone"] {
        let profile = Lab::inside(&format!("home/.config/spa/profiles/{name}.spa.toml"));
        spa_py(&lab, &["--profile", &profile, "-w", "1m"]).ok();
        lab.opens(A, SSH);
        lab.opens(A, SSH6);
        lab.stays_shut(B, SSH);
        spa_py(&lab, &["--profile", &profile, "--close"]).ok();
        lab.shuts(A, SSH, std::time::Duration::from_secs(1));
        lab.shuts(A, SSH6, std::time::Duration::from_secs(1));
    }
}

#[test]
fn its_monotonic_profile_opens_and_its_bytes_are_no_better_than_ours() {
    let Some(lab) = Lab::new() else { return };
    if !has_python(&lab) {
        return;
    }
    lab.profile_with("phone", &["--open", "tcp/22", "--freshness", "monotonic", "--window", "1s"]);
    let (_service, _spad) = lab.guard_ssh();
    let profile = Lab::inside("home/.config/spa/profiles/phone.spa.toml");
    for _ in 0..2 {
        let words =
            ["--profile", &profile, "-D", "four.test", "--dry-run", "--save-packet", "/run/lab/captured"];
        let _ = std::fs::remove_file(lab.path("captured"));
        spa_py(&lab, &words).ok();
        assert_eq!(lab.send(A, "captured", &lab.spa_target()), Reaction::Silence);
        lab.opens(A, SSH);
        lab.shuts(A, SSH, std::time::Duration::from_secs(2));
        let _ = lab.send(B, "captured", &lab.spa_target());
        lab.stays_shut(B, SSH);
    }
}
