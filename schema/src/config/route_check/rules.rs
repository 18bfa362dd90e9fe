//! `rules`: what takes more than one key, one rule or one route to check, and the windows of the counters that conditions
//! ask for.

use super::matches::path_fault;
use crate::config::tree::Trail;
use crate::config::yaml::Document;
use crate::config::{Condition, CounterScope, CounterWindow, Literal, Route, Rule, StateRule, Subject, Test};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Checks a route's rules, one by one and beside each other.
pub(super) fn of_route(document: &mut Document<'_>, trail: &Trail, mut rules: Vec<Rule>) -> Vec<Rule> {
    let mut names = HashSet::new();
    for (index, rule) in rules.iter_mut().enumerate() {
        let trail = trail.index(index);
        rule.line = document.line(&trail);
        if !names.insert(rule.name.trim().to_owned()) {
            let message = "another rule of this route has the same name; each needs one of its own";
            document.value(&trail.key("name"), message);
        }
        of_rule(document, &trail, rule);
        for (index, condition) in rule.conditions.iter().enumerate() {
            let trail = trail.key("conditions").index(index);
            let of_tool = condition.compiled().is_some_and(|it| matches!(it.subject, Subject::Args(_)));
            no_args(document, &trail.key("path"), of_tool);
        }
        let added = rule.state.as_ref().and_then(|state| state.increment_from.as_ref());
        let trail = trail.key("state").key("increment_from");
        no_args(document, &trail, matches!(added, Some(Subject::Args(_))));
    }
    rules
}

/// Checks one rule, wherever it stands.
pub(in crate::config) fn of_rule(document: &mut Document<'_>, trail: &Trail, rule: &Rule) {
    for (keys, message) in rule.faults() {
        let place = keys.iter().fold(trail.clone(), |trail, key| trail.key(key));
        document.value(&place, message);
    }
    of_conditions(document, &trail.key("conditions"), &rule.conditions);
}

fn of_conditions(document: &mut Document<'_>, trail: &Trail, conditions: &[Condition]) {
    for (index, condition) in conditions.iter().enumerate() {
        let trail = trail.index(index);
        if let Some((key, message)) = condition.fault() {
            document.value(&trail.key(key), message.clone());
        }
        let Some(compiled) = condition.compiled() else { continue };
        if compiled.subject != Subject::Path || matches!(compiled.test, Test::Contains(_)) {
            continue;
        }
        let texts = compiled.test.literals().filter_map(|literal| match literal {
            Literal::Text(text) => Some(text),
            _ => None,
        });
        if let Some(fault) = texts.filter_map(|text| path_fault(text)).next() {
            document.value(&trail.key("value"), format!("no request can have this path: {fault}"));
        }
    }
}

fn no_args(document: &mut Document<'_>, trail: &Trail, found: bool) {
    if found {
        document.value(trail, "args are those of MCP tools; a rule on requests has body.NAME");
    }
}

/// A counter by whose it is and its name.
type Counted = (CounterScope, String);

/// Gives every condition on a counter the window that its counter has. Rules of all routes of a file add to the same
/// counters.
pub(super) fn resolve(document: &mut Document<'_>, trail: &Trail, routes: &mut [Route]) {
    let mut windows: BTreeMap<Counted, CounterWindow> = BTreeMap::new();
    for (trail, rule) in of_all(trail, routes) {
        let Some(StateRule { counter, window, scope, .. }) = &rule.state else { continue };
        let known = *windows.entry((*scope, counter.clone())).or_insert(*window);
        if known != *window {
            let message = format!(
                "another rule counts {counter} of the {} by the {}; a counter has one window",
                scope.name(),
                known.name()
            );
            document.value(&trail.key("state").key("window"), message);
        }
    }
    for (trail, rule) in of_all(trail, routes).into_iter().filter(|(_, rule)| asks_counter(rule)) {
        give_windows(document, &trail.key("conditions"), &mut rule.conditions, &windows);
    }
}

/// Every rule of a file, on requests or on tools, with its place.
fn of_all<'a>(trail: &Trail, routes: &'a mut [Route]) -> Vec<(Trail, &'a mut Rule)> {
    let mut all = Vec::new();
    for (index, route) in routes.iter_mut().enumerate() {
        let trail = trail.index(index);
        let rules = Arc::make_mut(&mut route.rules).iter_mut().enumerate();
        all.extend(rules.map(|(index, rule)| (trail.key("rules").index(index), rule)));
        all.extend(route.mcp.iter_mut().flat_map(|mcp| mcp.rules_mut(&trail.key("mcp"))));
    }
    all
}

fn asks_counter(rule: &Rule) -> bool {
    rule.conditions.iter().any(is_of_counter)
}

fn is_of_counter(condition: &Condition) -> bool {
    condition.compiled().is_some_and(|compiled| matches!(compiled.subject, Subject::State { .. }))
}

fn give_windows(
    document: &mut Document<'_>,
    trail: &Trail,
    conditions: &mut [Condition],
    windows: &BTreeMap<Counted, CounterWindow>,
) {
    for (index, condition) in conditions.iter_mut().enumerate() {
        let Some(Subject::State { scope, counter, window }) = condition.subject_mut() else { continue };
        *window = windows.get(&(*scope, counter.clone())).copied();
        if window.is_none() {
            let message = format!(
                "nothing counts {counter} of the {}; a rule with state: {{counter: {counter}, …}} does",
                scope.name()
            );
            document.value(&trail.index(index).key("path"), message);
        }
    }
}
