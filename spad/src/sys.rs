//! The only room with unsafe code: what neither the standard library nor rustix offers. Each function is one
//! call of the kernel or of the C library, behind a safe signature.

pub mod clock;
pub mod descriptors;
pub mod filter;
pub mod lock;
pub mod namespace;
pub mod peer;
pub mod signal;
