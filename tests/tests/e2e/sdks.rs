//! The providers' own Python SDKs when a budget is spent, in mid-stream and before the next request: each raises an
//! error that says why, and sends nothing more.

// An SDK that says something else ends its test, and shows what.
#![allow(clippy::panic)]

mod bedrock;

use std::time::Duration;

use hudson_tests::simulator::{AWS_KEYS, Options};
use hudson_tests::{Clients, Invocation, World};
use serde_json::{Value, json};

use crate::cases::{ANTHROPIC, GEMINI, OPENAI};

/// Far more than any budget here, whatever cap the request has: a live count that errs on the safe side may let several
/// times the grant pass.
const ENDLESS: &str = "sim-10-300000-nocap";

const BEDROCK: &str = "bedrock-runtime.us-east-1.amazonaws.com";

/// One SDK, and what it raises.
struct Sdk {
    /// Its driver in `tests/clients/streams.py`.
    family: &'static str,
    provider: &'static str,
    host: &'static str,
    /// What it raises when a stream is cut, and a word of ours in it.
    cut: (&'static str, &'static str),
    /// What it raises when a request is refused; our text is in it.
    refused: &'static str,
}

#[test]
fn anthropic() {
    for http2 in [false, true] {
        stops(
            &Sdk {
                family: "anthropic",
                provider: "claude",
                host: "api.anthropic.com",
                cut: ("anthropic.APIStatusError", "token budget is spent"),
                refused: "anthropic.PermissionDeniedError",
            },
            http2,
        );
    }
}

#[test]
fn openai_chat() {
    let sdk = Sdk {
        family: "openai-chat",
        provider: "codex",
        host: "api.openai.com",
        cut: ("openai.APIError", "token budget is spent"),
        refused: "openai.BadRequestError",
    };
    stops(&sdk, false);
}

#[test]
fn openai_responses() {
    let sdk = Sdk {
        family: "openai-responses",
        provider: "codex",
        host: "api.openai.com",
        cut: ("openai.APIError", "token budget is spent"),
        refused: "openai.BadRequestError",
    };
    stops(&sdk, false);
}

#[test]
fn google_genai() {
    for http2 in [false, true] {
        stops(
            &Sdk {
                family: "gemini",
                provider: "gemini",
                host: "generativelanguage.googleapis.com",
                cut: ("google.genai.errors.ClientError", "token budget is spent"),
                refused: "google.genai.errors.ClientError",
            },
            http2,
        );
    }
}

#[test]
fn google_genai_interactions() {
    let sdk = Sdk {
        family: "gemini-interactions",
        provider: "gemini",
        host: "generativelanguage.googleapis.com",
        // An event of its own, which this SDK hands on.
        cut: ("__main__.ErrorEvent", "token budget is spent"),
        refused: "google.genai._gaos.lib.compat_errors.BadRequestError",
    };
    stops(&sdk, false);
}

/// Its SDK passes over every event that it does not know, so the stream breaks off, without a word of ours.
#[test]
fn cohere() {
    for http2 in [false, true] {
        let unfinished = if http2 { "StreamReset" } else { "without sending complete message body" };
        stops(
            &Sdk {
                family: "cohere",
                provider: "cohere",
                host: "api.cohere.com",
                cut: ("httpx.RemoteProtocolError", unfinished),
                refused: "cohere.errors.forbidden_error.ForbiddenError",
            },
            http2,
        );
    }
}

#[test]
fn mistral() {
    let sdk = Sdk {
        family: "mistral",
        provider: "mistral",
        host: "api.mistral.ai",
        // An error is no chunk to it; it shows the ends of what it could not read.
        cut: ("mistralai.client.errors.responsevalidationerror.ResponseValidationError", "budget_exhausted"),
        refused: "mistralai.client.errors.sdkerror.SDKError",
    };
    stops(&sdk, false);
}

#[test]
fn groq() {
    let sdk = Sdk {
        family: "groq",
        provider: "groq",
        host: "api.groq.com",
        cut: ("groq.APIError", "token budget is spent"),
        refused: "groq.BadRequestError",
    };
    stops(&sdk, false);
}

#[test]
fn ollama() {
    let sdk = Sdk {
        family: "ollama",
        provider: "ollama",
        host: "ollama.com",
        cut: ("ollama._types.ResponseError", "token budget is spent"),
        refused: "ollama._types.ResponseError",
    };
    stops(&sdk, false);
}

