//! Rules on the content of requests (`rules:`) and on MCP tools (`mcp:`): first deny, then require_approval, then
//! allow; conditions AND, and a condition on a path that is not there is false, except `exists`.

mod condition;
mod counting;
mod number;
mod subject;

use super::values::{Period, RateLimit};
use crate::Tier;
pub use condition::{Compiled, Condition, Literal, Operator, Test};
pub use counting::{CounterScope, CounterWindow, StateRule};
pub use number::Number;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
pub use subject::Subject;

/// The longest that an operator may have people take.
const LONGEST_DECISION: Period = Period::seconds(24 * 3600);
/// The longest name of a rule.
const LONGEST_NAME: usize = 100;
/// The ways by which who decides is known.
const WAYS: [&str; 7] = ["uid", "token", "telegram", "slack", "discord", "ntfy", "webhook"];

/// A rule on requests, or on calls of a tool.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What the rule is called in refusals and in the audit; no two of a list are called the same.
    pub name: String,
    /// What happens when it matches.
    pub action: RuleAction,
    /// When it matches: all of these.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// What a refusal by this rule says in front.
    pub on_deny: Option<String>,
    /// How often the rule lets through; with `action: allow`.
    #[serde(serialize_with = "rate")]
    pub rate_limit: Option<RateLimit>,
    /// What the rule counts when it lets through; with `action: allow`.
    pub state: Option<StateRule>,
    /// When what was counted, and an approval that was used, is given back; default is `[not_sent]`.
    #[serde(default = "when_not_sent")]
    pub rollback_on: Vec<RollbackOn>,
    /// How long a request for approval stays open.
    #[serde(serialize_with = "period")]
    pub approval_timeout: Option<Period>,
    /// Whether the client retries or is held.
    #[serde(default)]
    pub mode: ApprovalMode,
    /// The action that an approval is for, such as `transfer_funds`.
    pub classify: Option<String>,
    /// The least harm that it can do, in the operator's judgement; it only raises what is known of the action.
    pub tier: Option<Tier>,
    /// What an approval is bound to.
    #[serde(default)]
    pub bind: Bind,
    /// Who alone may decide, as decisions are recorded (`uid:1000`, `token:ops`, `telegram:1`, …); empty means everyone who
    /// may decide anything.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// Whether a standing grant may answer for a person.
    #[serde(default = "yes")]
    pub bypassable: bool,
    /// The 1-based line of the rule in its file; 0 when it comes from no file.
    #[serde(skip)]
    pub line: usize,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// The request passes. Where there are such rules, a request that none of them matches is refused.
    Allow,
    /// A person decides.
    RequireApproval,
    /// The request is refused.
    Deny,
}

impl RuleAction {
    /// Its name, as written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::RequireApproval => "require_approval",
            Self::Deny => "deny",
        }
    }
}

/// When what was counted is given back.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RollbackOn {
    /// The request provably did not leave.
    NotSent,
    /// The upstream failed: an answer of 500 or above, none at all, or a JSON-RPC error. It may have acted all the same.
    UpstreamError,
}

/// What a client that waits for an approval gets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalMode {
    /// A refusal at once, to retry later.
    #[default]
    Retry,
    /// The request is held.
    Hold,
}

/// What an approval is bound to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bind {
    /// The very request, body included.
    #[default]
    Request,
    /// The method, host and path.
    Endpoint,
    /// The endpoint and the DLP finding.
    Finding,
}

fn rate<S: Serializer>(rate: &Option<RateLimit>, serializer: S) -> Result<S::Ok, S::Error> {
    rate.map(|RateLimit { count, per }| (count, per.as_secs())).serialize(serializer)
}

fn period<S: Serializer>(period: &Option<Period>, serializer: S) -> Result<S::Ok, S::Error> {
    period.map(|Period(period)| period.as_millis()).serialize(serializer)
}

fn yes() -> bool {
    true
}

fn when_not_sent() -> Vec<RollbackOn> {
    vec![RollbackOn::NotSent]
}

