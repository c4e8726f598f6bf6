//! The program against the gate, run by a machine of this file's own. That the kernel runs it alike is shown in
//! `spad/src/sys/filter.rs`.

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::*;
use crate::bpf::Instruction;
use crate::crypto::header::Nonce;
use crate::crypto::key::{KeyId, SiteKey};
use crate::fixture::SITE;
use crate::frame::Datagram;
use crate::scheme::native::Sealed;

const PORT: NonZeroU16 = NonZeroU16::new(23_571).unwrap();
const KEEP: u32 = 1400;

fn key(n: u8) -> HeaderKey {
    HeaderKey::derive(&SiteKey::new([n; 32]), SITE)
}

/// How many bytes of a packet the program takes, by the numbers of `linux/bpf_common.h`.
fn run(program: &[Instruction], packet: &[u8], outgoing: bool) -> u32 {
    let bytes = |at: u32, count: usize| -> Option<u32> {
        if at == 0xffff_f004 {
            return Some(if outgoing { 4 } else { 0 });
        }
        let at = usize::try_from(at).unwrap();
        let bytes = packet.get(at..at + count)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    };
    let (mut a, mut x, mut memory, mut at) = (0_u32, 0_u32, [None; 16], 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        let slot = k as usize;
        let jump = |holds: bool| usize::from(if holds { jt } else { jf });
        at += 1;
        let loaded = match code {
            0x20 => Some(bytes(k, 4)),
            0x28 => Some(bytes(k, 2)),
            0x30 => Some(bytes(k, 1)),
            0x40 => Some(bytes(x + k, 4)),
            0x48 => Some(bytes(x + k, 2)),
            0xb1 => {
                let Some(byte) = bytes(k, 1) else { return 0 };
                x = 4 * (byte & 15);
                None
            }
            _ => None,
        };
        match (code, loaded) {
            (_, Some(Some(number))) => a = number,
            (_, Some(None)) => return 0,
            (0x00, _) => a = k,
            (0x01, _) => x = k,
            (0x60, _) => {
                a = memory[slot].expect("the kernel refuses a program that reads what it never wrote")
            }
            (0x61, _) => x = memory[slot].expect("the same"),
            (0x02, _) => memory[slot] = Some(a),
            (0x07, _) => x = a,
            (0x04, _) => a = a.wrapping_add(k),
            (0x0c, _) => a = a.wrapping_add(x),
            (0x4c, _) => a |= x,
            (0x54, _) => a &= k,
            (0xa4, _) => a ^= k,
            (0xac, _) => a ^= x,
            (0x64, _) => a <<= k,
            (0x74, _) => a >>= k,
            (0x05, _) => at += slot,
            (0x15, _) => at += jump(a == k),
            (0x25, _) => at += jump(a > k),
            (0x35, _) => at += jump(a >= k),
            (0x45, _) => at += jump(a & k != 0),
            (0x1d, _) => at += jump(a == x),
            (0x3d, _) => at += jump(a >= x),
            (0x06, _) => return k,
            (0xb1, _) => {}
            other => panic!("{other:?} is no instruction"),
        }
    }
}

/// A datagram's bytes with the header of a client who knows this key; behind it, noise.
fn knock(rng: &mut StdRng, key: &HeaderKey, length: usize) -> Vec<u8> {
    let mut payload = vec![0; length];
    rng.fill_bytes(&mut payload);
    if length >= 24 {
        let nonce = Nonce(payload[..16].try_into().unwrap());
        let header = key.mask(&nonce, KeyId(rng.random()));
        payload[16..24].copy_from_slice(&header.0);
    }
    payload
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let fields = [40_000, port, length, 0].map(u16::to_be_bytes);
    [fields.as_flattened(), payload].concat()
}

fn ipv4(options: u8, fragment: u16, protocol: u8, body: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + usize::from(options) + body.len()).unwrap();
    let mut p = vec![0x45 + options / 4, 0];
    p.extend([total, 7, fragment].map(u16::to_be_bytes).as_flattened());
    p.extend([64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    p.extend(vec![1; options.into()]);
    [&p, body].concat()
}

fn ipv6(next: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[0x60, 0, 0, 0, length[0], length[1], next, 64][..], &[0x20; 32], body].concat()
}

