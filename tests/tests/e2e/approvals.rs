//! What people decide about requests on their way: rules that ask, findings that are supervised, hosts on no route. The
//! decisions are made by this process, through the ledger, as any other process makes them.

// A scene that cannot be set up ends its test, and says what was missing.
#![allow(clippy::panic)]

mod budgets;
mod ends;
mod hold;
mod hosts;
mod retry;
mod supervise;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hudson_schema::home::Home;
use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::{
    Approval, ApprovalCancel, ApprovalEvent, ApprovalId, ApprovalQuery, ApprovalStatus, ApprovalSweep,
    Decided, DecidedVia, Decision, Ledger, NewGrant,
};
use tokio::runtime::Runtime;

use crate::raw::{self, Agent, Answer, Setting, Stage, Upstream};

/// The host whose requests are decided about.
const HOST: &str = "pay.example.com";
/// How long something may take that happens at once.
const SOON: Duration = Duration::from_secs(5);

/// Hudson in front of an upstream that keeps what arrived, and somebody who decides.
struct Scene {
    upstream: Upstream,
    stage: Stage,
    agent: Agent,
    desk: Desk,
}

impl Scene {
    /// With this rule on the route to [`HOST`].
    fn new(rule: &str) -> Self {
        Self::with(&route(rule), "", Upstream::echo(), |setting| setting)
    }

    /// With these routes and settings, and anything else.
    fn with(routes: &str, settings: &str, upstream: Upstream, set: impl FnOnce(Setting) -> Setting) -> Self {
        let setting = set(raw::routes(routes).settings(settings));
        let stage = setting.connect_to(&format!("{HOST}:80"), upstream.address).start();
        let (agent, desk) = (stage.agent(), Desk::of(&stage));
        Self { upstream, stage, agent, desk }
    }

    fn post(&self, body: &str) -> Answer {
        post(&self.agent, "/charges", "", body)
    }

    /// The same in a thread of its own: it may be held.
    fn posts(&self, body: &str) -> JoinHandle<Answer> {
        let (agent, body) = (self.agent.clone(), body.to_owned());
        std::thread::spawn(move || post(&agent, "/charges", "", &body))
    }

    /// How many requests arrived.
    fn arrived(&self) -> usize {
        self.upstream.seen().len()
    }
}

/// The route to [`HOST`] with one rule.
fn route(rule: &str) -> String {
    format!("routes:\n  - host: {HOST}\n    scheme: http\n    rules:\n      - {rule}\n")
}

/// A POST of JSON in absolute-form.
fn post(agent: &Agent, path: &str, headers: &str, body: &str) -> Answer {
    ask(agent, &format!("http://{HOST}{path}"), &format!("content-type: application/json\r\n{headers}"), body)
}

fn ask(agent: &Agent, url: &str, headers: &str, body: &str) -> Answer {
    let length = format!("content-length: {}\r\n", body.len());
    let head = agent.absolute("POST", url, &format!("{length}{headers}"));
    let mut socket = agent.socket();
    socket.write_all(format!("{head}{body}").as_bytes()).expect("the proxy reads");
    raw::answer::read_answer(&mut socket, false).expect("it is answered")
}

/// The approval that a refusal names.
#[track_caller]
fn id_of(answer: &Answer) -> ApprovalId {
    let id = answer.header("x-hudson-approval-id").unwrap_or_else(|| panic!("no approval in {answer}"));
    id.parse().expect("it is an id")
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_millis()).expect("it is not that late")
}

/// Somebody who decides, in a process of their own.
pub(crate) struct Desk {
    runtime: Runtime,
    ledger: SqliteLedger,
}

impl Desk {
    pub(crate) fn of(stage: &Stage) -> Self {
        let home = Home::new(stage.world.home());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let ledger = runtime.block_on(async { SqliteLedger::open(&home.ledger(), &home.owners()) });
        Self { runtime, ledger: ledger.expect("the ledger opens") }
    }

    fn decision(id: &ApprovalId, reason: &str) -> Decision {
        Decision {
            id: id.clone(),
            actor: "uid:1000".to_owned(),
            via: DecidedVia::Cli,
            claimed_by: None,
            reason: Some(reason.to_owned()),
            now: now(),
        }
    }

    #[track_caller]
    pub(crate) fn approve(&self, id: &ApprovalId) {
        let decided = self.runtime.block_on(self.ledger.approval_approve(Self::decision(id, "it is fine")));
        assert!(matches!(decided, Ok(Decided::Made(_))), "{decided:?}");
    }

    #[track_caller]
    pub(crate) fn deny(&self, id: &ApprovalId, reason: &str) {
        let decided = self.runtime.block_on(self.ledger.approval_deny(Self::decision(id, reason)));
        assert!(matches!(decided, Ok(Decided::Made(_))), "{decided:?}");
    }

    fn revoke(&self, id: &ApprovalId) {
        let decided =
            self.runtime.block_on(self.ledger.approval_revoke(Self::decision(id, "changed my mind")));
        assert!(matches!(decided, Ok(Decided::Made(_))), "{decided:?}");
    }

    fn cancel(&self) -> usize {
        let cancel = ApprovalCancel {
            bottle: "ci".parse().expect("a name"),
            id: None,
            actor: "uid:1000".to_owned(),
            via: DecidedVia::Cli,
            reason: "the bottle is wound up".to_owned(),
            now: now(),
        };
        self.runtime.block_on(self.ledger.approval_cancel(cancel)).expect("the ledger takes it")
    }

    fn sweep(&self) {
        let sweep = ApprovalSweep { most: 100, forget_before: None, now: now() };
        self.runtime.block_on(self.ledger.approval_expire(sweep)).expect("the ledger takes it");
    }

    fn grant(&self, grant: NewGrant) {
        self.runtime.block_on(self.ledger.grant_insert(grant)).expect("the ledger takes it");
    }

    pub(crate) fn all(&self) -> Vec<Approval> {
        let query = ApprovalQuery { most: 1000, now: now(), ..ApprovalQuery::default() };
        self.runtime.block_on(self.ledger.approval_list(query)).expect("the ledger is read")
    }

    pub(crate) fn fetch(&self, id: &ApprovalId) -> Approval {
        let found = self.runtime.block_on(self.ledger.approval_fetch(id, now())).expect("the ledger is read");
        found.expect("there is one")
    }

    fn events(&self, id: &ApprovalId) -> Vec<ApprovalEvent> {
        self.runtime.block_on(self.ledger.approval_events(id)).expect("the ledger is read")
    }

    /// Waits until so many are pending; the newest first.
    #[track_caller]
    fn pending(&self, count: usize) -> Vec<Approval> {
        let mut seen = Vec::new();
        let found = raw::wait_until(SOON, || {
            seen = self.all();
            seen.retain(|approval| approval.status == ApprovalStatus::Pending);
            (seen.len() == count).then(|| seen.clone())
        });
        found.unwrap_or_else(|| panic!("{count} pending were expected: {seen:#?}"))
    }

    /// The one that is pending.
    #[track_caller]
    pub(crate) fn only(&self) -> Approval {
        self.pending(1).remove(0)
    }

    /// Waits until an approval is this.
    #[track_caller]
    pub(crate) fn becomes(&self, id: &ApprovalId, is: impl Fn(&Approval) -> bool) -> Approval {
        raw::wait_until(SOON, || Some(self.fetch(id)).filter(&is))
            .unwrap_or_else(|| panic!("it did not become so: {:#?}", self.fetch(id)))
    }
}

/// The kinds of the steps of an approval.
fn kinds(events: &[ApprovalEvent]) -> BTreeSet<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}
