//! How a request is put into a datagram.

pub mod native;
