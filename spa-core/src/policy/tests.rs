use std::num::{NonZeroU16, NonZeroU32};

use super::*;
use crate::action::Action;
use crate::fixture::*;
use crate::keyring::Keyring;
use crate::profile::{Freshness, Successor};
use crate::replay::{DEFAULT_SKEW, Replay};
use crate::request::{Open, Request, Stated};
use crate::terms::{Ends, OnClose, SourceNat};

fn judge(profile: Profile, request: &Request) -> Result<Admission, Forbidden> {
    let keyring = Keyring::new([profile]);
    let mut replay = Replay::restore(EPOCH, true, DEFAULT_SKEW, []);
    let (fresh, _) = replay.admit(bound(&keyring, LAPTOP, request), now(0)).ok().unwrap();
    authorize(fresh, now(0).wall, &actions())
}

/// `backup`, and `wake` with two arguments.
fn actions() -> Actions {
    let action = |name: &str, arguments: &[&str]| Action {
        name: name.parse().unwrap(),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
    };
    Actions::new([action("wake", &["nas1", "nas2"]), action("backup", &[])])
}

#[test]
fn an_action_is_admitted_by_the_profile_and_its_argument_by_the_action() {
    let done = |action, argument| Ok(Effect::Invoke(Invocation { action, argument }));
    let refused = Err(Forbidden::Action);
    #[rustfmt::skip]
    let rows = [
        // what the profile has, asked for, arguments, outcome, why
        (&["wake"][..],   "wake",   &[][..],           done(1, None),    "no argument"),
        (&["wake"],       "wake",   &["nas2"],         done(1, Some(1)), "one of the list"),
        (&["wake"],       "wake",   &["nas3"],         refused.clone(),  "none of the list"),
        (&["wake"],       "wake",   &[""],             refused.clone(),  "an empty one"),
        (&["wake"],       "wake",   &["nas1", "nas1"], refused.clone(),  "two, each of the list"),
        (&["wake"],       "backup", &[],               refused.clone(),  "an action of others"),
        (&["wake"],       "wak",    &[],               refused.clone(),  "the beginning of a name"),
        (&["gone"],       "gone",   &[],               refused.clone(),  "one that the server does not have"),
        (&["gone", "backup"], "backup", &[],           done(0, None),    "what the profile has beside it stays"),
        (&[],             "wake",   &[],               Err(Forbidden::Verb), "a profile that may have nothing run"),
    ];
    for (invoke, action, arguments, expected, why) in rows {
        let invoke = invoke.iter().map(|name| name.parse().unwrap()).collect();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let verb = Verb::Invoke { action: action.to_owned(), arguments };
        let verdict = judge(Profile { invoke, ..profile(LAPTOP) }, &request(0, 1, verb));
        assert_eq!(verdict.map(|admission| admission.effect().clone()), expected, "{why}");
    }
}

fn plain(text: &str) -> Open {
    Open::plain(services(text))
}

