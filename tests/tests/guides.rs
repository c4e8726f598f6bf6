//! The guides, played: their commands as they stand on the page, with this laboratory's folders in the place of the host's.

use std::fs;
use std::time::Duration;

use lab::{A, Config, Lab, Running, SERVER, SSH, Spad, eventually, program, repository};

const SOON: Duration = Duration::from_secs(10);

/// The commands below a heading of a guide.
fn commands(page: &str, heading: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join("docs/guide").join(page)).expect("the page is there");
    let start = text.find(&format!("## {heading}\n")).unwrap_or_else(|| panic!("{page} has no {heading}"));
    let section = text[start + 3..].split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with("    "));
    // What lists of numbers hold is indented further.
    lines.map(|line| line.trim().to_owned()).collect()
}

/// A reader who does what the page says.
struct Reader {
    lab: Lab,
    spad: Spad,
    _service: Running,
}

impl Reader {
    fn new() -> Option<Self> {
        let lab = Lab::new()?;
        let (service, spad) = lab.guard_ssh();
        Some(Self { lab, spad, _service: service })
    }

    /// Types one line of a page.
    fn types(&mut self, line: &str) {
        match line {
            "sudo systemctl reload spad" => self.spad.reload(),
            "sudo systemctl stop spad" => assert_eq!(self.spad.stop(), Some(0)),
            "sudo systemctl start spad" => self.spad = self.lab.spad(),
            _ => {
                let (etc, state) = (Lab::inside("etc"), Lab::inside("state"));
                // This machine's clock is its own; only where a profile is made can that be said.
                let clock = if line.contains(" --open ") { " --freshness clock" } else { "" };
                let folders = format!("{clock} --config-dir {etc} --state-dir {state}");
                let folders = if line.contains("spa-keygen ") { folders } else { String::new() };
                let here = format!("{line}{folders}")
                    .replace("sudo ", "")
                    .replace("/etc/spad", &etc)
                    .replace("/var/lib/spad", &state)
                    .replace("/root/", &Lab::inside("attic/"))
                    .replace("~/", &Lab::inside("home/"))
                    .replace("server.example.org", "server.test");
                let on = if line.starts_with("spa-client") || line.starts_with("rm ") { A } else { SERVER };
                let spad = program("spad");
                let programs = spad.parent().expect("a program lies in a folder").display();
                let config = Lab::inside("home/.config");
                let script = format!(
                    "export PATH={programs}:$PATH XDG_CONFIG_HOME={config}; cd {}; {here}",
                    Lab::inside("")
                );
                let done = self.lab.run(on, "sh", &["-e", "-c", &script]);
                assert_eq!(done.status, Some(0), "{line}\n{here}\n{}", done.text());
            }
        }
    }

    /// Brings a client's half from the server to the client.
    fn fetches(&self, name: &str) {
        let folder = Lab::inside("home/.config/spa/profiles");
        self.lab.sh(SERVER, &format!("mv {}/{name}.spa.toml {folder}/", Lab::inside("")));
    }

    fn waits(&self, profile: &str) -> Option<i32> {
        self.lab.client(A, &["--wait=4s", "-A", "tcp/22", "--profile", profile]).status
    }

    /// That a knock with this profile opens the door, which may be open already.
    fn opens(&self, profile: &str, why: &str) {
        let words = [&format!("profile={profile} ") as &str, "opened"];
        let before = self.spad.lines(&words).len();
        assert_eq!(self.waits(profile), Some(0), "{why}");
        eventually(why, SOON, || self.spad.lines(&words).len() > before);
    }
}

#[test]
fn the_key_of_a_profile_is_changed_and_there_is_always_a_way_in() {
    let Some(mut reader) = Reader::new() else { return };
    let key = |reader: &Reader| reader.lab.read("home/.config/spa/profiles/laptop.spa.toml");
    let old = key(&reader);
    let lines = commands("key-rotation.md", "The key of one profile");
    let (stolen, daily) = lines.split_last().expect("there are some");
    for line in daily {
        reader.types(line);
        reader.opens("laptop", line);
    }
    assert_ne!(key(&reader), old, "the device has the new key");
    assert!(stolen.contains("revoke"), "{stolen}");
    reader.types(stolen);
    reader.lab.stays_shut(A, SSH);
    assert_eq!(reader.waits("laptop"), Some(7), "the stolen key opens nothing");
}

#[test]
fn the_key_before_ends_with_the_first_use_of_the_new_one() {
    let Some(mut reader) = Reader::new() else { return };
    let half = |name: &str| Lab::inside(&format!("home/.config/spa/profiles/{name}.spa.toml"));
    reader.lab.sh(SERVER, &format!("cp -p {} {}", half("laptop"), half("before")));
    let lines = commands("key-rotation.md", "Until the new key is used");
    let [rotates, imports, knocks] = &lines[..] else { panic!("{lines:?}") };
    reader.types(rotates);
    assert_eq!(reader.waits("before"), Some(0), "nothing was used yet");
    reader.types(imports);
    reader.types(knocks);
    reader.lab.shuts(A, SSH, SOON);
    assert_eq!(reader.waits("before"), Some(7), "the key before has ended");
    reader.spad.says("a key whose successor is in use");
}

