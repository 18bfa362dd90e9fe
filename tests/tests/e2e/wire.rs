//! Byte for byte: what curl and Git get through Hudson is what was sent, and what must not pass does not.

use hudson_tests::{Clients, Invocation, World};

use crate::cases::{ANTHROPIC, OPENAI};

const FILES: &str = "routes:\n  - host: files.example.com\n  - host: git.example.com\n    git_fetch: true\n";

fn get(url: &str) -> Invocation {
    Invocation::new("curl", &["-sS", url])
}

fn post(url: &str, body: &str) -> Invocation {
    // curl shows each byte as it comes, and does not ask for a content coding.
    Invocation::new("curl", &["-sS", "-N", "-H", "content-type: application/json", "-d", body, url])
}

#[test]
fn a_large_file_arrives_whole() {
    let world = World::new();
    for version in ["--http1.1", "--http2"] {
        let client = get("https://files.example.com/bytes/3000001").arg(version);
        let outcome = world.launch().routes(FILES).run(&client);
        let expected: Vec<u8> = (0..3_000_001).map(|place| (place % 251) as u8).collect();
        assert!(outcome.exited(0).stdout == expected, "{} bytes arrived", outcome.stdout.len());
    }
}

#[test]
fn python_http_libraries_fetch_through_it() {
    let world = World::new();
    for library in ["requests", "httpx", "urllib"] {
        let client =
            Clients::installed().python("plain_http.py", &[library, "https://files.example.com/hello.txt"]);
        let outcome = world.launch().routes(FILES).run(&client);
        assert_eq!(outcome.exited(0).text(), "hello from the simulator\n", "{library}");
    }
}

#[test]
fn a_host_that_is_not_listed_is_refused_inside_the_tunnel() {
    let world = World::new();
    let client =
        get("https://other.example.com/hello.txt").arg("-w").arg("\n%{http_code} %header{x-hudson-refusal}");
    let outcome = world.launch().routes(FILES).run(&client);
    assert!(outcome.exited(0).text().ends_with("\n403 host_not_allowed"), "{outcome}");
    outcome.shows("allowlist");
    assert!(world.simulator.journal().entries().is_empty(), "it reached the host");
}

#[test]
fn git_clones_where_the_route_allows_it() {
    let world = World::new();
    let script = "git clone -q https://git.example.com/repo.git copy && cat copy/README.md";
    let outcome = world.launch().routes(FILES).run(&Invocation::shell(script));
    assert_eq!(outcome.exited(0).text(), "hello from the simulator\n");
}

#[test]
fn git_does_not_clone_elsewhere_and_never_pushes() {
    let world = World::new();
    let closed = "routes:\n  - host: git.example.com\n";
    let clone = Invocation::shell("git clone -q https://git.example.com/repo.git copy");
    let outcome = world.launch().routes(closed).run(&clone);
    assert_ne!(outcome.code, Some(0), "{outcome}");
    assert!(world.refusals().iter().any(|refusal| refusal.code == "git_fetch_blocked"), "{outcome}");

    let script = "git clone -q https://git.example.com/repo.git copy && cd copy && \
                  git -c user.name=T -c user.email=t@example.com commit -q --allow-empty -m two && git push -q";
    let outcome = world.launch().routes(FILES).run(&Invocation::shell(script));
    assert_ne!(outcome.code, Some(0), "{outcome}");
    let pushed = |path: &str| path.contains("git-receive-pack");
    assert!(!world.simulator.journal().entries().iter().any(|entry| pushed(&entry.path)), "the push got out");
    assert!(world.refusals().iter().any(|refusal| refusal.code == "git_push_blocked"), "{outcome}");
}

#[test]
fn an_anthropic_stream_is_passed_on_byte_for_byte() {
    let body = r#"{"model":"sim-80-300-r7-w5-t20","max_tokens":400,"stream":true,"messages":[{"role":"user","content":"x"}]}"#;
    let client = post("https://api.anthropic.com/v1/messages", body);
    let world = World::new();
    let launch =
        world.launch().provider("claude").budget("claude=1m").env(ANTHROPIC.variable, ANTHROPIC.value);
    let outcome = launch.run(&client);
    let call = world.only_call();
    assert_eq!(outcome.exited(0).text(), String::from_utf8_lossy(&call.sent));
    world.ledger_equals_provider();
}

#[test]
fn a_compressed_answer_is_passed_on_and_metered() {
    let body =
        r#"{"model":"sim-80-300","max_tokens":400,"stream":true,"messages":[{"role":"user","content":"x"}]}"#;
    let client = post("https://api.anthropic.com/v1/messages", body).arg("--compressed");
    let world = World::new();
    let launch =
        world.launch().provider("claude").budget("claude=1m").env(ANTHROPIC.variable, ANTHROPIC.value);
    let outcome = launch.run(&client);
    let text = outcome.exited(0).text();
    assert!(text.starts_with("event: message_start") && text.contains("event: message_stop"), "{outcome}");
    world.ledger_equals_provider();
}

#[test]
fn the_usage_chunk_is_forced_and_stripped_again() {
    for asked in [r#""stream":true"#, r#""stream":true,"stream_options":{"include_usage":false}"#] {
        let body = format!(r#"{{"model":"sim-80-60",{asked},"messages":[{{"role":"user","content":"x"}}]}}"#);
        let client = post("https://api.openai.com/v1/chat/completions", &body);
        let world = World::new();
        let launch = world.launch().provider("codex").budget("codex=1m").env(OPENAI.variable, OPENAI.value);
        let outcome = launch.run(&client);
        outcome.exited(0);
        let call = world.only_call();
        assert_eq!(call.request_json()["stream_options"]["include_usage"], true, "it was not forced");
        // Everything that was sent, but for the one event that nobody has asked for.
        let sent = String::from_utf8_lossy(&call.sent).into_owned();
        let extra: Vec<&str> =
            sent.split_inclusive("\n\n").filter(|event| event.contains("\"choices\":[]")).collect();
        assert_eq!(extra.len(), 1, "the provider sent no usage: {sent}");
        assert_eq!(outcome.text(), sent.replace(extra[0], ""));
        world.ledger_equals_provider();
    }
}

#[test]
fn a_client_that_asks_for_the_usage_chunk_gets_it() {
    let body = r#"{"model":"sim-80-60","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    let world = World::new();
    let launch = world.launch().provider("codex").budget("codex=1m").env(OPENAI.variable, OPENAI.value);
    let outcome = launch.run(&post("https://api.openai.com/v1/chat/completions", body));
    assert_eq!(outcome.exited(0).text(), String::from_utf8_lossy(&world.only_call().sent));
}
