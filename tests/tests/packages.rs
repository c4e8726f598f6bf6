//! The packages, installed into a copy of this machine's root: they guard nothing, spad starts from them as its unit would
//! start it, a knock opens, and nothing is left of the guard when they are removed. What is ignored here is for
//! `make release-check`, which makes what it needs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use lab::{A, B, Config, Lab, Machine, Running, SERVER, SSH, repository, skip};

/// A kind of packages, and what its package manager is told.
struct Kind {
    /// Of the files that `packaging/build.sh` makes.
    extension: &'static str,
    install: &'static str,
    /// Of the daemon, to what is installed already.
    upgrade: &'static str,
    remove: &'static str,
    /// Removes the client, and whatever the removal of the daemon left that is no key.
    purge: &'static str,
    /// Lists what a package holds.
    lists: &'static [&'static str],
}

const DEB: Kind = Kind {
    extension: "deb",
    install: "dpkg --no-triggers --install /run/packages/*.deb",
    upgrade: "dpkg --no-triggers --install --force-confdef /run/packages/spad_*.deb",
    remove: "dpkg --no-triggers --remove spad",
    purge: "dpkg --no-triggers --purge spad spa-client; test ! -e /etc/spad; test ! -e /var/lib/spad",
    lists: &["dpkg-deb", "--contents"],
};

/// This machine has its libraries from another package manager, so that what they need is looked at apart. Debian's rpm
/// wants to be told that it is meant.
const RPM: Kind = Kind {
    extension: "rpm",
    install: "rpm --force-debian --nodeps --install /run/packages/*.rpm",
    upgrade: "rpm --force-debian --nodeps --upgrade --replacepkgs /run/packages/spad-*.rpm",
    remove: "rpm --force-debian --erase spad",
    purge: "rpm --force-debian --erase spa-client; test -e /etc/spad/spad.toml.rpmsave",
    lists: &["rpm", "--query", "--list", "--package"],
};

impl Kind {
    /// What `packaging/build.sh` made: the daemon's package and the client's.
    fn packages(&self) -> Option<Vec<PathBuf>> {
        let folder = repository().join("target/packages");
        let mut found: Vec<PathBuf> =
            fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
        found.retain(|path| path.extension().is_some_and(|extension| extension == self.extension));
        found.sort();
        (found.len() == 2).then_some(found)
    }
}

/// Starts what `ExecStart` of the unit says, with the user, the capabilities and the folders that the unit gives it.
fn start_unit(lab: &Lab, machine: &Machine<'_>) -> Running {
    let unit = machine.sh(SERVER, "cat /usr/lib/systemd/system/spad.service");
    // The first line of that name: none of these has two.
    let one = |name: &str| {
        let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        unit.lines().find_map(value).unwrap_or_default()
    };
    let capabilities = |name: &str| {
        let words = one(name).to_lowercase().replace("cap_", "+");
        format!("-all {words}").trim().replace(' ', ",")
    };
    assert_eq!(one("NoNewPrivileges"), "yes");
    assert_eq!((one("StateDirectory").as_str(), one("RuntimeDirectory").as_str()), ("spad", "spad"));
    let user = Some(one("User")).filter(|user| !user.is_empty());
    let whose = user.as_deref().unwrap_or("root");
    machine.sh(
        SERVER,
        &format!("for d in /var/lib/spad /run/spad; do mkdir -p -m 700 $d; chown -R {whose}: $d; done"),
    );
    let mut words = vec!["setpriv".to_owned(), "--no-new-privs".to_owned()];
    if let Some(user) = &user {
        words.extend([format!("--reuid={user}"), format!("--regid={user}"), "--init-groups".to_owned()]);
        let ambient = capabilities("AmbientCapabilities");
        words.extend([format!("--inh-caps={ambient}"), format!("--ambient-caps={ambient}")]);
    }
    words.push(format!("--bounding-set={}", capabilities("CapabilityBoundingSet")));
    words.push(one("ExecStart"));
    let mut command = lab.command(SERVER, "chroot");
    // The laboratory's kernel clock is not synchronised: see Config.
    command.args([Machine::ROOT, "sh", "-c"]).arg(format!("exec {}", words.join(" ")));
    let log = fs::File::create(lab.path("unit.log")).expect("the laboratory has room");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    lab.start(command)
}

#[test]
fn the_debian_packages_guard_nothing_open_for_a_knock_and_leave_no_table_behind() {
    guard_nothing_open_for_a_knock_and_leave_no_table_behind(&DEB);
}

