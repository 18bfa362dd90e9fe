//! AWS Signature Version 4: the agent holds no key, and what it signed itself does not leave.

use crate::raw::{self, Stage, Upstream};

const HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";
const SECRET: &str = "tests-only-Hc72secretAccessKey";
const TOKEN: &str = "tests-only-Lm55sessionToken";

fn stage(upstream: &Upstream, service: &str) -> Stage {
    let routes = format!(
        "routes:\n  - host: {HOST}\n    scheme: http\n    meter: off\n    upstream: {{connect_to: \"{}\"}}\n    \
         credentials: [{{aws_sigv4: {{region: us-east-1, service: {service}, from: {{env: AWS_KEYS}}}}}}]\n",
        upstream.address
    );
    raw::routes(&routes).env("AWS_KEYS", &format!("AKIDHUDSON:{SECRET}:{TOKEN}")).start()
}

fn post(stage: &Stage, target: &str) -> raw::Answer {
    let agent = stage.agent();
    let signature = "authorization: AWS4-HMAC-SHA256 Credential=AKIDAGENT/20300101/us-east-1/bedrock/aws4_request\r\n\
                     x-amz-date: 20300101T000000Z\r\nx-amz-security-token: the-agents-own\r\n\
                     x-amz-content-sha256: of-the-agent\r\n";
    let headers = format!("{signature}content-type: application/json\r\ncontent-length: 11\r\n");
    let request = agent.absolute("POST", &format!("http://{HOST}{target}"), &headers) + r#"{"text":1} "#;
    raw::ask(&mut agent.socket(), &request)
}

#[test]
fn a_request_is_signed_with_the_operators_keys_and_no_other() {
    let upstream = Upstream::echo();
    let stage = stage(&upstream, "bedrock");
    let answer = post(&stage, "/model/m%3A0/converse?X-Amz-Signature=agent&a=1&x=2").passed();
    let seen = upstream.seen().remove(0);
    assert!(seen.starts_with("POST /model/m%3A0/converse?a=1&x=2 HTTP/1.1\r\n"), "{seen}");
    assert!(
        seen.contains("Credential=AKIDHUDSON/") && seen.contains("/us-east-1/bedrock/aws4_request"),
        "{seen}"
    );
    assert!(seen.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token"), "{seen}");
    assert!(seen.contains(&format!("x-amz-security-token: {TOKEN}")), "{seen}");
    assert!(seen.ends_with("{\"text\":1} "), "{seen}");
    for own in ["AKIDAGENT", "20300101", "the-agents-own", "of-the-agent", SECRET] {
        assert!(!seen.contains(own), "{own} left: {seen}");
    }
    assert!(!answer.to_string().contains(TOKEN), "the session token came back: {answer}");
}

#[test]
fn keys_that_cannot_be_read_let_nothing_out() {
    let upstream = Upstream::echo();
    let routes = format!(
        "routes:\n  - host: {HOST}\n    scheme: http\n    meter: off\n    upstream: {{connect_to: \"{}\"}}\n    \
         credentials: [{{aws_sigv4: {{region: us-east-1, service: bedrock, from: {{env: AWS_KEYS}}}}}}]\n",
        upstream.address
    );
    let stage = raw::routes(&routes).env("AWS_KEYS", "only-one-part").start();
    let answer = post(&stage, "/x").refused(403, "credential_unavailable");
    let answer = answer.says("ACCESS_KEY_ID:SECRET_ACCESS_KEY");
    assert!(!answer.to_string().contains("only-one-part"));
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_body_for_s3_streams_without_being_signed() {
    let upstream = Upstream::echo();
    let stage = stage(&upstream, "s3");
    post(&stage, "/bucket/a%20key").passed();
    let seen = upstream.seen().remove(0);
    assert!(seen.contains("x-amz-content-sha256: UNSIGNED-PAYLOAD"), "{seen}");
    assert!(seen.contains("Credential=AKIDHUDSON/"), "{seen}");
}
