//! More of a spent budget, where `approvals.budget_extension` lets a person give it.

use hudson_schema::ledger::{ApprovalKind, ApprovalStatus, Execution};

use super::{Desk, id_of};
use crate::raw::{self, Agent, Answer, Stage};

const ROUTES: &str = "routes:
  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}
";

fn stage(settings: &str, bottle: &str) -> (Stage, Agent, Desk) {
    let setting = raw::routes(ROUTES).settings(settings).file("bottles/ci/bottle.yml", bottle);
    let stage = setting.env("THE_KEY", "tests-only-9fK2mP7qR4tW").start();
    let (agent, desk) = (stage.agent(), Desk::of(&stage));
    (stage, agent, desk)
}

fn call(agent: &Agent) -> Answer {
    let message = r#"{"model":"sim-70-30","max_tokens":40,"messages":[{"role":"user","content":"x"}]}"#;
    agent.post("api.anthropic.com", "/v1/messages", message)
}

/// Calls until the budget is spent; the refusal.
fn spend(agent: &Agent) -> Answer {
    (0..20).map(|_| call(agent)).find(|answer| answer.status != 200).expect("the budget ends")
}

#[test]
fn an_approval_adds_so_many_tokens_once() {
    let (stage, agent, desk) = stage("approvals: {budget_extension: 300}\n", "budget: {claude: 250}\n");
    let refused = spend(&agent);
    assert!(refused.status == 403 && refused.text().contains("300 tokens by approving"), "{refused}");
    let id = id_of(&refused);
    let asked = desk.only();
    assert_eq!((asked.kind, asked.action.as_str()), (ApprovalKind::Budget, "extend_budget"));
    assert_eq!((&asked.details["limit"], &asked.details["more"]), (&250.into(), &300.into()));
    // It goes on asking, and it stays one question.
    assert_eq!(id_of(&call(&agent)), id);
    desk.approve(&id);
    call(&agent).passed();
    let used = desk.becomes(&id, |used| used.execution == Some(Execution::Executed));
    assert_eq!(used.status, ApprovalStatus::Consumed);
    let shown = stage.hudson(&["budget", "show", "--json"]).text();
    assert!(shown.contains("550"), "{shown}");
    // What was added ends, too, and is another question then.
    assert_ne!(id_of(&spend(&agent)), id);
}

#[test]
fn a_denial_is_told_with_the_budgets_own_refusal() {
    let (_stage, agent, desk) = stage("approvals: {budget_extension: 300}\n", "budget: {claude: 250}\n");
    let id = id_of(&spend(&agent));
    desk.deny(&id, "enough for today");
    let refused = call(&agent).says("enough for today");
    assert!(
        matches!(refused.header("x-hudson-refusal"), Some("budget_exhausted" | "bottle_cut_off")),
        "{refused}"
    );
}

#[test]
fn what_freezes_or_kills_or_is_shared_or_renewed_is_not_asked_about() {
    let extension = "approvals: {budget_extension: 300}\n";
    for (settings, bottle) in [
        (extension.to_owned(), "budget: {claude: 250}\nshutdown: freeze\n"),
        (extension.to_owned(), "budget: {claude: 250}\nshutdown: kill\n"),
        (format!("{extension}budget: {{claude: 250}}\n"), ""),
        (format!("{extension}bottles: {{ci: {{budget: {{claude: 250}}, window: day}}}}\n"), ""),
        (String::new(), "budget: {claude: 250}\n"),
    ] {
        let (_stage, agent, desk) = stage(&settings, bottle);
        let refused = spend(&agent);
        assert_eq!(refused.header("x-hudson-approval-id"), None, "{settings}{bottle}: {refused}");
        assert!(desk.all().is_empty(), "{settings}{bottle}");
    }
}
