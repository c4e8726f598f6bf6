//! Classic BPF, as far as a capture's filter needs it: the instructions that the kernel runs for each packet
//! (`linux/filter.h`). One accumulator A, one index X, sixteen words of scratch memory, jumps forward only.

use zeroize::Zeroize;

/// Most instructions that the kernel takes (`BPF_MAXINSNS`).
pub const MOST: usize = 4096;
/// Where the kernel shows what it knows of a packet beside its bytes (`SKF_AD_OFF`), and there whether this host
/// sent it (`SKF_AD_PKTTYPE`).
pub const PACKET_TYPE: u32 = (-0x1000_i32).cast_unsigned() + 4;

/// One instruction, in the layout of the kernel's `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip where a condition holds.
    pub jt: u8,
    /// How many where it does not.
    pub jf: u8,
    /// An operand.
    pub k: u32,
}

/// Instructions in their order. Wiped on drop: they may hold a key.
#[derive(Default)]
pub struct Program(Vec<Instruction>);

impl Program {
    /// A program with room for all that it may ever have, so that no copy of it is left behind while it grows.
    pub fn new() -> Self {
        Self(Vec::with_capacity(MOST))
    }

    /// The instructions.
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }

    /// Whether the kernel would find it too long.
    pub fn is_too_long(&self) -> bool {
        self.0.len() > MOST
    }

    /// Adds one instruction without a jump.
    pub fn push(&mut self, operation: Operation, k: u32) {
        self.0.push(Instruction { code: operation as u16, jt: 0, jf: 0, k });
    }

    /// Adds a conditional jump: over `jt` instructions if A and the operand are so, else over `jf`.
    pub fn test(&mut self, condition: Condition, k: u32, jt: u8, jf: u8) {
        self.0.push(Instruction { code: condition as u16, jt, jf, k });
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        for instruction in &mut self.0 {
            instruction.k.zeroize();
        }
    }
}

/// What is not a condition. Numbers in packets are big-endian; one that lies behind the packet's end makes the
/// filter refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Operation {
    /// A = four bytes at k.
    LoadWord = 0x20,
    /// A = two bytes at k.
    LoadHalf = 0x28,
    /// A = the byte at k.
    LoadByte = 0x30,
    /// A = four bytes at X + k.
    LoadWordAtX = 0x40,
    /// A = two bytes at X + k.
    LoadHalfAtX = 0x48,
    /// X = four times the low half of the byte at k: the length of an IPv4 header.
    LoadHeaderLength = 0xb1,
    /// A = k.
    Set = 0x00,
    /// X = k.
    SetX = 0x01,
    /// A = memory k.
    Recall = 0x60,
    /// X = memory k.
    RecallX = 0x61,
    /// Memory k = A.
    Keep = 0x02,
    /// X = A.
    ToX = 0x07,
    /// A = A + k.
    Add = 0x04,
    /// A = A + X.
    AddX = 0x0c,
    /// A = A | X.
    OrX = 0x4c,
    /// A = A & k.
    And = 0x54,
    /// A = A ^ k.
    Xor = 0xa4,
    /// A = A ^ X.
    XorX = 0xac,
    /// A = A << k.
    ShiftLeft = 0x64,
    /// A = A >> k.
    ShiftRight = 0x74,
    /// Skip k instructions.
    Jump = 0x05,
    /// The end: k bytes of the packet are taken, none of it if k is 0.
    Take = 0x06,
}

/// What a conditional jump asks of A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Condition {
    /// A = k.
    Equal = 0x15,
    /// A > k.
    Above = 0x25,
    /// A >= k.
    AtLeast = 0x35,
    /// A and k have a bit in common.
    Bits = 0x45,
    /// A = X.
    EqualX = 0x1d,
    /// A >= X.
    AtLeastX = 0x3d,
}
