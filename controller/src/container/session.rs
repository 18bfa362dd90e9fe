//! A run in a container, followed from the foreground: its streams, its signals, its end.
//!
//! What stands under a session can change: a container that was frozen is stopped and saved as an image, and another one
//! made from that takes its place when it is resumed. The session sees both by what the engine says, so that it does not
//! matter which process did it; [`Driver::look`] only has it look at once.
//!
//! Invariant: a session ends with its container, with its operator's signal while it is frozen, and in no other way.

use super::attach::{Attached, attach, attach_again, pass_on};
use super::image::{labelled, named};
use super::standard::{self, Raw};
use super::{Engine, FROZEN_FROM, RUN};
use crate::exit::Exit;
use anyhow::{Result, bail};
use bollard::errors::Error as Refused;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum};
use bollard::query_parameters::{
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, ResizeContainerTTYOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt;
use hudson_schema::RunId;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};

/// How often it is looked whether a frozen container was resumed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long what a container has printed may still be under way when it has ended.
const DRAIN: Duration = Duration::from_secs(5);
/// How long an engine may be away: one that is restarted comes back.
const AWAY: Duration = Duration::from_secs(30);

/// What stands under a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stage {
    /// Nothing yet.
    Waiting,
    /// This container.
    Running(String),
    /// This image, saved from the container that was.
    Frozen(String),
    /// Nothing any more.
    Ended,
}

/// How a session ended.
#[derive(Debug)]
pub struct Ended {
    /// The container's exit code, or 128 and the signal that ended a session that was frozen.
    pub code: u8,
    /// The image that stays, where it was frozen.
    pub frozen: Option<String>,
}

/// One run's container in the foreground.
pub struct Session {
    engine: Engine,
    run: RunId,
    /// The container's name, which each that takes its place has too.
    container: String,
    /// The interface that the packet filter closes by its name.
    bridge: Option<String>,
    /// How it is resumed, for a person.
    hint: String,
    terminal: bool,
    signals: Signals,
    stage: watch::Sender<Stage>,
    look: Arc<Notify>,
}

/// What others hold of a session.
#[derive(Clone, Debug)]
pub struct Driver {
    stage: watch::Receiver<Stage>,
    look: Arc<Notify>,
}

impl Driver {
    /// What stands under the session, and its changes.
    pub fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.clone()
    }

    /// Has the session look at its container now, where that was frozen or resumed.
    pub fn look(&self) {
        self.look.notify_one();
    }
}

impl Session {
    /// A session for a container that is made and was not started. It is not started unless there is this interface,
    /// which the packet filter closes. `hint` says how a frozen one is resumed.
    pub fn new(
        engine: Engine,
        run: RunId,
        container: String,
        bridge: Option<String>,
        hint: String,
        signals: Signals,
    ) -> (Self, Driver) {
        let (stage, seen) = watch::channel(Stage::Waiting);
        let look = Arc::new(Notify::new());
        let driver = Driver { stage: seen, look: look.clone() };
        let terminal = Self::has_terminal();
        (Self { engine, run, container, bridge, hint, terminal, signals, stage, look }, driver)
    }

    /// Whether a container that is started from here gets a terminal: where a person sits at both ends.
    pub fn has_terminal() -> bool {
        standard::is_terminal()
    }

    /// Starts the container and follows it to the end of the run.
    pub async fn run(mut self) -> Result<Ended> {
        let mut input = standard::input();
        let mut fresh = true;
        loop {
            let Attached { output, input: keys } = match fresh {
                true => {
                    let attached = attach(&self.engine, &self.container).await.map_err(not_started)?;
                    self.start().await?;
                    attached
                }
                false => {
                    let runs = self.inspect().await?.is_some_and(|now| is_running(&now));
                    attach_again(&self.engine, &self.container, runs).await?
                }
            };
            let Some(now) = self.inspect().await? else { return Ok(self.ended(137, None)) };
            let id = now.id.unwrap_or_else(|| self.container.clone());
            self.stage.send_replace(Stage::Running(id.clone()));
            let code = self.follow(&id, output, keys, &mut input).await?;
            // Removed by a kill: what Podman says then of its exit code is nothing.
            let code = if self.engine.container(&id).await?.is_none() { 137 } else { code };
            let Some(image) = self.frozen_from(&id).await? else { return Ok(self.ended(code, None)) };
            self.stage.send_replace(Stage::Frozen(image.clone()));
            eprintln!(
                "hudson: frozen, and saved as the image {image}; {}; Ctrl-C ends the run and leaves the image",
                self.hint
            );
            match self.thaw(&id).await? {
                Thaw::Resumed => {
                    eprintln!("hudson: resumed");
                    fresh = false;
                }
                Thaw::Left(code) => return Ok(self.ended(code, Some(image))),
            }
        }
    }

