use std::num::NonZeroU32;
use std::time::Duration;

use spa_core::action::Invocation;
use spa_core::gate::Counters;
use spa_core::policy::Narrowing;
use spa_core::reject::Reject;
use spa_core::service::{Service, Transport};
use spa_core::target::Target;
use spa_core::terms::{Forward, OnClose, SourceNat, Terms};

use super::*;

fn largest() -> Message {
    let port = |n: usize| NonZeroU16::new(u16::try_from(n).unwrap() + 1).unwrap();
    Message::Ask(Ask {
        profile: "a".repeat(NAME).into(),
        key_id: KeyId(u32::MAX),
        time: UnixMillis::MAX,
        grantees: (0..4).map(|n| Grantee::OnLink { address: [n; 16].into(), interface: u32::MAX }).collect(),
        effect: Effect::Open {
            services: (0..16).map(|n| Service::new(Transport::Udp, port(n))).collect(),
            narrowing: Narrowing::None,
            terms: Terms {
                window: Duration::from_millis(u64::MAX),
                extend_to: Some(Duration::from_millis(u64::MAX)),
                on_close: OnClose::Cut,
                forward: Some(Forward {
                    to: Target::new([1; 16].into(), NonZeroU16::MIN).unwrap(),
                    source: SourceNat::Address([2; 16].into()),
                }),
                most_doors: Some(NonZeroU32::MAX),
            },
        },
    })
}

/// A request for an action, with this argument.
fn invoking(argument: Option<u8>) -> Message {
    let Message::Ask(ask) = largest() else { panic!("an ask") };
    Message::Ask(Ask { effect: Effect::Invoke(Invocation { action: 7, argument }), ..ask })
}

