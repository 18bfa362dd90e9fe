//! `--watch`: what a command shows, shown again whenever it has changed.
//!
//! Invariants: what is printed is what the command prints once, and nothing is printed twice in a row; the terminal is
//! as it was however this ends, with the last state left on it; who stops reading ends it.

use super::output;
use super::{Context, ledger};
use crate::cli::WatchArgs;
use crate::exit;
use crate::instance::now;
use anyhow::{Context as _, Result};
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{execute, queue};
use hudson_schema::ledger::SharedLedger;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The shortest time between two readings, and how many times longer than a reading took: others want the ledger, too.
const PAUSE: (Duration, u32) = (Duration::from_millis(50), 3);

/// Shows a page once, or for as long as it is watched.
pub(super) async fn show(
    context: &Context,
    arguments: WatchArgs,
    page: impl AsyncFn() -> Result<String>,
) -> Result<u8> {
    let first = page().await?;
    match arguments.watch {
        None => output::text(&first)?,
        Some(every) => follow(context, every, first, page).await?,
    }
    Ok(exit::OK)
}

async fn follow(
    context: &Context,
    every: Duration,
    first: String,
    page: impl AsyncFn() -> Result<String>,
) -> Result<()> {
    let mut signals = Signals::new()?;
    let mut changes = Changes::default();
    let mut shown = Shown::new(context, every)?;
    let mut read = Ok(first);
    loop {
        shown.take(read)?;
        let pause = shown.pause;
        let next = async {
            tokio::time::sleep(pause).await;
            // What has changed meanwhile is told at once.
            drop(tokio::time::timeout(every, changes.next(context)).await);
        };
        let ended = tokio::select! {
            ended = signals.next() => ended,
            () = next => false,
        };
        if ended || !is_read() {
            break;
        }
        let began = Instant::now();
        read = page().await;
        shown.pause = (began.elapsed() * PAUSE.1).max(PAUSE.0);
    }
    shown.end()
}

/// What is shown, and where.
struct Shown {
    screen: Option<Screen>,
    every: Duration,
    json: bool,
    last: Option<Result<String, String>>,
    printed: bool,
    pause: Duration,
}

impl Shown {
    fn new(context: &Context, every: Duration) -> Result<Self> {
        let screen = match stdout().is_terminal() && !context.json {
            true => Some(Screen::take()?),
            false => None,
        };
        Ok(Self { screen, every, json: context.json, last: None, printed: false, pause: PAUSE.0 })
    }

    /// Shows what was read, or why it could not be; on a terminal always, for its clock moves.
    fn take(&mut self, read: Result<String>) -> Result<()> {
        let read = read.map_err(|error| format!("hudson: {error:#}\n"));
        let same = self.last.as_ref() == Some(&read);
        match (&mut self.screen, &read) {
            (Some(screen), Ok(page) | Err(page)) => screen.draw(&head(self.every), page)?,
            (None, _) if same => {}
            (None, Err(fault)) => eprint!("{fault}"),
            (None, Ok(page)) => {
                let between = if self.printed && !self.json { "\n" } else { "" };
                output::text(&format!("{between}{page}"))?;
                self.printed = true;
            }
        }
        self.last = Some(read);
        Ok(())
    }

    /// Leaves the last page on the terminal.
    fn end(mut self) -> Result<()> {
        match (self.screen.take(), self.last) {
            (Some(screen), Some(Ok(page))) => {
                drop(screen);
                output::text(&page)
            }
            _ => Ok(()),
        }
    }
}

fn head(every: Duration) -> String {
    let at = output::instant(now());
    format!("every {} s and at each change · {at} · Ctrl-C ends", every.as_secs_f64())
}

/// A screen of its own over what the terminal shows; given back when dropped.
struct Screen;

impl Screen {
    fn take() -> Result<Self> {
        let screen = Self;
        execute!(stdout(), EnterAlternateScreen, Hide, DisableLineWrap).context("writing to the terminal")?;
        Ok(screen)
    }

    fn draw(&mut self, head: &str, page: &str) -> Result<()> {
        let (_, rows) = output::size();
        let mut out = stdout().lock();
        let draw = |out: &mut std::io::StdoutLock<'_>| {
            queue!(out, BeginSynchronizedUpdate)?;
            for (row, line) in (0..rows).zip(fitted(head, page, usize::from(rows))) {
                queue!(out, MoveTo(0, row), Print(line), Clear(ClearType::UntilNewLine))?;
            }
            queue!(out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
            out.flush()
        };
        draw(&mut out).context("writing to the terminal")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone cannot be given back.
        let _ = execute!(stdout(), EnableLineWrap, Show, LeaveAlternateScreen);
    }
}

/// The lines that there is room for; the last one says how many there are more.
fn fitted(head: &str, page: &str, rows: usize) -> Vec<String> {
    let all: Vec<&str> = [head, ""].into_iter().chain(page.lines()).collect();
    let mut lines: Vec<String> = all.iter().take(rows).map(|line| (*line).to_owned()).collect();
    if all.len() > rows {
        let more = all.len() + 1 - rows;
        if let Some(last) = lines.last_mut() {
            *last = format!("… {more} more lines: make the terminal higher");
        }
    }
    lines
}

/// Whether somebody reads what is printed: a pipe whose reader is gone says so without being written to.
pub(super) fn is_read() -> bool {
    let out = stdout();
    let mut watched = [PollFd::new(&out, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut watched, Some(&now)) {
        Ok(_) => !watched.iter().any(|out| out.revents().intersects(PollFlags::ERR | PollFlags::HUP)),
        Err(_) => true,
    }
}

/// Changes of the ledger, from when there is one.
#[derive(Default)]
pub(super) struct Changes(Option<(SharedLedger, watch::Receiver<u64>)>);

impl Changes {
    /// Returns at a change; never while there is no ledger that can be opened.
    pub(super) async fn next(&mut self, context: &Context) {
        if self.0.is_none() {
            self.0 = ledger::open(context).ok().flatten().map(|ledger| {
                let changes = ledger.changes();
                (ledger, changes)
            });
        }
        let Some((_, changes)) = &mut self.0 else { return std::future::pending().await };
        if changes.changed().await.is_err() {
            self.0 = None;
        }
    }
}

/// What ends it, and what changes the terminal.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    resized: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self> {
        let of = |kind| signal(kind).context("waiting for signals");
        Ok(Self {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
            hangup: of(SignalKind::hangup())?,
            resized: of(SignalKind::window_change())?,
        })
    }

    /// Whether it has to end; otherwise the terminal has another size.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => true,
            _ = self.hangup.recv() => true,
            _ = self.resized.recv() => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_counted() {
        assert_eq!(fitted("head", "a\nb\n", 5), ["head", "", "a", "b"]);
        assert_eq!(fitted("head", "a\nb\n", 4), ["head", "", "a", "b"]);
        let cut = fitted("head", "a\nb\nc\nd\n", 4);
        assert_eq!(cut, ["head", "", "a", "… 3 more lines: make the terminal higher"]);
    }
}
