//! Data loss prevention without I/O, async or clock: bytes in, what may pass out.
//!
//! Today it knows the values that Hudson itself put on a request and keeps them from coming back ([`Redactor`]);
//! detectors of what an agent must not send come on the same footing.

mod redact;

pub use redact::Redactor;
