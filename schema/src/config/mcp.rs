//! What of an MCP server may be used (`mcp:`): rules on calls of its tools, by name, and tools that are kept out of sight.
//!
//! Invariant: a value of [`Mcp`] answers for every name there is, and by exact comparison: a name that is spelt in another
//! way is another tool's, so it gets what tools get that nobody has named.

use super::rules::{ApprovalMode, Bind, Condition, RollbackOn, Rule, RuleAction, StateRule};
use super::tree::Trail;
use super::values::{Period, RateLimit};
use super::yaml::Document;
use super::{Pattern, route_check};
use crate::Tier;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The name under which every tool is meant.
const EVERY: &str = "*";

/// Rules on the tools of an MCP server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mcp {
    tools: BTreeMap<String, Tool>,
    /// Tools that nobody has named.
    unnamed: Tool,
    /// The rules on every call, whatever the tool's own say.
    every: Arc<[Rule]>,
    hide: Vec<ToolPattern>,
}

/// What holds for one tool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tool {
    /// Whether it is taken out of the list of tools, and its calls are refused as those of a tool that does not exist.
    pub hide: bool,
    /// Whether its calls are refused whatever the rules say (`default: deny`).
    pub closed: bool,
    /// The rules on its calls; those of `*` hold besides.
    pub rules: Arc<[Rule]>,
    /// Whether the first rule is written as keys of the tool itself.
    own: bool,
}

impl Mcp {
    /// What holds for the tool of exactly this name.
    pub fn tool(&self, name: &str) -> &Tool {
        self.tools.get(name).unwrap_or(&self.unnamed)
    }

    /// The tools that have a name here, in order.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(String::as_str)
    }

    /// Whether no tool can be called that has no name here.
    pub fn others_are_closed(&self) -> bool {
        self.unnamed.closed || self.unnamed.hide
    }

    /// The rules on a tool's calls. A call has to pass each of these lists: what one allows, another may deny.
    pub fn lists_of(&self, name: &str) -> [&Arc<[Rule]>; 2] {
        [&self.tool(name).rules, &self.every]
    }

    /// Whether a tool of this name does not exist for the agent.
    pub fn hides(&self, name: &str) -> bool {
        self.tool(name).hide || self.hide.iter().any(|pattern| pattern.0.matches(name))
    }

    /// Whether a tool of this name belongs into the list: not one that is hidden, nor one whose calls are all refused.
    pub fn shows(&self, name: &str) -> bool {
        let denied = self.lists_of(name).into_iter().any(|rules| rules.iter().any(denies_all));
        !self.hides(name) && !self.tool(name).closed && !denied
    }

    /// The same, wherever its rules stand in their file.
    pub fn without_lines(mut self) -> Self {
        let placeless =
            |rules: &Arc<[Rule]>| rules.iter().map(|rule| Rule { line: 0, ..rule.clone() }).collect();
        for tool in self.tools.values_mut().chain([&mut self.unnamed]) {
            tool.rules = placeless(&tool.rules);
        }
        self.every = placeless(&self.every);
        self
    }

    /// Every rule there is, with its place.
    pub(super) fn rules_mut(&mut self, trail: &Trail) -> Vec<(Trail, &mut Rule)> {
        let tools = trail.key("tools");
        let every = tools.key(EVERY);
        let mut all = Vec::new();
        let named = self.tools.iter_mut().map(|(name, tool)| (tools.key(name), tool));
        for (trail, tool) in named.chain([(every.clone(), &mut self.unnamed)]) {
            let own = usize::from(tool.own);
            let rules = Arc::make_mut(&mut tool.rules).iter_mut().enumerate();
            all.extend(rules.map(|(index, rule)| match index.checked_sub(own) {
                Some(index) => (trail.key("rules").index(index), rule),
                None => (trail.clone(), rule),
            }));
        }
        let rules = Arc::make_mut(&mut self.every).iter_mut().enumerate();
        all.extend(rules.map(|(index, rule)| (every.key("rules").index(index), rule)));
        all
    }
}

/// Whether a rule refuses every call.
fn denies_all(rule: &Rule) -> bool {
    rule.action == RuleAction::Deny && rule.conditions.is_empty()
}

