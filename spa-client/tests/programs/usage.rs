//! A mistyped command line: one line, exit status 2, nothing done (requirement S3-10).

use crate::scratch::Scratch;

#[test]
fn what_is_mistyped_is_told_in_one_line_that_names_what_is_right() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/22");
    let before = scratch.files();
    #[rustfmt::skip]
    let rows = [
        // program, arguments, the line
        ("spa-client", "--prot 7",          "unknown option --prot; did you mean --port?"),
        ("spa-client", "--profil laptop",   "unknown option --profil; did you mean --profile?"),
        ("spa-client", "--p laptop",        "ambiguous option --p; did you mean --profile, --passphrase-file or --port?"),
        ("spa-client", "--ipv",             "ambiguous option --ipv; did you mean --ipv4 or --ipv6?"),
        ("spa-client", "--dst host",        "unknown option --dst; did you mean --destination?"),
        ("spa-client", "--dryrun",          "unknown option --dryrun; did you mean --dry-run?"),
        ("spa-client", "--key=c2VjcmV0",    "unknown option --key; did you mean --profile?"),
        ("spa-client", "-k c2VjcmV0",       "unknown option -k; did you mean --profile?"),
        ("spa-client", "-kc2VjcmV0",        "unknown option -k; did you mean --profile?"),
        ("spa-client", "-d host",           "unknown option -d; did you mean -D?"),
        ("spa-client", "-W 45s",            "unknown option -W; did you mean -w?"),
        ("spa-client", "-c",                "unknown option -c; did you mean --close?"),
        ("spa-client", "-z",                "unknown option -z; see --help"),
        ("spa-client", "-n laptop",         "unknown option -n; did you mean --profile?"),
        ("spa-client", "--fw-timeout 30",   "unknown option --fw-timeout; did you mean --window?"),
        ("spa-client", "host",              "a word that belongs to no option; did you forget -D before the server's name?"),
        ("spa-client", "conect a 22",       "unknown command; did you mean connect?"),
        ("spa-client", "connect a ssh",     "<PORT>: not a port: use a number from 1 to 65535"),
        ("spa-client", "con a",             "the following required arguments were not provided: <PORT>"),
        ("spa-client", "run -A tcp/22",     "the following required arguments were not provided: <COMMAND>..."),
        ("spa-client", "--close ensure a",  "--close, --invoke, --dry-run, --save-packet and --receipt are for a knock alone"),
        ("spa-client", "--invoke wake connect a 22", "a word that belongs to no option; did you forget -D before the server's name?"),
        ("spa-client", "--invoke=wake ensure a",     "--close, --invoke, --dry-run, --save-packet and --receipt are for a knock alone"),
        ("spa-client", "--invoke=wake profiles",     "what is said of a knock has no use here: leave out all but the command's own options"),
        ("spa-client", "--invoke",          "a value is required for '--invoke <NAME> [ARG]' but none was supplied"),
        ("spa-client", "--invoke wake -A tcp/22",    "the argument '--invoke <NAME> [ARG]' cannot be used with '--access <SERVICE>'"),
        ("spa-client", "--invoke wake --close",      "the argument '--invoke <NAME> [ARG]' cannot be used with '--close'"),
        ("spa-client", "--invoke wake --wait",       "the argument '--invoke <NAME> [ARG]' cannot be used with '--wait[=<TIME>]'"),
        ("spa-client", "--invoke wake\u{7}",         "--invoke <NAME> [ARG]: use up to 128 bytes of text without control characters"),
        ("spa-client", "--invoke=",         "no name of an action: use 1 to 64 bytes without blanks"),
        ("spa-client", "-C reboot",         "unknown option -C; did you mean --invoke?"),
        ("spa-client", "profiles -A tcp/1", "what is said of a knock has no use here: leave out all but the command's own options"),
        ("spa-client", "enrol a -w 30s",    "what is said of a knock has no use here: leave out all but the command's own options"),
        ("spa-client", "--wait --close",    "the argument '--wait[=<TIME>]' cannot be used with '--close'"),
        ("spa-client", "-A",                "a value is required for '--access <SERVICE>' but none was supplied"),
        ("spa-client", "-A ssh",            "--access <SERVICE>: \"ssh\" is not a service: write it like tcp/22 or udp/51820, with a port from 1 to 65535"),
        ("spa-client", "-A tcp/22,tcp/0",   "--access <SERVICE>: \"tcp/0\" is not a service: write it like tcp/22 or udp/51820, with a port from 1 to 65535"),
        ("spa-client", "-D c2VjcmV0/Y",     "--destination <HOST>: not a host name or address: write it like vpn.example.org, 192.0.2.1 or 2001:db8::1"),
        ("spa-client", "-a c2VjcmV0",       "--allow <ADDRESS>: use an address like 192.0.2.7, a prefix like 192.0.2.0/24, or source, resolve, learnt or auto"),
        ("spa-client", "-a 127.0.0.1",      "--allow <ADDRESS>: no server opens a door for such an address or prefix"),
        ("spa-client", "-a ::ffff:1.2.3.4", "--allow <ADDRESS>: no server opens a door for such an address or prefix"),
        ("spa-client", "-a 192.0.2.7/24",   "--allow <ADDRESS>: bits behind the prefix are set: write its first address, like 192.0.2.0/24"),
        ("spa-client", "--source-port 1-257", "--source-port <PORTS>: use a port like 40000, or a range like 40000-40010 of at most 256 ports"),
        ("spa-client", "--source-port 1-129 -A tcp/1,tcp/2", "one request binds 256 source ports, counted for each service; ask for the others in a second"),
        ("spa-client", "--source-port 7 -a 192.0.2.0/24",    "--source-port goes with an address, not with a prefix"),
        ("spa-client", "--source-port 7 --close",            "the argument '--source-port <PORTS>' cannot be used with '--close'"),
        ("spa-client", "--source-port 7 connect host 22",    "--source-port goes with a knock alone"),
        ("spa-client", "-a resolve",        "-a resolve asks a STUN server for the own address: name one with --stun HOST"),
        ("spa-client", "--stun a.example",  "--stun is for -a resolve"),
        ("spa-client", "-a resolve --stun c2VjcmV0/Y", "--stun <HOST[:PORT]>: not a STUN server: write it like stun.example.org, stun.example.org:3478 or [2001:db8::1]:3478"),
        ("spa-client", "proxy --listen 192.0.2.1:1080", "--listen <ADDRESS:PORT>: use an address of the loopback and a port, like 127.0.0.1:1080 or [::1]:1080"),
        ("spa-client", "proxy -D a",        "what is asked of the proxy says where to: leave out -D, -A, --once and --forward"),
        ("spa-client", "keep --wait",       "--once and --wait do not go with keep"),
        ("spa-client", "-w 30",             "--window <TIME>: \"30\" is not a duration of at least a second: write it like 30s, 5m or 1h"),
        ("spa-client", "-w 0s",             "--window <TIME>: \"0s\" is not a duration of at least a second: write it like 30s, 5m or 1h"),
        ("spa-client", "-p 0",              "--port <PORT>: not a port: use a number from 1 to 65535"),
        ("spa-client", "-p 65536",          "--port <PORT>: not a port: use a number from 1 to 65535"),
        ("spa-client", "--once --close",    "the argument '--once' cannot be used with '--close'"),
        ("spa-client", "-4 -6",             "the argument '--ipv4' cannot be used with '--ipv6'"),
        ("spa-client", "--close -w 5s",     "the argument '--close' cannot be used with '--window <TIME>'"),
        ("spa-client", "-D a -D b",         "the argument '--destination <HOST>' cannot be used multiple times"),
        ("spa-client", "-A tcp/1,tcp/2,tcp/3,tcp/4,tcp/5,tcp/6,tcp/7,tcp/8,tcp/9,tcp/10,tcp/11,tcp/12,tcp/13,tcp/14,tcp/15,tcp/16,tcp/17",
                                            "one request holds 16 services; ask for the others in a second"),
        ("spa-client", "profiles import a --forse",  "unknown option --forse; did you mean --force?"),
        ("spa-client", "prof sho a --jsn",  "unknown option --jsn; did you mean --json?"),
        ("spa-client", "profiles import",   "the following required arguments were not provided: <FILE>"),
        ("spa-client", "profiles import a --name ../b",  "--name <NAME>: not a name: use 1 to 32 letters, digits, dots, dashes and underscores, the first no dot and no dash"),
        ("spa-client", "enrol",             "the following required arguments were not provided: <HOST>"),
        ("spa-client", "enrol c2VjcmV0/Y",  "[HOST]: not a host name or address: write it like vpn.example.org, 192.0.2.1 or 2001:db8::1"),
        ("spa-client", "profiles remove laptop", "there is nobody to ask; --force removes without a question"),
        ("spa-keygen", "a --server b --open tcp/1 --qr", "a QR code holds the keys and is shown on a terminal only; --qr=always overrules that"),
        ("spa-keygen", "accept a",          "the following required arguments were not provided: <--open <SERVICE>|--invoke <ACTION>>"),
        ("spa-keygen", "accept a --op b",   "unknown option --op; did you mean --open?"),
        ("spa-keygen", "",                  "the following required arguments were not provided: --server <HOST> <--open <SERVICE>|--invoke <ACTION>> <NAME>..."),
        ("spa-keygen", "a --server b",      "the following required arguments were not provided: <--open <SERVICE>|--invoke <ACTION>>"),
        ("spa-keygen", "a --server b --invoke x/y", "--invoke <ACTION>: \"x/y\" is not the name of an action: use 1 to 32 letters, digits, dots, dashes and underscores, the first no dot and no dash"),
        ("spa-keygen", "a --serve b",       "unknown option --serve; did you mean --server?"),
        ("spa-keygen", "a -D b",            "unknown option -D; did you mean --server?"),
        ("spa-keygen", "a --server b --open tcp/1 --max 5m",        "unknown option --max; did you mean --max-window?"),
        ("spa-keygen", "../a --server b --open tcp/1",              "<NAME>...: not a name: use 1 to 32 letters, digits, dots, dashes and underscores, the first no dot and no dash"),
        ("spa-keygen", "a a --server b --open tcp/1",               "the name a stands there twice"),
        ("spa-keygen", "a --server b --open tcp/1 --window 10m",    "--window 10m is longer than --max-window 5m; shorten the one or lengthen the other"),
        ("spa-keygen", "a --server b --open tcp/1 --suite rot13",   "--suite <SUITE>: no such suite: use \"aes256gcm\" or \"xchacha20poly1305\""),
        ("spa-keygen", "a --server b --open tcp/1 --expires soon",  "--expires <DATE>: \"soon\" is not a date with a time: write it like 2026-11-20T10:00:00Z"),
        ("spa-keygen", "a --server b --open tcp/1 --freshness x",   "invalid value 'x' for '--freshness <clock|monotonic>' [possible values: clock, monotonic]"),
    ];
    for (program, arguments, line) in rows {
        let done = scratch.run(program, &arguments.split_whitespace().collect::<Vec<_>>());
        assert_eq!(done.err, format!("{program}: {line}\n"), "{arguments}");
        assert_eq!((done.status, done.out.as_str()), (2, ""), "{arguments}");
    }
    let done = scratch.run("spa-client", &["-A", "tcp/22\n\u{1b}[2J"]);
    assert_eq!((done.status, done.err.lines().count()), (2, 1), "{}", done.err);
    assert!(!done.err.contains('\u{1b}'));
    assert_eq!(scratch.files(), before, "nothing was done");
    assert!(listener.heard().is_empty(), "nothing was sent");
}

#[test]
fn an_expiry_in_the_past_is_refused() {
    let scratch = Scratch::new();
    let done = scratch.keygen("a --server b --open tcp/1 --expires 2020-01-01");
    assert_eq!((done.status, done.err.lines().count()), (2, 1));
    assert!(done.err.contains("has passed; this machine's clock says "), "{}", done.err);
    assert!(scratch.files().is_empty());
}

#[test]
fn help_and_version_are_no_errors() {
    let scratch = Scratch::new();
    for program in ["spa-client", "spa-keygen"] {
        let help = scratch.run(program, &["--help"]).ok();
        assert!(help.out.contains("Examples") && help.out.lines().count() < 80, "{}", help.out);
        let version = scratch.run(program, &["--version"]).ok();
        assert_eq!(version.out, format!("{program} {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!(help.err + &version.err, "");
    }
}
