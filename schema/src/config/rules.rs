//! Rules on the content of requests (`rules:`) and on MCP tools (`mcp:`): first deny, then require_approval, then
//! allow; conditions AND, and a condition on a path that is not there is false, except `exists`.

use super::Pattern;
use super::values::{Period, RateLimit};
use schemars::JsonSchema;
use serde::Deserialize;

/// A rule on requests.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What the rule is called in refusals and in the audit.
    pub name: String,
    /// What happens when it matches.
    pub action: RuleAction,
    /// When it matches: all of these.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// How long a request for approval stays open.
    pub approval_timeout: Option<Period>,
    /// Whether the client retries or is held.
    #[serde(default)]
    pub mode: ApprovalMode,
    /// The action that an approval is for, such as `transfer_funds`.
    pub classify: Option<String>,
    /// What an approval is bound to.
    #[serde(default)]
    pub bind: Bind,
    /// What a refusal says on top.
    pub on_deny: Option<String>,
    /// How often the rule lets through; not together with `require_approval`.
    pub rate_limit: Option<RateLimit>,
    /// Who may decide; empty means everyone who may decide anything.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// Whether a standing grant may answer for a person.
    #[serde(default = "yes")]
    pub bypassable: bool,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// The request passes.
    Allow,
    /// A person decides.
    RequireApproval,
    /// The request is refused.
    Deny,
}

/// What a client that waits for an approval gets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalMode {
    /// A refusal at once, to retry later.
    #[default]
    Retry,
    /// The request is held.
    Hold,
}

/// What an approval is bound to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
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

/// One condition on a request.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// What is looked at: `method`, `host`, `path`, `query.NAME`, `header.NAME` or `body.a.b`.
    pub path: String,
    /// How it is compared.
    pub op: Operator,
    /// With what; not with `exists`.
    #[serde(default)]
    pub value: Option<serde_json::Value>,
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
    /// One of a list.
    In,
    /// None of a list.
    NotIn,
    /// Less than.
    Lt,
    /// Less than or equal.
    Lte,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Gte,
    /// A regular expression that matches the whole text.
    Regex,
    /// A part of the text or an element of the list.
    Contains,
    /// There at all.
    Exists,
}

fn yes() -> bool {
    true
}

impl Rule {
    /// What is wrong with the rule as a whole: the key to point at and the message.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        if self.name.trim().is_empty() {
            return Some(("name", "a rule needs a name; refusals and the audit show it".to_owned()));
        }
        if self.action == RuleAction::RequireApproval && self.rate_limit.is_some() {
            let message = "rate_limit does not go with require_approval; write two rules".to_owned();
            return Some(("rate_limit", message));
        }
        None
    }
}

impl Condition {
    /// The roots a condition's path can have.
    const ROOTS: [&str; 8] = ["args", "body", "bottle", "header", "host", "method", "path", "query"];

    /// What is wrong with the condition: the key to point at and the message.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        use serde_json::Value;
        let (root, rest) = self.path.split_once('.').unwrap_or((&self.path, ""));
        let alone = matches!(root, "host" | "method" | "path");
        if !Self::ROOTS.contains(&root) || alone != rest.is_empty() {
            let message = format!(
                "{:?} is not something of a request; expected method, host, path, query.NAME, header.NAME, body.NAME or args.NAME",
                self.path
            );
            return Some(("path", message));
        }
        let (fits, expected) = match (self.op, &self.value) {
            (Operator::Exists, value) => {
                (matches!(value, None | Some(Value::Bool(_))), "no value, or true or false")
            }
            (Operator::In | Operator::NotIn, Some(Value::Array(items))) => {
                (!items.is_empty(), "a list of values")
            }
            (Operator::In | Operator::NotIn, _) => (false, "a list of values"),
            (Operator::Lt | Operator::Lte | Operator::Gt | Operator::Gte, value) => {
                (matches!(value, Some(Value::Number(_))), "a number")
            }
            (Operator::Regex, Some(Value::String(source))) => match Pattern::new(source) {
                Ok(_) => (true, ""),
                Err(error) => return Some(("value", format!("not a regular expression: {error}"))),
            },
            (Operator::Regex, _) => (false, "a regular expression"),
            (Operator::Eq | Operator::Neq | Operator::Contains, value) => (value.is_some(), "a value"),
        };
        match fits {
            true => None,
            false if self.value.is_none() => Some(("op", format!("this comparison needs value: {expected}"))),
            false => Some(("value", format!("this comparison needs {expected}"))),
        }
    }
}