/// What stands before the IP packet: as captured, and as the kernel shows it to a filter.
fn fronts() -> [(Link, Vec<u8>, Vec<u8>, &'static str); 6] {
    let ethernet = |kind: &[u8]| [&[2; 12], kind].concat();
    let cooked = |kind: &[u8]| [&[0; 14], kind].concat();
    let v2 = [&[8, 0][..], &[0; 18]].concat();
    [
        (Link::Ethernet, ethernet(&[8, 0]), ethernet(&[8, 0]), "Ethernet"),
        (
            Link::Ethernet,
            ethernet(&[0x81, 0, 0, 5, 8, 0]),
            ethernet(&[8, 0]),
            "a tag, which the kernel took off",
        ),
        (Link::Raw, vec![], vec![], "raw"),
        (Link::Cooked, cooked(&[8, 0]), vec![], "cooked"),
        (Link::Cooked, cooked(&[0x81, 0, 0, 5, 8, 0]), vec![], "cooked, a tag"),
        (Link::Cooked2, v2, vec![], "cooked v2"),
    ]
}

/// Whether it comes as far as step 3.
fn is_no_strangers(link: Link, frame: &[u8], keys: &[HeaderKey]) -> bool {
    Datagram::parse(link, frame).is_ok_and(|datagram| {
        datagram.destination.port() == PORT.get() && Sealed::read(datagram.payload, keys).is_ok()
    })
}

#[test]
fn it_takes_what_the_gate_would_and_nothing_else() {
    let mut rng = StdRng::seed_from_u64(1);
    let (ours, old, other) = (key(1), key(2), key(3));
    let right = knock(&mut rng, &ours, 256);
    let mut flipped = right.clone();
    flipped[19] ^= 0x80;
    let port = PORT.get();
    let (longest, previous) = (knock(&mut rng, &ours, 1232), knock(&mut rng, &old, 300));
    #[rustfmt::skip]
    let rows = [
        // packet, taken, why
        (ipv4(0, 0, 17, &udp(port, &right)),                              true,  "shortest"),
        (ipv4(0, 0, 17, &udp(port, &longest)),                            true,  "longest"),
        (ipv4(0, 0x4000, 17, &udp(port, &right)),                         true,  "don't fragment"),
        (ipv4(4, 0, 17, &udp(port, &right)),                              true,  "an option"),
        (ipv4(40, 0, 17, &udp(port, &right)),                             true,  "most options"),
        (ipv6(17, &udp(port, &right)),                                    true,  "IPv6"),
        (ipv4(0, 0, 17, &udp(port, &previous)),                           true,  "the site's previous key"),
        (ipv4(0, 0, 17, &udp(port, &knock(&mut rng, &other, 256))),       false, "another site's key"),
        (ipv4(0, 0, 17, &udp(port, &flipped)),                            false, "one bit of the check word"),
        (ipv4(0, 0, 17, &udp(port ^ 1, &right)),                          false, "another port"),
        (ipv6(17, &udp(port ^ 256, &right)),                              false, "another port, IPv6"),
        (ipv4(0, 0, 17, &udp(port, &knock(&mut rng, &ours, 255))),        false, "too short"),
        (ipv4(0, 0, 17, &udp(port, &knock(&mut rng, &ours, 1233))),       false, "too long"),
        (ipv4(0, 0, 6, &udp(port, &right)),                               false, "TCP"),
        (ipv6(60, &udp(port, &right)),                                    false, "an extension header"),
        (ipv4(0, 0x2000, 17, &udp(port, &right)),                         false, "first fragment"),
        (ipv4(0, 1, 17, &udp(port, &right)),                              false, "later fragment"),
        (vec![0; 300],                                                    false, "no IP"),
    ];
    let keys = [ours, old];
    for (link, captured, shown, of) in fronts() {
        let program = program(link, PORT, &keys, KEEP).unwrap();
        let program = program.instructions();
        for (packet, taken, why) in &rows {
            let (captured, shown) = ([&captured[..], packet].concat(), [&shown[..], packet].concat());
            // The headers of these links say IPv4.
            if packet[0] >> 4 == 4 {
                assert_eq!(is_no_strangers(link, &captured, &keys), *taken, "the gate: {of}, {why}");
            }
            assert_eq!(run(program, &shown, false), if *taken { KEEP } else { 0 }, "{of}, {why}");
            assert_eq!(run(program, &shown, true), 0, "sent by this host: {of}, {why}");
            // Cut before the end of the check word; what is cut behind it the worker sees.
            for end in 0..48.min(shown.len()) {
                assert_eq!(run(program, &shown[..end], false), 0, "{of}, {why}, cut at {end}");
            }
        }
    }
}

#[test]
fn whatever_comes_it_refuses_nothing_that_the_gate_would_take() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut taken = 0;
    for n in 0..4000_u32 {
        let keys: Vec<_> = (0..1 + n % 2).map(|_| key(rng.random())).collect();
        let (link, captured, shown, of) = fronts()[rng.random_range(0..6)].clone();
        let known = rng.random_range(0..keys.len());
        let length = rng.random_range(250..1240);
        let body = udp(PORT.get(), &knock(&mut rng, &keys[known], length));
        let mut packet = ipv4(4 * rng.random_range(0..=10), 0x4000, 17, &body);
        for _ in 0..n % 3 {
            let at = rng.random_range(0..60);
            packet[at] ^= 1 << rng.random_range(0..8);
        }
        let wanted = is_no_strangers(link, &[&captured[..], &packet].concat(), &keys);
        let program = program(link, PORT, &keys, KEEP).unwrap();
        let takes = run(program.instructions(), &[&shown[..], &packet].concat(), false) == KEEP;
        assert!(takes || !wanted, "{of}: {packet:02x?}");
        taken += u32::from(wanted);
    }
    assert!((1000..3500).contains(&taken), "both kinds were tried: {taken}");
}

