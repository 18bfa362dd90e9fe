//! The calls that agents make beside the model: settings, model lists, sign-in, telemetry. Small, valid, free.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::delivery::Reply;

/// Answers a side endpoint, or nothing when this host has no such path.
pub(super) fn answer(parts: &http::request::Parts, host: &str) -> Option<Reply> {
    let body = match (host, parts.uri.path()) {
        ("api.anthropic.com", "/v1/models") => anthropic_models(),
        ("api.openai.com", "/v1/models") => openai_models(),
        ("generativelanguage.googleapis.com", "/v1beta/models") => gemini_models(),
        ("api.anthropic.com" | "platform.claude.com" | "console.anthropic.com", "/v1/oauth/token") => json!({
            "token_type": "Bearer", "access_token": "sk-ant-oat01-renewed", "refresh_token": "sk-ant-ort01-renewed",
            "expires_in": 28800, "scope": "user:inference user:profile",
        }),
        ("auth.openai.com", "/oauth/token") => json!({
            "id_token": token(), "access_token": token(), "refresh_token": "rt-renewed", "expires_in": 86400,
        }),
        ("api.anthropic.com", "/api/oauth/profile") => json!({
            "account": { "uuid": UUID, "email": "a@example.com", "has_claude_pro": true, "has_claude_max": false },
            "organization": { "uuid": UUID, "name": "Simulator", "organization_type": "claude_pro" },
        }),
        ("api.anthropic.com", path) if path.starts_with("/api/") => json!({}),
        ("chatgpt.com", "/backend-api/codex/models" | "/backend-api/models") => json!({ "models": [] }),
        ("chatgpt.com", "/backend-api/wham/accounts/check") => chatgpt_accounts(parts),
        ("chatgpt.com", path) if path.starts_with("/backend-api/") => json!({}),
        (
            "ab.chatgpt.com"
            | "play.googleapis.com"
            | "http-intake.logs.us5.datadoghq.com"
            | "statsig.anthropic.com",
            _,
        ) => {
            json!({})
        }
        _ => return None,
    };
    // A HEAD has no body, whatever the path.
    Some(if parts.method == http::Method::HEAD {
        Reply::bytes(200, "application/json", "")
    } else {
        Reply::json(200, &body)
    })
}

const UUID: &str = "00000000-0000-4000-8000-000000000001";

/// An unsigned sign-in token: three parts, valid for a day. Codex reads its claims and never its signature.
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = json!({
        "exp": now + 86_400, "iat": now, "email": "a@example.com", "sub": "simulated",
        "https://api.openai.com/auth": { "chatgpt_account_id": UUID, "chatgpt_plan_type": "pro" },
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lt", part(&json!({ "alg": "none", "typ": "JWT" })), part(&claims))
}

/// Codex with a ChatGPT sign-in sends nothing to the model before it has found its own account in this list.
fn chatgpt_accounts(parts: &http::request::Parts) -> Value {
    let account = parts.headers.get("chatgpt-account-id").and_then(|id| id.to_str().ok()).unwrap_or(UUID);
    json!({
        "accounts": [{
            "id": account, "name": "Simulator", "plan_type": "pro", "structure": "personal",
            "workspace_backend_origin": "https://chatgpt.com", "account_routing_override": "NO_CONSTRAINT",
        }],
        "account_ordering": [account],
        "default_account_id": account,
    })
}

fn anthropic_models() -> Value {
    let model = |id: &str| json!({ "type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z" });
    let ids = ["claude-opus-4-5", "claude-sonnet-4-5"];
    json!({ "data": (ids.map(model)), "has_more": false, "first_id": ids[0], "last_id": ids[1] })
}

fn openai_models() -> Value {
    let model =
        |id: &str| json!({ "id": id, "object": "model", "created": 1_780_000_000, "owned_by": "openai" });
    json!({ "object": "list", "data": (["gpt-5.1", "gpt-5.1-codex"].map(model)) })
}

fn gemini_models() -> Value {
    let methods = ["generateContent", "countTokens"];
    let model = |id: &str| json!({ "name": format!("models/{id}"), "supportedGenerationMethods": methods });
    json!({ "models": (["gemini-2.5-flash", "gemini-2.5-pro"].map(model)) })
}