#[test]
#[ignore = "for make release-check, which makes the packages"]
fn the_rpm_packages_guard_nothing_open_for_a_knock_and_leave_no_table_behind() {
    guard_nothing_open_for_a_knock_and_leave_no_table_behind(&RPM);
    for (package, needs) in
        RPM.packages().expect("they were installed").iter().zip([&[][..], &["libpcap", "systemd"]])
    {
        let done = Command::new("rpm").args(["--query", "--requires", "--package"]).arg(package).output();
        let said = String::from_utf8_lossy(&done.expect("it was there a moment ago").stdout).into_owned();
        assert!(
            needs.iter().all(|needed| said.lines().any(|line| line == *needed)),
            "{}: {said}",
            package.display()
        );
    }
}

fn guard_nothing_open_for_a_knock_and_leave_no_table_behind(kind: &Kind) {
    let Some(lab) = Lab::new() else { return };
    if lab.is_unprivileged() {
        return skip("packages are installed by root");
    }
    let Some(packages) = kind.packages() else {
        return skip(&format!("there are no packages: sh packaging/build.sh {} debug", kind.extension));
    };
    let machine = Machine::new(&lab);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    for package in &packages {
        let name = package.file_name().expect("a file").to_string_lossy().into_owned();
        fs::copy(package, lab.path(&format!("root/run/packages/{name}"))).expect("there is room");
    }

    // Installing: all files and the user are there, nothing runs and nothing is guarded.
    machine.sh(SERVER, &format!("{} 2>&1", kind.install));
    assert!(machine.sh(SERVER, "getent passwd spad").starts_with("spad:"));
    assert_eq!(lab.sh(SERVER, "nft list ruleset"), "");
    lab.opens(A, SSH);
    let without_keys = machine.run(SERVER, "spad check");
    assert_eq!(without_keys.status, Some(3), "{}", without_keys.text());
    assert!(without_keys.text().contains("spa-keygen NAME"), "{}", without_keys.text());
    for page in ["man8/spad.8", "man5/spad.toml.5", "man1/spa-keygen.1", "man1/spa-client.1"] {
        machine.sh(SERVER, &format!("zcat -f /usr/share/man/{page}* | grep -Eq '^.(TH|Dd) '"));
    }

    // The default configuration is in order as soon as there are keys, and still guards nothing.
    let made = machine.sh(SERVER, "spa-keygen laptop --server 10.77.0.1 --open tcp/22 2>&1");
    let client =
        made.split_whitespace().find(|word| word.ends_with("laptop.spa.toml")).expect("it says where");
    machine.sh(SERVER, "spad check");
    // The daemon's keys are the daemon's, and what it may open at most is root's.
    let owners =
        "stat -c %U /etc/spad/site.toml /etc/spad/profiles/laptop.toml /var/lib/spad /etc/spad/spad.toml";
    assert_eq!(machine.sh(SERVER, owners), "spad\nspad\nspad\nroot\n");
    // Then what its comments say to do.
    machine.sh(
        SERVER,
        "sed -i 's|^protect = .*|protect = [\"tcp/22\"]|; s|\"default-route\"|\"eth0\"|' /etc/spad/spad.toml
         printf '[freshness]\\nclock = \"trusted\"\\n' >>/etc/spad/spad.toml; spad check",
    );
    let mut unit = start_unit(&lab, &machine);
    lab::eventually("the unit's program serves", std::time::Duration::from_secs(20), || {
        lab.read("unit.log").contains("serving")
    });
    lab.stays_shut(A, SSH);
    machine.sh(A, &format!("mkdir -p -m 700 /root/.config/spa /root/.config/spa/profiles; cp -p {client} /root/.config/spa/profiles/"));
    machine.sh(A, "spa-client --wait");
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);

    // As the units for the audit and the metrics run, they reach the socket with no capability.
    for unit in ["audit", "metrics"] {
        let text = machine.sh(SERVER, &format!("cat /usr/lib/systemd/system/spad-{unit}.service"));
        assert!(text.contains("\nUser=spad\n") && text.contains("\nCapabilityBoundingSet=\n"), "{text}");
    }
    let as_spad =
        "setpriv --reuid=spad --regid=spad --init-groups --no-new-privs --bounding-set=-all --inh-caps=-all";
    let said = machine.sh(SERVER, &format!("{as_spad} spad metrics"));
    assert!(said.contains("\nspad_doors_open 1\n"), "{said}");
    let said = machine.run(SERVER, &format!("timeout 2 {as_spad} spad audit --file /dev/null"));
    assert!(said.status == Some(124) && said.text().contains("hearing spad from event"), "{}", said.text());

    // Who asks the kernel about the clock has no more, and can write where the unit lets it.
    let text = machine.sh(SERVER, "cat /usr/lib/systemd/system/spad-clock.service");
    assert!(text.contains("\nUser=spad\n") && text.contains("\nCapabilityBoundingSet=\n"), "{text}");
    machine.sh(SERVER, "install -d -m 700 -o spad -g spad /run/spad-clock");
    let said = machine.run(SERVER, &format!("timeout 1 {as_spad} spad clock"));
    assert!(said.status == Some(124) && said.text().contains("its clock synchronised"), "{}", said.text());

    // An upgrade leaves the configuration alone; a removal with the daemon running is refused, as it would come back.
    machine.sh(SERVER, &format!("{} 2>&1", kind.upgrade));
    assert!(machine.sh(SERVER, "cat /etc/spad/spad.toml").contains("protect = [\"tcp/22\"]"));
    let refused = machine.run(SERVER, kind.remove);
    assert_ne!(refused.status, Some(0), "{}", refused.text());
    assert!(refused.text().contains("another spad runs"), "{}", refused.text());
    unit.signal(rustix::process::Signal::TERM);
    assert!(unit.wait(std::time::Duration::from_secs(10)).success());
    lab.stays_shut(B, SSH);

    machine.sh(SERVER, &format!("{} 2>&1", kind.remove));
    assert_eq!(lab.sh(SERVER, "nft list ruleset"), "", "no table is left");
    lab.opens(B, SSH);
    machine.sh(SERVER, &format!("test -e /etc/spad/site.toml; exec 2>&1; {}", kind.purge));
    let left = machine.sh(
        SERVER,
        "find /usr -not -path '*/src/*' -name '*spa*' | grep -E '/_?spa(d|-client|-keygen)' || true",
    );
    assert_eq!(left, "");
}