#[test]
fn what_a_profile_allows() {
    let wish = |seconds| Open { window: NonZeroU32::new(seconds), ..plain("tcp/22") };
    let ports = |low, high, services| Open { ports: Some((low, high)), ..plain(services) };
    let forward = Some((ip("10.0.0.5"), NonZeroU16::MIN));
    let invoke = Verb::Invoke { action: "reboot".to_owned(), arguments: Vec::new() };
    #[rustfmt::skip]
    let rows = [
        // verb, window in seconds or the refusal, why
        (Verb::Open(plain("tcp/22")),             Ok(Some(30)),  "the profile's window"),
        (Verb::Open(plain("udp/51820,tcp/22")),   Ok(Some(30)),  "both services"),
        (Verb::Open(wish(1)),                     Ok(Some(1)),   "a wish"),
        (Verb::Open(wish(300)),                   Ok(Some(300)), "the longest"),
        (Verb::Open(wish(301)),                   Ok(Some(300)), "cut, not refused"),
        (Verb::Open(wish(u32::MAX)),              Ok(Some(300)), "cut, not refused"),
        (Verb::Close(Vec::new()),                 Ok(None),      "a close"),
        (Verb::Close(services("tcp/443")),        Ok(None),      "a close needs no permission for what it names"),
        (Verb::Open(plain("tcp/443")),            Err(Forbidden::Service),   "not in open"),
        (Verb::Open(plain("udp/22")),             Err(Forbidden::Service),   "the other transport"),
        (Verb::Open(plain("tcp/22,tcp/443")),     Err(Forbidden::Service),   "the whole request, never a part"),
        (Verb::Open(Open { forward, ..plain("tcp/22") }),                 Err(Forbidden::Target),    "a forward, and the profile has none"),
        (Verb::Open(Open { ports: Some((0, 65535)), ..plain("tcp/22") }), Err(Forbidden::Narrowing), "ports, even all"),
        (Verb::Open(ports(40_000, 40_255, "tcp/22")),             Ok(Some(30)), "as many ports as there may be"),
        (Verb::Open(ports(40_000, 40_256, "tcp/22")),             Err(Forbidden::Narrowing), "one more"),
        (Verb::Open(ports(40_000, 40_127, "tcp/22,udp/51820")),   Ok(Some(30)), "they count for each service"),
        (Verb::Open(ports(40_000, 40_128, "tcp/22,udp/51820")),   Err(Forbidden::Narrowing), "one more"),
        (Verb::Open(Open { once: true, ..plain("tcp/22") }),              Ok(Some(30)), "once"),
        (Verb::Open(Open { once: true, ..plain("tcp/22,udp/51820") }),    Err(Forbidden::Narrowing), "once, of UDP"),
        (invoke,                                  Err(Forbidden::Verb),      "invoke"),
        (Verb::Ping,                              Err(Forbidden::Verb),      "ping"),
    ];
    for (verb, expected, why) in rows {
        let verdict = judge(profile(LAPTOP), &request(0, 1, verb));
        let window = verdict.map(|admission| match admission.effect() {
            Effect::Open { terms, .. } => Some(terms.window.as_secs()),
            Effect::Close { .. } | Effect::Invoke(_) => None,
        });
        assert_eq!(window, expected, "{why}");
    }
}

#[test]
fn how_a_profiles_doors_end() {
    let once = |once| Verb::Open(Open { once, ..plain("tcp/22") });
    let hour = Some(Duration::from_secs(3600));
    let ends = |once, on_close, extend_to| Ends { once, on_close, extend_to };
    use OnClose::{Cut, Keep};
    #[rustfmt::skip]
    let rows = [
        // what the profile says, the request, what comes of it, why
        (ends(false, Keep, None), once(false), Some((Narrowing::None, Keep, None)), "nothing"),
        (ends(false, Keep, None), once(true),  Some((Narrowing::Once, Keep, None)), "anybody may narrow his own"),
        (ends(true,  Keep, None), once(false), Some((Narrowing::Once, Keep, None)), "the profile's"),
        (ends(true,  Keep, None), open("tcp/22,udp/51820"), None,                   "UDP has no handshake"),
        (ends(false, Cut,  hour), once(false), Some((Narrowing::None, Cut, hour)),  "both ends"),
        (ends(false, Cut,  None), open("udp/51820"), Some((Narrowing::None, Cut, None)), "UDP ends with its window"),
        (ends(false, Keep, hour), once(true),  Some((Narrowing::Once, Keep, None)), "ends with its first connection"),
        (ends(false, Cut,  None), once(true),  None, "its session would be cut as it begins"),
    ];
    for (ends, verb, expected, why) in rows {
        let verdict = judge(Profile { ends, ..profile(LAPTOP) }, &request(0, 1, verb));
        let got = verdict.as_ref().ok().map(|admission| match admission.effect() {
            Effect::Open { narrowing, terms, .. } => (*narrowing, terms.on_close, terms.extend_to),
            Effect::Close { .. } | Effect::Invoke(_) => panic!("{why}"),
        });
        assert_eq!(got, expected, "{why}");
        assert!(got.is_some() || verdict == Err(Forbidden::Narrowing), "{why}");
    }
}

