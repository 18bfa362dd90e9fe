//! Exit codes, and which error ends in which.

use hudson_proxy::tls::{AuthorityError, UpstreamTlsError};
use hudson_schema::config::ConfigError;
use hudson_schema::ledger::LedgerError;

/// All went well.
pub const OK: u8 = 0;
/// Something failed.
pub const FAILED: u8 = 1;
/// The arguments, a file or other input is wrong; nothing was done.
pub const USAGE: u8 = 2;
/// What was asked for does not exist.
pub const NOT_FOUND: u8 = 3;
/// What was asked for contradicts what is.
pub const CONFLICT: u8 = 4;
/// The command was stopped by a budget.
pub const BUDGET: u8 = 77;

/// An error with the exit code it ends in.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Exit {
    /// The code.
    pub code: u8,
    /// What a person reads.
    pub message: String,
}

impl Exit {
    /// Wrong input.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// Nothing of that name.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { code: NOT_FOUND, message: message.into() }
    }

    /// A command that could not be started, as shells say it.
    pub fn not_started(name: &std::ffi::OsStr, error: &std::io::Error) -> Self {
        let name = name.to_string_lossy();
        match error.kind() {
            std::io::ErrorKind::NotFound => Self { code: 127, message: format!("{name}: command not found") },
            _ => Self { code: 126, message: format!("{name}: {error}") },
        }
    }

    /// A contradiction.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self { code: CONFLICT, message: message.into() }
    }
}

/// The exit code of an error: wrong files and arguments are 2, everything else 1.
pub fn code_of(error: &anyhow::Error) -> u8 {
    if let Some(exit) = error.chain().find_map(|cause| cause.downcast_ref::<Exit>()) {
        return exit.code;
    }
    let input = error.chain().any(|cause| {
        cause.is::<ConfigError>()
            || matches!(cause.downcast_ref(), Some(AuthorityError::Invalid { .. }))
            || matches!(cause.downcast_ref(), Some(UpstreamTlsError::CaFile { .. }))
            || matches!(
                cause.downcast_ref(),
                Some(LedgerError::Damaged { .. } | LedgerError::Foreign { .. } | LedgerError::Future { .. })
            )
    });
    if input { USAGE } else { FAILED }
}
