//! Approvals as the data plane sees them: what a request is bound to.

mod canonical;
mod fingerprint;

pub(crate) use canonical::{Items, Members};
pub use canonical::{NotCanonical, canonical};
pub use fingerprint::FingerprintKey;