#[test]
fn every_mask_is_that_of_siphash() {
    let mut rng = StdRng::seed_from_u64(3);
    for n in 0..=255_u8 {
        let key = key(n);
        let program = program(Link::Raw, PORT, std::slice::from_ref(&key), KEEP).unwrap();
        for extreme in [0x00, 0xff, n] {
            // Carries through every word, or none; and whatever chance brings.
            let mut payload = vec![extreme; 256];
            if extreme == n {
                rng.fill_bytes(&mut payload);
            }
            let header = key.mask(&Nonce(payload[..16].try_into().unwrap()), KeyId(9));
            payload[16..24].copy_from_slice(&header.0);
            let run = |payload: &[u8]| {
                run(program.instructions(), &ipv4(0, 0, 17, &udp(PORT.get(), payload)), false)
            };
            assert_eq!(run(&payload), KEEP, "key {n}, {extreme:02x}");
            let bit = rng.random_range(0..32);
            payload[16 + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(run(&payload), 0, "key {n}, {extreme:02x}, bit {bit} flipped");
        }
    }
}

#[test]
fn it_fits_the_kernels_limits() {
    let length =
        |keys: &[HeaderKey]| program(Link::Ethernet, PORT, keys, KEEP).map(|p| p.instructions().len());
    // Older kernels let a socket's filter have 20480 bytes (`optmem_max`), and make about an eighth more of it than they
    // were given.
    assert!(length(&[key(1)]).is_some_and(|length| length * 8 < 20_480 * 7 / 8), "one key on old kernels");
    assert!(length(&[key(1), key(2)]).is_some(), "two keys");
    assert_eq!(length(&[key(1), key(2), key(3), key(4)]), None, "too long: the worker's own check remains");
    assert!(program(Link::Null, PORT, &[key(1)], KEEP).is_none(), "the kernel never shows a packet so");
}
