//! This process's own standard streams: what is read for the container, and the terminal it is read from.
//!
//! Invariant: the terminal is as it was found once a [`Raw`] is dropped.

use bytes::Bytes;
use rustix::termios::{self, OptionalActions, Termios};
use std::io::{self, IsTerminal};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

/// Whether a person sits at both ends.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// What comes on standard input, piece by piece, to its end. Read by one task for as long as the process lives: the
/// container that it is for may change.
pub(super) fn input() -> mpsc::Receiver<Bytes> {
    let (pieces, input) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut stdin = tokio::io::stdin();
        let mut piece = vec![0; 16 * 1024];
        loop {
            let Ok(count @ 1..) = stdin.read(&mut piece).await else { return };
            let Some(read) = piece.get(..count) else { return };
            if pieces.send(Bytes::copy_from_slice(read)).await.is_err() {
                return;
            }
        }
    });
    input
}

/// The size of the terminal, in rows and columns.
pub(super) fn size() -> Option<(i32, i32)> {
    let size = termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then(|| (i32::from(size.ws_row), i32::from(size.ws_col)))
}

/// The terminal, with every key for the container.
pub(super) struct Raw(Termios);

impl Raw {
    /// `None` where standard input is no terminal.
    pub(super) fn enter() -> Option<Self> {
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Drain, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}
