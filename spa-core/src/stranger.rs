//! Steps 1 and 2 of judging (length, check word) as a program that the kernel runs for each packet, so that a stranger's
//! datagram wakes nobody. It is an optimisation and no judge: what it lets through is judged again from the start.
//!
//! SipHash-2-4 (SPEC.md, 5) is unrolled here in 32-bit halves: classic BPF has nothing wider, and no loop.
//! What it must never do is refuse a datagram that the gate would admit; a test holds the two together.

use std::num::NonZeroU16;

use crate::bpf::{Condition, Operation, PACKET_TYPE, Program};
use crate::crypto::header::HeaderKey;
use crate::frame::Link;
use crate::scheme::native;
use Operation::{
    Add, AddX, And, Jump, Keep, LoadByte, LoadHalf, LoadHalfAtX, LoadHeaderLength, LoadWord, LoadWordAtX,
    OrX, Recall, RecallX, Set, SetX, ShiftLeft, ShiftRight, Take, ToX, Xor, XorX,
};

const UDP: u32 = 17;
const UDP_HEADER: u32 = 8;
const IPV6_HEADER: u32 = 40;
/// `PACKET_OUTGOING` of `linux/if_packet.h`: sent by this host.
const OUTGOING: u32 = 4;

/// Scratch memory: the nonce in four words, the masked check word, eight words of state, one to spare.
const NONCE: u32 = 0;
const CHECK: u32 = 4;
const STATE: u32 = 5;
const SPARE: u32 = 13;

/// The program for captures on such links. Of what it lets through, `keep` bytes are kept.
///
/// `None` where there is none: for links that the kernel does not show as they are captured, or for too many keys.
pub fn program(link: Link, port: NonZeroU16, keys: &[HeaderKey], keep: u32) -> Option<Program> {
    let network = match link {
        Link::Ethernet => 14,
        // A cooked header is libpcap's; the kernel's packet begins behind it.
        Link::Raw | Link::Cooked | Link::Cooked2 => 0,
        Link::Null | Link::Loop => return None,
    };
    let mut program = Program::new();
    datagrams_to(&mut program, network, port);
    load(&mut program, network + UDP_HEADER);
    for key in keys {
        check(&mut program, key);
        program.test(Condition::EqualX, 0, 0, 1);
        program.push(Take, keep);
    }
    program.push(Take, 0);
    (!program.is_too_long()).then_some(program)
}

/// Goes on with UDP datagrams to the port, of the right lengths, unfragmented and from outside; X is then the length of
/// the IP header. A tag that the card or the kernel took off is not in the way; a second one is, as for libpcap's filters.
fn datagrams_to(program: &mut Program, network: u32, port: NonZeroU16) {
    let (least, most) = (native::MIN as u32 + UDP_HEADER, native::MAX as u32 + UDP_HEADER);
    program.push(LoadWord, PACKET_TYPE);
    unless(program, Condition::Equal, OUTGOING);
    program.push(LoadByte, network);
    program.push(ShiftRight, 4);
    program.test(Condition::Equal, 4, 3, 0);
    only(program, Condition::Equal, 6);
    program.push(Jump, 8);
    // IPv4: protocol, "more fragments" and offset, length of the header.
    program.push(LoadByte, network + 9);
    only(program, Condition::Equal, UDP);
    program.push(LoadHalf, network + 6);
    unless(program, Condition::Bits, 0x3fff);
    program.push(LoadHeaderLength, network);
    program.push(Jump, 4);
    // IPv6: next header.
    program.push(LoadByte, network + 6);
    only(program, Condition::Equal, UDP);
    program.push(SetX, IPV6_HEADER);
    // UDP: destination port and length.
    program.push(LoadHalfAtX, network + 2);
    only(program, Condition::Equal, port.get().into());
    program.push(LoadHalfAtX, network + 4);
    only(program, Condition::AtLeast, least);
    unless(program, Condition::Above, most);
}

/// Two instructions: goes on if it is so.
fn only(program: &mut Program, condition: Condition, k: u32) {
    program.test(condition, k, 1, 0);
    program.push(Take, 0);
}

/// Two instructions: goes on unless it is so.
fn unless(program: &mut Program, condition: Condition, k: u32) {
    program.test(condition, k, 0, 1);
    program.push(Take, 0);
}

/// Nonce and check word into memory, as SipHash counts them: the first byte is the least.
fn load(program: &mut Program, payload: u32) {
    for word in NONCE..=CHECK {
        program.push(LoadWordAtX, payload + 4 * (word - NONCE));
        program.push(Keep, word);
    }
    for word in NONCE..=CHECK {
        // Neighbours, then halves.
        steps(program, [(Recall, word), (And, 0x00ff_00ff), (ShiftLeft, 8), (Keep, SPARE)]);
        steps(program, [(Recall, word), (ShiftRight, 8), (And, 0x00ff_00ff), (RecallX, SPARE), (OrX, 0)]);
        steps(program, [(Keep, SPARE), (ShiftLeft, 16), (ToX, 0), (Recall, SPARE), (ShiftRight, 16)]);
        steps(program, [(OrX, 0), (Keep, word)]);
    }
}

