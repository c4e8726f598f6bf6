//! `make install` guards nothing, and `make uninstall` leaves nothing that shuts anybody out.

use lab::{A, Config, Lab, SERVER, SSH, program, repository};

/// Runs a target of the Makefile with this test's programs in the place of the released ones.
///
/// - `before`: runs the make that follows; `/var/lib` is an empty folder of its own, not this machine's.
fn make(lab: &Lab, before: &str, arguments: &str) -> (Option<i32>, String) {
    let (root, bin) = (repository().display(), program("spad"));
    let bin = bin.parent().expect("it is in a folder").display();
    let script = format!(
        "mount -t tmpfs lab /var/lib; mkdir -p /var/lib/spad {tree}/target; cd {tree}; ln -sfn {bin} target/release; \
         for part in docs packaging Makefile; do ln -sfn {root}/$part $part; done; \
         {before} make {arguments} UNITS=/run/lab/units SYSUSERS=/run/lab/sysusers TMPFILES=/run/lab/tmpfiles PREFIX=/run/lab/usr 2>&1",
        tree = Lab::inside("tree")
    );
    let done = lab.run(SERVER, "sh", &["-e", "-c", &script]);
    (done.status, done.text())
}

fn files(lab: &Lab, folder: &str) -> String {
    lab.sh(SERVER, &format!("cd {} && find . -type f | sort", Lab::inside(folder)))
}

#[test]
fn installing_guards_nothing_and_uninstalling_takes_the_guard_away() {
    let Some(lab) = Lab::new() else { return };
    lab.profile_with("laptop", &["--open", "tcp/22"]);
    lab.configure(&Config::default());
    let _service = lab.serve(SERVER, &["tcp/22"]);

    let (status, said) = make(&lab, "", "install DESTDIR=/run/lab/package");
    assert_eq!(status, Some(0), "{said}");
    let packed = files(&lab, "package");
    for file in [
        "units/spad-audit.service",
        "units/spad-metrics.service",
        "units/spad-runner.service",
        "doc/spad/spad.rules.yml",
        "doc/spad/spad.json",
        "units/spad-guard.service",
        "units/spad-clock.service",
        "units/spad.service",
        "sbin/spad",
        "sysusers/spad.conf",
        "tmpfiles/spad.conf",
        "drop-ins/iptables.conf",
        "drop-ins/receipts.conf",
        "man8/spad.8",
        "share/bash-completion/completions/spa-client\n",
        "share/zsh/site-functions/_spa-keygen",
        "share/fish/vendor_completions.d/spad.fish",
    ] {
        assert!(packed.contains(file), "{file} is missing:\n{packed}");
    }
    assert!(!lab.path("usr").exists() && !lab.path("units").exists(), "the host was not touched");
    let (status, said) = make(&lab, "", "install");
    assert_eq!(status, Some(0), "{said}");
    let unit = lab.read("units/spad-guard.service");
    assert!(unit.contains("\nExecStart=/run/lab/usr/sbin/spad guard\n"), "{unit}");
    // Every unit starts the program where it was put.
    assert!(!lab.sh(SERVER, "cat /run/lab/units/*.service").contains("=/usr/sbin/spad"));
    assert_eq!(lab.sh(SERVER, "nft list ruleset"), "");
    lab.opens(A, SSH);

    let mut spad = lab.spad();
    assert_eq!(spad.stop(), Some(0));
    lab.stays_shut(A, SSH);
    let (status, said) = make(&lab, "", "uninstall DESTDIR=/run/lab/package");
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(files(&lab, "package"), "", "nothing is left of it");
    lab.stays_shut(A, SSH);
    let (status, said) = make(&lab, "flock /var/lib/spad/lock", "uninstall");
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("another spad runs"), "{said}");
    assert!(files(&lab, "usr").contains("sbin/spad"), "nothing was removed");
    let (status, said) = make(&lab, "", "uninstall");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("removed: table inet spad; nothing is guarded"), "{said}");
    lab.opens(A, SSH);
    assert_eq!(files(&lab, "usr") + &files(&lab, "units"), "");
}
