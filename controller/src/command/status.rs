//! `hudson status`: what lives, what is stopped, what was done about it, and what is wrong.
//!
//! Invariant: bad configuration is shown here and hides nothing else.

use super::output::{self, Cell};
use super::{Context, approvals, budget, check, ledger, watch};
use crate::cli::WatchArgs;
use crate::control::{self, Identity};
use crate::dlp::{self, InForce, Summary};
use crate::instance::now;
use crate::isolate::Isolation;
use crate::launch::Launch;
use anyhow::Result;
use hudson_schema::ledger::{
    ApprovalQuery, ApprovalStatus, Block, Enforcement, Ledger, NotifyState, RunRecord, UsageQuery,
};
use hudson_schema::{Provider, Scope};
use serde_json::{Value, json};

/// How many of the latest enforcements are shown.
const LATEST: usize = 10;

/// Shows the state of a home.
pub(super) async fn execute(context: &Context, arguments: WatchArgs) -> Result<u8> {
    watch::show(context, arguments, async || {
        let state = State::read(context, control::status(&context.home).await?).await?;
        match context.json {
            true => output::json_line(&state.object()),
            false => Ok(state.words(context)),
        }
    })
    .await
}

/// The same as JSON, as the controller that runs itself says it.
pub(super) async fn object(context: &Context, own: Identity) -> Result<Value> {
    Ok(State::read(context, Some(own)).await?.object())
}

/// Runs as JSON: the live ones, or all on record.
pub(super) async fn runs(context: &Context, live: bool) -> Result<Value> {
    let Some(ledger) = ledger::open(context)? else { return Ok(json!([])) };
    Ok(ledger.run_list(live).await?.iter().map(run).collect())
}

#[derive(Default)]
struct State {
    up: Option<Identity>,
    faults: Vec<String>,
    runs: Vec<RunRecord>,
    blocks: Vec<Block>,
    enforcements: Vec<Enforcement>,
    /// Limits that are nearly spent, or more.
    warnings: Vec<budget::Row>,
    notifications: NotifyState,
    /// Tokens reserved by requests in flight.
    held: u64,
    requests: u64,
    inexact: u64,
    /// What of DLP is to be kept an eye on.
    dlp: Summary,
    approvals: Waiting,
}

impl State {
    async fn read(context: &Context, up: Option<Identity>) -> Result<Self> {
        let mut state = Self { up, faults: check::home_faults(&context.home)?, ..Self::default() };
        state.dlp = match state.up.as_ref().and_then(|up| up.dlp.clone()) {
            Some(dlp) => dlp,
            None => from_files(context),
        };
        let Some(ledger) = ledger::open(context)? else { return Ok(state) };
        state.approvals = Waiting::read(&*ledger).await?;
        state.runs = ledger.run_list(true).await?;
        state.blocks = ledger.block_list().await?;
        state.enforcements = ledger.enforcement_list(None).await?;
        state.enforcements.reverse();
        state.enforcements.truncate(LATEST);
        state.notifications = ledger.notify_state().await?;
        // With settings that cannot be read nobody knows the limits; the fault is shown instead.
        if let Ok(settings) = crate::settings::read(&context.home) {
            state.warnings = budget::past_threshold(context, &settings, &ledger).await.unwrap_or_default();
            if settings.notify.is_empty() {
                // Nobody is to be told.
                state.notifications.undirected = 0;
            }
        }
        let every: Provider = Provider::ANY.parse()?;
        state.held = ledger.budget_fetch(&Scope::global(), &every, 0).await?.held;
        for sum in ledger.usage_sum(UsageQuery::default()).await? {
            state.requests += sum.requests;
            state.inexact += sum.inexact;
        }
        Ok(state)
    }

    /// What is wrong: in the files as they are now, and in those that a running `up` could not take over.
    fn all_faults(&self) -> Vec<&str> {
        let up = self.up.as_ref().and_then(|up| up.configuration_fault.as_deref());
        let mut faults: Vec<&str> = self.faults.iter().map(String::as_str).collect();
        faults.extend(up.filter(|fault| !self.faults.iter().any(|known| known == fault)));
        faults
    }

