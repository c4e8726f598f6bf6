use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn service() -> impl Strategy<Value = Service> {
    (any::<bool>(), any::<NonZeroU16>())
        .prop_map(|(tcp, port)| Service::new(if tcp { Transport::Tcp } else { Transport::Udp }, port))
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

/// An address, or a prefix of it whose host bits are zero.
fn stated() -> impl Strategy<Value = Stated> {
    (address(), option::of(0_u8..128)).prop_map(|(address, prefix)| match (address, prefix) {
        (_, None) => Stated { address, prefix },
        (IpAddr::V4(v4), Some(bits)) => {
            let bits = bits % 32;
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Stated { address: IpAddr::from((v4.to_bits() & mask).to_be_bytes()), prefix: Some(bits) }
        }
        (IpAddr::V6(v6), Some(bits)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Stated { address: IpAddr::from((v6.to_bits() & mask).to_be_bytes()), prefix: Some(bits) }
        }
    })
}

fn distinct<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    let mut kept = Vec::new();
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

fn verb() -> impl Strategy<Value = Verb> {
    let forward = option::of((address(), any::<NonZeroU16>()));
    let ports = option::of((any::<u16>(), any::<u16>()).prop_map(|(a, b)| (a.min(b), a.max(b))));
    let narrowed = (option::of(any::<NonZeroU32>()), forward, ports, any::<bool>());
    prop_oneof![
        (vec(service(), 1..=16), narrowed).prop_map(|(services, (window, forward, ports, once))| {
            Verb::Open(Open { services: distinct(services), window, forward, ports, once })
        }),
        vec(service(), 0..=16).prop_map(|services| Verb::Close(distinct(services))),
        ("[a-zé]{1,32}", vec("[ -~]{0,128}", 0..=16))
            .prop_map(|(action, arguments)| Verb::Invoke { action, arguments }),
        Just(Verb::Ping),
    ]
}

prop_compose! {
    fn request()(
        time in 0..1_u64 << 48,
        id: [u8; 8],
        verb in verb(),
        addresses in vec(stated(), 0..=4),
        receipt: bool,
    ) -> Request {
        let time = UnixMillis::new(time).unwrap_or(UnixMillis::EPOCH);
        Request { time, id: RequestId(id), verb, addresses: distinct(addresses), receipt }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_request_comes_back_as_it_was(request in request(), padding in 0_usize..600) {
        let mut plaintext = request.encode();
        let length = plaintext.len();
        plaintext.resize(length + padding, 0);
        prop_assert_eq!(Request::decode(&plaintext), Ok(request));
        if padding > 0 {
            plaintext[length + padding / 2] = 1;
            prop_assert_eq!(Request::decode(&plaintext), Err(Malformed));
        }
    }

    #[test]
    fn a_request_that_is_cut_is_none(request in request(), at: prop::sample::Index) {
        let encoded = request.encode();
        prop_assert_eq!(Request::decode(&encoded[..at.index(encoded.len())]), Err(Malformed));
    }

    /// Any byte of a request that is changed makes another request or none, but never the same.
    #[test]
    fn a_request_has_one_spelling(request in request(), at: prop::sample::Index, flip in 1_u8..) {
        let mut changed = request.encode();
        let at = at.index(changed.len());
        changed[at] ^= flip;
        prop_assert_ne!(Request::decode(&changed), Ok(request));
    }
}

#[test]
fn the_largest_open_with_four_addresses_fits_the_shortest_datagram() {
    let all: Vec<Service> =
        (0..16).map(|n| Service::new(Transport::Udp, NonZeroU16::new(65535 - n).unwrap())).collect();
    let addresses = (0..4).map(|n| Stated { address: IpAddr::from([n; 16]), prefix: None }).collect();
    let open = Open { window: NonZeroU32::new(u32::MAX), ..Open::plain(all) };
    let id = RequestId([0xff; 8]);
    let request = Request { time: UnixMillis::MAX, id, verb: Verb::Open(open), addresses, receipt: true };
    assert_eq!(request.encode().len(), 183, "SPEC.md, section 7");
}
