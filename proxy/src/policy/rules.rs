//! The rules of a route against one request: first deny, then require_approval, then allow; conditions AND.
//!
//! Invariant: a rule that denies or asks is not got around by what cannot be read: a condition that may hold is not known,
//! and what is not known is refused. Where there are rules that allow, one of them has to.

mod compare;
mod content;
mod look;
mod refusal;

use compare::Known;
pub use content::Content;
use http::HeaderMap;
use hudson_schema::config::{
    Bind, Compiled, Condition, CounterScope, CounterWindow, Rule, RuleAction, Subject, Test,
};
pub use refusal::{in_front, named};

/// What is known of a request.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The host, in its one form.
    pub host: &'a str,
    /// The path, normalised.
    pub path: &'a str,
    /// The query as sent, without `?`.
    pub query: Option<&'a str>,
    /// The headers as sent.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: BodyFacts<'a>,
    /// The arguments of a tool that is called.
    pub args: Option<&'a Content>,
    /// The bottle.
    pub bottle: &'a str,
    /// The agent, if it has a name.
    pub agent: Option<&'a str>,
    /// What `SCOPE.COUNTER` has come to; `None` where that is not known.
    pub counters: &'a dyn Fn(&str) -> Option<i64>,
}

/// What is known of a body.
#[derive(Clone, Copy, Debug)]
pub enum BodyFacts<'a> {
    /// Nothing yet.
    Unread,
    /// What is in it: JSON, or a form.
    Json(&'a Content),
    /// Nothing that can be looked at, and why.
    NotJson(&'a str),
    /// There is none.
    Empty,
}

/// What the rules say to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Ruled<'a> {
    /// It passes.
    Passes {
        /// The first rule that allows it, where there are such.
        by: Option<&'a Rule>,
    },
    /// It is denied.
    Denied {
        /// By this rule.
        rule: &'a Rule,
    },
    /// A person has to decide.
    Approval {
        /// By this rule.
        rule: &'a Rule,
    },
    /// It is denied, because there are rules that allow and none of them matches.
    Unmatched {
        /// The first of those.
        rule: &'a Rule,
    },
    /// Whether this rule matches cannot be known, so that it is refused.
    Unreadable {
        /// The rule.
        rule: &'a Rule,
        /// Why.
        why: String,
    },
}

/// Judges a request.
pub fn judge<'a>(rules: &'a [Rule], facts: &Facts<'_>) -> Ruled<'a> {
    for action in [RuleAction::Deny, RuleAction::RequireApproval] {
        let mut unknown = None;
        let mut matched = None;
        for rule in rules.iter().filter(|rule| rule.action == action) {
            match matches(rule, facts) {
                Truth::Yes => matched = matched.or(Some(rule)),
                Truth::Unknown(why) => unknown = unknown.or(Some((rule, why))),
                Truth::No => {}
            }
        }
        match (matched, unknown, action) {
            (Some(rule), _, RuleAction::Deny) => return Ruled::Denied { rule },
            // Who would be asked by the one is not asked by the other.
            (_, Some((rule, why)), _) => return Ruled::Unreadable { rule, why },
            (Some(rule), ..) => return Ruled::Approval { rule },
            (None, None, _) => {}
        }
    }
    let mut allowing = rules.iter().filter(|rule| rule.action == RuleAction::Allow).peekable();
    let first = allowing.peek().copied();
    match (allowing.find(|rule| matches(rule, facts) == Truth::Yes), first) {
        (None, Some(rule)) => Ruled::Unmatched { rule },
        (by, _) => Ruled::Passes { by },
    }
}

/// Whether any rule may need the body as a whole, whatever the request.
pub fn reads_body(rules: &[Rule]) -> bool {
    rules.iter().any(|rule| looks_at_body(rule) || binds_body(rule))
}

/// Whether any rule needs the body of this request as a whole. Its head alone is known.
pub fn needs_body(rules: &[Rule], head: &Facts<'_>) -> bool {
    rules.iter().filter(|rule| looks_at_body(rule) || binds_body(rule)).any(|rule| {
        let of_head = rule.conditions.iter().filter(|condition| !is_of_body(condition));
        all(rule.action, of_head, head) != Truth::No
    })
}

/// The rules that count a request which passes: all that allow it and have a rate limit or a counter.
pub fn counting<'a>(rules: &'a [Rule], facts: &Facts<'_>) -> Vec<&'a Rule> {
    let counts = |rule: &&Rule| rule.rate_limit.is_some() || rule.state.is_some();
    let allows = rules.iter().filter(|rule| rule.action == RuleAction::Allow);
    allows.filter(counts).filter(|rule| matches(rule, facts) == Truth::Yes).collect()
}

