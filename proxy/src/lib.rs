//! Hudson's data plane: an intercepting HTTPS forward proxy that lets through what a run's routes allow, puts real
//! credentials on, meters what comes back and holds budgets.
//!
//! A request's way, top to bottom: [`server`] accepts, [`identity`] says who it is, `connect` opens the tunnel,
//! `request` tells the rest of the story, one stage after the other. See docs/ARCHITECTURE.md.

mod activity;
pub mod approval;
pub mod body;
pub mod confirm;
mod connect;
pub mod dial;
pub mod dlp;
pub mod event;
pub mod identity;
pub mod listener;
mod local;
pub mod mcp;
mod opaque;
mod places;
pub mod policy;
mod request;
pub mod resolve;
pub mod run;
mod secret;
pub mod server;
mod shared;
mod tasks;
pub mod tls;
pub mod traffic;
pub mod tunnel;
mod upstream;
pub mod websocket;

pub use confirm::Confirm;
pub use event::{Event, EventSink};
pub use listener::{Listener, OwnListeners};
pub use places::PlaceLimits;
pub use run::{LaunchSecret, Run, RunPolicy, RunSource};
pub use server::Proxy;
pub use shared::{ProxyLimits, ProxyParts};
pub use tasks::keep_panics_silent;
