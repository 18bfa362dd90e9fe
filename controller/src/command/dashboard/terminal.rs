//! The terminal, taken for drawing and given back.
//!
//! Invariant: it is given back when this is dropped, and before a panic is told.

use anyhow::{Context, Result};
use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};
use std::io::{Stdout, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the terminal is as this has made it.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A screen of its own over what the terminal shows.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal of standard output.
    pub(super) fn take() -> Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        let terminal = Terminal::new(CrosstermBackend::new(stdout())).context("looking at the terminal")?;
        // From here on, dropping gives back what of this was done.
        let screen = Self { terminal };
        TAKEN.store(true, Ordering::SeqCst);
        enable_raw_mode().context("switching the terminal to raw mode")?;
        execute!(stdout(), EnterAlternateScreen, Hide).context("writing to the terminal")?;
        Ok(screen)
    }

    /// Its columns and rows.
    pub(super) fn size(&self) -> Result<(u16, u16)> {
        let size = self.terminal.size().context("asking the terminal's size")?;
        Ok((size.width, size.height))
    }

    /// Draws.
    pub(super) fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        self.terminal.draw(view).context("writing to the terminal")?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Once: a second time would move the cursor back over what was told of a panic. A terminal that is gone cannot be given
/// back, and nobody looks at it.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
}