    fn ended(&self, code: u8, frozen: Option<String>) -> Ended {
        self.stage.send_replace(Stage::Ended);
        Ended { code, frozen }
    }

    async fn start(&self) -> Result<()> {
        // Podman makes it when the streams are connected, which is why it is not looked for before.
        if let Some(bridge) = &self.bridge
            && !interface(bridge)
        {
            bail!(
                "the engine at {} made no interface {bridge}, which the packet filter would close by its name: the container \
                 is not started",
                self.engine.socket().display()
            );
        }
        let started = self.engine.docker().start_container(&self.container, None);
        self.engine.ask("starting the container", started).await.map_err(|fault| not_started(fault.into()))
    }

    /// Passes everything on until the container ends; its exit code.
    async fn follow(
        &mut self,
        id: &str,
        mut output: impl tokio::io::AsyncRead + Unpin,
        mut keys: impl tokio::io::AsyncWrite + Unpin + Send,
        input: &mut mpsc::Receiver<Bytes>,
    ) -> Result<u8> {
        let raw = self.terminal.then(Raw::enter).flatten();
        if raw.is_some() {
            self.resize(id).await;
        }
        let (engine, terminal) = (self.engine.clone(), self.terminal);
        let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
        let printing = pass_on(&mut output, terminal, &mut stdout, &mut stderr);
        // Beside the rest: a container that reads nothing holds up nothing else.
        let feeding = feed(&mut keys, input);
        let ending = end(&engine, id);
        tokio::pin!(printing, feeding, ending);
        let (mut printed, mut fed, mut asked) = (false, false, false);
        let code = loop {
            tokio::select! {
                code = &mut ending => break code?,
                _ = &mut printing, if !printed => printed = true,
                at_end = &mut feeding, if !fed => {
                    fed = true;
                    if at_end && raw.is_some() {
                        // The terminal is gone, as when its window was closed.
                        self.kill(id, "SIGHUP").await;
                    }
                }
                word = self.signals.next() => match word {
                    Word::Resized => self.resize(id).await,
                    Word::End(_) if asked => self.kill(id, "SIGKILL").await,
                    Word::End(name) => {
                        asked = true;
                        self.kill(id, name).await;
                    }
                    Word::Hangup => self.kill(id, "SIGHUP").await,
                },
            }
        };
        if !printed {
            let _ = tokio::time::timeout(DRAIN, &mut printing).await;
        }
        drop(raw);
        Ok(code)
    }

    /// Waits for what takes the place of a frozen container, or for the operator to leave.
    async fn thaw(&mut self, frozen: &str) -> Result<Thaw> {
        let mut away = Away::default();
        loop {
            match away.told(self.inspect().await)? {
                Some(Some(now)) if now.id.as_deref() != Some(frozen) && was_started(&now) => {
                    return Ok(Thaw::Resumed);
                }
                // Between two names, or killed while it was frozen.
                Some(None) if !away.told(self.is_there().await)?.unwrap_or(true) => {
                    return Ok(Thaw::Left(137));
                }
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.look.notified() => {}
                word = self.signals.next() => match word {
                    Word::End("SIGINT") => return Ok(Thaw::Left(130)),
                    Word::End(_) => return Ok(Thaw::Left(143)),
                    Word::Hangup => return Ok(Thaw::Left(129)),
                    Word::Resized => {}
                },
            }
        }
    }

    async fn inspect(&self) -> Result<Option<ContainerInspectResponse>, super::Fault> {
        self.engine.container(&self.container).await
    }

