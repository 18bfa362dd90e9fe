//! Asked for by hand, where every byte can be compared: the client gets the recording itself, over either HTTP version.
//! Those that no SDK can read, since AWS' checksums in them are wrong, are among them.

use super::{FAMILIES, Recording, Scene, recording};
use crate::raw::{self, Agent, Answer};

/// Streams of each family; and every one that is compressed, or that no SDK can read.
const EACH: usize = 12;

const BOTTLE: &str = "by-hand";

#[test]
fn recorded_streams_pass_unchanged_and_are_counted_exactly() {
    let Some(scene) = Scene::set(&[BOTTLE]) else { return };
    let agent = scene.stage.agent_in(BOTTLE, &[]);
    let (mut wrong, mut unsound) = (Vec::new(), 0);
    let sample = sample(&scene.recordings);
    for (played, recording) in sample.iter().enumerate() {
        let http2 = played % 2 == 1;
        let answer = play(recording, &agent, http2);
        let place = format!("{}/{} http2={http2}", recording.family.name, recording.id());
        unsound += usize::from(!recording.is_sound());
        let decoded = answer.header("content-encoding").is_none();
        if answer.status != 200 || answer.body != recording.expected(decoded) {
            wrong.push(format!("{place}: another body: {:.300}", answer.to_string()));
        }
        match scene.rows(BOTTLE, played + 1).get(played) {
            Some(row) if recording.is_sound() => {
                wrong.extend(recording.differs(row).map(|why| format!("{place}: {why}")));
            }
            // The whole hold is charged for what cannot be believed.
            Some(row) if row.quality == "held" => {}
            row => wrong.push(format!("{place}: the ledger has {row:?}")),
        }
    }
    report!(
        "{} recorded streams by hand ({unsound} with wrong checksums: passed on, and not believed), {} differ",
        sample.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(sample.len() >= 10 * FAMILIES.len(), "only {} streams", sample.len());
}

/// Spread over each family.
fn sample(recordings: &[Recording]) -> Vec<&Recording> {
    let of_family =
        |name: &'static str| recordings.iter().filter(move |recording| recording.family.name == name);
    let families = FAMILIES.iter().flat_map(|family| {
        let (special, plain): (Vec<_>, Vec<_>) =
            of_family(family.name).partition(|recording| recording.is_encoded() || !recording.is_sound());
        special.into_iter().chain(recording::spread(plain, EACH))
    });
    families.collect()
}

/// Asks for it through the proxy, with the body that its client once sent.
fn play(recording: &Recording, agent: &Agent, http2: bool) -> Answer {
    let (host, target) = (recording.family.host, recording.target());
    let body = match recording.request() {
        Some(file) => std::fs::read_to_string(file).expect("a recorded request is text"),
        None => request(recording).to_string(),
    };
    if http2 {
        let mut request = raw::request("POST", &format!("https://{host}{target}"), &body);
        let headers = request.headers_mut();
        headers.insert("x-hudson-replay", recording.id().parse().expect("an id is a value"));
        headers.insert("accept-encoding", "gzip".parse().expect("a coding is a value"));
        return agent.http2_one(host, request);
    }
    let headers = format!("x-hudson-replay: {}\r\naccept-encoding: gzip\r\n", recording.id());
    agent.send(host, &raw::post(host, &target, &headers, &body))
}

/// A request for a stream whose own was not recorded.
fn request(recording: &Recording) -> serde_json::Value {
    let mut body = serde_json::json!({"model": "recorded", "stream": true});
    if recording.asks_for_usage() {
        body["stream_options"] = serde_json::json!({"include_usage": true});
    }
    body
}
