//! Whose budget governs, what a hard one does to a request, and what happens when it is spent.

use std::time::Duration;

use hudson_tests::{Invocation, Outcome, World};

use crate::cases::{ANTHROPIC, OPENAI};

/// One whole message; prints the status and the refusal's code, if any.
fn message(model: &str, cap: u64) -> String {
    format!(
        "curl -sS -o answer.json -w '%{{http_code}} %header{{x-hudson-refusal}}\\n' \
         https://api.anthropic.com/v1/messages -H 'content-type: application/json' \
         -d '{{\"model\":\"{model}\",\"max_tokens\":{cap},\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}]}}'"
    )
}

fn run(world: &World, options: &[(&str, &str)], script: &str) -> Outcome {
    let mut launch = world.launch().provider("claude").env(ANTHROPIC.variable, ANTHROPIC.value);
    for (name, value) in options {
        launch = launch.option(name, value);
    }
    launch.run(&Invocation::shell(script))
}

#[test]
fn the_requests_own_cap_is_lowered_to_what_is_left() {
    let world = World::new();
    let outcome = run(&world, &[("--budget", "claude=1000")], &message("sim-10-5000", 8000));
    assert!(outcome.text().starts_with("200"), "{outcome}");
    let call = world.only_call();
    let cap = call.request_json()["max_tokens"].as_u64().unwrap_or_default();
    assert!((256..1000).contains(&cap), "max_tokens went out as {cap}");
    let total: u64 = world.ledger_equals_provider().iter().map(|row| row.total).sum();
    assert!(total <= 1000, "{total} tokens of a budget of 1000");
}

#[test]
fn a_request_that_cannot_fit_is_refused_before_it_is_sent() {
    let world = World::new();
    let outcome = run(&world, &[("--budget", "claude=100")], &message("sim-10-50", 8000));
    assert_eq!(outcome.exited(77).text(), "403 budget_exhausted\n");
    assert!(world.simulator.journal().entries().is_empty(), "it reached the provider");
}

#[test]
fn a_global_budget_spans_runs() {
    let world = World::new();
    world.configure("settings.yml", "budget:\n  claude: 1000\n");
    let first = run(&world, &[("--bottle", "one")], &message("sim-950-100", 100));
    assert!(first.text().starts_with("200"), "{first}");
    let second = run(&world, &[("--bottle", "two")], &message("sim-10-10", 100));
    // It may be told so before it starts, or with its first request.
    assert!(!second.exited(77).text().contains("200"), "{second}");
    world.only_call();
}

#[test]
fn the_most_specific_budget_governs() {
    let world = World::new();
    world.configure(
        "settings.yml",
        "budget:\n  claude: 1000\nagents:\n  reviewer:\n    budget: {claude: 5000}\n",
    );
    run(&world, &[("--bottle", "one")], &message("sim-950-100", 100));
    let reviewer = run(&world, &[("--bottle", "two"), ("--agent", "reviewer")], &message("sim-10-10", 100));
    assert_eq!(reviewer.exited(0).text(), "200 \n");
    let other = run(&world, &[("--bottle", "two"), ("--agent", "other")], &message("sim-10-10", 100));
    assert!(!other.exited(77).text().contains("200"), "{other}");
}

#[test]
fn a_cutoff_stops_every_route() {
    let world = World::new();
    let routes = "routes:\n  - host: files.example.com\n";
    let get =
        "curl -sS -o file -w '%{http_code} %header{x-hudson-refusal}\\n' https://files.example.com/hello.txt";
    let script = format!("{get}\n{}\nsleep 0.5\n{get}", message("sim-950-100", 100));
    let launch = world.launch().provider("claude").budget("claude=1000").routes(routes);
    let outcome = launch.env(ANTHROPIC.variable, ANTHROPIC.value).run(&Invocation::shell(script));
    assert_eq!(outcome.exited(77).text(), "200 \n200 \n403 bottle_cut_off\n");
}

#[test]
fn a_kill_ends_the_process() {
    let world = World::new();
    let script = format!("{}\nsleep 40\necho survived", message("sim-950-100", 100));
    let outcome = run(&world, &[("--budget", "claude=1000"), ("--on-exhausted", "kill")], &script);
    // The kill comes with the settlement, before the client sees the end of the answer: it may not have said it yet.
    assert!(!outcome.exited(77).text().contains("survived"), "{outcome}");
    assert!(outcome.elapsed < Duration::from_secs(15), "{outcome}");
}

/// Two models that Hudson does not know, on a host where its own choice would be `max_completion_tokens`.
#[test]
fn a_model_of_the_settings_gets_its_cap_under_the_named_field() {
    let world = World::new();
    world.configure(
        "settings.yml",
        "providers:\n  codex:\n    models:\n      sim-*: {max_output: 700, output_field: max_tokens}\n      \
         sim-10-20: {max_output: 900}\n",
    );
    let chat = |model: &str| {
        format!(
            "curl -sS -o answer.json -w '%{{http_code}}\\n' https://api.openai.com/v1/chat/completions \
             -H 'content-type: application/json' \
             -d '{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}]}}'"
        )
    };
    let script = format!("{}\n{}", chat("sim-10-10"), chat("sim-10-20"));
    let launch = world.launch().provider("codex").budget("codex=100000");
    let outcome = launch.env(OPENAI.variable, OPENAI.value).run(&Invocation::shell(script));
    assert_eq!(outcome.exited(0).text(), "200\n200\n");
    let caps: Vec<_> = world
        .simulator
        .journal()
        .entries()
        .iter()
        .map(|call| call.request_json())
        .map(|sent| (sent["max_tokens"].as_u64(), sent["max_completion_tokens"].as_u64()))
        .collect();
    assert_eq!(caps, [(Some(700), None), (None, Some(900))]);
}

#[test]
fn models_of_a_provider_that_does_not_exist_are_refused_at_the_start() {
    let world = World::new();
    world.configure("settings.yml", "providers:\n  clade:\n    models:\n      x: {max_output: 5}\n");
    let outcome = run(&world, &[("--budget", "claude=1000")], "echo ran");
    assert!(outcome.exited(2).to_string().contains("there is no provider clade"), "{outcome}");
    assert_eq!(outcome.text(), "");
}
