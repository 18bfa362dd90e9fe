//! MCP through the proxy: the SDK's own client and server over every transport, and the wire by hand.

// A scene that cannot be set up, or an answer that is none, ends its test, and says so.
#![allow(clippy::panic)]

mod client;
mod wire;

use crate::raw::{self, Setting};

/// The host of the MCP server.
const HOST: &str = "shop.example.com";

/// The route to [`HOST`] with these keys under `mcp`.
fn route(mcp: &str) -> String {
    format!("routes:\n  - host: {HOST}\n    scheme: http\n    mcp:\n{mcp}")
}

fn stage(mcp: &str, address: std::net::SocketAddr) -> Setting {
    raw::routes(&route(mcp)).connect_to(&format!("{HOST}:80"), address)
}