/// What a request adds to the counter of a rule; why that cannot be known.
pub fn increment(rule: &Rule, facts: &Facts<'_>) -> Result<i64, String> {
    let Some(state) = &rule.state else { return Ok(0) };
    let fixed = state.increment.map(i64::from);
    let Some(subject) = &state.increment_from else { return Ok(fixed.unwrap_or(1)) };
    let found = look::look(subject, facts)?;
    if found.wide.is_empty() {
        return Ok(fixed.unwrap_or(0));
    }
    // Which of several a server takes is not known: all of them are counted.
    found.wide.iter().try_fold(0_i64, |sum, value| match compare::number(value) {
        Known::Number(number) if number.is_negative() => {
            Err(format!("{subject} is below 0, and nothing is taken back from a counter"))
        }
        Known::Number(number) => {
            let added = number.ceiling().and_then(|number| sum.checked_add(number));
            added.ok_or_else(|| format!("{subject} is too large a number to be counted"))
        }
        Known::Nothing => Ok(sum),
        Known::Other => Err(format!("{subject} is no number")),
    })
}

/// The counters that conditions of these rules ask for.
pub fn counters(rules: &[Rule]) -> impl Iterator<Item = (CounterScope, &str, CounterWindow)> {
    rules.iter().flat_map(|rule| &rule.conditions).filter_map(|condition| {
        match &condition.compiled()?.subject {
            Subject::State { scope, counter, window } => Some((*scope, counter.as_str(), (*window)?)),
            _ => None,
        }
    })
}

/// Between which values a counter may be while every condition on it says what it says at `value`.
pub fn unchanged(rules: &[Rule], scope: CounterScope, counter: &str, value: i64) -> (i64, i64) {
    let asked = rules.iter().flat_map(|rule| &rule.conditions).filter_map(Condition::compiled).filter(
        |Compiled { subject, .. }| {
            matches!(subject, Subject::State { scope: of, counter: name, .. } if *of == scope && name == counter)
        },
    );
    let (mut least, mut most) = (i64::MIN, i64::MAX);
    for number in asked.flat_map(|compiled| compiled.test.numbers()) {
        // What is no 64-bit integer is on one side of all that a counter can be.
        let floor = number.floor().unwrap_or(if number.is_negative() { i64::MIN } else { i64::MAX });
        let ceiling = number.ceiling().unwrap_or(floor);
        if value == floor && value == ceiling {
            return (value, value);
        }
        match value <= floor {
            true if floor == ceiling => most = most.min(floor.saturating_sub(1)),
            true => most = most.min(floor),
            false if floor == ceiling => least = least.max(ceiling.saturating_add(1)),
            false => least = least.max(ceiling),
        }
    }
    (least, most)
}

/// Whether something holds.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Truth {
    Yes,
    No,
    /// It cannot be known, and why.
    Unknown(String),
}

impl Truth {
    fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    fn unknown(why: &str) -> Self {
        Self::Unknown(why.to_owned())
    }
}

fn matches(rule: &Rule, facts: &Facts<'_>) -> Truth {
    all(rule.action, &rule.conditions, facts)
}

/// One that does not hold decides, whatever is not known of the others.
fn all<'a>(
    action: RuleAction,
    conditions: impl IntoIterator<Item = &'a Condition>,
    facts: &Facts<'_>,
) -> Truth {
    let mut all = Truth::Yes;
    for condition in conditions {
        match holds(action, condition, facts) {
            Truth::No => return Truth::No,
            Truth::Unknown(why) if all == Truth::Yes => all = Truth::Unknown(why),
            _ => {}
        }
    }
    all
}

/// A rule that denies or asks is met by any value that may be meant; one that allows has to be met by all of them.
fn holds(action: RuleAction, condition: &Condition, facts: &Facts<'_>) -> Truth {
    let allows = action == RuleAction::Allow;
    let unknown = |why: String| match allows {
        true => Truth::No,
        false => Truth::Unknown(why),
    };
    let Some(Compiled { subject, test }) = condition.compiled() else {
        return unknown(format!("the condition on {} is not valid", condition.path()));
    };
    let found = match look::look(subject, facts) {
        Ok(found) => found,
        Err(why) => return unknown(why),
    };
    let there = if allows { !found.exact.is_empty() } else { !found.wide.is_empty() };
    match (test, there) {
        // What may be there is not certainly missing.
        (Test::Exists(false), _) => {
            return Truth::of(if allows { found.wide.is_empty() } else { found.exact.is_empty() });
        }
        (_, false) => return Truth::No,
        _ => {}
    }
    let mut truths = found.wide.iter().map(|value| compare::holds(test, value));
    if allows {
        return Truth::of(truths.all(|truth| truth == Truth::Yes));
    }
    let mut any = Truth::No;
    for truth in truths {
        match truth {
            Truth::Yes => return Truth::Yes,
            Truth::Unknown(why) => any = Truth::Unknown(format!("{subject}: {why}")),
            Truth::No => {}
        }
    }
    any
}

fn is_of_body(condition: &Condition) -> bool {
    condition.compiled().is_some_and(|compiled| compiled.subject.is_in_body())
}

fn looks_at_body(rule: &Rule) -> bool {
    let added = rule.state.as_ref().and_then(|state| state.increment_from.as_ref());
    rule.conditions.iter().any(is_of_body) || added.is_some_and(Subject::is_in_body)
}

/// Whether an approval by the rule is for the very body.
fn binds_body(rule: &Rule) -> bool {
    rule.action == RuleAction::RequireApproval && rule.bind == Bind::Request
}

#[cfg(test)]
mod tests;
