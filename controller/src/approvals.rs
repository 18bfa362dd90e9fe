//! Approvals as the controller keeps them: what is asked outside of requests, and who decides.

pub mod bind;
pub(crate) mod setup;
