//! The agents: each keeps one stream going through the process in its place, whoever that is at the time, and notes how
//! every request ended.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rustls::ClientConfig;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::fleet::Fleet;
use super::mix::{Ask, Dice, Mix, Provider};
use super::scene::{self, BOTTLES, Bottle, Scene};
use super::tunnel::Tunnel;
use super::{Budget, Plan};

/// A refused agent waits this long before it asks again.
const AFTER_REFUSAL: Duration = Duration::from_secs(2);
/// Nothing takes longer than this without a word.
const PATIENCE: Duration = Duration::from_secs(20);
/// As much of an answer's end as tells how it ended.
const TAIL: usize = 512;

/// How a request ended, as its agent saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With everything that belongs to an answer.
    Complete,
    /// The agent hung up.
    HungUp,
    /// The process in between was killed.
    Killed,
    /// The answer broke off where the provider was told to break it, or with the provider's own error.
    ProviderFailed,
    /// The provider refused it.
    ProviderRefused(u16),
    /// Hudson refused it, with this code.
    Refused(String),
    /// Hudson ended the stream because the budget was passed.
    Cut,
    /// In no way that was planned.
    Unexplained(String),
}

/// One request and its end.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) model: String,
    pub(super) bottle: String,
    pub(super) host: &'static str,
    /// Length of the body, which the estimate follows from.
    pub(super) length: usize,
    pub(super) end: End,
}

/// Every request that was made.
#[derive(Default)]
pub(super) struct Log {
    attempts: Mutex<Vec<Attempt>>,
}

impl Log {
    pub(super) fn note(&self, ask: &Ask, bottle: &Bottle, end: End) {
        let attempt = Attempt {
            model: ask.model.clone(),
            bottle: bottle.name.clone(),
            host: ask.host,
            length: ask.body.len(),
            end,
        };
        self.attempts.lock().expect("no holder panics").push(attempt);
    }

    pub(super) fn take(&self) -> Vec<Attempt> {
        std::mem::take(&mut *self.attempts.lock().expect("no holder panics"))
    }
}

/// All agents.
pub(super) struct Crew {
    stop: Arc<AtomicBool>,
    agents: Vec<JoinHandle<()>>,
}

impl Crew {
    pub(super) fn start(
        runtime: &Handle,
        scene: &Scene,
        fleet: &Fleet,
        plan: &Plan,
        mix: &Arc<Mix>,
        log: &Arc<Log>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut agents = Vec::new();
        for number in 0..fleet.len() * plan.streams {
            let provider = if number % 2 == 0 { Provider::Anthropic } else { Provider::Chat };
            let agent = Agent {
                way: Way { address: fleet.address(number / plan.streams), tls: scene.tls.clone() },
                bottle: scene.bottles[(number / 2) % BOTTLES].clone(),
                provider,
                blind: plan.budget == Budget::Tight && scene::has_blind(number / 2 % BOTTLES),
                mix: mix.clone(),
                log: log.clone(),
                stop: stop.clone(),
                pause: plan.gap,
                dice: Dice::new(plan.seed ^ (number as u64) << 32),
            };
            agents.push(runtime.spawn(agent.work()));
        }
        Self { stop, agents }
    }

