//! MCP (Model Context Protocol) as it is spoken over HTTP: what a body asks for, what its headers say besides, and which
//! tools a list may name. Pure, but for the register of streams: bytes in, values out.
//!
//! Invariant: what is judged is what a server would read. A body that two servers could read in two ways is refused, be
//! it by a key twice, by a key in another case, by another character set or by a header that says something else.

mod case;
mod headers;
mod list;
mod message;
mod streams;

pub use headers::{Differs, agree, readable};
pub use list::without_hidden;
pub use message::{Call, Message, NotMcp, Posted, Says, read};
pub(crate) use streams::{Place, Stream, Streams, endpoint};
