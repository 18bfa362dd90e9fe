//! What a bottle may reach, decided without any I/O: routes against a request's head, addresses against the ranges
//! that are never reached, git over HTTPS. Hosts are compared as [`hudson_schema::config::Host`], in one form.
//!
//! Whatever could be read in two ways is refused or matches nothing; nothing here guesses.

pub mod address;
mod git;
mod injection;
pub mod judge;
mod matching;
mod path;
pub mod rules;

pub use git::{GitOperation, git_operation};
pub use injection::header_injection;
pub use matching::{Decision, decide, opaque_route, routes_to};
pub use path::{ASTERISK, PathFault, is_ambiguous, normalise_path};