    fn object(&self) -> Value {
        let runs: Vec<Value> = self.runs.iter().map(run).collect();
        json!({
            "up": self.up.as_ref().map(|up| json!({
                "pid": up.pid,
                "role": up.role,
                "addresses": up.addresses,
                "confirm": up.confirm,
                "admin": up.admin,
            })),
            "configuration_faults": self.all_faults(),
            "runs": runs,
            "blocks": self.blocks,
            "enforcements": self.enforcements,
            "warnings": self.warnings,
            "notifications": {
                "undelivered": self.undelivered(),
                "last_failure": self.notifications.last_failure,
                "not_heard": self.notifications.deaf,
            },
            "held": self.held,
            "requests": self.requests,
            "inexact": self.inexact,
            "dlp": self.dlp,
            "approvals": {"pending": self.approvals.pending, "oldest_at": self.approvals.oldest},
        })
    }

    fn words(&self, context: &Context) -> String {
        let up = match &self.up {
            Some(up) if !up.serves() => format!("not running; process {} is a controller", up.pid),
            Some(up) => {
                let addresses: Vec<String> = up.addresses.iter().map(ToString::to_string).collect();
                format!("process {}, listening on {}", up.pid, addresses.join(", "))
            }
            None => "not running".to_owned(),
        };
        let faults = self.all_faults();
        let configuration = match faults.is_empty() {
            true => "ok",
            false => "FAULTY: what ran before goes on with the files as they were",
        };
        let responses = format!("{} ({} of them not exact)", output::grouped(self.requests), self.inexact);
        let fields = [
            ("home", context.home.path().display().to_string()),
            ("hudson up", up),
            ("configuration", configuration.to_owned()),
            ("held", format!("{} tokens by requests in flight", output::grouped(self.held))),
            ("responses", responses),
        ];
        let waiting = self.approvals.words(now()).map(|words| ("approvals", words));
        let field = |(label, text): &(&str, String)| output::field(&format!("{label:<14}"), text);
        let mut head: String = fields.iter().chain(&waiting).map(field).collect();
        for fault in faults {
            head += &format!("\n{fault}\n");
        }
        let parts = [
            self.runs_words(),
            self.notifications_words(),
            self.warnings_words(),
            self.blocks_words(),
            self.enforcements_words(),
            self.dlp_words(),
        ];
        head + &parts.concat()
    }

    fn runs_words(&self) -> String {
        if self.runs.is_empty() {
            return "\nno live runs\n".to_owned();
        }
        let rows = self.runs.iter().map(|run| -> Vec<Cell> {
            vec![
                run.id.as_str().into(),
                run.bottle.as_str().into(),
                run.agent.as_ref().map_or("", |agent| agent.as_str()).into(),
                output::instant(run.started_at).into(),
                isolation(run).name().into(),
            ]
        });
        format!(
            "\n{}",
            output::table_text(&["LIVE RUN", "BOTTLE", "AGENT", "SINCE", "ISOLATION"], rows.collect())
        )
    }

    /// Deliveries to be made; what has no channel yet is at least one.
    fn undelivered(&self) -> u64 {
        self.notifications.undelivered.saturating_add(self.notifications.undirected)
    }

    fn notifications_words(&self) -> String {
        let mut text = String::new();
        if self.undelivered() > 0 {
            text += "\n";
            text += &output::field("notifications ", &format!("{} not delivered yet", self.undelivered()));
        }
        if let Some(failure) = &self.notifications.last_failure {
            let what = match (failure.next_at, failure.failed_at) {
                (Some(next), _) => format!("is tried again at {}", output::instant(next)),
                (None, Some(at)) => format!("was given up at {}", output::instant(at)),
                (None, None) => "was given up".to_owned(),
            };
            let failure = format!(
                "{} to {} {what}, after {} attempts: {}",
                failure.event, failure.channel, failure.attempts, failure.error
            );
            text += "\n";
            text += &output::field("last failure  ", &failure);
        }
        for deaf in &self.notifications.deaf {
            let deaf = format!("{} since {}: {}", deaf.source, output::instant(deaf.since), deaf.fault);
            text += "\n";
            text += &output::field("not heard     ", &deaf);
        }
        text
    }

    fn warnings_words(&self) -> String {
        if self.warnings.is_empty() {
            return String::new();
        }
        let rows = self.warnings.iter().map(|row| -> Vec<Cell> {
            vec![
                format!("{} {}", row.scope, row.name).trim_end().to_owned().into(),
                row.provider.as_str().into(),
                row.limit.into(),
                row.spent.into(),
                format!("{} %", row.percent().unwrap_or_default()).into(),
                row.resets_at.clone().unwrap_or_default().into(),
            ]
        });
        format!(
            "\n{}",
            output::table_text(
                &["NEARLY SPENT", "PROVIDER", "LIMIT", "SPENT", "PART", "RESETS AT"],
                rows.collect()
            )
        )
    }