impl Rule {
    /// A rule that says no more than its name, what it does and when.
    pub fn new(name: impl Into<String>, action: RuleAction, conditions: Vec<Condition>) -> Self {
        Self {
            name: name.into(),
            action,
            conditions,
            on_deny: None,
            rate_limit: None,
            state: None,
            rollback_on: when_not_sent(),
            approval_timeout: None,
            mode: ApprovalMode::Retry,
            classify: None,
            tier: None,
            bind: Bind::Request,
            approvers: Vec::new(),
            bypassable: true,
            line: 0,
        }
    }

    /// The window of its rate limit.
    pub fn rate_window(&self) -> Option<CounterWindow> {
        self.rate_limit.as_ref().and_then(counting::window_of)
    }

    /// What is wrong with the rule as a whole, each with the keys that lead to it.
    pub(super) fn faults(&self) -> Vec<(&'static [&'static str], String)> {
        let mut faults: Vec<(&'static [&'static str], String)> = Vec::new();
        let mut fault = |wrong: bool, keys, message: &str| {
            if wrong {
                faults.push((keys, message.to_owned()));
            }
        };
        let name = self.name.trim();
        fault(name.is_empty(), &["name"], "a rule needs a name; refusals and the audit show it");
        fault(
            name.chars().any(char::is_control) || name.chars().count() > LONGEST_NAME,
            &["name"],
            "a name is one line of at most 100 characters",
        );
        match self.action {
            RuleAction::RequireApproval => {
                let message = "rate_limit does not go with require_approval; write two rules";
                fault(self.rate_limit.is_some(), &["rate_limit"], message);
                let message = "state does not go with require_approval; write two rules";
                fault(self.state.is_some(), &["state"], message);
            }
            RuleAction::Deny => {
                let message = "rate_limit counts what passes; a rule that denies lets nothing through";
                fault(self.rate_limit.is_some(), &["rate_limit"], message);
                let message = "state counts what passes; a rule that denies lets nothing through";
                fault(self.state.is_some(), &["state"], message);
            }
            RuleAction::Allow => {}
        }
        if self.action != RuleAction::RequireApproval {
            let asks = "this is about asking people; the rule's action is not require_approval";
            fault(self.approval_timeout.is_some(), &["approval_timeout"], asks);
            fault(self.classify.is_some(), &["classify"], asks);
            fault(self.tier.is_some(), &["tier"], asks);
            fault(self.mode != ApprovalMode::Retry, &["mode"], asks);
            fault(!self.approvers.is_empty(), &["approvers"], asks);
        }
        let unknown = self.approvers.iter().any(|actor| {
            !actor.split_once(':').is_some_and(|(way, who)| WAYS.contains(&way) && !who.is_empty())
        });
        let message = "expected who may decide, as decisions are recorded: uid:1000, token:NAME, telegram:1, slack:U1, discord:1, ntfy:TOPIC or webhook:NAME";
        fault(unknown, &["approvers"], message);
        let longest = self.approval_timeout.is_some_and(|timeout| timeout > LONGEST_DECISION);
        fault(longest, &["approval_timeout"], "nobody is asked for longer than 24 hours");
        let known = self.rate_limit.is_none() || self.rate_window().is_some();
        fault(!known, &["rate_limit"], "expected N/minute, N/hour or N/day such as 10/hour");
        if let Some(state) = &self.state {
            let message = "a counter's name has letters, digits, '_' and '-'";
            fault(!subject::is_counter(&state.counter), &["state", "counter"], message);
            fault(state.increment == Some(0), &["state", "increment"], "0 would count nothing");
            fault(
                state.limit == Some(0),
                &["state", "limit"],
                "0 would let nothing through; use action: deny",
            );
            let adds = state.increment_from.as_ref().is_none_or(Subject::can_be_added);
            let message = "expected body.NAME, args.NAME, query.NAME or header.NAME, where a number stands";
            fault(!adds, &["state", "increment_from"], message);
        }
        faults
    }
}