#[test]
fn boto3() {
    for family in ["bedrock-converse", "bedrock-invoke"] {
        stops(
            &Sdk {
                family,
                provider: "bedrock",
                host: BEDROCK,
                cut: ("botocore.exceptions.EventStreamError", "token budget is spent"),
                refused: "botocore.errorfactory.AccessDeniedException",
            },
            false,
        );
    }
}

/// The other SDKs are in [`crate::clamp`].
#[test]
fn google_genai_takes_what_is_left_for_an_answer() {
    let world = World::new();
    let plays = [json!({"model": "sim-10-5000", "cap": 8000})];
    let launch = world.launch().provider("gemini").budget("gemini=1000").env(GEMINI.variable, GEMINI.value);
    let outcome = launch.run(&driver(&world, "gemini", &plays));
    let said = said(outcome.exited(0));
    let [answer] = said.as_slice() else { panic!("one stream was asked for: {outcome}") };
    assert!(answer["error"].is_null(), "{outcome}");
    let sent = world.only_call().request_json();
    let cap = sent["generationConfig"]["maxOutputTokens"].as_u64();
    assert!(cap.is_some_and(|tokens| (100..1000).contains(&tokens)), "{sent}");
    let rows = world.usage();
    assert!(rows.len() == 1 && rows[0].quality == "exact" && rows[0].charged <= 1000, "{rows:#?}");
}

/// A stream that fits, one that is cut, and one that is refused, by one process of the SDK.
#[track_caller]
fn stops(sdk: &Sdk, http2: bool) {
    let slow = Options { gap: Duration::from_millis(5), tokens_per_event: 400, ..Options::default() };
    let world = World::with(slow);
    let bedrock = sdk.host == BEDROCK;
    let plays = ["sim-10-50", ENDLESS, ENDLESS].map(|model| {
        let model = if bedrock { format!("anthropic.{model}") } else { model.to_owned() };
        json!({"model": model, "cap": 8000, "http2": http2})
    });
    let routes = format!("routes:\n  - {{host: {}{}}}\n", sdk.host, if bedrock { SIGNED } else { "" });
    let mut launch = world.launch().routes(&routes).budget(&format!("{}=1000", sdk.provider));
    for key in [ANTHROPIC, OPENAI, GEMINI] {
        launch = launch.env(key.variable, key.value);
    }
    let outcome = launch
        .env("AWS_KEYS", &format!("{}:{}", AWS_KEYS.0, AWS_KEYS.1))
        .run(&driver(&world, sdk.family, &plays));
    outcome.exited(77);
    let said = said(&outcome);
    let [fits, cut, refused] = said.as_slice() else { panic!("three streams were asked for: {outcome}") };
    assert!(fits["error"].is_null(), "{outcome}");
    let raised = |what: &Value, kind: &str, text: &str| {
        assert_eq!(what["error"], kind, "{outcome}");
        assert!(what["text"].as_str().is_some_and(|told| told.contains(text)), "no {text:?} in it: {what}");
    };
    raised(cut, sdk.cut.0, sdk.cut.1);
    raised(refused, sdk.refused, "This bottle is cut off");
    // Nothing was sent again, neither after the cut nor after the refusal.
    let calls = world.simulator.journal().entries();
    assert_eq!(calls.len(), 2, "{calls:#?}");
    assert!(calls[0].complete && !calls[1].complete, "the provider could write to the end");
    assert_eq!(world.refused_calls().len(), 1, "{:#?}", world.refused_calls());
    let rows = world.usage();
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert_eq!((rows[0].quality.as_str(), rows[0].total), ("exact", 60), "{rows:#?}");
    assert!(rows[1].quality != "exact" && rows[0].charged + rows[1].charged >= 1000, "{rows:#?}");
}

/// A route's credentials: the simulator's keys, from Hudson's own environment.
const SIGNED: &str =
    ", credentials: [{aws_sigv4: {region: us-east-1, service: bedrock, from: {env: AWS_KEYS}}}]";

/// The driver of a family with these streams; the agent's own AWS keys are worth nothing.
fn driver(world: &World, family: &str, plays: &[Value]) -> Invocation {
    let file = world.scratch().join("plays.jsonl");
    let lines: String = plays.iter().map(|play| format!("{play}\n")).collect();
    std::fs::write(&file, lines).expect("the scratch directory takes files");
    let client = Clients::installed().python("streams.py", &[family, &file.display().to_string()]);
    client.after("export AWS_ACCESS_KEY_ID=AKIDAGENT AWS_SECRET_ACCESS_KEY=the-agent-has-no-key")
}

/// What the SDK said of each stream.
fn said(outcome: &hudson_tests::Outcome) -> Vec<Value> {
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {outcome}"));
    outcome.text().lines().map(line).collect()
}
