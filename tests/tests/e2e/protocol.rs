//! HTTP itself, whichever version either side speaks: what was sent is what arrives, at once, whole, and no more.

// What does not come in time ends its test.
#![allow(clippy::panic)]

mod alpn;
mod body;
mod breaks;
mod bulk;
mod client;
mod expect;
mod fidelity;
mod framing;
mod grpc;
mod options;
mod origin;
mod scene;
mod streaming;
mod trailers;

use crate::raw::{self, Setting};

/// The host of the test's own origin, and its route.
const HOST: &str = "origin.example.com";
const ROUTES: &str = "routes:\n  - host: origin.example.com\n";
/// A host without TLS.
const PLAIN: &str = "routes:\n  - {host: plain.example.com, scheme: http}\n";

/// A route that puts a credential on, so that what comes back is searched for it.
fn with_credential() -> Setting {
    let routes = "routes:\n  - host: origin.example.com\n    credentials:\n      - \
                  {header: x-key, from: {env: THE_KEY}}\n";
    raw::routes(routes).env("THE_KEY", "tests-only-9fK2mP7qR4tW")
}
