//! Each client against the simulator alone. When one of these fails, the fault is not Hudson's.

use hudson_tests::{Clients, Invocation, World};

use crate::cases;

#[test]
fn python_sdks() {
    for kind in ["sync", "async"] {
        for delivery in ["whole", "stream"] {
            cases::python_anthropic(kind, delivery).works_directly();
            cases::python_openai(kind, delivery, "chat").works_directly();
            cases::python_openai(kind, delivery, "responses").works_directly();
        }
    }
}

#[test]
fn node_sdks() {
    for delivery in ["whole", "stream"] {
        cases::node_anthropic(delivery).works_directly();
        cases::node_openai(delivery, "chat").works_directly();
        cases::node_openai(delivery, "responses").works_directly();
    }
}

#[test]
fn claude_code() {
    cases::claude_code().works_directly();
}

#[test]
fn codex() {
    cases::codex().works_directly();
}

#[test]
fn gemini() {
    cases::gemini().works_directly();
}

#[test]
fn plain_http_libraries() {
    let world = World::new();
    for library in ["requests", "httpx", "urllib"] {
        let client =
            Clients::installed().python("plain_http.py", &[library, "https://files.example.com/hello.txt"]);
        let outcome = world.direct(&client, &[]);
        assert_eq!(outcome.exited(0).text(), "hello from the simulator\n");
    }
}

#[test]
fn git_clones_and_pushes() {
    let world = World::new();
    let script = "git clone -q https://git.example.com/repo.git copy && cat copy/README.md && cd copy && \
                  git -c user.name=T -c user.email=t@example.com commit -q --allow-empty -m two && git push -q";
    let outcome = world.direct(&Invocation::shell(script), &[]);
    assert_eq!(outcome.exited(0).text(), "hello from the simulator\n");
}
