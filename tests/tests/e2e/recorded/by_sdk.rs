//! Asked for by the providers' own SDKs, as an agent has them in its bottle: each reads the stream to its end without
//! an error, says the recorded usage itself where it says any, and the ledger has the same.

use std::sync::Mutex;
use std::time::Duration;

use hudson_tests::{Clients, hudson, process};
use serde_json::{Value, json};

use super::family::OLLAMA;
use super::{FAMILIES, Family, Recording, Scene, recording};

/// The least number of streams, and of those over HTTP/2.
const LEAST: usize = 200;
const LEAST_HTTP2: usize = 70;

/// SDKs that run at a time.
const AT_A_TIME: usize = 2;

#[derive(Default)]
struct Told {
    played: usize,
    http2: usize,
    wrong: Vec<String>,
}

#[test]
fn sdks_read_recorded_streams_and_the_ledger_has_their_numbers() {
    let bottles = FAMILIES.each_ref().map(|family| family.name);
    let Some(scene) = Scene::set(&bottles) else { return };
    let (waiting, told) = (Mutex::new(FAMILIES.iter()), Mutex::new(Told::default()));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no holder panics").next();
                    let Some(family) = next else { return };
                    let of_family = play(&scene, family);
                    let mut told = told.lock().expect("no holder panics");
                    told.played += of_family.played;
                    told.http2 += of_family.http2;
                    told.wrong.extend(of_family.wrong);
                }
            });
        }
    });
    let Told { played, http2, wrong } = told.into_inner().expect("no holder panics");
    let families = FAMILIES.len();
    report!(
        "{played} recorded streams by {families} SDK families, {http2} over HTTP/2; {} differ",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(played >= LEAST && http2 >= LEAST_HTTP2, "only {played} streams, {http2} over HTTP/2");
}

/// One SDK process plays its whole sample.
fn play(scene: &Scene, family: &'static Family) -> Told {
    let own = scene.recordings.iter().filter(|recording| recording.family.name == family.name);
    let sample = recording::spread(own.filter(|recording| recording.is_sound()).collect(), family.streams);
    let plays: Vec<Value> = sample.iter().enumerate().map(|(at, one)| play_of(one, at % 2 == 1)).collect();
    let file = scene.stage.world.scratch().join(format!("{}.jsonl", family.name));
    let lines: String = plays.iter().map(|play| format!("{play}\n")).collect();
    std::fs::write(&file, lines).expect("the scratch directory takes files");
    let client = Clients::installed().python("streams.py", &[family.name, &file.display().to_string()]);
    let mut command = hudson::operator(client.words()[0].as_ref(), &scene.stage.world);
    command.args(&client.words()[1..]).envs(scene.stage.environment(family.name));
    // Keys that AWS does not know: without any, boto3 sends nothing.
    command.env("AWS_ACCESS_KEY_ID", "AKIDAGENT").env("AWS_SECRET_ACCESS_KEY", "the-agent-has-no-key");
    let outcome = process::run(&mut command, Duration::from_secs(120));
    let said: Vec<Value> = outcome
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("the driver prints JSON"))
        .collect();
    let rows = scene.rows(family.name, sample.len());
    let mut told = Told { played: said.len(), ..Told::default() };
    if outcome.code != Some(0) || said.len() != sample.len() || rows.len() != sample.len() {
        let (name, rows) = (family.name, rows.len());
        told.wrong.push(format!("{name}: {} streams, {rows} rows: {outcome:.3000}", sample.len()));
        return told;
    }
    for (((recording, play), said), row) in sample.iter().zip(&plays).zip(&said).zip(&rows) {
        let place = format!("{}/{}", family.name, recording.id());
        let spoken = if play["http2"] == true { json!(["HTTP/2"]) } else { json!([]) };
        told.http2 += usize::from(said["spoken"] == json!(["HTTP/2"]));
        if said["spoken"] != spoken {
            told.wrong.push(format!("{place}: spoke {}", said["spoken"]));
        }
        told.wrong.extend(unhappy(recording, said).map(|why| format!("{place}: the SDK says {why}")));
        told.wrong.extend(recording.differs(row).map(|why| format!("{place}: the ledger has {why}")));
    }
    told
}

/// How the driver is asked for it.
fn play_of(recording: &Recording, odd: bool) -> Value {
    let target = recording.target();
    // Gemini and Bedrock name the model in the path.
    let in_path = target.split_once("/models/").or_else(|| target.split_once("/model/"));
    let model = in_path.and_then(|(_, rest)| rest.split(['/', ':']).next()).unwrap_or("recorded");
    let http2 = odd && recording.family.http2;
    let mut play = json!({
        "replay": recording.id(), "model": model.replace("%3A", ":"), "http2": http2,
        "include_usage": recording.asks_for_usage(), "generate": target.ends_with("/api/generate"),
    });
    if recording.family.name == "ollama" && !http2 {
        play["url"] = json!(format!("http://{OLLAMA}:11434"));
    }
    if let (Some(file), "bedrock-invoke") = (recording.request(), recording.family.name) {
        play["body"] = json!(file);
    }
    play
}

/// What the SDK says that it should not, or does not say that it should.
fn unhappy(recording: &Recording, said: &Value) -> Option<String> {
    let Some(usage) = said["usage"].as_object() else {
        let may = recording.family.asks && !recording.asks_for_usage() && said["error"].is_null();
        return (!may).then(|| format!("{said:.500}"));
    };
    let wrong = usage.iter().filter(|(key, value)| value.as_u64() != recording.number(key));
    let wrong: Vec<_> =
        wrong.map(|(key, value)| format!("{key} {value} != {:?}", recording.number(key))).collect();
    (!wrong.is_empty()).then(|| wrong.join(", "))
}
