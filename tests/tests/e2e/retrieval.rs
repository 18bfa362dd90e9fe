//! Work that is read again by its id: charged once, whoever reads it and however often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hudson_tests::{UsageRow, ledger};

use crate::raw::upstream::ok;
use crate::raw::{self, Stage, Upstream};

const HOST: &str = "llm.example.net";

/// A background response: queued, then under way, then complete; its results and those of a batch as often as asked.
fn provider(state: Arc<AtomicUsize>) -> Upstream {
    Upstream::start(move |request| {
        let json = |body: &str| ok("content-type: application/json\r\n", body.as_bytes());
        let usage = r#"{"input_tokens":30,"output_tokens":12,"total_tokens":42}"#;
        let path = request.split(' ').nth(1).unwrap_or_default();
        match (request.starts_with("POST"), path) {
            (true, "/v1/responses") => {
                json(r#"{"id":"resp_1","object":"response","status":"queued","usage":null}"#)
            }
            (false, "/v1/responses/resp_1") if state.load(Ordering::SeqCst) == 0 => {
                json(r#"{"id":"resp_1","object":"response","status":"in_progress","usage":null}"#)
            }
            (false, "/v1/responses/resp_1") => json(&format!(
                r#"{{"id":"resp_1","object":"response","status":"completed","model":"m-1","usage":{usage}}}"#
            )),
            (false, "/v1/responses/resp_1?stream=true&starting_after=3") => ok(
                "content-type: text/event-stream\r\n",
                format!(
                    "event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":\
                     {{\"id\":\"resp_1\",\"status\":\"completed\",\"usage\":{usage}}}}}\n\n"
                )
                .as_bytes(),
            ),
            (false, "/v1/responses/resp_of_somebody") => {
                json(&format!(r#"{{"id":"resp_of_somebody","status":"completed","usage":{usage}}}"#))
            }
            _ => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
        }
    })
}

fn stage(upstream: &Upstream) -> Stage {
    let routes = format!(
        "routes:\n  - host: {HOST}\n    scheme: http\n    meter: {{provider: codex, format: openai-responses}}\n    \
         allowance: {{background: 50000}}\n    upstream: {{connect_to: \"{}\"}}\n",
        upstream.address
    );
    let setting = raw::routes(&routes).file("bottles/other/routes.yaml", &routes);
    setting.settings("budget: {codex: 100000}\n").start()
}

fn rows(stage: &Stage, until: impl Fn(&[UsageRow]) -> bool) -> Vec<UsageRow> {
    ledger::wait_for(&stage.world.home(), Duration::from_secs(5), until)
}

fn url(path: &str) -> String {
    format!("http://{HOST}{path}")
}

#[test]
fn background_work_is_held_and_then_counted_by_whoever_reads_it() {
    let state = Arc::new(AtomicUsize::new(0));
    let upstream = provider(state.clone());
    let stage = stage(&upstream);
    let agent = stage.agent();
    let body = r#"{"model":"m-1","background":true,"max_output_tokens":1000,"input":"x"}"#;
    let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let request = agent.absolute("POST", &url("/v1/responses"), &headers) + body;
    raw::ask(&mut agent.socket(), &request).passed();
    let held = rows(&stage, |rows| rows.len() == 1).remove(0);
    assert_eq!(held.quality, "held");
    assert!(held.charged > 51_000, "the allowance is held: {held:?}");

    agent.plain("GET", &url("/v1/responses/resp_1"), "").passed();
    let rows_then = rows(&stage, |rows| !rows.is_empty());
    assert_eq!(rows_then[0].quality, "held", "work under way says nothing: {rows_then:?}");

    state.store(1, Ordering::SeqCst);
    let other = stage.agent_in("other", &[]);
    other.plain("GET", &url("/v1/responses/resp_1"), "Range: bytes=0-20\r\nIf-Range: x\r\n").passed();
    let counted = rows(&stage, |rows| rows[0].quality == "exact");
    assert_eq!(counted.len(), 1, "{counted:?}");
    assert_eq!((counted[0].total, counted[0].charged, counted[0].bottle.as_str()), (42, 42, "ci"));
    assert!(
        upstream.seen().iter().all(|request| !request.to_lowercase().contains("range:")),
        "a part of the answer would state a part of the usage"
    );

    agent.plain("GET", &url("/v1/responses/resp_1"), "").passed();
    agent.plain("GET", &url("/v1/responses/resp_1?stream=true&starting_after=3"), "").passed();
    agent.plain("GET", &url("/v1/responses/resp_2"), "");
    assert_eq!(rows(&stage, |rows| !rows.is_empty()).len(), 1, "it is charged once");
}

#[test]
fn work_that_nobody_was_charged_for_is_charged_to_who_reads_it() {
    let upstream = provider(Arc::default());
    let stage = stage(&upstream);
    for _ in 0..3 {
        stage.agent().plain("GET", &url("/v1/responses/resp_of_somebody"), "").passed();
    }
    let rows = rows(&stage, |rows| !rows.is_empty());
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0].total, rows[0].quality.as_str()), (42, "exact"));
}
