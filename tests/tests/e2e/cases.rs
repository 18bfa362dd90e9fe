//! The clients under test: how each is called, which key it uses, and how it shows its answer.

use hudson_tests::hudson::Launch;
use hudson_tests::simulator::Entry;
use hudson_tests::{Clients, Invocation, Outcome, World};

/// A provider's key as an operator has it, and as it must arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) variable: &'static str,
    pub(crate) value: &'static str,
    /// Where the provider looks for it, beside `authorization`.
    pub(crate) header: &'static str,
}

impl Key {
    /// Did this request carry the real key? Anthropic takes it in either header, and its SDKs use the second.
    pub(crate) fn arrived(&self, call: &Entry) -> bool {
        call.carries(self.header, self.value)
            || call.carries("authorization", &format!("Bearer {}", self.value))
    }
}

pub(crate) const ANTHROPIC: Key = Key {
    variable: "ANTHROPIC_API_KEY",
    value: "sk-ant-api03-tests-only-Zk3vQ8mW1xR7pL5nT9bY2cD4",
    header: "x-api-key",
};

pub(crate) const OPENAI: Key = Key {
    variable: "OPENAI_API_KEY",
    value: "sk-proj-tests-only-hJ6wE2rT8yU4iO1pA7sD3fG9kL5z",
    header: "authorization",
};

/// Codex names its own variable when it runs without a person.
pub(crate) const CODEX: Key = Key { variable: "CODEX_API_KEY", ..OPENAI };

pub(crate) const GEMINI: Key = Key {
    variable: "GEMINI_API_KEY",
    value: "AIzaTestsOnly-x9C8v7B6n5M4k3J2h1G0f9D8s7A6q5W",
    header: "x-goog-api-key",
};

/// More options for a `hudson run`.
pub(crate) type More<'m> = dyn for<'w> Fn(Launch<'w>) -> Launch<'w> + 'm;

/// One client, ready to be run.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Hudson's name of the preset and of the budget.
    pub(crate) provider: &'static str,
    /// Is the preset named, or left to Hudson to guess from the command?
    pub(crate) named: bool,
    pub(crate) key: Key,
    pub(crate) client: Invocation,
    /// What the client adds after the answer's text.
    pub(crate) ending: &'static str,
    /// The most calls a client makes before it accepts that its budget is spent.
    pub(crate) most_refused: usize,
    /// The billed calls of one answer, of which the last one is the answer.
    pub(crate) calls: usize,
    /// A request that spends a budget of 1000 tokens.
    pub(crate) spend: &'static str,
}

const SPEND_ANTHROPIC: &str = r#"curl -sS -o spent.json https://api.anthropic.com/v1/messages \
  -H 'content-type: application/json' -H 'anthropic-version: 2023-06-01' \
  -d '{"model":"sim-950-100","max_tokens":100,"messages":[{"role":"user","content":"spend"}]}'"#;

const SPEND_OPENAI: &str = r#"curl -sS -o spent.json https://api.openai.com/v1/responses \
  -H 'content-type: application/json' -d '{"model":"sim-950-100","max_output_tokens":100,"input":"spend"}'"#;

const SPEND_GEMINI: &str = r#"curl -sS -o spent.json \
  https://generativelanguage.googleapis.com/v1beta/models/sim-950-100:generateContent \
  -H 'content-type: application/json' \
  -d '{"generationConfig":{"maxOutputTokens":100},"contents":[{"parts":[{"text":"spend"}]}]}'"#;

fn anthropic(client: Invocation) -> Case {
    Case {
        provider: "claude",
        named: true,
        key: ANTHROPIC,
        client,
        ending: "",
        most_refused: 1,
        calls: 1,
        spend: SPEND_ANTHROPIC,
    }
}

fn openai(client: Invocation) -> Case {
    Case { provider: "codex", key: OPENAI, spend: SPEND_OPENAI, ..anthropic(client) }
}

/// A model of each format with every number that its answer can tell.
const ANTHROPIC_MODEL: &str = "sim-120-40-r30-w20";
const OPENAI_MODEL: &str = "sim-120-40-r30-t10";

pub(crate) fn python_anthropic(kind: &str, delivery: &str) -> Case {
    anthropic(Clients::installed().python("anthropic_sdk.py", &[kind, delivery, ANTHROPIC_MODEL]))
}

pub(crate) fn python_openai(kind: &str, delivery: &str, api: &str) -> Case {
    openai(Clients::installed().python("openai_sdk.py", &[kind, delivery, api, OPENAI_MODEL]))
}

pub(crate) fn node_anthropic(delivery: &str) -> Case {
    anthropic(Clients::installed().node("anthropic_sdk.mjs", &[delivery, ANTHROPIC_MODEL]))
}

pub(crate) fn node_openai(delivery: &str, api: &str) -> Case {
    openai(Clients::installed().node("openai_sdk.mjs", &[delivery, api, OPENAI_MODEL]))
}

pub(crate) fn claude_code() -> Case {
    Case { named: false, ending: "\n", ..anthropic(Clients::installed().claude()) }
}