fn steps<const N: usize>(program: &mut Program, steps: [(Operation, u32); N]) {
    for (operation, k) in steps {
        program.push(operation, k);
    }
}

/// Leaves the mask's first four bytes in A and those of the header in X: equal for a client's datagram.
fn check(program: &mut Program, key: &HeaderKey) {
    let mut sip = Sip { program, words: std::array::from_fn(|n| STATE + n as u32), spare: SPARE };
    let [k0, k1] = key.words();
    // The constants of the paper: "somepseudorandomlygeneratedbytes".
    sip.set(0, k0 ^ 0x736f_6d65_7073_6575);
    sip.set(1, k1 ^ 0x646f_7261_6e64_6f6d);
    sip.set(2, k0 ^ 0x6c79_6765_6e65_7261);
    sip.set(3, k1 ^ 0x7465_6462_7974_6573);
    for word in [NONCE, NONCE + 2] {
        sip.mix(3, word);
        sip.rounds(2);
        sip.mix(0, word);
    }
    // The last word holds nothing but the length, 16, in its highest byte.
    sip.flip(sip.high(3), 16 << 24);
    sip.rounds(2);
    sip.flip(sip.high(0), 16 << 24);
    sip.flip(sip.low(2), 0xff);
    sip.rounds(4);
    let [v0, v1, v2, v3] = [0, 1, 2, 3].map(|v| sip.low(v));
    steps(program, [(Recall, v0), (RecallX, v1), (XorX, 0), (RecallX, v2), (XorX, 0), (RecallX, v3)]);
    steps(program, [(XorX, 0), (RecallX, CHECK)]);
}

/// The state of SipHash in scratch memory: of each of v0 to v3 a low and a high word. What the paper moves from one word
/// to another changes its name here.
struct Sip<'p> {
    program: &'p mut Program,
    words: [u32; 8],
    spare: u32,
}

impl Sip<'_> {
    const fn low(&self, v: usize) -> u32 {
        self.words[2 * v]
    }

    const fn high(&self, v: usize) -> u32 {
        self.words[2 * v + 1]
    }

    fn set(&mut self, v: usize, value: u64) {
        steps(self.program, [(Set, value as u32), (Keep, self.low(v))]);
        steps(self.program, [(Set, (value >> 32) as u32), (Keep, self.high(v))]);
    }

    fn flip(&mut self, word: u32, bits: u32) {
        steps(self.program, [(Recall, word), (Xor, bits), (Keep, word)]);
    }

    /// v ^= the 64 bits at `word`.
    fn mix(&mut self, v: usize, word: u32) {
        for (to, from) in [(self.low(v), word), (self.high(v), word + 1)] {
            steps(self.program, [(Recall, to), (RecallX, from), (XorX, 0), (Keep, to)]);
        }
    }

    fn rounds(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.half_round(0, 1, 13);
            self.half_round(2, 3, 16);
            self.words.swap(0, 1);
            self.half_round(0, 3, 21);
            self.half_round(2, 1, 17);
            self.words.swap(4, 5);
        }
    }

    /// a += b; b = (b rotated left) ^ a. The rotation of `a` by 32 bits that follows in half of them is a change of names.
    fn half_round(&mut self, a: usize, b: usize, left: u32) {
        self.add(a, b);
        let program = &mut *self.program;
        let [a_low, a_high] = [self.words[2 * a], self.words[2 * a + 1]];
        let [b_low, b_high] = [self.words[2 * b], self.words[2 * b + 1]];
        for (top, bottom, with, to) in [(b_low, b_high, a_low, self.spare), (b_high, b_low, a_high, b_high)] {
            steps(program, [(Recall, bottom), (ShiftRight, 32 - left), (ToX, 0), (Recall, top)]);
            steps(program, [(ShiftLeft, left), (OrX, 0), (RecallX, with), (XorX, 0), (Keep, to)]);
        }
        self.words[2 * b] = self.spare;
        self.spare = b_low;
    }

    /// a += b, with the carry from the low words into the high ones: a sum below its second part had one.
    fn add(&mut self, a: usize, b: usize) {
        let [a_low, a_high] = [self.low(a), self.high(a)];
        let [b_low, b_high] = [self.low(b), self.high(b)];
        steps(self.program, [(RecallX, b_low), (Recall, a_low), (AddX, 0), (Keep, a_low)]);
        self.program.test(Condition::AtLeastX, 0, 3, 0);
        steps(self.program, [(Recall, a_high), (Add, 1), (Jump, 1)]);
        steps(self.program, [(Recall, a_high)]);
        steps(self.program, [(RecallX, b_high), (AddX, 0), (Keep, a_high)]);
    }
}

#[cfg(test)]
mod tests;
