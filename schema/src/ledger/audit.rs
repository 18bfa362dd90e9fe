//! The audit: every decision and charge of the ledger, in the order in which they were committed, as a chain of hashes.
//!
//! A row's hash is SHA-256 over the hash of the row before it (32 zero bytes for the first), then `seq` and `ts` as
//! eight bytes each, big-endian, then `kind`, `actor`, `bottle` (empty for none) and `data`, each as its length in bytes
//! (eight bytes, big-endian) and its UTF-8. Invariants: what one version hashes another verifies; no secret is ever in a row.

use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;

/// The hash in front of the first row.
pub const FIRST: Hash = Hash([0; 32]);

/// A row's hash.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One row.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct AuditRecord {
    /// Its place: 1, 2, 3, and so on.
    pub seq: i64,
    /// When it was committed, in unix milliseconds.
    pub ts: i64,
    /// What happened, resource first: `usage_charge`, `dlp_finding`, `block_place`, …
    pub kind: String,
    /// Who did it: `hudson`, or the operator who gave the order.
    pub actor: String,
    /// The bottle it concerns, if one.
    pub bottle: Option<String>,
    /// The rest, as JSON text.
    pub data: String,
    /// The hash of the row before.
    pub prev_hash: Hash,
    /// Its own.
    pub hash: Hash,
}

impl AuditRecord {
    /// What its hash has to be.
    pub fn hashed(&self) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(self.prev_hash.0);
        hasher.update(self.seq.to_be_bytes());
        hasher.update(self.ts.to_be_bytes());
        let bottle = self.bottle.as_deref().unwrap_or_default();
        for text in [&self.kind, &self.actor, bottle, &self.data] {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        Hash(hasher.finalize().into())
    }
}

/// Follows the chain, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    seq: i64,
    hash: Hash,
}

impl Default for Chain {
    fn default() -> Self {
        Self { seq: 0, hash: FIRST }
    }
}

/// Why a row does not continue the chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Break {
    /// Rows in front of it are gone, or it stands twice.
    #[error("row {found} stands where row {expected} should be: rows were removed or put in")]
    Place {
        /// The row that should be there.
        expected: i64,
        /// The one that is.
        found: i64,
    },
    /// It names another row before it.
    #[error("row {seq} does not follow from the row before it: that row was changed or replaced")]
    Link {
        /// The row.
        seq: i64,
    },
    /// It is not what was hashed.
    #[error("row {seq} is not what was written: it was changed")]
    Content {
        /// The row.
        seq: i64,
    },
}

impl Chain {
    /// Takes the next row.
    pub fn follow(&mut self, row: &AuditRecord) -> Result<(), Break> {
        let expected = self.seq + 1;
        if row.seq != expected {
            return Err(Break::Place { expected, found: row.seq });
        }
        if row.prev_hash != self.hash {
            return Err(Break::Link { seq: row.seq });
        }
        if row.hashed() != row.hash {
            return Err(Break::Content { seq: row.seq });
        }
        *self = Self { seq: row.seq, hash: row.hash };
        Ok(())
    }

    /// How many rows there were.
    pub fn rows(&self) -> i64 {
        self.seq
    }

    /// The hash of the last one. Who keeps it elsewhere sees when rows at the end are removed.
    pub fn head(&self) -> Hash {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<AuditRecord> {
        let mut rows: Vec<AuditRecord> = Vec::new();
        for seq in 1..=5 {
            let mut row = AuditRecord {
                seq,
                ts: 1_000 + seq,
                kind: "usage_charge".to_owned(),
                actor: "hudson".to_owned(),
                bottle: (seq % 2 == 0).then(|| "ci".to_owned()),
                data: format!(r#"{{"charged":{seq}}}"#),
                prev_hash: rows.last().map_or(FIRST, |row| row.hash),
                hash: FIRST,
            };
            row.hash = row.hashed();
            rows.push(row);
        }
        rows
    }

    fn broken(rows: &[AuditRecord]) -> Option<Break> {
        let mut chain = Chain::default();
        rows.iter().find_map(|row| chain.follow(row).err())
    }

    #[test]
    fn a_chain_as_it_was_written_holds() {
        let rows = rows();
        assert_eq!(broken(&rows), None);
        let mut chain = Chain::default();
        rows.iter().for_each(|row| chain.follow(row).unwrap());
        assert_eq!((chain.rows(), chain.head()), (5, rows[4].hash));
    }

    #[test]
    fn the_first_row_that_was_touched_is_named() {
        type Touch = fn(&mut Vec<AuditRecord>);
        let touches: [(Touch, Break); 7] = [
            (|rows| rows[2].data = "{}".to_owned(), Break::Content { seq: 3 }),
            (|rows| rows[2].ts += 1, Break::Content { seq: 3 }),
            (|rows| rows[2].bottle = Some("other".to_owned()), Break::Content { seq: 3 }),
            (|rows| rows[3].actor.push('x'), Break::Content { seq: 4 }),
            (|rows| drop(rows.remove(2)), Break::Place { expected: 3, found: 4 }),
            (|rows| drop(rows.remove(0)), Break::Place { expected: 1, found: 2 }),
            (
                |rows| {
                    rows[2].data = "{}".to_owned();
                    rows[2].hash = rows[2].hashed();
                },
                Break::Link { seq: 4 },
            ),
        ];
        for (touch, expected) in touches {
            let mut rows = rows();
            touch(&mut rows);
            assert_eq!(broken(&rows), Some(expected));
        }
    }

    #[test]
    fn neighbouring_texts_cannot_be_shifted_into_each_other() {
        let mut one = rows().remove(0);
        let mut other = one.clone();
        (one.kind, one.actor) = ("ab".to_owned(), "c".to_owned());
        (other.kind, other.actor) = ("a".to_owned(), "bc".to_owned());
        assert_ne!(one.hashed(), other.hashed());
    }
}
