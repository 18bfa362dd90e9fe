//! Bytes of a model provider's traffic in, token usage out.
//!
//! This crate owns everything Hudson knows about the providers' wire formats: which endpoint costs what
//! ([`catalogue`]), what a request asks for and how its cap is rewritten ([`request`]), what a response used
//! ([`meter`]), which chunk has to be hidden again from the client ([`strip`]), and the content encodings around all
//! of it ([`decode`]). Its scanners read the events of MCP, too ([`rpc`]).
//!
//! Invariants: no I/O, no async, no clock, so that every split of the bytes can be tested; whatever arrives on the
//! wire, nothing here panics; the memory of one response is bounded by constants, whatever the size of an event.

pub mod catalogue;
pub mod decode;
mod formats;
pub mod meter;
pub mod request;
pub mod rpc;
mod scan;
pub mod strip;

pub use catalogue::{Catalogue, Endpoint, Model, masks_usage};
pub use decode::{DecodeError, StreamDecoder, decode_body};
pub use meter::{End, Meter, Report, ResponseHead, header_usage};
pub use request::{RequestError, RequestFacts, RequestHead, Rewrite};
pub use strip::UsageChunkStripper;
