//! Receipts on their way through the processes: what the worker seals before it asks, what the monitor passes on once it
//! knows what became of it, and what the sender gets. To all but the worker their bytes are noise.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use spa_core::crypto::key::KeyId;
use spa_core::reader::Reader;
use spa_core::receipt::sealed::SealedReceipt;
use spa_core::receipt::wanted::Wanted;
use spa_core::time::UnixMillis;

use crate::wire::{address, put_address};

/// Between whom a receipt goes. Its source port is the SPA port, which nobody but the monitor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The address of this host that the request was sent to.
    pub from: IpAddr,
    /// Where the request came from.
    pub to: IpAddr,
    /// By which port.
    pub port: NonZeroU16,
}

/// A receipt for what is asked next. There are two of each ask, and which of them is true, the monitor alone will know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Who asks.
    pub key_id: KeyId,
    /// When it was asked, by the client's clock.
    pub time: UnixMillis,
    /// It says that all of it was done; otherwise that not all of it was.
    pub done: bool,
    /// The receipt itself.
    pub sealed: Sealed,
}

/// A receipt and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Between whom.
    pub way: Way,
    /// The payload.
    pub receipt: SealedReceipt,
}

/// What the monitor tells the sender to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The SPA port, from which it goes.
    pub port: NonZeroU16,
    /// What.
    pub sealed: Sealed,
}

impl Way {
    /// That of a receipt; `None` for one that no raw socket takes.
    pub fn of(wanted: &Wanted) -> Option<Self> {
        Self { from: wanted.from(), to: wanted.to().ip(), port: NonZeroU16::new(wanted.to().port())? }
            .checked()
    }

    /// From one family to the other leads no way.
    fn checked(self) -> Option<Self> {
        (self.from.is_ipv4() == self.to.is_ipv4()).then_some(self)
    }

    /// Where it ends.
    pub fn destination(&self) -> SocketAddr {
        SocketAddr::new(self.to, self.port.get())
    }
}

impl Letter {
    /// Bytes of every message to the sender.
    pub const SIZE: usize = 256;

    /// Its bytes: fields in a fixed order, zeros.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = Vec::with_capacity(Self::SIZE);
        bytes.extend_from_slice(&self.port.get().to_be_bytes());
        put_sealed(&mut bytes, &self.sealed);
        bytes.resize(Self::SIZE, 0);
        bytes.try_into().unwrap_or([0; Self::SIZE])
    }

    /// Reads one; anything else is `None`.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let port = NonZeroU16::new(r.u16().ok()?)?;
        let letter = Self { port, sealed: sealed(&mut r)? };
        (letter.encode() == *bytes).then_some(letter)
    }
}

pub(crate) fn put_offer(bytes: &mut Vec<u8>, offer: &Offer) {
    bytes.extend_from_slice(&offer.key_id.0.to_be_bytes());
    bytes.extend_from_slice(&offer.time.get().to_be_bytes());
    bytes.push(u8::from(offer.done));
    put_sealed(bytes, &offer.sealed);
}

pub(crate) fn offer(r: &mut Reader<'_>) -> Option<Offer> {
    let (key_id, time) = (KeyId(r.u32().ok()?), UnixMillis::new(r.u64().ok()?)?);
    Some(Offer { key_id, time, done: r.u8().ok()? != 0, sealed: sealed(r)? })
}

pub(crate) fn put_sealed(bytes: &mut Vec<u8>, sealed: &Sealed) {
    put_way(bytes, &sealed.way);
    put_receipt(bytes, &sealed.receipt);
}

pub(crate) fn sealed(r: &mut Reader<'_>) -> Option<Sealed> {
    Some(Sealed { way: way(r)?, receipt: receipt(r)? })
}

fn put_way(bytes: &mut Vec<u8>, way: &Way) {
    put_address(bytes, way.from);
    put_address(bytes, way.to);
    bytes.extend_from_slice(&way.port.get().to_be_bytes());
}

fn way(r: &mut Reader<'_>) -> Option<Way> {
    Way { from: address(r)?, to: address(r)?, port: NonZeroU16::new(r.u16().ok()?)? }.checked()
}

fn put_receipt(bytes: &mut Vec<u8>, receipt: &SealedReceipt) {
    bytes.push(u8::try_from(receipt.bytes().len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(receipt.bytes());
}

fn receipt(r: &mut Reader<'_>) -> Option<SealedReceipt> {
    let length = usize::from(r.u8().ok()?);
    SealedReceipt::from_bytes(r.bytes(length).ok()?)
}

#[cfg(test)]
pub(crate) mod tests {
    use spa_core::receipt::sealed::{MAX, MIN};

    use super::*;

    /// The longest that there may be.
    pub(crate) fn largest() -> Sealed {
        let way = Way { from: [1; 16].into(), to: [2; 16].into(), port: NonZeroU16::MAX };
        Sealed { way, receipt: SealedReceipt::from_bytes(&[3; MAX]).unwrap() }
    }

    fn letter() -> Letter {
        Letter { port: NonZeroU16::MIN, sealed: largest() }
    }

    #[test]
    fn the_largest_letter_fits_and_comes_back() {
        assert_eq!(Letter::decode(&letter().encode()), Some(letter()));
    }

    #[test]
    fn what_is_no_letter_is_refused() {
        #[rustfmt::skip]
        let rows = [
            // offset, byte, why
            (1,   0,             "no source port"),
            (2,   4,             "from the one family to the other"),
            (2,   5,             "no family"),
            (38,  0,             "no receipt"),
            (38,  MIN as u8 - 1, "a receipt that is too short"),
            (38,  MIN as u8,     "a receipt with something behind it"),
            (38,  MAX as u8 + 1, "one that is too long"),
            (255, 1,             "a byte behind it"),
        ];
        for (at, byte, why) in rows {
            let mut bytes = letter().encode();
            bytes[at] = byte;
            assert_eq!(Letter::decode(&bytes), None, "{why}");
        }
        assert_eq!(Letter::decode(&[0; Letter::SIZE]), None, "nothing");
    }
}
