//! Approvals as the controller keeps them: what is asked outside of requests, and who decides.

pub mod bind;
pub(crate) mod operator;
pub(crate) mod place;
pub mod review;
pub(crate) mod setup;
