//! What agents ask for: streams and whole answers of two providers, some of which go wrong on purpose.
//!
//! Each request names a model of its own, which the simulator takes its numbers from and the ledger keeps: so each usage
//! row, also that of a hold whose process died, is known to be of one request.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Plan;

/// Tokens in one event of a stream.
pub(super) const TOKENS_PER_EVENT: usize = 16;
/// The output that a request allows; no answer is longer.
const CAP: u64 = 256;
/// Output of an answer: up to so many events.
const EVENTS: u64 = 15;
/// How often the prompt asks. Its 960 letters are estimated at 320 tokens and more.
const PROMPT: usize = 60;
/// Less than any estimate of that.
const INPUT: std::ops::Range<u64> = 60..280;
/// More than any.
const BLIND_INPUT: u64 = 2_000;
/// One in so many is like that in the bottles where any is.
const BLIND_IN: u64 = 5;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) host: &'static str,
    pub(super) path: &'static str,
    pub(super) model: String,
    pub(super) body: String,
    pub(super) stream: bool,
    /// What goes wrong at the provider, as the simulator reads it.
    pub(super) fault: Option<String>,
    /// After how many pieces of the answer the agent hangs up; 0 is before any.
    pub(super) hangs_up_after: Option<usize>,
}

/// The two providers that are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    Anthropic,
    Chat,
}

impl Provider {
    pub(super) fn host(self) -> &'static str {
        match self {
            Self::Anthropic => "api.anthropic.com",
            Self::Chat => "api.openai.com",
        }
    }
}

/// Makes requests, each unlike every other.
#[derive(Default)]
pub(super) struct Mix {
    made: AtomicU64,
}

impl Mix {
    /// The next request to this provider; `blind` if some are to have more input than any estimate sees.
    pub(super) fn ask(&self, provider: Provider, blind: bool, dice: &mut Dice) -> Ask {
        let blind = blind && dice.below(BLIND_IN) == 0;
        let input = if blind { BLIND_INPUT } else { INPUT.start + dice.below(INPUT.end - INPUT.start) };
        let output = TOKENS_PER_EVENT as u64 * (1 + dice.below(EVENTS)) - dice.below(8);
        let stream = dice.below(100) < 85;
        let after = 1 + dice.below(6);
        let fault = match dice.below(100) {
            0..3 => Some(format!("drop{after}")),
            3..5 => Some(format!("error{after}")),
            5..7 => Some("s429".to_owned()),
            7..8 => Some("s500".to_owned()),
            8..9 => Some("s529".to_owned()),
            _ => None,
        };
        let hangs_up_after = match dice.below(100) {
            0..1 => Some(0),
            1..5 if stream => usize::try_from(after).ok(),
            _ => None,
        };
        self.request(provider, Shape { input, output, stream, fault, hangs_up_after }, dice.below(2) == 0)
    }

    /// A small one that goes well.
    pub(super) fn plain(&self, provider: Provider, input: u64, output: u64) -> Ask {
        self.request(
            provider,
            Shape { input, output, stream: false, fault: None, hangs_up_after: None },
            false,
        )
    }

    fn request(&self, provider: Provider, shape: Shape, asks_usage: bool) -> Ask {
        let Shape { input, output, stream, fault, hangs_up_after } = shape;
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        // A part of the input from the cache, which one provider counts apart and the other inside.
        let cached = input / 4;
        let mut model = format!("sim-{}-{output}-r{cached}-q{number}", input - cached);
        if let Some(fault) = &fault {
            model = format!("{model}-{fault}");
        }
        let message = format!(r#"[{{"role":"user","content":"{}"}}]"#, "How many boats? ".repeat(PROMPT));
        let (path, body) = match provider {
            Provider::Anthropic => (
                "/v1/messages",
                format!(r#"{{"model":"{model}","max_tokens":{CAP},"stream":{stream},"messages":{message}}}"#),
            ),
            Provider::Chat => {
                let options = match stream && asks_usage {
                    true => r#""stream_options":{"include_usage":true},"#,
                    false => "",
                };
                let head = format!(r#""model":"{model}","max_completion_tokens":{CAP},"stream":{stream}"#);
                ("/v1/chat/completions", format!(r#"{{{head},{options}"messages":{message}}}"#))
            }
        };
        Ask { host: provider.host(), path, model, body, stream, fault, hangs_up_after }
    }
}

struct Shape {
    input: u64,
    output: u64,
    stream: bool,
    fault: Option<String>,
    hangs_up_after: Option<usize>,
}

/// Tokens that the streams ask for if nothing slows them down; every other bottle has some of more input than is seen.
pub(super) fn tokens_asked(plan: &Plan) -> u64 {
    let output = TOKENS_PER_EVENT as u64 * EVENTS.div_ceil(2);
    let mean = (INPUT.start + INPUT.end) / 2 + BLIND_INPUT / BLIND_IN / 2 + output;
    // Half of the most events, the frames around them, and the pause behind it.
    let takes = plan.gap * u32::try_from(EVENTS.div_ceil(2) + 5).unwrap_or(u32::MAX);
    let streams = plan.processes as u64 * plan.streams as u64;
    let asked = streams as u128 * u128::from(mean) * plan.lasts.as_millis() / takes.as_millis().max(1);
    u64::try_from(asked).unwrap_or(u64::MAX)
}

/// SplitMix64: small, and the same everywhere.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}