/// Rules on the tools of an MCP server, as they are written.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Mcp")]
pub(super) struct McpFile {
    /// By exact tool name. Under `*`, `action` is for tools that are not named, and `rules` hold for every tool, after its
    /// own.
    #[serde(default)]
    tools: BTreeMap<String, ToolFile>,
    /// What happens to calls of tools that are not named: `allow` (default) or `deny`.
    default: Option<McpDefault>,
    /// Names of tools that do not exist for the agent; `*` in one stands for any text.
    #[serde(default)]
    hide: Vec<ToolPattern>,
}

/// What happens to calls of tools that are not named.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum McpDefault {
    /// They pass.
    Allow,
    /// They are refused.
    Deny,
}

/// One tool, as it is written: keys of one rule, or a list of rules, or both.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ToolRule")]
struct ToolFile {
    /// What happens when the tool is called.
    action: Option<RuleAction>,
    /// On which arguments (`args.NAME`): all of these.
    #[serde(default)]
    conditions: Vec<Condition>,
    /// More rules on the tool.
    #[serde(default)]
    rules: Vec<Rule>,
    /// Whether the tool is taken out of the list of tools.
    #[serde(default)]
    hide: bool,
    /// How long a request for approval stays open.
    approval_timeout: Option<Period>,
    /// Whether the client retries or is held.
    mode: Option<ApprovalMode>,
    /// The action that an approval is for, such as `transfer_funds`.
    classify: Option<String>,
    /// The least harm that it can do, in the operator's judgement.
    tier: Option<Tier>,
    /// What an approval is bound to.
    bind: Option<Bind>,
    /// What a refusal says on top.
    on_deny: Option<String>,
    /// How often the tool may be called; with `action: allow`.
    rate_limit: Option<RateLimit>,
    /// What is counted of its calls; with `action: allow`.
    state: Option<StateRule>,
    /// When what was counted, and an approval that was used, is given back; default is `[not_sent]`.
    rollback_on: Option<Vec<RollbackOn>>,
    /// Who alone may decide, as decisions are recorded (`uid:1000`, `token:ops`, `telegram:1`, …); empty means everyone who
    /// may decide anything.
    #[serde(default)]
    approvers: Vec<String>,
    /// Whether a standing grant may answer for a person.
    bypassable: Option<bool>,
}

/// Checks `mcp:`, and fills in what it leaves open.
pub(super) fn checked(document: &mut Document<'_>, trail: &Trail, file: McpFile) -> Mcp {
    let tools = trail.key("tools");
    for (name, tool) in &file.tools {
        tool.check(document, &tools.key(name), name);
    }
    let every = file.tools.get(EVERY);
    if let (Some(_), Some(default)) = (every.and_then(|every| every.action), file.default) {
        let word = match default {
            McpDefault::Allow => "allow",
            McpDefault::Deny => "deny",
        };
        let message =
            format!("`*` says already what happens to tools that are not named; remove `default: {word}`");
        document.key(&trail.key("default"), message);
    }
    let of = |document: &Document<'_>, (name, tool): (&String, &ToolFile)| {
        let trail = tools.key(name);
        let own = tool.rule(name).map(|rule| Rule { line: document.line(&trail), ..rule });
        let listed = match name == EVERY {
            true => Vec::new(),
            false => tool.listed(document, &trail, name),
        };
        let is_own = own.is_some();
        Tool { hide: tool.hide, closed: false, rules: own.into_iter().chain(listed).collect(), own: is_own }
    };
    let unnamed = match file.tools.get_key_value(EVERY) {
        Some(every) => of(document, every),
        None => Tool { closed: file.default == Some(McpDefault::Deny), ..Tool::default() },
    };
    let every = file.tools.get(EVERY).map(|every| every.listed(document, &tools.key(EVERY), EVERY));
    Mcp {
        unnamed: Tool { closed: file.default == Some(McpDefault::Deny), ..unnamed },
        every: every.unwrap_or_default().into(),
        tools: file
            .tools
            .iter()
            .filter(|(name, _)| *name != EVERY)
            .map(|tool| (tool.0.clone(), of(document, tool)))
            .collect(),
        hide: file.hide,
    }
}