#[test]
fn the_debian_packages_hold_what_make_install_installs() {
    hold_what_make_install_installs(&DEB);
}

#[test]
#[ignore = "for make release-check, which makes the packages"]
fn the_rpm_packages_hold_what_make_install_installs() {
    hold_what_make_install_installs(&RPM);
}

fn hold_what_make_install_installs(kind: &Kind) {
    let Some(packages) = kind.packages() else {
        return skip(&format!("there are no packages: sh packaging/build.sh {} debug", kind.extension));
    };
    let mut held = String::new();
    for package in packages {
        let (program, words) = kind.lists.split_first().expect("a program");
        let listed =
            Command::new(program).args(words).arg(package).output().expect("the package manager is here");
        held += &String::from_utf8_lossy(&listed.stdout);
    }
    let makefile = fs::read_to_string(repository().join("Makefile")).expect("there is one");
    let install = makefile.split("\ninstall:").nth(1).and_then(|rest| rest.split("\nuninstall:").next());
    let mut checked = 0;
    for line in install.expect("there is such a target").lines().filter(|line| line.contains("$(DESTDIR)")) {
        for word in line.split_whitespace().filter(|word| word.starts_with("$(DESTDIR)")) {
            let name = word.rsplit('/').next().expect("a path");
            // Not folders, nor whole kinds of files, which the first test looks at.
            let is_file = name.contains('.') || name.contains("$$name") || line.contains("install -m 755");
            for program in ["spad", "spa-client", "spa-keygen"].iter().filter(|_| is_file) {
                let name = name.replace("$$name", program);
                checked += 1;
                assert!(held.contains(&format!("/{name}")), "{name} is in no package:\n{held}");
            }
        }
    }
    assert!(checked >= 25, "{makefile}");
}

#[test]
#[ignore = "for make release-check, which makes it"]
fn the_static_client_knocks_from_a_root_that_holds_nothing_but_itself() {
    let Some(lab) = Lab::new() else { return };
    let client = repository().join("target/packages/spa-client-static");
    lab.configure(&Config::default());
    let _service = lab.serve(SERVER, &["tcp/22"]);
    lab.profile("laptop");
    let _spad = lab.spad();
    // Its key, the list of names (a static C library must find it), and nothing else: no library, no device, no shell.
    lab.sh(
        A,
        "install -d -m 700 /run/lab/bare/spa /run/lab/bare/spa/profiles /run/lab/bare/etc; cp /etc/hosts /run/lab/bare/etc
         cp -p /run/lab/home/.config/spa/profiles/laptop.spa.toml /run/lab/bare/spa/profiles/",
    );
    fs::copy(client, lab.path("bare/spa-client")).expect("sh packaging/build.sh static");
    lab.stays_shut(A, SSH);
    let mut bare = lab.command_with(A, &["XDG_CONFIG_HOME=/".to_owned(), "HOME=/".to_owned()], "chroot");
    let done = bare.args(["/run/lab/bare", "/spa-client", "--wait"]).output().expect("it is started");
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}");
    lab.opens(A, SSH);
}
