//! How an address stands in the messages between our processes: its family, 4 or 6, and its bytes.

use std::net::IpAddr;

use spa_core::reader::Reader;

/// Appends an address.
pub(crate) fn put_address(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            bytes.push(4);
            bytes.extend_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            bytes.push(6);
            bytes.extend_from_slice(&v6.octets());
        }
    }
}

/// Reads an address.
pub(crate) fn address(r: &mut Reader<'_>) -> Option<IpAddr> {
    match r.u8().ok()? {
        4 => Some(IpAddr::from(*r.array::<4>().ok()?)),
        6 => Some(IpAddr::from(*r.array::<16>().ok()?)),
        _ => None,
    }
}
