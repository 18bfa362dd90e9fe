//! Bottles in containers of a Docker or Podman engine, by its API on a Unix socket.
//!
//! A run gets a network of its own ([`Network`]) that a table of the host's packet filter closes ([`firewall`]): the
//! proxy's listener on the network's gateway is all that it leads to. The container on it ([`create()`]) is followed by
//! [`Session`], which outlives a freeze and a resume. [`Bottle`] is what enforcement acts on, from whatever process.
//!
//! Invariants: what is made for a run bears the run's name and labels and is removed with it, also by the next start
//! where its own end could not ([`remove_leftovers`]); nothing is pulled; nothing that the engine or the container says
//! is trusted to be short, well-formed or there.

mod attach;
mod bottle;
mod create;
mod engine;
pub mod firewall;
mod image;
mod inspect;
mod leftovers;
mod name;
mod network;
mod session;
mod standard;
mod tied;
mod volume;

pub use bottle::{Bottle, State};
pub use create::{BUNDLE, Wish, create, image};
pub use engine::{Engine, Fault};
pub use image::{image_labels, image_name, last_image};
pub use leftovers::remove_leftovers;
pub use name::Names;
pub use network::{Network, labels};
pub use session::{Driver, Ended, Session, Signals, Stage};
pub use tied::Tied;
pub use volume::{Forbidden, Volume};

/// The label that names the run.
pub const RUN: &str = "hudson.run";
/// The label that names the bottle.
pub const BOTTLE: &str = "hudson.bottle";
/// The label that names the agent.
pub const AGENT: &str = "hudson.agent";
/// The label that names the home, as an absolute path.
pub const HOME: &str = "hudson.home";
/// The label of an image that tells when it was saved.
pub const FROZEN_AT: &str = "hudson.frozen-at";
/// The label of an image that names the container it was saved from.
const FROZEN_FROM: &str = "hudson.frozen-from";