impl ToolFile {
    fn check(&self, document: &mut Document<'_>, trail: &Trail, name: &str) {
        if name.is_empty() {
            document.key(trail, "a tool has a name");
        }
        if name != EVERY && name.contains('*') {
            let message =
                format!("{name:?} would be a tool of exactly this name; patterns stand under `hide`");
            document.key(trail, message);
        }
        match self.rule(name) {
            Some(rule) => route_check::of_rule(document, trail, &rule),
            None => self.check_alone(document, trail),
        }
        let rules = trail.key("rules");
        let mut names = HashSet::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let trail = rules.index(index);
            route_check::of_rule(document, &trail, rule);
            if !names.insert(rule.name.trim()) {
                let message = "another rule of this tool has the same name; each needs one of its own";
                document.value(&trail.key("name"), message);
            }
        }
    }

    /// The rules of the list, each called by the tool's name and its own: those of two tools may have the same.
    fn listed(&self, document: &Document<'_>, trail: &Trail, name: &str) -> Vec<Rule> {
        let trail = trail.key("rules");
        let rules = self.rules.iter().cloned().enumerate().map(|(index, rule)| Rule {
            name: format!("{name}: {}", rule.name.trim()),
            line: document.line(&trail.index(index)),
            ..rule
        });
        rules.collect()
    }

    /// Keys of a rule stand where there is one.
    fn check_alone(&self, document: &mut Document<'_>, trail: &Trail) {
        let used = [
            (!self.conditions.is_empty(), "conditions"),
            (self.approval_timeout.is_some(), "approval_timeout"),
            (self.mode.is_some(), "mode"),
            (self.classify.is_some(), "classify"),
            (self.bind.is_some(), "bind"),
            (self.on_deny.is_some(), "on_deny"),
            (self.rate_limit.is_some(), "rate_limit"),
            (self.state.is_some(), "state"),
            (self.rollback_on.is_some(), "rollback_on"),
            (self.tier.is_some(), "tier"),
            (!self.approvers.is_empty(), "approvers"),
            (self.bypassable.is_some(), "bypassable"),
        ];
        let stray = used.into_iter().find(|(used, _)| *used);
        if let Some((_, key)) = stray {
            document.key(
                &trail.key(key),
                format!("{key} belongs to an action; add action: allow|require_approval|deny"),
            );
        } else if self.rules.is_empty() && !self.hide {
            document.key(trail, "this says nothing about the tool; add action, rules or hide: true");
        }
    }

    /// The tool's own keys as a rule of its name.
    fn rule(&self, name: &str) -> Option<Rule> {
        let rule = Rule::new(name, self.action?, self.conditions.clone());
        Some(Rule {
            approval_timeout: self.approval_timeout,
            mode: self.mode.unwrap_or(rule.mode),
            classify: self.classify.clone(),
            tier: self.tier,
            bind: self.bind.unwrap_or(rule.bind),
            on_deny: self.on_deny.clone(),
            rate_limit: self.rate_limit,
            state: self.state.clone(),
            rollback_on: self.rollback_on.clone().unwrap_or_else(|| rule.rollback_on.clone()),
            approvers: self.approvers.clone(),
            bypassable: self.bypassable.unwrap_or(rule.bypassable),
            ..rule
        })
    }
}

/// Names of tools: exact, or with `*` for any text.
#[derive(Clone, Debug, PartialEq)]
struct ToolPattern(Pattern);

impl<'de> Deserialize<'de> for ToolPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Err(D::Error::custom("a tool has a name; expected one such as delete_repo or delete_*"));
        }
        let parts: Vec<String> = text.split('*').map(regex::escape).collect();
        Pattern::new(&parts.join("(?s:.*)")).map(Self).map_err(D::Error::custom)
    }
}

impl JsonSchema for ToolPattern {
    fn schema_name() -> Cow<'static, str> {
        "ToolPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The name of a tool; * stands for any text",
            "type": "string",
            "minLength": 1,
            "examples": ["delete_repo", "delete_*"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_routes;
    use super::*;
    use std::path::Path;

    fn parse(mcp: &str) -> Result<Mcp, String> {
        let text = format!("routes:\n  - host: a.example.com\n    mcp:\n{mcp}");
        let mut routes = parse_routes(Path::new("routes.yaml"), &text).map_err(|error| error.to_string())?;
        assert!(routes.unsupported().is_empty(), "mcp is enforced");
        Ok(routes.routes.remove(0).mcp.unwrap())
    }

    fn names<'a>(mcp: &'a Mcp, tool: &str) -> [Vec<&'a str>; 2] {
        mcp.lists_of(tool).map(|rules| rules.iter().map(|rule| rule.name.as_str()).collect())
    }

