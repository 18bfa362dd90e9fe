//! What a hostile agent tries, byte by byte, and what it meets. The names here are those of docs/threats.md.

mod address;
mod authority;
mod credential;
mod hello;
mod http;
mod identity;
mod metering;
mod path;
mod redaction;

/// The host that most of these go to, and its route.
const HOST: &str = "files.example.com";
const ROUTES: &str = "routes:\n  - host: files.example.com\n";
