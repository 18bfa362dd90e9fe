//! What a hostile agent tries, byte by byte, and what it meets. The names here are those of docs/threats.md.

mod address;
mod authority;
mod credential;
mod flood;
mod hello;
mod http;
mod http2;
mod identity;
mod metering;
mod path;
mod rebinding;
mod redaction;
mod server_name;
mod smuggling;

/// The host that most of these go to, and its route.
const HOST: &str = "files.example.com";
const ROUTES: &str = "routes:\n  - host: files.example.com\n";
