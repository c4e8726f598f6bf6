//! `spa-client proxy` with the real curl: SOCKS and CONNECT, knocks only where they are needed, and bad company.

use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use lab::{A, B, Config, Done, Lab, Running, SERVER, Spad, skip};
use rustix::process::Signal;

/// More than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const PROXY: &str = "127.0.0.1:1080";
const BIG: usize = 30_000_000;

/// A web server behind spad, another one on B without, and a proxy on A.
struct Site {
    lab: Lab,
    proxy: Running,
    spad: Spad,
    _services: [Running; 2],
}

impl Site {
    fn new(window: &str, options: &[&str]) -> Option<Self> {
        let lab = Lab::new()?;
        if !["/usr/bin/curl", "/usr/bin/python3"].iter().all(|tool| Path::new(tool).exists()) {
            skip("curl or python3 is missing (Debian: curl python3)");
            return None;
        }
        lab.configure(&Config::protecting(&["tcp/80", "tcp/443"]));
        lab.profile_with("web", &["--open", "tcp/80", "--window", window]);
        lab.sh(
            SERVER,
            &format!(
                "mkdir /run/lab/web; cd /run/lab/web; head -c {BIG} /dev/urandom >one; head -c {BIG} /dev/urandom >two; \
                 echo hello >small"
            ),
        );
        let services = [SERVER, B].map(|host| {
            let mut web = lab.command(host, "python3");
            web.args(["-m", "http.server", "80", "--bind", "::", "--directory", "/run/lab/web"]);
            web.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let web = lab.start(web);
            lab::eventually("the web server listens", 3 * PATIENCE, || {
                lab.probe(host, "127.0.0.1:80") == "open"
            });
            web
        });
        let spad = lab.spad();
        lab.stays_shut(A, "10.77.0.1:80");
        lab.count_datagrams(A);
        let proxy = lab.start_client(A, &[&["proxy"], options].concat(), "proxy");
        lab.wait_for("proxy", "listening on 127.0.0.1:1080 for SOCKS and HTTP CONNECT");
        Some(Self { lab, proxy, spad, _services: services })
    }

    fn curl(&self, arguments: &[&str]) -> Done {
        self.lab.run(A, "curl", &[&["-sS", "--max-time", "30"], arguments].concat())
    }
}

#[test]
fn curl_gets_in_by_each_protocol_and_one_knock_is_enough() {
    let Some(site) = Site::new("1m", &[]) else { return };
    let url = "http://server.test/small";
    let ways: [&[&str]; 4] = [
        &["--socks5-hostname", PROXY],
        &["--socks4a", PROXY],
        &["-p", "-x", "http://127.0.0.1:1080"],
        &["--socks5-hostname", PROXY, "--proxy-user", "any:one"],
    ];
    for way in ways {
        assert_eq!(site.curl(&[way, &[url]].concat()).ok().out, "hello\n", "{way:?}");
    }
    assert_eq!(
        site.spad.lines(&["opened tcp/80"]).len(),
        2,
        "one knock by each family:\n{}",
        site.spad.log()
    );
    site.lab.stays_shut(B, "10.77.0.1:80");
}

#[test]
fn two_transfers_at_once_are_whole_and_share_a_knock() {
    let Some(site) = Site::new("1m", &[]) else { return };
    site.lab.sh(
        A,
        &format!(
            "cd /run/lab; curl -sS --max-time 50 --socks5-hostname {PROXY} http://server.test/one >1 & \
             curl -sS --max-time 50 -p -x http://{PROXY} http://server.test/two >2; wait; cmp 1 web/one; cmp 2 web/two"
        ),
    );
    // Two addresses, and perhaps a repeat to each; another knock would be as many again.
    let sent = site.lab.datagrams(A);
    assert!((2..=4).contains(&sent), "{sent}");
    assert_eq!(site.spad.lines(&["opened tcp/80"]).len(), 2, "{}", site.spad.log());
}

#[test]
fn what_no_profile_is_for_is_refused_unless_it_may_go_without() {
    let Some(site) = Site::new("2s", &[]) else { return };
    let done = site.curl(&["--socks5-hostname", PROXY, "http://10.77.0.3/small"]);
    assert_eq!(done.status, Some(97), "{}", done.text());
    let done = site.curl(&["-p", "-x", "http://127.0.0.1:1080", "http://10.77.0.3/small"]);
    assert!(done.err.contains("403"), "{}", done.text());
    // The server, by another name than the profile's; and another service of it.
    for url in ["http://four.test/small", "http://server.test:8080/"] {
        assert_eq!(site.curl(&["--socks5-hostname", PROXY, url]).status, Some(97), "{url}");
    }
    // As a proxy for http: it says what it is for.
    let done = site.curl(&["-i", "-x", "http://127.0.0.1:1080", "http://server.test/small"]);
    assert!(done.out.starts_with("HTTP/1.1 405 ") && done.out.contains("CONNECT only"), "{}", done.text());
    assert_eq!(site.lab.datagrams(A), 0);
    assert_eq!(site.lab.read("proxy").lines().count(), 1, "a refusal makes no line");

    let _direct = site.lab.start_client(A, &["proxy", "--direct", "--listen", "127.0.0.1:0"], "direct");
    let said = site.lab.wait_for("direct", " for SOCKS");
    let place = said.split_whitespace().find(|word| word.starts_with("127.0.0.1:")).expect("it says where");
    let direct = |url| site.curl(&["--socks5-hostname", place, url]);
    assert_eq!(direct("http://10.77.0.3/small").ok().out, "hello\n");
    assert_eq!(direct("http://server.test/small").ok().out, "hello\n", "through the door all the same");
    assert_ne!(site.lab.datagrams(A), 0);
    assert_eq!(direct("http://10.77.0.3:81/").status, Some(97), "nobody listens");
}

