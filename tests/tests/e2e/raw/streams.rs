//! Metered streams by hand: begun, left standing, read to their end.

use std::io::{Read as _, Write as _};

use super::agent::{Agent, Tls};

/// Where the model is.
pub(crate) const HOST: &str = "api.anthropic.com";

/// A stream of so many tokens, ten an event.
pub(crate) fn body(tokens: usize) -> String {
    format!(
        r#"{{"model":"sim-80-{tokens}","max_tokens":{tokens},"stream":true,"messages":[{{"role":"user","content":"x"}}]}}"#
    )
}

/// A metered stream of which the first event has come, which says what the input cost.
pub(crate) fn streaming(agent: &Agent, tokens: usize) -> Tls {
    let mut tls = agent.tls(HOST);
    let request = super::post(HOST, "/v1/messages", "", &body(tokens));
    tls.write_all(request.as_bytes()).and_then(|()| tls.flush()).expect("the proxy reads");
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("message_start") {
        let mut some = [0; 256];
        let count = tls.read(&mut some).expect("it is answered");
        seen.extend_from_slice(&some[..count]);
    }
    assert!(seen.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&seen));
    tls
}

/// What still comes, and whether it ends as HTTP/1.1 ends a body.
pub(crate) fn rest(mut tls: Tls) -> (String, bool) {
    let (mut all, mut some) = (Vec::new(), [0; 4096]);
    // TLS without a farewell is an error, which the bytes before it do not show.
    while !all.ends_with(b"0\r\n\r\n")
        && let Ok(count @ 1..) = tls.read(&mut some)
    {
        all.extend_from_slice(&some[..count]);
    }
    let whole = all.ends_with(b"0\r\n\r\n");
    (String::from_utf8_lossy(&all).into_owned(), whole)
}
