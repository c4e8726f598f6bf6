//! Keys, the header mask, the suites and the message authentication code.

pub mod header;
pub mod key;
pub mod mac;
pub mod suite;
