//! How people are asked, and who they are.

use super::Period;
use crate::Tier;
use crate::budget::Amount;
use crate::config::values::{EnvName, RateLimit};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How approvals work.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalSettings {
    /// How long a request waits for a decision.
    pub decision_ttl: Period,
    /// How long an approval can be used.
    pub use_ttl: Period,
    /// How long an equal request joins one that waits.
    pub dedupe_window: Period,
    /// How long a denial answers an equal request.
    pub deny_memory: Period,
    /// How long `POST /confirm` and `GET /confirm/{id}` wait for a decision at most.
    pub hold_max: Period,
    /// How long `POST /confirm` waits where the caller says nothing; without it, it answers at once.
    pub default_wait: Option<Period>,
    /// How long a request of a rule with `mode: hold`, or of a route that supervises, waits for a decision at most.
    pub hold_timeout: Period,
    /// New requests for approval per bottle and action.
    pub rate_limit: RateLimit,
    /// Requests of one bottle that wait at the same time.
    pub max_pending_per_bottle: u32,
    /// What too many requests for approval do; `off` to do nothing.
    #[serde(deserialize_with = "fatigue")]
    #[schemars(with = "FatigueSetting")]
    pub fatigue: Option<Fatigue>,
    /// Notifications of one bottle's requests in an hour; what is above is told together, once.
    pub notifications_per_hour: u32,
    /// Whether every channel is told, or they are tried in their order until one has taken it.
    pub strategy: NotifyStrategy,
    /// Actions that no grant answers for, beside those that are known to be of high risk.
    pub non_bypassable: Vec<String>,
    /// The tiers of actions that Hudson does not know, or knows as less.
    pub tiers: BTreeMap<String, Tier>,
    /// Who may decide.
    pub approvers: Approvers,
    /// How many different people an action's tier needs.
    pub require_distinct_approvers: BTreeMap<Tier, u8>,
    /// What silence means. Only `deny`: silence is not consent.
    pub on_timeout: OnTimeout,
    /// How long each tier waits for a decision.
    pub profile: ApprovalProfile,
    /// Which actions pass by themselves because a person may be in need.
    pub crisis_bypass: CrisisBypass,
    /// A model that looks at what is asked for before people do. It may deny or escalate, and answer for tier 1 alone.
    pub review: Option<ReviewSetting>,
    /// Whether a person is asked about a host that is on no route.
    pub unknown_hosts: UnknownHosts,
    /// The most tokens that one approval adds to a spent budget; without it, no budget is extended by approvals.
    pub budget_extension: Option<Amount>,
    /// An allow-list of the confirmation daemon (`{action: {targets: […], self_only: …}}`), each of which is a grant.
    pub grants_file: Option<PathBuf>,
}

impl Default for ApprovalSettings {
    fn default() -> Self {
        Self {
            decision_ttl: Period::seconds(300),
            use_ttl: Period::seconds(15 * 60),
            dedupe_window: Period::seconds(10 * 60),
            deny_memory: Period::seconds(300),
            hold_max: Period::seconds(55),
            default_wait: None,
            hold_timeout: Period::seconds(300),
            rate_limit: RateLimit { count: 10, per: std::time::Duration::from_secs(3600) },
            max_pending_per_bottle: 20,
            fatigue: Some(Fatigue {
                threshold: 15,
                window: Period::seconds(3600),
                then: FatigueAction::PauseBottle,
            }),
            notifications_per_hour: 60,
            strategy: NotifyStrategy::All,
            non_bypassable: Vec::new(),
            tiers: BTreeMap::new(),
            approvers: Approvers::default(),
            require_distinct_approvers: BTreeMap::new(),
            on_timeout: OnTimeout::Deny,
            profile: ApprovalProfile::Standard,
            crisis_bypass: CrisisBypass::Off,
            review: None,
            unknown_hosts: UnknownHosts::Refuse,
            budget_extension: None,
            grants_file: None,
        }
    }
}

/// When a bottle asks too often.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fatigue {
    /// So many requests.
    pub threshold: u32,
    /// In this time.
    pub window: Period,
    /// Do this.
    pub then: FatigueAction,
}

/// What is done to a bottle that asks too often.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FatigueAction {
    /// It is cut off until the operator resumes it.
    PauseBottle,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum FatigueSetting {
    Off(FatigueOff),
    On(Fatigue),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FatigueOff {
    Off,
}

/// Who may decide, by channel. Who is named by none decides nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Approvers {
    /// Users of this host, by the command line and the dashboard; empty means the user Hudson runs as.
    pub unix_uid: Vec<u32>,
    /// Deciding tokens, by the name under which their decisions are recorded.
    pub tokens: BTreeMap<String, TokenSource>,
}

/// Where a deciding token comes from.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenSource {
    /// The variable that holds it.
    Env(EnvName),
    /// The file that holds it, which nobody else can read.
    File(PathBuf),
    /// Its SHA-256 in hex: for a token that only its owner has.
    Sha256(String),
}

/// What silence means.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnTimeout {
    /// Not approved.
    #[default]
    Deny,
}

/// Whether every channel is told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotifyStrategy {
    /// Every one.
    #[default]
    All,
    /// The next only where the one before has failed.
    FirstSuccess,
}

/// How long a tier waits for a decision.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalProfile {
    /// As `decision_ttl` says, whatever the tier.
    #[default]
    Standard,
    /// 60, 30 and 10 seconds for the tiers 2, 3 and 4: where somebody watches all the time.
    RealtimeTiers,
}

/// Which actions pass by themselves because a person may be in need. Never one of tier 4 or of high risk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CrisisBypass {
    /// None.
    #[default]
    Off,
    /// Messages, and the actions that look for a crisis or tell of one.
    Actions,
    /// Also what speaks of one. An agent can write such words.
    ActionsAndContext,
}

/// A model that reviews.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewSetting {
    /// The base of its API, such as `https://api.anthropic.com`.
    pub url: String,
    /// What that speaks.
    pub api: ReviewApi,
    /// The model.
    pub model: String,
    /// The variable that holds the key.
    pub key_env: Option<EnvName>,
    /// What the operator has it go by, in its system prompt.
    pub policy: Option<String>,
    /// How long its answer is waited for; after that people are asked.
    #[serde(default = "review_timeout")]
    pub timeout: Period,
}

/// What a reviewer's API speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReviewApi {
    /// Anthropic Messages: `/v1/messages` below the base.
    Anthropic,
    /// OpenAI chat/completions: `/v1/chat/completions` below the base.
    Openai,
}

/// What becomes of a request to a host that is on no route.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownHosts {
    /// It is refused.
    #[default]
    Refuse,
    /// A person is asked, and the request refused until one has said yes.
    Ask,
}

fn review_timeout() -> Period {
    Period::seconds(20)
}

fn fatigue<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Fatigue>, D::Error> {
    Ok(match FatigueSetting::deserialize(deserializer)? {
        FatigueSetting::Off(FatigueOff::Off) => None,
        FatigueSetting::On(fatigue) => Some(fatigue),
    })
}