    /// Whether the run has any container, of whatever name.
    async fn is_there(&self) -> Result<bool, super::Fault> {
        let label = format!("{RUN}={}", self.run);
        let filters = HashMap::from([("label", vec![label.as_str()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let docker = self.engine.docker();
        let listed = self.engine.ask("listing containers", docker.list_containers(Some(options))).await?;
        Ok(!listed.is_empty())
    }

    /// The image that a container was saved as when it was frozen.
    async fn frozen_from(&self, id: &str) -> Result<Option<String>, super::Fault> {
        let mut saved = labelled(&self.engine, FROZEN_FROM, id).await?;
        saved.retain(|image| image.labels.get(RUN).is_some_and(|run| run == self.run.as_str()));
        Ok(saved.into_iter().next().map(|image| named(&image).unwrap_or(image.id)))
    }

    /// A signal to a container that has just ended is none.
    async fn kill(&self, id: &str, signal: &str) {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        let docker = self.engine.docker();
        let _ = self.engine.ask("a signal to the container", docker.kill_container(id, Some(options))).await;
    }

    async fn resize(&self, id: &str) {
        let Some((rows, columns)) = self.terminal.then(standard::size).flatten() else { return };
        let options = ResizeContainerTTYOptionsBuilder::default().h(rows).w(columns).build();
        let docker = self.engine.docker();
        let _ = self.engine.ask("the terminal's size", docker.resize_container_tty(id, options)).await;
    }
}

/// Hands on what is read, and the end of it; false where the container takes no more.
async fn feed(keys: &mut (impl tokio::io::AsyncWrite + Unpin), input: &mut mpsc::Receiver<Bytes>) -> bool {
    while let Some(piece) = input.recv().await {
        if keys.write_all(&piece).await.is_err() || keys.flush().await.is_err() {
            return false;
        }
    }
    let _ = keys.shutdown().await;
    true
}

/// Whether this host has an interface of this name.
fn interface(name: &str) -> bool {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    socket(AddressFamily::INET, SocketType::DGRAM, None)
        .is_ok_and(|socket| netdevice::name_to_index(&socket, name).is_ok())
}

/// What shells say of a command that is not there, or is no program.
fn not_started(error: anyhow::Error) -> anyhow::Error {
    let message = format!("{error:#}");
    let lower = message.to_ascii_lowercase();
    let missing = ["executable file not found", "no such file or directory"];
    match missing.iter().any(|part| lower.contains(part)) {
        true => Exit { code: 127, message }.into(),
        false if lower.contains("permission denied") => Exit { code: 126, message }.into(),
        false => error,
    }
}

enum Thaw {
    Resumed,
    Left(u8),
}

fn is_running(container: &ContainerInspectResponse) -> bool {
    let status = container.state.as_ref().and_then(|state| state.status.as_ref());
    matches!(status, Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::PAUSED))
}

/// Whether a container runs, or has run: one that takes another's place may have ended before it was looked at.
fn was_started(container: &ContainerInspectResponse) -> bool {
    let status = container.state.as_ref().and_then(|state| state.status.as_ref());
    !matches!(status, None | Some(ContainerStateStatusEnum::EMPTY | ContainerStateStatusEnum::CREATED))
}

/// Waits for a container's end; its exit code.
async fn end(engine: &Engine, id: &str) -> Result<u8> {
    let mut away = Away::default();
    loop {
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        match engine.docker().wait_container(id, Some(options)).next().await {
            Some(Ok(answer)) => return Ok(code(answer.status_code)),
            Some(Err(Refused::DockerContainerWaitError { code: number, .. })) => return Ok(code(number)),
            _ => {}
        }
        // The connection broke: the engine was stopped, or restarted.
        match away.told(engine.container(id).await)? {
            Some(None) => return Ok(137),
            Some(Some(now)) if !is_running(&now) => {
                let number = now.state.and_then(|state| state.exit_code).unwrap_or(137);
                return Ok(code(number));
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

fn code(number: i64) -> u8 {
    u8::try_from(number & 0xff).unwrap_or(1)
}

/// How long the engine has not answered.
#[derive(Default)]
struct Away(Option<tokio::time::Instant>);

impl Away {
    /// What was answered; `None` where nothing was, which is an error when it goes on.
    fn told<T>(&mut self, answer: Result<T, super::Fault>) -> Result<Option<T>, super::Fault> {
        match answer {
            Ok(value) => {
                self.0 = None;
                Ok(Some(value))
            }
            Err(fault) if fault.is_unanswered() => {
                let since = *self.0.get_or_insert_with(tokio::time::Instant::now);
                if since.elapsed() > AWAY { Err(fault) } else { Ok(None) }
            }
            Err(fault) => Err(fault),
        }
    }
}

/// Signals to this process that belong to the container.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
    resized: Signal,
}

enum Word {
    End(&'static str),
    Hangup,
    Resized,
}

impl Signals {
    /// From now on they end this process no more. SIGHUP only where it is not for the configuration.
    pub fn new(hangup: bool) -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangup.then(|| signal(SignalKind::hangup())).transpose()?,
            resized: signal(SignalKind::window_change())?,
        })
    }

    async fn next(&mut self) -> Word {
        let Self { interrupt, terminate, hangup, resized } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => Word::End("SIGINT"),
            _ = terminate.recv() => Word::End("SIGTERM"),
            _ = hung_up => Word::Hangup,
            _ = resized.recv() => Word::Resized,
        }
    }
}
