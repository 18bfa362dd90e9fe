//! The metrics page of a process: what its proxy counted, and what its controller finds in the ledger.
//!
//! Invariant: who scrapes often costs no more than who scrapes once a second.

use super::super::{Context, budget};
use crate::control::{self, Body};
use crate::controller::Controller;
use crate::instance::{Instance, now};
use crate::metrics::{self as m, Access, Dlp, Page};
use crate::process::Process;
use anyhow::Result;
use futures_util::future::BoxFuture;
use http::{Response, StatusCode};
use hudson_schema::config::Settings;
use hudson_schema::ledger::{Durations, EnforcementState};
use hudson_schema::{BottleName, Provider, Scope};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a page stands.
const FRESH: Duration = Duration::from_secs(1);

/// Makes the page.
pub(super) struct Watch {
    role: &'static str,
    context: Context,
    process: Process,
    instance: Option<Arc<Instance>>,
    controller: Option<Arc<Controller>>,
    latest: Mutex<Option<(Instant, String)>>,
}

impl Watch {
    pub(super) fn new(
        role: &'static str,
        process: &Process,
        instance: Option<Arc<Instance>>,
        controller: Option<Arc<Controller>>,
    ) -> Arc<Self> {
        let (home, ledger) = (process.home.clone(), Some(process.ledger.clone()));
        let context = Context { home, json: true, ledger };
        let latest = Mutex::default();
        Arc::new(Self { role, context, process: process.clone(), instance, controller, latest })
    }

