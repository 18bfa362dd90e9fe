//! `hudson dashboard`: the edge of [`crate::dashboard`]. It turns keys, ticks, what a controller tells, changes of the
//! ledger and outcomes of orders into events of one channel, and carries out what they ask for.
//!
//! Invariants: while a controller answers, the ledger is its alone; without one, looking needs no right to write, and the
//! ledger is opened for writing when an order is given; the terminal is as it was however this ends.

mod link;
mod measure;
mod orders;
mod read;
mod refusals;
mod source;
mod terminal;

use super::{Context, approvals, bottle, budget, check, ledger};
use crate::cli::DashboardArgs;
use crate::dashboard::{Effect, Event, State, update, view};
use crate::exit::{self, Exit};
use crate::instance::now;
use anyhow::{Context as _, Result};
use crossterm::event::{Event as Input, EventStream};
use futures_util::StreamExt as _;
use link::Link;
pub(super) use link::{SNAPSHOT, origin};
pub(super) use read::Reader;
pub(super) use refusals::hear;
use source::Source;
use std::io::{IsTerminal as _, stdin, stdout};
use std::sync::Arc;
use std::time::{Duration, Instant};
use terminal::Screen;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, watch};

/// How often the clock moves, and everything is read where nothing tells of a change.
const TICK: Duration = Duration::from_secs(1);
/// The shortest time between two changes that are told.
const REST: Duration = Duration::from_millis(50);

/// Shows the dashboard until its user leaves.
pub(super) async fn execute(context: &Context, arguments: DashboardArgs) -> Result<u8> {
    refuse_without_screen(context)?;
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let context = Arc::new(Context { home: context.home.clone(), json: false, ledger: None });
    let (events, incoming) = unbounded_channel();
    let mut screen = Screen::take()?;
    let home = context.home.path().display().to_string();
    let state = State::new(home, !(arguments.no_color || no_color), screen.size()?, now());
    signals(&events)?;
    tokio::spawn(keys(events.clone()));
    tokio::spawn(ticks(events.clone()));
    let link = Arc::new(Link::new(context.home.clone()));
    tokio::spawn(forward(link.changes(), events.clone()));
    let source = Source::new(context.clone(), link.clone(), events.clone());
    let edge = Edge { source: Arc::new(Mutex::new(source)), link: link.clone(), context, events };
    let outcome = tokio::select! {
        outcome = edge.run(&mut screen, state, incoming) => outcome,
        () = link.keep() => Ok(()),
    };
    drop(screen);
    outcome.map(|()| exit::OK)
}

fn refuse_without_screen(context: &Context) -> Result<(), Exit> {
    if context.json {
        return Err(Exit::usage("the dashboard prints no JSON; `hudson status --json` does"));
    }
    let dumb = std::env::var("TERM").is_ok_and(|kind| kind == "dumb");
    if dumb || !stdin().is_terminal() || !stdout().is_terminal() {
        return Err(Exit::usage(
            "the dashboard needs a terminal that can be drawn on; `hudson status` prints what is going on",
        ));
    }
    Ok(())
}

struct Edge {
    context: Arc<Context>,
    events: UnboundedSender<Event>,
    link: Arc<Link>,
    source: Arc<Mutex<Source>>,
}

impl Edge {
    async fn run(
        &self,
        screen: &mut Screen,
        mut state: State,
        mut incoming: UnboundedReceiver<Event>,
    ) -> Result<()> {
        screen.draw(|frame| view(&state, frame))?;
        while let Some(event) = incoming.recv().await {
            // What has come meanwhile is taken in before anything is drawn.
            let mut next = Some(event);
            while let Some(event) = next {
                for effect in update(&mut state, event) {
                    match effect {
                        Effect::Quit => return state.failure.map_or(Ok(()), |why| Err(anyhow::anyhow!(why))),
                        Effect::Read => self.read(),
                        Effect::Give(order) => self.give(order),
                    }
                }
                next = incoming.try_recv().ok();
            }
            screen.draw(|frame| view(&state, frame))?;
        }
        Ok(())
    }

    fn read(&self) {
        let source = self.source.clone();
        self.spawn(async move {
            let began = Instant::now();
            let outcome = source.lock().await.read().await;
            let outcome = outcome.map(Box::new).map_err(|error| format!("{error:#}"));
            Event::Read { outcome, took: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX) }
        });
    }

    fn give(&self, order: crate::dashboard::Order) {
        let (context, link) = (self.context.clone(), self.link.clone());
        self.spawn(async move {
            let outcome = orders::give(&context, &link, order).await;
            Event::Ordered(outcome.map_err(|error| format!("{error:#}")))
        });
    }

    /// Sends what the work comes to; when it panics, the dashboard ends and says so.
    fn spawn(&self, work: impl Future<Output = Event> + Send + 'static) {
        let events = self.events.clone();
        let work = tokio::spawn(work);
        tokio::spawn(async move {
            let event = work
                .await
                .unwrap_or_else(|error| Event::Stop(Some(format!("the dashboard failed: {error}"))));
            // Nobody listens any more when the dashboard has ended.
            let _ = events.send(event);
        });
    }
}

async fn keys(events: UnboundedSender<Event>) {
    let mut inputs = EventStream::new();
    while let Some(input) = inputs.next().await {
        let event = match input {
            Ok(Input::Key(key)) => Event::Key(key),
            Ok(Input::Resize(width, height)) => Event::Resize(width, height),
            Ok(_) => continue,
            Err(error) => Event::Stop(Some(format!("cannot read from the terminal: {error}"))),
        };
        if events.send(event).is_err() {
            return;
        }
    }
    let _ = events.send(Event::Stop(Some("the terminal is gone".to_owned())));
}

async fn ticks(events: UnboundedSender<Event>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if events.send(Event::Tick(now())).is_err() {
            return;
        }
    }
}

fn signals(events: &UnboundedSender<Event>) -> Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit()] {
        let mut signal = signal(kind).context("waiting for signals")?;
        let events = events.clone();
        tokio::spawn(async move {
            if signal.recv().await.is_some() {
                let _ = events.send(Event::Stop(None));
            }
        });
    }
    Ok(())
}

/// Tells of changes for as long as they are counted; of many at once, one time.
async fn forward(mut changes: watch::Receiver<u64>, events: UnboundedSender<Event>) {
    while changes.changed().await.is_ok() {
        if events.send(Event::LedgerChanged).is_err() {
            return;
        }
        tokio::time::sleep(REST).await;
    }
}
