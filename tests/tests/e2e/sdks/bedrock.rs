//! boto3 in a bottle: the agent's keys are worth nothing, Hudson signs what it really sends, and the simulator checks the
//! signature over what arrived, as AWS does.

use hudson_tests::simulator::AWS_KEYS;
use hudson_tests::{Clients, World};
use serde_json::{Value, json};

use super::{BEDROCK, SIGNED, driver, said};

const TOKEN: &str = "bedrock-api-key-tests-only-Pz51";

fn plays() -> [Value; 1] {
    [json!({"model": "us.anthropic.sim-20-40-v1:0", "cap": 8000})]
}

/// The simulator's check is AWS' own: what botocore signs with the right keys passes, and nothing else.
#[test]
fn the_simulator_takes_what_botocore_signs() {
    let (id, secret) = AWS_KEYS;
    for family in ["bedrock-converse", "bedrock-invoke"] {
        for (id, secret, raised) in [
            (id, secret, None),
            (id, "wrong", Some("InvalidSignatureException")),
            ("AKIDOTHER", secret, Some("UnrecognizedClientException")),
        ] {
            let world = World::new();
            let file = world.scratch().join("plays.jsonl");
            std::fs::write(&file, plays()[0].to_string()).expect("the scratch directory takes files");
            let client = Clients::installed().python("streams.py", &[family, &file.display().to_string()]);
            let keys = [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)];
            let outcome = world.direct(&client, &keys);
            let text = said(&outcome)[0]["text"].as_str().map(str::to_owned);
            match raised {
                None => assert_eq!(text, None, "{outcome}"),
                Some(kind) => assert!(text.is_some_and(|text| text.contains(kind)), "{outcome}"),
            }
        }
    }
}

#[test]
fn a_request_whose_cap_was_lowered_is_signed_as_it_is_sent() {
    let (id, secret) = AWS_KEYS;
    for (family, cap) in
        [("bedrock-converse", "/inferenceConfig/maxTokens"), ("bedrock-invoke", "/max_tokens")]
    {
        let world = World::new();
        let routes = format!("routes:\n  - {{host: {BEDROCK}{SIGNED}}}\n");
        let launch = world.launch().routes(&routes).budget("bedrock=1000");
        let client = driver(&world, family, &plays());
        let outcome = launch.env("AWS_KEYS", &format!("{id}:{secret}")).run(&client);
        outcome.exited(0);
        assert_eq!(said(&outcome)[0]["usage"], json!({"input": 20, "output": 40}), "{outcome}");
        let call = world.only_call();
        let body = call.request_json();
        let sent = cap.split('/').skip(1).fold(&body, |value, name| &value[name]);
        assert!(sent.as_u64().is_some_and(|sent| (256..1000).contains(&sent)), "{cap} went out as {sent}");
        assert!(!outcome.everything().contains(secret), "the secret was printed");
        world.ledger_equals_provider();
    }
}

/// The other way to sign in to Bedrock: a key that goes as a bearer token.
#[test]
fn a_bearer_token_is_replaced_by_the_operators() {
    let world = World::new();
    let routes =
        format!("routes:\n  - {{host: {BEDROCK}, auth_scheme: Bearer, token_env: EGRESS_TOKEN_0}}\n");
    let client = driver(&world, "bedrock-converse", &plays());
    let client = client.after("export AWS_BEARER_TOKEN_BEDROCK=the-agent-has-no-key");
    let outcome = world.launch().routes(&routes).env("EGRESS_TOKEN_0", TOKEN).run(&client);
    outcome.exited(0);
    assert!(said(&outcome)[0]["error"].is_null(), "{outcome}");
    let call = world.only_call();
    assert!(call.carries("authorization", &format!("Bearer {TOKEN}")), "{:?}", call.headers);
    assert!(!outcome.everything().contains(TOKEN), "the token was printed");
    world.ledger_equals_provider();
}