    fn blocks_words(&self) -> String {
        if self.blocks.is_empty() {
            return String::new();
        }
        let rows = self.blocks.iter().map(|block| -> Vec<Cell> {
            let until = block.budget.as_ref().and_then(|budget| budget.window_end).map(output::instant);
            vec![
                block.scope.to_string().into(),
                block.policy.name().into(),
                output::instant(block.since).into(),
                until.unwrap_or_default().into(),
                block.cause.as_str().into(),
            ]
        });
        format!("\n{}", output::table_text(&["BLOCKED", "POLICY", "SINCE", "UNTIL", "CAUSE"], rows.collect()))
    }

    fn dlp_words(&self) -> String {
        let mut text = String::new();
        if !self.dlp.suppressions.is_empty() {
            let row = |one: &InForce| -> Vec<Cell> {
                vec![one.what().into(), one.last_day.as_str().into(), one.reason.as_str().into()]
            };
            let rows = self.dlp.suppressions.iter().map(row).collect();
            text += &format!("\n{}", output::table_text(&["SUPPRESSED", "LAST DAY", "REASON"], rows));
        }
        if self.dlp.ended > 0 {
            let ended = format!(
                "{} of them ended: look at that again, or remove it from settings.yml",
                self.dlp.ended
            );
            text += "\n";
            text += &output::field("suppressions  ", &ended);
        }
        if !self.dlp.not_looked_for.is_empty() {
            text += "\n";
        }
        for line in &self.dlp.not_looked_for {
            text += &output::field("dlp           ", line);
        }
        text
    }

    fn enforcements_words(&self) -> String {
        if self.enforcements.is_empty() {
            return String::new();
        }
        let rows = self.enforcements.iter().map(|row| -> Vec<Cell> {
            vec![
                output::instant(row.created_at).into(),
                row.run_id.as_str().into(),
                row.bottle.as_str().into(),
                row.action.name().into(),
                row.state.name().into(),
                row.detail.as_str().into(),
            ]
        });
        format!(
            "\n{}",
            output::table_text(&["ENFORCED", "RUN", "BOTTLE", "POLICY", "STATE", "DETAIL"], rows.collect())
        )
    }
}

/// What waits for a person.
#[derive(Default)]
struct Waiting {
    pending: u64,
    /// When the oldest was asked for.
    oldest: Option<i64>,
}

impl Waiting {
    async fn read(ledger: &dyn Ledger) -> Result<Self> {
        let now = now();
        let counts = ledger.approval_count(now).await?;
        let pending = counts.iter().filter(|count| count.status == ApprovalStatus::Pending);
        let pending = pending.map(|count| count.count).sum();
        let query = ApprovalQuery {
            status: Some(ApprovalStatus::Pending),
            most: usize::MAX,
            now,
            ..ApprovalQuery::default()
        };
        let oldest = match pending {
            0 => None,
            _ => ledger.approval_list(query).await?.last().map(|approval| approval.created_at),
        };
        Ok(Self { pending, oldest })
    }

    fn words(&self, now: i64) -> Option<String> {
        let oldest = approvals::span(now.saturating_sub(self.oldest?));
        let wait = if self.pending == 1 { "waits" } else { "wait" };
        let pending = output::grouped(self.pending);
        Some(format!("{pending} {wait} for a decision, the oldest for {oldest}: `hudson approvals list`"))
    }
}

/// What of DLP is to be kept an eye on where nothing runs. Files that cannot be read are shown as faults instead.
fn from_files(context: &Context) -> Summary {
    let settings = crate::settings::read(&context.home);
    let loaded = settings.and_then(|settings| dlp::look(&context.home, &settings));
    loaded.map(|loaded| loaded.seen().at(now())).unwrap_or_default()
}

/// What holds a run back; nothing where its launch does not say so.
fn isolation(run: &RunRecord) -> Isolation {
    serde_json::from_value::<Launch>(run.launch.clone()).unwrap_or_default().isolation
}

fn run(run: &RunRecord) -> Value {
    json!({
        "run": run.id,
        "bottle": run.bottle,
        "agent": run.agent,
        "parents": run.parents,
        "since": run.started_at,
        "finished_at": run.finished_at,
        "exit_code": run.exit_code,
        "isolation": isolation(run),
    })
}