#[test]
fn a_forward_leads_where_the_profile_says() {
    let to = |text: &str| text.parse().unwrap();
    let masqueraded = |text: &str| Forward { to: to(text), source: SourceNat::Masquerade };
    let forward = ["10.0.0.5:443", "10.0.0.6:22", "[fd00::5]:443"].map(masqueraded);
    let gateway = || Profile { forward: forward.to_vec(), any_address: true, ..profile(LAPTOP) };
    let none = Vec::new;
    let v4 = || vec![Stated { address: ip(HOME), prefix: None }];
    let v6 = || vec![Stated { address: ip("2001:db8::7"), prefix: None }];
    let target = |address: &str, port: u16| Some((ip(address), NonZeroU16::new(port).unwrap()));
    let led = |forward, text: &str| Open { forward, ..plain(text) };
    #[rustfmt::skip]
    let rows = [
        // asked, for whom, where it leads or the refusal, why
        (plain("tcp/22"),                                 none(), Ok(None),                   "no forward: this host's own service"),
        (led(target("10.0.0.5", 443), "tcp/22"),          none(), Ok(Some("10.0.0.5:443")),   "a target"),
        (led(target("10.0.0.6", 22), "udp/51820"),        v4(),   Ok(Some("10.0.0.6:22")),    "another, by another port"),
        (led(target("fd00::5", 443), "tcp/22"),           v6(),   Ok(Some("[fd00::5]:443")),  "IPv6"),
        (led(target("10.0.0.7", 443), "tcp/22"),          none(), Err(Forbidden::Target),     "another host"),
        (led(target("10.0.0.5", 22), "tcp/22"),           none(), Err(Forbidden::Target),     "another port of it"),
        (led(target("127.0.0.1", 22), "tcp/22"),          none(), Err(Forbidden::Target),     "loopback"),
        (led(target("fd00::5", 443), "tcp/22"),           v4(),   Err(Forbidden::Family),     "from IPv4 to IPv6"),
        (led(target("10.0.0.5", 443), "tcp/22"),          v6(),   Err(Forbidden::Family),     "from IPv6 to IPv4"),
        (led(target("10.0.0.5", 443), "tcp/443"),         none(), Err(Forbidden::Service),    "an outer port that is not in open"),
        (led(target("10.0.0.5", 443), "tcp/22,udp/51820"), none(), Err(Forbidden::Narrowing), "two services to one target"),
        (Open { once: true, ..led(target("10.0.0.5", 443), "tcp/22") }, none(), Err(Forbidden::Narrowing), "with once"),
        (Open { ports: Some((1, 2)), ..led(target("10.0.0.5", 443), "tcp/22") }, none(), Err(Forbidden::Narrowing), "with source ports"),
    ];
    for (open, addresses, expected, why) in rows {
        let request = Request { addresses, ..request(0, 1, Verb::Open(open)) };
        let verdict = judge(gateway(), &request).map(|admission| match admission.effect() {
            Effect::Open { terms, .. } => terms.forward,
            Effect::Close { .. } | Effect::Invoke(_) => None,
        });
        assert_eq!(verdict, expected.map(|text| text.map(masqueraded)), "{why}");
    }
}

#[test]
fn an_expired_profile_has_nothing() {
    for (expires, allowed) in [(1, true), (0, false), (-1, false)] {
        for verb in [open("tcp/22"), Verb::Close(Vec::new())] {
            let profile = Profile { expires: Some(at(expires)), ..profile(LAPTOP) };
            let verdict = judge(profile, &request(0, 1, verb));
            assert_eq!(verdict.is_ok(), allowed, "{expires}");
            assert!(allowed || verdict == Err(Forbidden::Expired));
        }
    }
}

#[test]
fn no_window_outlasts_the_profile() {
    #[rustfmt::skip]
    let rows = [
        // milliseconds until it expires, how its requests are judged fresh, window in milliseconds, why
        (Some(1),      Freshness::Clock,            1,      "the last moment"),
        (Some(29_999), Freshness::Clock,            29_999, "sooner than the window"),
        (Some(30_000), Freshness::Clock,            30_000, "with the window"),
        (Some(30_001), Freshness::Clock,            30_000, "later"),
        (None,         Freshness::Clock,            30_000, "never"),
        (Some(5_000),  Freshness::Monotonic(EPOCH), 5_000,  "by the same clock as its expiry"),
    ];
    for (left, freshness, window, why) in rows {
        let expires = left.map(|left| now(0).wall.plus(Duration::from_millis(left)));
        let profile = Profile { expires, freshness, ..profile(LAPTOP) };
        let admission = judge(profile, &request(0, 1, open("tcp/22"))).unwrap();
        let Effect::Open { terms, .. } = admission.effect() else { panic!("{why}") };
        assert_eq!(terms.window.as_millis(), window, "{why}");
    }
}

