//! Rules on requests: what denies, on every way and in every spelling; what counts, and what is given back; and that files
//! can change while it runs.

mod counting;
mod denying;
mod spelling;
mod ways;

use std::io::Write as _;

use crate::raw::{self, Agent, Setting, Stage, Upstream};

/// A host whose route has rules, and where every request is echoed.
const HOST: &str = "files.example.com";

/// Hudson in front of an upstream that keeps what arrived.
struct Scene {
    upstream: Upstream,
    stage: Stage,
    agent: Agent,
}

impl Scene {
    /// With these rules, each a line of flow YAML.
    fn new(rules: &[&str]) -> Self {
        Self::with(Upstream::echo(), rules, |setting| setting)
    }

    /// The same in front of this upstream, and with anything else.
    fn with(upstream: Upstream, rules: &[&str], set: impl FnOnce(Setting) -> Setting) -> Self {
        let setting = set(raw::routes(&routes(rules)));
        let stage = setting.connect_to(&format!("{HOST}:80"), upstream.address).start();
        let agent = stage.agent();
        Self { upstream, stage, agent }
    }

    /// A request in absolute-form, its body as it stands.
    fn ask(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> raw::Answer {
        ask(&self.agent, method, target, headers, body)
    }

    fn get(&self, target: &str) -> raw::Answer {
        self.ask("GET", target, "", b"")
    }

    fn post(&self, body: &str) -> raw::Answer {
        self.ask("POST", "/charges", "content-type: application/json\r\n", body.as_bytes())
    }

    fn arrived(&self) -> usize {
        self.upstream.seen().len()
    }
}

fn ask(agent: &Agent, method: &str, target: &str, headers: &str, body: &[u8]) -> raw::Answer {
    let length = match (method, body.is_empty() || headers.contains("transfer-encoding")) {
        ("GET", true) | (_, true) => String::new(),
        _ => format!("content-length: {}\r\n", body.len()),
    };
    let head = agent.absolute(method, &format!("http://{HOST}{target}"), &format!("{length}{headers}"));
    let mut socket = agent.socket();
    socket.write_all(&[head.as_bytes(), body].concat()).expect("the proxy reads");
    raw::answer::read_answer(&mut socket, false).expect("it is answered")
}

/// A route to [`HOST`] with these rules.
fn routes(rules: &[&str]) -> String {
    let rules: String = rules.iter().map(|rule| format!("      - {rule}\n")).collect();
    format!("log: 1\nroutes:\n  - host: {HOST}\n    scheme: http\n    rules:\n{rules}")
}
