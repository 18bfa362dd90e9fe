//! The keys that this version reads but does not enforce yet. Each is named with its place when it is in use, so that
//! a caller refuses to start: silence would let the operator believe in a protection that is not there.

use super::error::Problem;
use super::tree::Trail;
use super::yaml::Document;
use super::{Routes, Settings};

/// A key in use whose enforcement this version lacks.
pub(super) type Unsupported = Problem;

impl Routes {
    /// The keys in use that this version does not enforce, with their places. Every key of a routes file is enforced.
    pub fn unsupported(&self) -> Vec<Problem> {
        Vec::new()
    }
}

impl Settings {
    /// The keys in use that this version does not enforce, with their places.
    pub fn unsupported(&self) -> Vec<Problem> {
        self.unsupported.clone()
    }
}

/// Names a key in use that is not enforced.
pub(super) fn not_enforced(document: &Document<'_>, trail: &Trail, key: &str) -> Unsupported {
    let message = format!("{key} is valid, but this version does not enforce it yet");
    document.problem_at_key(trail, message).with_help("remove it, or use a version that enforces it")
}