    /// Serves the page at an address; where that is.
    pub(super) async fn listen(
        self: &Arc<Self>,
        address: SocketAddr,
        settings: &Settings,
    ) -> Result<SocketAddr> {
        let watch = self.clone();
        let page = move || -> BoxFuture<'static, Response<Body>> {
            let watch = watch.clone();
            Box::pin(async move { watch.answer().await })
        };
        m::listen(address, &self.process.own, Access { hosts: settings.control.metrics_hosts.clone(), page })
            .await
    }

    /// The page as an answer.
    pub(super) async fn answer(&self) -> Response<Body> {
        let mut latest = self.latest.lock().await;
        let text = match &*latest {
            Some((at, text)) if at.elapsed() < FRESH => text.clone(),
            _ => {
                let text = self.page().await.text();
                *latest = Some((Instant::now(), text.clone()));
                text
            }
        };
        control::text(StatusCode::OK, m::CONTENT_TYPE, text)
    }

    /// What is wrong with the files, if anything.
    pub(super) fn fault(&self) -> Option<String> {
        let controller = self.controller.as_ref().and_then(|controller| controller.runs.fault());
        controller.or_else(|| self.instance.as_ref()?.runs.fault())
    }

    async fn page(&self) -> Page {
        let mut page = Page::default();
        page.number(m::BUILD, &[env!("CARGO_PKG_VERSION"), self.role], 1);
        page.number(m::CONFIGURATION_FAULT, &[], u64::from(self.fault().is_some()));
        let measures = self.process.ledger.measures();
        page.number(m::LEDGER_ERRORS, &[], measures.errors.load(Ordering::Relaxed));
        page.durations(m::LEDGER_COMMIT, &[], measures.commits.read());
        if let Some(instance) = &self.instance {
            self.traffic(&mut page, instance);
        }
        let readable = match &self.controller {
            // Where a part cannot be read the rest is shown.
            Some(_) => self.home(&mut page).await.is_ok(),
            None => self.process.ledger.audit_last().await.is_ok(),
        };
        page.number(m::LEDGER_READABLE, &[], u64::from(readable));
        page
    }

    /// What the proxy counted.
    fn traffic(&self, page: &mut Page, instance: &Instance) {
        // No bottle can have this name.
        let named =
            |bottle: Option<BottleName>| bottle.map_or("(others)".to_owned(), |name| name.to_string());
        for (bottle, traffic) in instance.runs.traffic() {
            let bottle = &named(bottle);
            for (host, status, count) in traffic.read() {
                page.number(m::REQUESTS, &[bottle, host.name(), status], count);
            }
        }
        let counters = self.process.events.counters();
        for (code, count) in counters.refusals() {
            page.number(m::REFUSALS, &[code.name()], count);
        }
        for (bottle, found, count) in counters.dlp() {
            let bottle = &named(bottle);
            match found {
                Dlp::Finding(action) => page.number(m::FINDINGS, &[bottle, action], count),
                Dlp::Canary => page.number(m::CANARIES, &[bottle], count),
                Dlp::Injection(action) => page.number(m::INJECTIONS, &[bottle, action], count),
            }
        }
        page.number(m::TUNNELS, &[], instance.tunnels() as u64);
        page.number(m::CUTS, &[], counters.cuts());
        for (provider, quality, settled) in counters.settled() {
            page.number(m::RESPONSES, &[provider.as_str(), quality], settled.responses);
            let usage = settled.usage;
            for (kind, tokens) in [
                ("input", usage.input),
                ("output", usage.output),
                ("cache_read", usage.cache_read),
                ("cache_write", usage.cache_write),
                ("reasoning", usage.reasoning),
                ("total", usage.total),
            ] {
                page.number(m::TOKENS, &[provider.as_str(), quality, kind], tokens);
            }
        }
    }

    /// What the ledger says of the whole home.
    async fn home(&self, page: &mut Page) -> Result<()> {
        let ledger = &self.process.ledger;
        let every: Provider = Provider::ANY.parse()?;
        page.number(m::HELD, &[], ledger.budget_fetch(&Scope::global(), &every, 0).await?.held);
        let mut live: BTreeMap<String, u64> = BTreeMap::new();
        for run in ledger.run_list(true).await? {
            *live.entry(run.bottle.to_string()).or_default() += 1;
        }
        live.iter().for_each(|(bottle, count)| page.number(m::RUNS, &[bottle], *count));
        self.blocks(page).await?;
        self.enforcements(page).await?;
        for counted in ledger.approval_count(now()).await? {
            page.number(m::APPROVALS, &[counted.kind.name(), counted.status.name()], counted.count);
        }
        let state = ledger.notify_state().await?;
        page.number(m::UNDELIVERED, &[], state.undelivered.saturating_add(state.undirected));
        // With files that cannot be read nobody knows the limits; the fault has a metric of its own.
        if let Ok(settings) = crate::settings::read(&self.context.home) {
            let rows = budget::every_row(&self.context, &settings, Some(ledger), None).await;
            for row in rows.unwrap_or_default().iter().filter(|row| row.scope != "run") {
                let labels = [row.scope, row.name.as_str(), row.provider.as_str()];
                page.number(m::LIMIT, &labels, row.limit);
                page.number(m::USED, &labels, row.spent);
                page.number(m::BUDGET_HELD, &labels, row.held);
            }
        }
        Ok(())
    }

    async fn blocks(&self, page: &mut Page) -> Result<()> {
        let mut blocks: BTreeMap<[&'static str; 3], u64> = BTreeMap::new();
        for block in self.process.ledger.block_list().await? {
            let by = if block.budget.is_some() { "budget" } else { "operator" };
            *blocks.entry([block.scope.kind.name(), block.policy.name(), by]).or_default() += 1;
        }
        blocks.iter().for_each(|(labels, count)| page.number(m::BLOCKS, labels, *count));
        Ok(())
    }

    async fn enforcements(&self, page: &mut Page) -> Result<()> {
        let mut states: BTreeMap<[&'static str; 2], u64> = BTreeMap::new();
        let mut took: BTreeMap<&'static str, Durations> = BTreeMap::new();
        for row in self.process.ledger.enforcement_list(None).await? {
            *states.entry([row.action.name(), row.state.name()]).or_default() += 1;
            if let (EnforcementState::Done, Some(end)) = (row.state, row.finished_at) {
                let milliseconds = u64::try_from(end.saturating_sub(row.created_at)).unwrap_or_default();
                took.entry(row.action.name()).or_default().add(Duration::from_millis(milliseconds));
            }
        }
        states.iter().for_each(|(labels, count)| page.number(m::ENFORCEMENTS, labels, *count));
        took.iter().for_each(|(action, took)| page.durations(m::ENFORCED, &[action], took.read()));
        Ok(())
    }
}