#[test]
fn a_server_that_hangs_holds_up_nobody_else() {
    let Some(site) = Site::new("1m", &[]) else { return };
    // A profile that the server has forgotten: nobody will answer.
    site.lab.profile_with("old", &["--open", "tcp/443"]);
    site.lab.sh(SERVER, "rm /run/lab/etc/profiles/old.toml");
    let begun = Instant::now();
    thread::scope(|scope| {
        let hanging = ["1", "2", "3"]
            .map(|_| scope.spawn(|| site.curl(&["--socks5-hostname", PROXY, "https://server.test/"])));
        thread::sleep(Duration::from_millis(300));
        let done = site.curl(&["--socks5-hostname", PROXY, "http://server.test/small"]).ok();
        assert_eq!(done.out, "hello\n");
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        for one in hanging {
            assert_eq!(one.join().expect("curl ends").status, Some(97));
        }
    });
    // All three in the time of one, by the knocks of one: four times a knock that is repeated, to two addresses; and that of
    // the other service.
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let sent = site.lab.datagrams(A);
    assert!((8 + 2..=16 + 4).contains(&sent), "{sent}");
    let said = site.lab.read("proxy");
    assert!(said.contains("no answer from tcp/443 at server.test within 10 s of the knock"), "{said}");
}

#[test]
fn garbage_and_crowds_do_it_no_harm() {
    let Some(mut site) = Site::new("1m", &[]) else { return };
    let script = "import socket\n\
        for what in b'GARBAGE\\r\\n\\r\\n', b'\\x05\\x01', b'\\x04', b'\\0', b'CONNECT / HTTP/1.1\\r\\n\\r\\n':\n\
        \x20   s = socket.create_connection(('127.0.0.1', 1080))\n\
        \x20   s.sendall(what); s.shutdown(socket.SHUT_WR)\n\
        \x20   print(s.recv(12))\n";
    let said = site.lab.run(A, "python3", &["-c", script]).ok().out;
    assert_eq!(said.matches("HTTP/1.1 400").count(), 3, "{said}");

    // 300 that say nothing: 256 are kept waiting, the others are hung up on, and all that costs a thread each.
    let script = "import socket, sys, time\n\
        all = [socket.create_connection(('127.0.0.1', 1080)) for _ in range(300)]\n\
        print('there', flush=True); sys.stdin.read()\n";
    let mut crowd = site.lab.command(A, "python3");
    crowd.args(["-c", script]).stdin(Stdio::piped());
    let mut crowd = site.lab.start(crowd);
    let said = site.lab.wait_for("proxy", "256 connections at once are the most");
    assert_eq!(said.lines().count(), 2, "{said}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", site.proxy.pid())).expect("it runs");
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).expect("it has threads");
    assert!(threads.trim().parse::<u32>().is_ok_and(|count| count < 265), "{threads}");
    crowd.signal(Signal::KILL);
    let _ = crowd.wait(PATIENCE);
    lab::eventually("it serves again", PATIENCE, || {
        site.curl(&["--socks5-hostname", PROXY, "http://server.test/small"]).out == "hello\n"
    });
    assert!(site.proxy.ended().is_none());
}

#[test]
fn it_ends_by_a_signal_and_says_what_keeps_it_from_beginning() {
    let Some(mut site) = Site::new("2s", &[]) else { return };
    let second = site.lab.client(A, &["proxy"]);
    assert_eq!(second.status, Some(1), "{}", second.text());
    assert!(second.err.contains("127.0.0.1:1080 is in use by another program\n  hint: "), "{}", second.err);
    for (arguments, status, named) in [
        (&["proxy", "--listen", "0.0.0.0:1080"][..], 2, "an address of the loopback"),
        (&["proxy", "--listen", "10.77.0.2:1080"], 2, "an address of the loopback"),
        (&["proxy", "-D", "server.test"], 2, "leave out -D"),
        (&["proxy", "--profile", "nobody"], 3, "there is no profile nobody"),
    ] {
        let done = site.lab.client(A, arguments);
        assert_eq!(done.status, Some(status), "{arguments:?}: {}", done.text());
        assert!(done.err.contains(named), "{arguments:?}: {}", done.err);
    }
    site.proxy.signal(Signal::INT);
    assert_eq!(site.proxy.wait(PATIENCE).code(), Some(0));
    let mut again = site.lab.start_client(A, &["proxy", "-q"], "again");
    lab::eventually("it listens", PATIENCE, || site.lab.probe(A, PROXY) == "open");
    again.signal(Signal::TERM);
    assert_eq!(again.wait(PATIENCE).code(), Some(0));
    assert_eq!(site.lab.read("again"), "");
}
