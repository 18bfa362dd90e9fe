//! Many requests at once under one hard budget: the limit holds, within the stated bound.

use std::time::Duration;

use hudson_tests::{Invocation, World};

use crate::cases::ANTHROPIC;

const REQUESTS: u64 = 64;
const LIMIT: u64 = 10_000;

/// Fires all requests at once, each with a prompt of `padding` letters, and returns the total charged and the calls
/// that reached the provider.
fn storm(model: &str, padding: usize) -> (u64, usize) {
    let world = World::new();
    let prompt = "word ".repeat(padding / 5);
    let body = format!(
        r#"{{"model":"{model}","max_tokens":200,"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
    );
    let script = format!(
        "for i in $(seq {REQUESTS}); do curl -sS -o /dev/null -w '%{{http_code}}\\n' \
         https://api.anthropic.com/v1/messages -H 'content-type: application/json' -d '{body}' & done; wait"
    );
    let launch = world.launch().provider("claude").budget(&format!("claude={LIMIT}"));
    let launch = launch.env(ANTHROPIC.variable, ANTHROPIC.value).limit(Duration::from_secs(120));
    let outcome = launch.run(&Invocation::shell(script));
    assert!(matches!(outcome.code, Some(0 | 77)), "{outcome}");
    let statuses = outcome.text();
    assert_eq!(statuses.lines().count() as u64, REQUESTS, "{outcome}");
    assert!(statuses.lines().all(|status| status == "200" || status == "403"), "{outcome}");
    let calls = world.simulator.journal().metered_calls().len();
    let answered = statuses.lines().filter(|status| *status == "200").count();
    assert_eq!(answered, calls, "an answered request is one that reached the provider: {outcome}");
    world.ledger_equals_provider();
    let charged = world.usage().iter().map(|row| row.charged).sum();
    (charged, calls)
}

#[test]
fn the_limit_holds_where_the_estimate_does() {
    // 100 tokens of input for 500 letters: a fair estimate is not below it.
    let (charged, calls) = storm("sim-100-200", 500);
    let overshoot = charged.saturating_sub(LIMIT);
    report!(
        "64 at once, honest estimates: {calls} answered, {charged} of {LIMIT} charged, overshoot {overshoot}"
    );
    assert_eq!(overshoot, 0);
    assert!(calls >= 10, "the budget is barely used: {calls} calls");
}

#[test]
fn the_overshoot_stays_within_the_stated_bound() {
    // 900 tokens of input that no estimate can see in a short prompt.
    let input = 900;
    let (charged, calls) = storm("sim-900-200", 20);
    let overshoot = charged.saturating_sub(LIMIT);
    // Nothing estimates less than one token, so this is the sum over what was in flight at the crossing.
    let bound = calls as u64 * (input - 1);
    report!(
        "64 at once, blind estimates: {calls} answered, {charged} of {LIMIT} charged, overshoot {overshoot} of {bound}"
    );
    assert!(overshoot <= bound);
}