#[test]
fn the_largest_message_fits_and_comes_back() {
    let named = |length| move |id| (KeyId(id), Arc::from("a".repeat(length)));
    let few: Vec<_> = (u32::MAX - 5..=u32::MAX).map(named(NAME)).collect();
    let many: Vec<_> = (u32::MAX - 41..=u32::MAX).map(named(1)).collect();
    let counters = Counters { admitted: u64::MAX, rejected: [u64::MAX; Reject::COUNT] };
    let tally = Tally {
        counters,
        lost: 1,
        captures: 2,
        unfiltered: 3,
        left_out: 4,
        shut: 5,
        unsettled: true,
        unlocked: true,
        deaf: true,
    };
    let refusal = Refusal {
        profile: "a".repeat(NAME).into(),
        reason: "forbidden",
        times: u32::MAX,
        why: "~".repeat(WHY),
    };
    let messages = [
        largest(),
        Message::Tally(tally),
        Message::Unfit("~".repeat(WORDS)),
        Message::Refused(refusal),
        invoking(Some(0)),
        invoking(None),
    ];
    let sealed = answer::tests::largest();
    let offer = Offer { key_id: KeyId(7), time: UnixMillis::MAX, done: true, sealed: sealed.clone() };
    let receipts = [Message::Offer(offer), Message::Denied(sealed)];
    for message in messages.into_iter().chain(receipts).chain([few, many].map(Message::Serves)) {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

#[test]
fn names_of_all_lengths_are_told_in_order_and_whole() {
    let all: Vec<(KeyId, Arc<str>)> =
        (0..1000).map(|id| (KeyId(id), Arc::from("n".repeat(id as usize % NAME)))).collect();
    let messages = Message::serves(&all);
    let told = messages.iter().flat_map(|message| match Message::decode(&message.encode()) {
        Ok(Message::Serves(some)) => some,
        other => panic!("{other:?}"),
    });
    assert_eq!(told.collect::<Vec<_>>(), all);
    assert_eq!(Message::serves(&[]), []);
    let reason = "ä long reason; ".repeat(40);
    let pieces = Message::unfit(&reason);
    assert_eq!(pieces.len(), reason.len().div_ceil(WORDS));
    assert!(pieces.iter().all(|piece| Message::decode(&piece.encode()).as_ref() == Ok(piece)));
}

#[test]
fn a_second_spelling_is_refused() {
    let ready =
        Message::Ready { port: NonZeroU16::MIN, profiles: 1, interfaces: 1, surroundings: 1, config: 1 }
            .encode();
    assert!(Message::decode(&ready).is_ok());
    let mut behind = ready;
    behind[SIZE - 1] = 1;
    assert_eq!(Message::decode(&behind), Err(NotAMessage), "a byte behind the fields");
    assert_eq!(Message::decode(&[0; SIZE]), Err(NotAMessage), "no kind");
    let narrowed = |low, high, grantee: Grantee| {
        let Message::Ask(mut ask) = largest() else { panic!("an ask") };
        let Effect::Open { services, narrowing, .. } = &mut ask.effect else { panic!("an open") };
        services.truncate(1);
        *narrowing = Narrowing::SourcePorts(low, high);
        ask.grantees = vec![grantee];
        Message::decode(&Message::Ask(ask).encode())
    };
    let address = Grantee::Address([192, 0, 2, 7].into());
    assert!(narrowed(1, 256, address).is_ok());
    assert_eq!(narrowed(1, 257, address), Err(NotAMessage), "more doors than any request has");
    assert_eq!(narrowed(2, 1, address), Err(NotAMessage), "no port at all");
    let prefix = |bits| Grantee::Prefix { first: [192, 0, 2, 0].into(), bits };
    assert_eq!(narrowed(1, 1, prefix(24)), Err(NotAMessage), "source ports of a prefix");
    let wide = |bits| {
        let Message::Ask(mut ask) = largest() else { panic!("an ask") };
        ask.grantees = vec![prefix(bits)];
        Message::decode(&Message::Ask(ask).encode())
    };
    assert!(wide(24).is_ok());
    assert_eq!(wide(16), Err(NotAMessage), "a bit behind the prefix");
    let once = |grantee| {
        let Message::Ask(mut ask) = largest() else { panic!("an ask") };
        let Effect::Open { narrowing, .. } = &mut ask.effect else { panic!("an open") };
        *narrowing = Narrowing::Once;
        ask.grantees = vec![grantee];
        Message::decode(&Message::Ask(ask).encode())
    };
    assert!(once(address).is_ok());
    assert_eq!(once(prefix(24)), Err(NotAMessage), "once for a prefix");
    assert_eq!(wide(32), Err(NotAMessage), "a prefix of one address");
    let mut target = largest().encode();
    let at = target.windows(16).rposition(|bytes| bytes == [1; 16]).unwrap();
    target[at..at + 16].copy_from_slice(&std::net::Ipv6Addr::LOCALHOST.octets());
    assert_eq!(Message::decode(&target), Err(NotAMessage), "a target that is none");
    for (ids, why) in [(vec![], "nobody"), (vec![2, 1], "falling"), (vec![1, 1], "one twice")] {
        let profiles = Message::Serves(ids.into_iter().map(|id| (KeyId(id), "laptop".into())).collect());
        assert_eq!(Message::decode(&profiles.encode()), Err(NotAMessage), "{why}");
    }
    for message in [Message::Serves(vec![(KeyId(1), "laptop".into())]), Message::Unfit("No key.".into())] {
        let mut escape = message.encode();
        let at = escape.iter().rposition(|byte| *byte != 0).unwrap();
        escape[at] = 0x1b;
        assert_eq!(Message::decode(&escape), Err(NotAMessage), "an escape sequence for the terminal");
    }
    let refused = |reason| {
        let refusal = Refusal { profile: "a".into(), reason, times: 1, why: "No.".into() };
        Message::decode(&Message::Refused(refusal).encode())
    };
    assert!(refused("old").is_ok());
    assert_eq!(refused("because"), Err(NotAMessage), "a reason that no gate has");
    let mut action = invoking(None).encode();
    let at = action.iter().rposition(|byte| *byte != 0).unwrap();
    action[at + 1] = 1;
    assert_eq!(Message::decode(&action), Err(NotAMessage), "text behind an action");
    let mut name = largest().encode();
    name[21] = b'\n';
    assert_eq!(Message::decode(&name), Err(NotAMessage), "a line break for the log");
}
