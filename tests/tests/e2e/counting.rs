//! `estimate: {count_tokens: true}`: under a hard budget the provider is asked for a request's input before it is held.

use std::time::Duration;

use hudson_tests::simulator::{Entry, Options};
use hudson_tests::{Invocation, Outcome, World};

use crate::cases::{ANTHROPIC, GEMINI, Key, OPENAI};

const ON: &str = "estimate: {count_tokens: true}\n";

/// A provider that counts.
struct Provider {
    name: &'static str,
    key: Key,
    url: &'static str,
    counted_at: &'static str,
}

const PROVIDERS: [Provider; 3] = [
    Provider {
        name: "claude",
        key: ANTHROPIC,
        url: "https://api.anthropic.com/v1/messages",
        counted_at: "/v1/messages/count_tokens",
    },
    Provider {
        name: "codex",
        key: OPENAI,
        url: "https://api.openai.com/v1/responses",
        counted_at: "/v1/responses/input_tokens",
    },
    Provider {
        name: "gemini",
        key: GEMINI,
        url: "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        counted_at: "/v1beta/models/gemini-2.5-flash:countTokens",
    },
];

impl Provider {
    /// A streamed request of one message, with room for 100 tokens of output.
    fn body(&self, text: &str) -> String {
        match self.name {
            "claude" => format!(
                r#"{{"model":"claude-x","max_tokens":100,"stream":true,"messages":[{{"role":"user","content":"{text}"}}]}}"#
            ),
            "codex" => {
                format!(r#"{{"model":"gpt-x","max_output_tokens":100,"stream":true,"input":"{text}"}}"#)
            }
            _ => format!(
                r#"{{"generationConfig":{{"maxOutputTokens":100}},"contents":[{{"role":"user","parts":[{{"text":"{text}"}}]}}]}}"#
            ),
        }
    }
}

/// The questions that reached a provider.
fn questions(world: &World) -> Vec<Entry> {
    let mut entries = world.simulator.journal().entries();
    entries.retain(|entry| {
        ["/count_tokens", "/input_tokens", ":countTokens"].iter().any(|end| entry.path_only().ends_with(end))
    });
    entries
}

/// A world with these settings.
fn scene(settings: &str) -> World {
    let world = World::with(Options { gap: Duration::from_millis(5), ..Options::default() });
    world.configure("settings.yml", settings);
    world
}

/// As [`ON`], on a machine that is busy: every answer is waited for.
const PATIENT: &str = "estimate: {count_tokens: true, timeout: 60s}\n";

const REQUESTS: u64 = 64;

/// What came of many requests at once.
struct Storm {
    charged: u64,
    answered: u64,
    counted: u64,
}

/// Sends this text to a provider 64 times at once, each time with another word in front.
fn storm(provider: &Provider, settings: &str, limit: u64, text: &str) -> Storm {
    let world = scene(settings);
    for i in 0..REQUESTS {
        let letter = char::from(b'a' + u8::try_from(i % 26).expect("it is below 26"));
        let body = provider.body(&format!("{} {text}", letter.to_string().repeat(1 + i as usize / 26)));
        std::fs::write(world.work().join(format!("body-{i}.json")), body)
            .expect("the working directory takes files");
    }
    let script = format!(
        "for i in $(seq 0 {}); do curl -sS -o /dev/null -w '%{{http_code}}\\n' '{}' \
         -H 'content-type: application/json' -d @body-$i.json & done; wait",
        REQUESTS - 1,
        provider.url
    );
    let launch = world.launch().provider(provider.name).budget(&format!("{}={limit}", provider.name));
    let launch = launch.env(provider.key.variable, provider.key.value).limit(Duration::from_secs(120));
    let outcome = launch.run(&Invocation::shell(script));
    assert!(matches!(outcome.code, Some(0 | 77)), "{outcome}");
    let statuses = outcome.text();
    assert_eq!(statuses.lines().count() as u64, REQUESTS, "{outcome}");
    let rows = world.ledger_equals_provider();
    let asked = questions(&world);
    assert!(asked.iter().all(|entry| entry.path == provider.counted_at && entry.status == 200), "{asked:#?}");
    Storm {
        charged: rows.iter().map(|row| row.charged).sum(),
        answered: statuses.lines().filter(|status| *status == "200").count() as u64,
        counted: asked.len() as u64,
    }
}

#[test]
fn the_overshoot_is_nothing_where_estimates_are_far_too_low() {
    const LIMIT: u64 = 20_000;
    // About 3,010 tokens where the estimate sees 1,000 at most.
    let letters = "ж".repeat(1500);
    for provider in &PROVIDERS {
        let counted = storm(provider, PATIENT, LIMIT, &letters);
        let estimated = storm(provider, "", LIMIT, &letters);
        let overshoot = |storm: &Storm| storm.charged.saturating_sub(LIMIT);
        report!(
            "64 at once to {}, inputs of 3,010 tokens: counted {} of {LIMIT} charged ({} answered, {} questions, overshoot {}); \
             estimated {} charged ({} answered, overshoot {})",
            provider.name,
            counted.charged,
            counted.answered,
            counted.counted,
            overshoot(&counted),
            estimated.charged,
            estimated.answered,
            overshoot(&estimated)
        );
        assert!(counted.charged <= LIMIT, "{} of {LIMIT}", counted.charged);
        assert_eq!(counted.answered, 6, "what fits is let through");
        assert!(overshoot(&estimated) > 0, "the estimate is as good, so nothing is shown");
        assert_eq!(estimated.counted, 0, "nobody asked for it");
    }
}

#[test]
fn nothing_is_refused_for_estimates_that_are_far_too_high() {
    const LIMIT: u64 = 9_000;
    // About 20 tokens where the estimate sees more than the limit.
    let blanks = " ".repeat(900_000);
    for provider in &PROVIDERS {
        let counted = storm(provider, PATIENT, LIMIT, &blanks);
        let estimated = storm(provider, "", LIMIT, &blanks);
        report!(
            "64 at once to {}, inputs of 20 tokens: counted {} of {LIMIT} charged ({} answered, {} questions); \
             estimated {} charged ({} answered)",
            provider.name,
            counted.charged,
            counted.answered,
            counted.counted,
            estimated.charged,
            estimated.answered
        );
        assert!(counted.charged <= LIMIT, "{} of {LIMIT}", counted.charged);
        assert_eq!((counted.answered, counted.counted), (REQUESTS, REQUESTS));
        assert_eq!(estimated.answered, 0, "the estimate is as good, so nothing is shown");
    }
}

/// One whole message to Claude; prints the status and the refusal's code, if any.
fn message(model: &str, content: &str) -> String {
    curl(&format!(
        r#"{{"model":"{model}","max_tokens":100,"messages":[{{"role":"user","content":{content}}}]}}"#
    ))
}

fn curl(body: &str) -> String {
    format!(
        "curl -sS -o answer.json -D head.txt -w '%{{http_code}} %header{{x-hudson-refusal}}\\n' \
         https://api.anthropic.com/v1/messages -H 'content-type: application/json' \
         -H 'x-api-key: the-agents-own' -H 'anthropic-version: 2023-06-01' -H 'anthropic-beta: tide-1' -d '{body}'\n"
    )
}

fn run(world: &World, options: &[(&str, &str)], script: &str) -> Outcome {
    let mut launch = world.launch().provider("claude").env(ANTHROPIC.variable, ANTHROPIC.value);
    for (name, value) in options {
        launch = launch.option(name, value);
    }
    launch.run(&Invocation::shell(script))
}

const BUDGET: &[(&str, &str)] = &[("--budget", "claude=2000")];

fn charged(world: &World) -> Vec<u64> {
    world.ledger_equals_provider().iter().map(|row| row.charged).collect()
}

#[test]
fn a_question_carries_the_real_key_and_nobody_sees_it() {
    let world = scene(ON);
    let outcome = run(&world, BUDGET, &message("sim-50-20", r#""count me""#));
    assert_eq!(outcome.exited(0).text(), "200 \n");
    let asked = questions(&world);
    assert_eq!(asked.len(), 1, "{asked:#?}");
    assert!(asked[0].carries("x-api-key", ANTHROPIC.value), "{asked:#?}");
    let sent = r#"{"model":"sim-50-20","messages":[{"role":"user","content":"count me"}]}"#;
    assert_eq!(String::from_utf8_lossy(&asked[0].request_body), sent);
    for (name, value) in [("anthropic-version", "2023-06-01"), ("anthropic-beta", "tide-1")] {
        assert_eq!(asked[0].header(name).as_deref(), Some(value), "{asked:#?}");
    }
    // It comes before the request, over the same kind of connection, and is charged to nobody.
    let call = world.only_call();
    assert!(asked[0].sequence < call.sequence && asked[0].version == call.version, "{asked:#?}");
    assert_eq!(charged(&world), [70]);
    let log = std::fs::read_to_string(world.home().join("log/events.jsonl")).unwrap_or_default();
    let head = std::fs::read_to_string(world.work().join("head.txt")).unwrap();
    let answer = std::fs::read_to_string(world.work().join("answer.json")).unwrap();
    for seen in [&outcome.everything(), &log, &head, &answer] {
        assert!(!seen.contains(ANTHROPIC.value) && !seen.contains("count_tokens"), "{seen}");
    }
}

#[test]
fn the_agents_own_counts_stay_free() {
    let world = scene(ON);
    let body = r#"{"model":"sim-50-20","messages":[]}"#;
    let own = curl(body).replace("/v1/messages", "/v1/messages/count_tokens");
    assert_eq!(run(&world, BUDGET, &own).exited(0).text(), "200 \n");
    assert_eq!(questions(&world).len(), 1, "a question about a question");
    let answer = std::fs::read_to_string(world.work().join("answer.json")).unwrap();
    assert_eq!(answer, r#"{"input_tokens":50}"#);
    assert_eq!(world.usage(), []);
}

#[test]
fn an_endpoint_that_is_slow_or_fails_leaves_the_estimate() {
    for (model, waits) in [
        ("sim-50-20-cslow", 2),
        ("sim-50-20-cs500", 0),
        ("sim-50-20-cs429", 0),
        ("sim-50-20-c0", 0),
        // It would not fit, and is not read.
        ("sim-50-20-c1000000-cbig", 0),
    ] {
        let world = scene(ON);
        let outcome = run(&world, BUDGET, &message(model, r#""x""#));
        assert_eq!(outcome.exited(0).text(), "200 \n", "{model}");
        let time = Duration::from_secs(waits);
        assert!(outcome.elapsed >= time && outcome.elapsed < time + Duration::from_secs(10), "{outcome}");
        assert_eq!((questions(&world).len(), charged(&world)), (1, vec![70]), "{model}");
        let log = std::fs::read_to_string(world.home().join("log/events.jsonl")).unwrap_or_default();
        let told = format!("{log}{}", outcome.stderr);
        assert!(told.contains(r#""event":"count_failed""#), "{told}");
    }
    // And the estimate is what is held: thousands of tokens do not fit.
    let world = scene(ON);
    let letters = format!("\"{}\"", "q".repeat(12_000));
    let outcome = run(&world, BUDGET, &message("sim-50-20-cs500", &letters));
    assert_eq!(outcome.exited(77).text(), "403 budget_exhausted\n");
}

#[test]
fn the_same_question_is_asked_once() {
    let world = scene(ON);
    let one = message("sim-50-20", r#""x""#);
    let at_once = format!(
        "for i in 1 2 3 4 5 6 7 8; do ({}) & done; wait\n",
        message("sim-40-20", r#""x""#).trim_end()
    );
    let budget = [("--budget", "claude=20000")];
    assert_eq!(run(&world, &budget, &format!("{one}{one}{at_once}")).exited(0).text(), "200 \n".repeat(10));
    assert_eq!(world.simulator.journal().metered_calls().len(), 10);
    assert_eq!(questions(&world).len(), 2);
    // Another key, another beta or another byte is another question.
    let other = format!("{one}{}", one.replace("tide-1", "tide-2"));
    run(&world, &budget, &other).exited(0);
    assert_eq!(questions(&world).len(), 4, "counts of another run or for another beta");
}

#[test]
fn what_a_request_names_is_counted_each_time_and_in_place_of_a_constant() {
    // An image that nobody sees counts 4,800 in an estimate.
    let image = |source: &str| message("sim-50-20", &format!(r#"[{{"type":"image","source":{source}}}]"#));
    let request = image(r#"{"type":"file","file_id":"f"}"#);
    let world = scene(ON);
    assert_eq!(run(&world, BUDGET, &request.repeat(2)).exited(0).text(), "200 \n200 \n");
    assert_eq!(questions(&world).len(), 2, "it may be another image by now");
    let estimated = scene("");
    let spent = run(&estimated, BUDGET, &image(r#"{"type":"url","url":"https://files.example.com/a.png"}"#));
    assert_eq!(spent.exited(77).text(), "403 budget_exhausted\n");
    // What is fetched again for the request itself may be larger than what was counted.
    let fetched = scene(ON);
    let spent = run(&fetched, BUDGET, &image(r#"{"type":"url","url":"https://files.example.com/a.png"}"#));
    assert_eq!((spent.exited(77).text().as_str(), questions(&fetched).len()), ("403 budget_exhausted\n", 1));
}

#[test]
fn a_count_that_was_too_low_is_charged_as_stated() {
    let world = scene(ON);
    run(&world, BUDGET, &message("sim-900-20-c10", r#""x""#)).exited(0);
    assert_eq!((questions(&world).len(), charged(&world)), (1, vec![920]));
}

#[test]
fn nothing_is_asked_where_no_hard_budget_decides() {
    let request = message("sim-50-20", r#""x""#);
    let soft = format!("{ON}mode: soft\n");
    for (settings, options) in [(ON, [].as_slice()), (&soft, BUDGET), ("", BUDGET)] {
        let world = scene(settings);
        assert_eq!(run(&world, options, &request).exited(0).text(), "200 \n");
        assert_eq!((questions(&world).len(), world.usage().len()), (0, 1), "{settings}");
    }
    let world = scene(&format!("{ON}budget: {{claude: 2000}}\n"));
    let route =
        "routes:\n  - {host: api.anthropic.com, meter: off, auth_scheme: Bearer, token_env: THE_KEY}\n";
    let launch = world.launch().routes(route).env("THE_KEY", ANTHROPIC.value);
    assert_eq!(launch.run(&Invocation::shell(&request)).exited(0).text(), "200 \n");
    assert_eq!((questions(&world).len(), world.usage().len()), (0, 0));
}

#[test]
fn nothing_is_asked_for_a_request_that_is_refused_whatever_its_input() {
    let tools = r#"{"model":"sim-5-5","max_tokens":9,"messages":[],"tools":[{"type":"web_search_20250305","name":"web_search"}]}"#;
    let twice = r#"{"model":"sim-5-5","max_tokens":9,"messages":[],"messages":[]}"#;
    for (body, refusal) in [(tools, "403 unmetered_endpoint\n"), (twice, "400 malformed_request\n")] {
        let world = scene(ON);
        assert_eq!(run(&world, BUDGET, &curl(body)).text(), refusal);
        assert_eq!(world.simulator.journal().entries().len(), 0, "{refusal}");
    }
    // Nor for a run that is cut off.
    let world = scene(ON);
    let spend = message("sim-1950-100-c10", r#""x""#);
    let script = format!("{spend}sleep 0.5\n{}", message("sim-5-5", r#""y""#));
    assert_eq!(run(&world, BUDGET, &script).exited(77).text(), "200 \n403 bottle_cut_off\n");
    assert_eq!(questions(&world).len(), 1);
}
