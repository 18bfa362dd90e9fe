//! Approvals as the data plane sees them: what people are asked, what their answer is bound to, and waiting for it.

mod binding;
mod canonical;
mod desk;
mod fingerprint;
mod question;
mod setup;
mod waiting;

pub use binding::{Bound, NotBound};
pub(crate) use canonical::{Items, Members};
pub use canonical::{NotCanonical, canonical};
pub use desk::{Answer, Desk, Settled};
pub use fingerprint::FingerprintKey;
pub use question::{Asker, Question};
pub use setup::ApprovalSetup;
pub use waiting::Waiting;