pub(crate) fn codex() -> Case {
    let client = Clients::installed().codex();
    // It speaks over a WebSocket, and makes its first turn ready with one that generates nothing.
    Case { named: false, key: CODEX, ending: "\n", most_refused: 2, calls: 2, ..openai(client) }
}

pub(crate) fn gemini() -> Case {
    Case { named: false, ending: "\n", ..google(Clients::installed().gemini()) }
}

fn google(client: Invocation) -> Case {
    Case { provider: "gemini", key: GEMINI, spend: SPEND_GEMINI, ..anthropic(client) }
}

pub(crate) fn node_google(delivery: &str) -> Case {
    google(Clients::installed().node("google_sdk.mjs", &[delivery, "sim-120-40-r30-t10"]))
}

impl Case {
    /// Without Hudson: the client talks to the simulator, and prints what it says.
    pub(crate) fn works_directly(&self) {
        let world = World::new();
        let outcome = world.direct(&self.client, &[(self.key.variable, self.key.value)]);
        outcome.exited(0);
        let call = world.last_call_of(self.calls);
        assert!(self.key.arrived(&call), "the key did not arrive: {:?}", call.headers);
        self.shows(&outcome, &call);
    }

    /// Under Hudson: the same answer, the provider's numbers in the ledger, the real key only at the provider.
    pub(crate) fn works_under_hudson(&self) {
        self.works(&World::new(), &|launch| launch);
    }

    /// The same from inside of a bottle that is isolated, to which the clients' own folders are shown.
    pub(crate) fn works_isolated(&self, world: &World) {
        let clients = Clients::installed();
        let drivers = hudson_tests::clients::repository().join("tests/clients");
        self.works(world, &move |launch| {
            let launch = launch.option("--isolation", "full");
            [clients.root(), &drivers, &clients.python_home()]
                .iter()
                .fold(launch, |launch, path| launch.option("--show", &path.display().to_string()))
        });
    }

    /// The same with more options.
    pub(crate) fn works(&self, world: &World, more: &More<'_>) {
        let outcome = self.launch(world, "1m", &self.client, more);
        outcome.exited(0);
        let call = world.last_call_of(self.calls);
        assert!(self.key.arrived(&call), "the real key did not arrive: {:?}", call.headers);
        self.shows(&outcome, &call);
        assert!(!outcome.everything().contains(self.key.value), "the real key was printed");
        let rows = world.ledger_equals_provider();
        assert!(
            rows.iter().all(|row| row.provider == self.provider),
            "charged to another provider: {rows:?}"
        );
    }

    /// Under Hudson with the budget spent: one refused call (Codex: at most two), the message, exit code 77.
    pub(crate) fn stops_when_spent(&self) {
        self.stops(&World::new(), &|launch| launch);
    }

    /// The same with more options.
    pub(crate) fn stops(&self, world: &World, more: &More<'_>) {
        // A moment between the two, so that the first one is settled and the crossing is what refuses the second.
        let client = self.client.clone().after(&format!("{}\nsleep 0.5", self.spend));
        let outcome = self.launch(world, "1000", &client, more);
        outcome.exited(77).shows("budget");
        let call = world.only_call();
        assert_eq!(call.model.as_deref(), Some("sim-950-100"), "a second call reached the provider");
        let refused = world.refused_calls();
        assert!(!refused.is_empty(), "no refused call in the event log: {outcome}");
        assert!(refused.len() <= self.most_refused, "too many refused calls: {refused:#?}\n{outcome}");
        world.ledger_equals_provider();
    }

    /// In a bottle without a route to its provider: the client says so and stops, and nothing is dialled.
    pub(crate) fn stops_when_not_allowed(&self) {
        let world = World::new();
        // Behind a shell no preset is guessed; the key is the agent's own, as in a container that brings one along.
        let client = self.client.clone().after(&format!("export {}={}", self.key.variable, self.key.value));
        let outcome = world.launch().routes("routes:\n  - host: other.example.com\n").run(&client);
        outcome.shows("allowlist");
        assert_eq!(world.simulator.journal().entries().len(), 0, "something was dialled");
        let refused = world.refused_calls();
        assert!(!refused.is_empty(), "no refused call in the event log: {outcome}");
        assert!(refused.len() <= self.most_refused, "too many refused calls: {refused:#?}\n{outcome}");
    }

    fn launch(&self, world: &World, budget: &str, client: &Invocation, more: &More<'_>) -> Outcome {
        let mut launch = world.launch().budget(&format!("{}={budget}", self.provider));
        // A shell in front of the client hides its name, too.
        if self.named || client.words().first() != self.client.words().first() {
            launch = launch.provider(self.provider);
        }
        more(launch).env(self.key.variable, self.key.value).run(client)
    }

    fn shows(&self, outcome: &Outcome, call: &Entry) {
        assert!(call.complete, "the answer was not sent to its end");
        let expected = format!("{}{}", call.text.as_deref().unwrap_or_default(), self.ending);
        assert_eq!(outcome.text(), expected, "the client shows another answer: {outcome}");
    }
}
