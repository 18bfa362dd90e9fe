//! What must not leave: secrets in every part of a request, in every encoding, on every protocol, and what each kind of
//! route does about them. And what must leave: everything else, byte for byte.

mod bodies;
mod canary;
mod egress_bench;
mod heads;
mod sealed;
mod seen;
mod sinks;
mod values;

use crate::raw::{self, Agent, Setting, Stage, Upstream};

/// A host where every request is echoed.
const HOST: &str = "files.example.com";
/// A token in a documented form, with a checksum that holds. It opens nothing.
pub(crate) const TOKEN: &str = "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";

/// Hudson in front of an upstream that keeps what arrived.
struct Scene {
    upstream: Upstream,
    stage: Stage,
    agent: Agent,
}

impl Scene {
    /// With these lines more in the route to [`HOST`].
    fn new(route: &str) -> Self {
        Self::with(route, "", |setting| setting)
    }

    /// The same with settings, and anything else.
    fn with(route: &str, settings: &str, set: impl FnOnce(Setting) -> Setting) -> Self {
        let upstream = Upstream::echo();
        let routes = format!("log: 2\nroutes:\n  - host: {HOST}\n    scheme: http\n{route}");
        let setting = set(raw::routes(&routes).settings(settings));
        let stage = setting.connect_to(&format!("{HOST}:80"), upstream.address).start();
        let agent = stage.agent();
        Self { upstream, stage, agent }
    }

    /// A request in absolute-form.
    fn ask(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> raw::Answer {
        let length = format!("content-length: {}\r\n", body.len());
        let head =
            self.agent.absolute(method, &format!("http://{HOST}{target}"), &format!("{length}{headers}"));
        let mut socket = self.agent.socket();
        std::io::Write::write_all(&mut socket, &[head.as_bytes(), body].concat()).expect("the proxy reads");
        raw::answer::read_answer(&mut socket, false).expect("it is answered")
    }

    fn post(&self, body: &str) -> raw::Answer {
        self.ask("POST", "/upload", "content-type: application/json\r\n", body.as_bytes())
    }

    /// Whether anything arrived that holds this text.
    fn leaked(&self, text: &str) -> bool {
        self.upstream.seen().iter().any(|request| request.contains(text))
    }
}

/// The value in an encoding that Hudson does not undo by the way.
pub(crate) fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
