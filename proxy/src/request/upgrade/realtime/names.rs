//! What messages of a client are called (`event_id`), by which the server's errors answer them.
//!
//! An error that answers a `response.create` says that nothing was begun for it, and its hold is given back. Invariant:
//! so only where the name was that message's alone; else an agent could let another message fail under it. What is
//! remembered is bounded.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Names of one generation. The one before it is remembered too: a server that still owes errors for as many messages
/// has long stopped reading.
const GENERATION: usize = 8192;
/// Longest name that counts, in bytes; the interface takes no longer one.
const LONGEST: usize = 512;

/// The names so far.
#[derive(Default)]
pub(super) struct Names {
    young: HashSet<u64>,
    old: HashSet<u64>,
    keys: RandomState,
    made: u64,
}

impl Names {
    /// Takes down a name; whether no message had it before.
    pub(super) fn note(&mut self, name: &str) -> bool {
        let hash = self.keys.hash_one(name);
        let known = self.old.contains(&hash);
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash) && !known && name.len() <= LONGEST
    }

    /// A name that nobody can foresee.
    pub(super) fn make(&mut self) -> String {
        self.made += 1;
        format!("hudson_{:016x}", self.keys.hash_one(self.made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_messages_own_only_once() {
        let mut names = Names::default();
        assert!(names.note("a") && names.note("b"));
        assert!(!names.note("a"));
        assert!(!names.note(&"x".repeat(LONGEST + 1)), "an error would not name it whole");
        for number in 0..GENERATION {
            names.note(&number.to_string());
        }
        assert!(!names.note("a"), "a generation later");
        assert!(names.young.len() + names.old.len() <= 2 * GENERATION);
    }

    #[test]
    fn names_that_are_made_cannot_be_foreseen() {
        assert_ne!(Names::default().make(), Names::default().make());
        let mut names = Names::default();
        assert_ne!(names.make(), names.make());
    }
}
