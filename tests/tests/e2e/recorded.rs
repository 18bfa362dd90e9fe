//! Recorded streams of real providers through the running proxy, asked for by the providers' own SDKs and by hand: each
//! arrives as it was recorded, and its usage is in the ledger. `$HUDSON_CORPUS` names the recordings, else
//! `../shared/corpus` beside the repository.

// A recording that cannot be read ends the test.
#![allow(clippy::panic)]

mod by_hand;
mod by_sdk;
mod family;
mod recording;
mod scene;

use family::{FAMILIES, Family};
use recording::Recording;
use scene::Scene;
