//! The operator's credentials: from the environment or a sign-in file to the provider, and never into the bottle.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hudson_tests::{Clients, Invocation, World};
use serde_json::json;

use crate::cases::{ANTHROPIC, CODEX, OPENAI};

const CLAUDE_LOGIN: &str = "sk-ant-oat01-tests-only-mN4bV7cX2zL9kJ6hG3fD";
const CLAUDE_REFRESH: &str = "sk-ant-ort01-tests-only-qW8eR5tY1uI4oP7aS0dF";
const CODEX_ACCOUNT: &str = "11111111-2222-4333-8444-555555555555";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

fn claude_is_signed_in(world: &World) {
    let login = json!({ "claudeAiOauth": {
        "accessToken": CLAUDE_LOGIN, "refreshToken": CLAUDE_REFRESH, "expiresAt": (now() + 86_400) * 1000,
        "scopes": ["user:inference", "user:profile"], "subscriptionType": "pro",
    } });
    world.operator_has(".claude/.credentials.json", &login.to_string());
}

/// Signs Codex in and returns its access token.
fn codex_is_signed_in(world: &World) -> String {
    let claims = json!({ "exp": now() + 86_400, "iat": now(), "email": "a@example.com", "sub": "tests-only",
        "https://api.openai.com/auth": { "chatgpt_account_id": CODEX_ACCOUNT, "chatgpt_plan_type": "pro" } });
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.dGVzdHM", part(json!({ "alg": "none", "typ": "JWT" })), part(claims));
    let login = json!({ "OPENAI_API_KEY": null, "last_refresh": "2030-01-01T00:00:00Z", "tokens": {
        "id_token": token, "access_token": token, "refresh_token": "rt-tests-only", "account_id": CODEX_ACCOUNT,
    } });
    world.operator_has(".codex/auth.json", &login.to_string());
    token
}

#[test]
fn claude_code_works_with_its_login_file() {
    let world = World::new();
    claude_is_signed_in(&world);
    let outcome = world.launch().budget("claude=1m").run(&Clients::installed().claude());
    outcome.exited(0);
    let call = world.only_call();
    assert!(call.carries("authorization", &format!("Bearer {CLAUDE_LOGIN}")), "{:?}", call.headers);
    assert_eq!(call.header("x-api-key"), None, "two credentials went out");
    assert_eq!(outcome.text(), format!("{}\n", call.text.unwrap_or_default()));
    world.ledger_equals_provider();
}

#[test]
fn codex_works_with_its_login_file() {
    let world = World::new();
    let token = codex_is_signed_in(&world);
    let outcome = world.launch().budget("codex=1m").run(&Clients::installed().codex());
    outcome.exited(0);
    let call = world.last_call_of(2);
    assert_eq!((call.host.as_str(), call.path_only()), ("chatgpt.com", "/backend-api/codex/responses"));
    assert!(call.carries("authorization", &format!("Bearer {token}")), "{:?}", call.headers);
    assert!(call.carries("chatgpt-account-id", CODEX_ACCOUNT), "{:?}", call.headers);
    assert_eq!(outcome.text(), format!("{}\n", call.text.unwrap_or_default()));
    world.ledger_equals_provider();
}

/// This endpoint takes no cap on its output, so a budget far below the model's maximum must still let a turn begin.
#[test]
fn codex_works_with_its_login_file_under_a_small_budget() {
    let world = World::new();
    codex_is_signed_in(&world);
    let outcome = world.launch().budget("codex=60k").run(&Clients::installed().codex());
    let call = world.last_call_of(2);
    assert_eq!(outcome.exited(0).text(), format!("{}\n", call.text.unwrap_or_default()));
    world.ledger_equals_provider();
}

#[test]
fn codex_with_a_login_stops_when_its_budget_is_spent() {
    let world = World::new();
    codex_is_signed_in(&world);
    let spend = r#"curl -sS -o spent.txt https://chatgpt.com/backend-api/codex/responses \
      -H 'content-type: application/json' -d '{"model":"sim-950-100","stream":true,"store":false,"input":"spend"}'
      sleep 0.5"#;
    let client = Clients::installed().codex().after(spend);
    let outcome = world.launch().provider("codex").budget("codex=1000").run(&client);
    outcome.exited(77).shows("budget");
    assert_eq!(world.only_call().model.as_deref(), Some("sim-950-100"));
    // A cutoff refuses its account list already, and without that it asks no model at all.
    let refused = world.refused_calls();
    assert!(refused.len() <= 2, "{refused:#?}\n{outcome}");
    world.ledger_equals_provider();
}

#[test]
fn a_key_never_reaches_the_child() {
    for (provider, key) in [("claude", ANTHROPIC), ("codex", OPENAI), ("codex", CODEX)] {
        let world = World::new();
        let outcome = world
            .launch()
            .provider(provider)
            .env(key.variable, key.value)
            // A secret is one under whatever name it comes.
            .env("MY_NOTES", &format!("remember: {}", key.value))
            .run(&Invocation::new("env", &[]));
        outcome.exited(0);
        let printed = outcome.everything();
        assert!(!printed.contains(key.value), "the child sees {}: {outcome}", key.variable);
        assert!(printed.contains("HTTPS_PROXY=http://"), "the child has no proxy: {outcome}");
    }
}

#[test]
fn a_login_never_reaches_the_childs_environment() {
    let world = World::new();
    claude_is_signed_in(&world);
    let outcome = world.launch().provider("claude").run(&Invocation::new("env", &[]));
    outcome.exited(0);
    assert!(!outcome.everything().contains(CLAUDE_LOGIN), "the child sees the sign-in: {outcome}");
}

#[test]
fn codex_sees_a_login_without_its_tokens() {
    let world = World::new();
    let token = codex_is_signed_in(&world);
    let script = r#"env; cat "${CODEX_HOME:-$HOME/.codex}/auth.json""#;
    let outcome = world.launch().provider("codex").run(&Invocation::shell(script));
    outcome.exited(0).shows(CODEX_ACCOUNT);
    assert!(!outcome.everything().contains(&token), "the child sees the token: {outcome}");
    assert!(!outcome.everything().contains("rt-tests-only"), "the child sees the refresh token: {outcome}");
}

#[test]
fn the_childs_own_key_is_replaced() {
    let world = World::new();
    let script = "curl -sS https://api.anthropic.com/v1/messages -H 'x-api-key: sk-ant-from-the-agent' \
                  -H 'authorization: Bearer also-from-the-agent' -H 'content-type: application/json' \
                  -d '{\"model\":\"sim-20-5\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}'";
    let launch = world.launch().provider("claude").env(ANTHROPIC.variable, ANTHROPIC.value);
    launch.run(&Invocation::shell(script)).exited(0);
    let call = world.only_call();
    assert!(ANTHROPIC.arrived(&call), "{:?}", call.headers);
    assert_eq!(call.header("authorization"), None, "the agent's own credential went out too");
}

#[test]
fn a_credential_that_cannot_be_read_refuses() {
    let world = World::new();
    let routes = "routes:\n  - host: files.example.com\n    credentials:\n      - header: x-key\n        \
                  from: {env: NOT_SET_ANYWHERE}\n";
    let script =
        "curl -sS -o answer -w '%{http_code} %header{x-hudson-refusal}' https://files.example.com/hello.txt";
    let outcome = world.launch().routes(routes).run(&Invocation::shell(script));
    assert_eq!(outcome.exited(0).text(), "403 credential_unavailable");
    assert!(world.simulator.journal().entries().is_empty(), "it was sent without the credential");
}
