//! Approvals as the controller keeps them.

pub mod review;