    /// No further requests.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for the requests that are under way.
    pub(super) async fn end(self, limit: Duration) -> Result<()> {
        let all = async {
            for agent in self.agents {
                agent.await?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(limit, all).await.context("the agents do not end")?
    }
}

/// The way to a place.
pub(super) struct Way {
    pub(super) address: watch::Receiver<Option<SocketAddr>>,
    pub(super) tls: Arc<ClientConfig>,
}

impl Way {
    /// Whether a kill explains what broke on a connection to `address`.
    pub(super) fn is_gone(&self, address: SocketAddr) -> bool {
        *self.address.borrow() != Some(address)
    }
}

struct Agent {
    way: Way,
    bottle: Bottle,
    provider: Provider,
    /// Whether some of its requests have more input than any estimate sees.
    blind: bool,
    mix: Arc<Mix>,
    log: Arc<Log>,
    stop: Arc<AtomicBool>,
    /// At most this long between two requests.
    pause: Duration,
    dice: Dice,
}

impl Agent {
    async fn work(mut self) {
        let mut open: Option<(SocketAddr, Tunnel)> = None;
        while !self.stop.load(Ordering::Relaxed) {
            let thousandths = u32::try_from(self.dice.below(1000)).unwrap_or_default();
            tokio::time::sleep(self.pause * thousandths / 1000).await;
            let Some((address, mut tunnel)) = (match open.take() {
                Some(open) => Some(open),
                None => self.connect().await,
            }) else {
                continue;
            };
            let ask = self.mix.ask(self.provider, self.blind, &mut self.dice);
            let end = match exchange(&mut tunnel, &ask).await {
                // The place was emptied before the process was killed, so that this is known by now.
                Err(_) if self.way.is_gone(address) => End::Killed,
                Err(_) if ask.fault.as_deref().is_some_and(|fault| fault.starts_with("drop")) => {
                    End::ProviderFailed
                }
                Err(error) => End::Unexplained(format!("{error:#}")),
                Ok(end) => end,
            };
            let refused = matches!(end, End::Refused(_) | End::Cut);
            if matches!(end, End::Complete | End::ProviderRefused(_) | End::Refused(_)) {
                open = Some((address, tunnel));
            }
            self.log.note(&ask, &self.bottle, end);
            if refused {
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
        }
    }

    /// A connection to the process that is there now; none when it was killed meanwhile, or nobody comes.
    async fn connect(&mut self) -> Option<(SocketAddr, Tunnel)> {
        let there = self.way.address.wait_for(Option::is_some);
        let address = (*tokio::time::timeout(Duration::from_secs(1), there).await.ok()?.ok()?)?;
        let opening = Tunnel::open(address, &self.bottle.authorization, self.provider.host(), &self.way.tls);
        match tokio::time::timeout(PATIENCE, opening).await {
            Ok(Ok(tunnel)) => Some((address, tunnel)),
            _ if self.way.is_gone(address) => None,
            failed => {
                let error = failed.map_or_else(
                    |_| "no answer".to_owned(),
                    |opened| match opened {
                        Err(error) => format!("{error:#}"),
                        Ok(_) => String::new(),
                    },
                );
                let ask = self.mix.plain(self.provider, 0, 0);
                self.log.note(&ask, &self.bottle, End::Unexplained(format!("no tunnel: {error}")));
                None
            }
        }
    }
}

/// One request and its answer, or as much of it as the agent waits for.
pub(super) async fn exchange(tunnel: &mut Tunnel, ask: &Ask) -> Result<End> {
    let sending = tunnel.send("POST", ask.path, ask.body.clone());
    let response = match ask.hangs_up_after {
        Some(0) => match tokio::time::timeout(Duration::from_millis(20), sending).await {
            Ok(response) => response?,
            Err(_) => return Ok(End::HungUp),
        },
        _ => tokio::time::timeout(PATIENCE, sending).await.context("no answer")??,
    };
    let (head, body) = response.into_parts();
    if let Some(code) = head.headers.get("x-hudson-refusal") {
        body.collect().await?;
        return Ok(End::Refused(String::from_utf8_lossy(code.as_bytes()).into_owned()));
    }
    if !head.status.is_success() {
        let planned = ask.fault.as_deref() == Some(format!("s{}", head.status.as_u16()).as_str());
        let said = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
        return Ok(match planned {
            true => End::ProviderRefused(head.status.as_u16()),
            false => End::Unexplained(format!("{}: {said}", head.status)),
        });
    }
    read(body, ask).await
}

async fn read(mut body: Incoming, ask: &Ask) -> Result<End> {
    let (mut pieces, mut tail) = (0, Vec::new());
    loop {
        if ask.hangs_up_after.is_some_and(|after| pieces >= after) {
            return Ok(End::HungUp);
        }
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.context("the answer stops")?;
        let Some(frame) = frame.transpose()? else { break };
        if let Some(data) = frame.data_ref() {
            pieces += 1;
            tail.extend_from_slice(data);
            let before = tail.len().saturating_sub(TAIL);
            tail.drain(..before);
        }
    }
    let tail = String::from_utf8_lossy(&tail);
    let done = match ask.stream {
        true => tail.contains("\"message_stop\"") || tail.contains("data: [DONE]"),
        false => tail.ends_with('}'),
    };
    Ok(match done {
        true => End::Complete,
        false if tail.contains("token budget is spent") => End::Cut,
        false if ask.fault.is_some() && tail.contains("error") => End::ProviderFailed,
        false => End::Unexplained(format!("a short success: …{tail}")),
    })
}
