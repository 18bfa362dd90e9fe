//! What a provider has sealed goes back to it byte for byte, by proof that it came from there and not by its name.

use super::TOKEN;
use crate::raw::upstream::ok;
use crate::raw::{self, Agent, Answer, Stage, Upstream};

const HOST: &str = "models.example.com";
/// An identifier of a key in a documented form, which some signatures have in them by chance. It opens nothing.
const BY_CHANCE: &str = "AKIAZ7K2QWERTYUI2PA3";

/// A signature of 180 characters with this in its midst.
fn signature(inside: &str) -> String {
    let noise = super::base64("of nothing but words, as long as a part of a signature is.");
    format!("{noise}/{inside}/{noise}")
}

/// A model that answers with such a signature, in one piece or as a stream.
fn scene(route: &str, streams: bool) -> (Upstream, Stage, Agent) {
    let signature = signature(BY_CHANCE);
    let usage = r#""usage":{"input_tokens":9,"output_tokens":5}"#;
    let answer = match streams {
        false => ok(
            "content-type: application/json\r\n",
            format!(
                r#"{{"type":"message","model":"m","content":[{{"type":"thinking","thinking":"x","signature":"{signature}"}}],{usage}}}"#
            )
            .as_bytes(),
        ),
        true => ok(
            "content-type: text/event-stream\r\n",
            format!(
                "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"model\":\"m\",{usage}}}}}\n\n\
                 event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
                 {{\"type\":\"signature_delta\",\"signature\":\"{signature}\"}}}}\n\n\
                 event: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
            )
            .as_bytes(),
        ),
    };
    let upstream = Upstream::start(move |_| answer.clone());
    let routes = format!(
        "routes:\n  - host: {HOST}\n    scheme: http\n    outbound_on_match: {route}\n    \
         meter: {{provider: claude, format: anthropic}}\n"
    );
    let stage = raw::routes(&routes).connect_to(&format!("{HOST}:80"), upstream.address).start();
    let agent = stage.agent();
    (upstream, stage, agent)
}

/// A turn of a conversation: what the model has thought goes back with what is said next.
fn turn(agent: &Agent, signature: &str, text: &str) -> Answer {
    let body = format!(
        r#"{{"model":"m","max_tokens":50,"messages":[{{"role":"assistant","content":[{{"type":"thinking","thinking":"x","signature":"{signature}"}}]}},{{"role":"user","content":"{text}"}}]}}"#
    );
    let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let head = agent.absolute("POST", &format!("http://{HOST}/v1/messages"), &headers);
    raw::ask(&mut agent.socket(), &format!("{head}{body}"))
}

#[test]
fn a_signature_of_the_provider_goes_back_as_it_came_beside_what_is_taken_out() {
    for streams in [false, true] {
        let (upstream, _stage, agent) = scene("redact", streams);
        turn(&agent, "short", "hello").passed();
        turn(&agent, &signature(BY_CHANCE), &format!("why does {TOKEN} not work?")).passed();
        let sent = upstream.seen().pop().expect("it arrived");
        assert!(sent.contains(&format!(r#""signature":"{}""#, signature(BY_CHANCE))), "{sent}");
        assert!(!sent.contains(TOKEN) && sent.contains(&"*".repeat(TOKEN.len())), "{sent}");
    }
}

/// The same name, the same form, and the provider has never sent it.
#[test]
fn a_signature_of_the_agents_own_making_is_none() {
    let (upstream, _stage, agent) = scene("block", false);
    turn(&agent, &signature(BY_CHANCE), "hello").refused(403, "dlp_blocked").says("signature");
    turn(&agent, "short", "hello").passed();
    turn(&agent, &signature("AKIAZ7K2QWERTYUI2PA4"), "hello").refused(403, "dlp_blocked");
    turn(&agent, &signature(TOKEN), "hello").refused(403, "dlp_blocked");
    turn(&agent, &signature(BY_CHANCE), "hello").passed();
    assert_eq!(upstream.seen().len(), 2);
}