#[test]
fn a_prefix_needs_its_length_in_the_profile() {
    #[rustfmt::skip]
    let rows = [
        // first address, bits, lengths in the profile, admitted, why
        ("192.0.2.0", 24, &["ipv4/24"][..],            true,  "its length"),
        ("192.0.2.0", 24, &["ipv6/64", "ipv4/24"],     true,  "one of several"),
        ("192.0.2.0", 24, &[],                         false, "none"),
        ("192.0.0.0", 16, &["ipv4/24"],                false, "wider"),
        ("192.0.2.8", 29, &["ipv4/24"],                false, "narrower is another length, too"),
        ("192.0.0.0", 7,  &["ipv4/24"],                false, "wider than any that may be written"),
    ];
    for (first, bits, lengths, admitted, why) in rows {
        let prefixes = lengths.iter().map(|length| length.parse().unwrap()).collect();
        let profile = Profile { prefixes, ..profile(LAPTOP) };
        let mut wide = request(0, 1, open("tcp/22"));
        wide.addresses.push(Stated { address: ip(first), prefix: Some(bits) });
        let expected = if admitted {
            Ok(vec![Grantee::Prefix { first: ip(first), bits }])
        } else {
            Err(Forbidden::Prefix)
        };
        assert_eq!(judge(profile, &wide).map(|admission| admission.grantees().to_vec()), expected, "{why}");
    }
}

#[test]
fn source_ports_go_with_plain_addresses_only() {
    let prefixes = vec!["ipv4/24".parse().unwrap()];
    let narrow = Verb::Open(Open { ports: Some((40_000, 40_001)), ..plain("tcp/22") });
    let mut wide = request(0, 1, narrow.clone());
    wide.addresses.push(Stated { address: ip("192.0.2.0"), prefix: Some(24) });
    assert_eq!(judge(Profile { prefixes, ..profile(LAPTOP) }, &wide), Err(Forbidden::Narrowing));
    let admission = judge(profile(LAPTOP), &request(0, 1, narrow)).unwrap();
    let Effect::Open { services, narrowing, .. } = admission.effect() else { panic!("an open") };
    assert_eq!(*narrowing, Narrowing::SourcePorts(40_000, 40_001));
    let doors = narrowing.doors(admission.grantees(), services);
    assert_eq!(
        doors.iter().map(|door| door.limit).collect::<Vec<_>>(),
        [40_000, 40_001].map(Limit::SourcePort)
    );
}

#[test]
fn the_limit_of_a_profile_goes_with_its_admission() {
    let max_doors = NonZeroU32::new(3);
    let admission = judge(Profile { max_doors, ..profile(LAPTOP) }, &request(0, 1, open("tcp/22"))).unwrap();
    let Effect::Open { terms, .. } = admission.effect() else { panic!("an open") };
    assert_eq!(terms.most_doors, max_doors);
}

#[test]
fn an_admission_says_who_asked_when_and_for_whom() {
    let stated = stating(request(5, 1, open("tcp/22")), HOME);
    let admission = judge(profile(LAPTOP), &stated).unwrap();
    assert_eq!(admission.grantees(), [ip(HOME).into()]);
    assert_eq!((admission.key_id(), admission.time()), (LAPTOP, at(5)));
    assert_eq!(admission.profile(), &profile(LAPTOP).name);
}

#[test]
fn a_key_whose_successor_is_in_use_opens_nothing_and_closes_nothing() {
    let successor = Some(Successor { key_id: NEXT, epoch: EPOCH });
    let keyring = Keyring::new([Profile { successor, ..profile(LAPTOP) }, profile(NEXT)]);
    for verb in [open("tcp/22"), Verb::Close(Vec::new()), Verb::Ping] {
        let mut replay = Replay::restore(EPOCH, true, DEFAULT_SKEW, []);
        replay.admit(bound(&keyring, NEXT, &request(0, 1, open("tcp/22"))), now(0)).ok().unwrap();
        let (fresh, _) = replay.admit(bound(&keyring, LAPTOP, &request(1, 2, verb)), now(0)).ok().unwrap();
        assert_eq!(authorize(fresh, now(0).wall, &actions()), Err(Forbidden::Superseded));
    }
}
