//! The scanners under every format: server-sent events, Amazon's event stream, and the few values of a JSON text that
//! matter.
//!
//! Invariants of all: each byte is looked at once, whatever the split of the input; memory is bounded by constants,
//! whatever the size of a line, an event or a value.

pub(crate) mod eventstream;
mod find;
pub(crate) mod json;
pub(crate) mod sse;