#[test]
fn the_site_key_is_changed_with_an_overlap() {
    let Some(mut reader) = Reader::new() else { return };
    let lines = commands("key-rotation.md", "The site's key");
    let [rotates, finishes] = &lines[..] else { panic!("{lines:?}") };
    reader.types(rotates);
    reader.opens("laptop", "the old files work");
    // A second device, whose file follows.
    let (halves, folder) = (Lab::inside("new-halves"), Lab::inside("home/.config/spa/profiles"));
    reader.lab.sh(SERVER, &format!("cp -p {halves}/laptop.spa.toml {folder}/moved.spa.toml"));
    assert_eq!(reader.waits("moved"), Some(0), "and those that follow");
    reader.types(finishes);
    reader.lab.shuts(A, SSH, SOON);
    assert_eq!(reader.waits("laptop"), Some(7), "who did not follow is a stranger");
    reader.lab.stays_shut(A, SSH);
    assert_eq!(reader.waits("moved"), Some(0), "who followed is not");
}

#[test]
fn everything_is_made_anew() {
    let Some(mut reader) = Reader::new() else { return };
    reader.lab.sh(SERVER, &format!("mkdir {}", Lab::inside("attic")));
    let port = reader.lab.spa_port();
    let lines = commands("key-rotation.md", "Everything");
    // The door that is open for a moment after a knock is not what is asked here.
    let spa = &lines[..lines.len() - 1];
    for line in spa {
        reader.types(line);
    }
    reader.lab.stays_shut(A, SSH);
    reader.types(&lines[lines.len() - 1]);
    assert_eq!(reader.waits("laptop"), Some(7), "the old file opens nothing");
    reader.fetches("laptop");
    reader.opens("laptop", "the new file opens");
    assert_ne!(reader.lab.spa_port(), port);
}

#[test]
fn somebody_leaves() {
    let Some(mut reader) = Reader::new() else { return };
    reader.lab.profile("anna-phone");
    reader.lab.configure(&Config::default());
    reader.spad.reload();
    reader.opens("anna-phone", "before she leaves");
    for line in commands("devices-and-people.md", "Somebody leaves, something is lost") {
        if !line.starts_with("journalctl") {
            reader.types(&line);
        }
    }
    reader.spad.says("its profile is gone");
    reader.lab.shuts(A, SSH, SOON);
    assert_eq!(reader.waits("anna-phone"), Some(7));
    reader.opens("laptop", "nobody else needs a new key");
}

/// What a page has one append to spad.toml, below a heading.
fn toml(page: &str, heading: &str) -> String {
    let text = fs::read_to_string(repository().join("docs/guide").join(page)).expect("the page is there");
    let start = text.find(&format!("## {heading}\n")).unwrap_or_else(|| panic!("{page} has no {heading}"));
    let section = text[start + 3..].split("\n## ").next().unwrap_or_default();
    section.split("```toml\n").skip(1).filter_map(|block| block.split("```").next()).collect()
}

#[test]
fn a_first_action_is_run_when_it_is_asked_for_and_when_a_door_opens() {
    let Some(mut reader) = Reader::new() else { return };
    if reader.lab.is_unprivileged() {
        return lab::skip("a command runs as another user, and this laboratory has one only");
    }
    // The packages make a user spad; without one, nobody is whom the daemon runs as.
    reader.lab.outside(
        "cp /etc/passwd /run/lab/passwd; echo spad:x:970:970:::/usr/sbin/nologin >>/run/lab/passwd; \
         mount --bind /run/lab/passwd /etc/passwd",
    );
    let more = toml("actions.md", "A first one");
    reader.lab.write("etc/spad.toml", Config::default().text() + &more);
    let mut runner = None;
    for line in commands("actions.md", "A first one") {
        match line.as_str() {
            "sudo spad check" => {
                let check = reader.lab.spad_command(&["check"]);
                assert_eq!(check.status, Some(0), "{}", check.text());
            }
            "sudo systemctl enable --now spad-runner" => {
                runner = Some(reader.lab.start_spad_command(&["runner"], "said"));
                reader.lab.wait_for("said", "can be run=1");
            }
            "sudo systemctl reload spad" => {
                reader.types(&line);
                reader.spad.says_times("serving", 2);
            }
            making if making.starts_with("sudo spa-keygen tester ") => {
                reader.types(&line);
                reader.fetches("tester");
            }
            // What the journal has, but for how long it took.
            log if log.starts_with("action=") => {
                let words = log.replace("192.0.2.7", A.v4);
                let words = words.split(" after ").next().unwrap_or_default();
                reader.lab.wait_for("said", words);
            }
            _ => reader.types(&line),
        }
    }
    assert!(runner.is_some());
    reader.lab.wait_for("said", "action=show: SPAD_EVENT=open");
    reader.lab.wait_for("said", "action=show event=open: done after");
}