    #[test]
    fn a_tool_has_its_own_rules_and_then_those_of_all_tools() {
        let mcp = parse(
            "      tools:
        pay:
          action: require_approval
          approval_timeout: 30m
          mode: hold
          classify: transfer_funds
          rules:
            - {name: too much, action: deny, conditions: [{path: args.amount, op: gt, value: 5}]}
        '*':
          action: deny
          rules:
            - {name: at most, action: allow, rate_limit: 60/minute}
",
        )
        .unwrap();
        assert_eq!(names(&mcp, "pay"), [vec!["pay", "pay: too much"], vec!["*: at most"]]);
        let lines = mcp.lists_of("pay").map(|rules| rules.iter().map(|rule| rule.line).collect::<Vec<_>>());
        assert_eq!(lines, [vec![6, 11], vec![15]]);
        let own = &mcp.tool("pay").rules[0];
        assert_eq!((own.action, own.mode), (RuleAction::RequireApproval, ApprovalMode::Hold));
        assert_eq!(own.classify.as_deref(), Some("transfer_funds"));
        // What is not named exactly gets what `*` says of tools that are not named.
        for other in ["Pay", "pay ", "p\u{430}y", "", "*", "read"] {
            assert_eq!(names(&mcp, other), [vec!["*"], vec!["*: at most"]], "{other:?}");
            assert!(!mcp.shows(other), "{other:?}");
        }
        assert!(mcp.shows("pay"));
    }

    #[test]
    fn what_is_hidden_or_always_denied_is_not_listed() {
        let mcp = parse(
            "      hide: [admin_*, '*.secret', exact]
      default: deny
      tools:
        gone: {action: deny}
        sometimes: {action: deny, conditions: [{path: args.force, op: eq, value: true}]}
        unseen: {hide: true}
        admin_read: {action: allow}
        read: {rules: [{name: any, action: allow}]}
",
        )
        .unwrap();
        for (name, hides, shows) in [
            ("gone", false, false),
            ("sometimes", false, true),
            ("read", false, true),
            ("unseen", true, false),
            ("admin_read", true, false),
            ("admin_\n", true, false),
            ("a.secret", true, false),
            ("exact", true, false),
            ("exactly", false, false),
            ("else", false, false),
        ] {
            assert_eq!((mcp.hides(name), mcp.shows(name)), (hides, shows), "{name:?}");
        }
        assert!(mcp.tool("else").closed && !mcp.tool("read").closed && mcp.others_are_closed());
        assert_eq!(mcp.named().collect::<Vec<_>>(), ["admin_read", "gone", "read", "sometimes", "unseen"]);
        let open = parse("      tools: {x: {action: deny}}\n").unwrap();
        assert!(open.shows("else") && !open.tool("else").closed);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (mcp, expected) in [
            ("      tools: {x: {action: alow}}\n", "4:27: unknown value \"alow\""),
            ("      tools: {x: {mode: hold}}\n", "4:19: mode belongs to an action"),
            ("      tools: {x: {}}\n", "4:15: this says nothing about the tool"),
            ("      tools: {x*: {action: deny}}\n", "4:15: \"x*\" would be a tool of exactly this name"),
            ("      tools: {x: {action: deny, conditions: [{path: nope, op: exists}]}}\n", "4:53: \"nope\""),
            (
                "      tools: {x: {action: require_approval, rate_limit: 1/hour}}\n",
                "4:57: rate_limit does not go with require_approval",
            ),
            ("      tools: {x: {rules: [{name: '', action: deny}]}}\n", "4:34: a rule needs a name"),
            ("      default: deny\n      tools: {'*': {action: allow}}\n", "4:7: `*` says already"),
            (
                "      tools: {x: {rules: [{name: a, action: deny}, {name: a, action: allow}]}}\n",
                "4:59: another rule of this tool has the same name",
            ),
            (
                "      tools: {x: {action: deny, conditions: [{path: state.bottle.n, op: gt, value: 1}]}}\n",
                "4:53: nothing counts n of the bottle",
            ),
            (
                "      tools: {'*': {rules: [{name: a, action: deny, conditions: [{path: state.run.n, op: gt, value: 1}]}]}}\n",
                "4:73: nothing counts n of the run",
            ),
            ("      default: ask\n", "4:16: unknown value \"ask\""),
            ("      hide: ['']\n", "4:14: a tool has a name"),
            ("      hides: [x]\n", "4:7: unknown key \"hides\""),
        ] {
            let error = parse(mcp).unwrap_err();
            assert!(error.starts_with(&format!("routes.yaml:{expected}")), "{mcp}{error}");
        }
    }
}
