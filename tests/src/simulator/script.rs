//! What an answer will be: usage, text, identifiers and faults, all from the seed and the request.
//!
//! A model name can fix the numbers and the faults: `sim-500-200` is 500 tokens in and 200 out; further parts are
//! `r300` (cache read), `w40` (cache written), `t50` (reasoning), `drop3`, `stall3`, `error3` (after three events)
//! `s429` (that status) and `nocap` (the request's own cap is ignored); of the counting endpoint, `c10` (it says 10),
//! `cs500` (it answers with that status), `cslow` (it is silent for as long as `stall` is) and `cbig` (it says so in
//! 100 KiB). A vendor may stand before it, as in `anthropic.sim-500-200`. The header `x-sim-usage: 500,200,300,40,50` and
//! `x-sim-fault: drop3` do the same for a model name that must stay as it is.

use std::sync::Arc;

use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Options, Shared, count};

/// Token numbers as the simulator means them; each format tells them its own way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Input that no cache covers.
    pub input: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// Input read from the cache.
    pub cache_read: u64,
    /// Input written to the cache.
    pub cache_write: u64,
    /// The part of the output that is reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// Just input and output.
    pub fn new(input: u64, output: u64) -> Self {
        Self { input, output, ..Self::default() }
    }

    /// Every token processed.
    pub fn total(&self) -> u64 {
        self.all_input() + self.output
    }

    /// Input with what the cache covers.
    pub fn all_input(&self) -> u64 {
        self.input + self.cache_read + self.cache_write
    }
}

/// Something that goes wrong on purpose; the number counts events of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks after so many events.
    Drop(usize),
    /// Silence after so many events, then the rest.
    Stall(usize),
    /// The provider's own error event after so many events, then the end.
    Error(usize),
    /// This status instead of an answer.
    Status(u16),
}

impl Fault {
    /// Reads `drop3`, `stall3`, `error3` or `s429`.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |prefix: &str| text.strip_prefix(prefix).and_then(|n| n.parse::<usize>().ok());
        if let Some(events) = number("drop") {
            return Some(Self::Drop(events));
        }
        if let Some(events) = number("stall") {
            return Some(Self::Stall(events));
        }
        if let Some(events) = number("error") {
            return Some(Self::Error(events));
        }
        number("s").and_then(|status| u16::try_from(status).ok()).filter(|s| *s >= 400).map(Self::Status)
    }
}

/// The facts of a request that the answer depends on.
pub(super) struct Ask<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) headers: &'a HeaderMap,
    pub(super) model: &'a str,
    /// What was said to the model, as one text.
    pub(super) prompt: String,
    /// The most output the request allows.
    pub(super) cap: Option<u64>,
}

/// What a counting endpoint says.
pub(super) struct Counted {
    pub(super) tokens: u64,
    pub(super) fault: Option<Fault>,
    /// Padding, in bytes.
    pub(super) padding: usize,
}

/// One answer, before it takes a format.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) model: String,
    pub(super) usage: Usage,
    /// Did the request's own cap end the answer?
    pub(super) capped: bool,
    /// The text, in the pieces in which a stream tells it.
    pub(super) pieces: Vec<String>,
    pub(super) fault: Option<Fault>,
    /// Letters and digits for identifiers, different for a repeated request.
    pub(super) id: String,
    /// Unix seconds.
    pub(super) created: u64,
}

impl Script {
    pub(super) fn write(ask: &Ask<'_>) -> Self {
        let options = &ask.shared.options;
        let request = digest(&[&options.seed.to_le_bytes(), ask.model.as_bytes(), ask.prompt.as_bytes()]);
        let repeat = {
            let mut repeats = ask.shared.repeats.lock().expect("no holder panics");
            let seen = repeats.entry(request).or_default();
            *seen += 1;
            *seen
        };
        let named = Named::read(ask, options);
        let mut dice = Dice(request);
        let mut usage =
            named.usage.unwrap_or_else(|| Usage::new(count::tokens(&ask.prompt), 24 + dice.below(72)));
        let capped = !named.ignores_cap && ask.cap.is_some_and(|cap| cap < usage.output);
        if capped {
            usage.output = ask.cap.unwrap_or_default();
            usage.reasoning = usage.reasoning.min(usage.output);
        }
        let words = (usage.output - usage.reasoning).min(MOST_WORDS);
        Self {
            model: ask.model.to_owned(),
            usage,
            capped,
            pieces: pieces(&mut dice, words, options.tokens_per_event),
            fault: named.fault,
            id: identifier(digest(&[&request.to_le_bytes(), &repeat.to_le_bytes()])),
            created: 1_780_000_000 + request % 1_000_000,
        }
    }

    /// The input that an answer to this will state, unless the request names another number for those who only ask.
    pub(super) fn counted(ask: &Ask<'_>) -> Counted {
        let named = Named::read(ask, &ask.shared.options);
        let stated = named.usage.map_or_else(|| count::tokens(&ask.prompt), |usage| usage.all_input());
        Counted {
            tokens: named.counted.unwrap_or(stated),
            fault: named.count_fault,
            padding: if named.count_is_big { 100 << 10 } else { 0 },
        }
    }

    pub(super) fn text(&self) -> String {
        self.pieces.concat()
    }
}

/// More output than this is told as a number but not written out.
const MOST_WORDS: u64 = 400_000;

const WORDS: [&str; 32] = [
    "river",
    "tide",
    "the",
    "a",
    "north",
    "boat",
    "and",
    "slow",
    "bridge",
    "under",
    "harbor",
    "ice",
    "of",
    "light",
    "runs",
    "over",
    "stone",
    "in",
    "late",
    "spring",
    "past",
    "old",
    "piers",
    "with",
    "ferry",
    "bells",
    "to",
    "sea",
    "wind",
    "it",
    "turns",
    "é\u{2014}\u{1f6a2}",
];

fn pieces(dice: &mut Dice, words: u64, each: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for word in 0..words {
        if word > 0 {
            piece.push(' ');
        }
        piece.push_str(WORDS[dice.below(WORDS.len() as u64) as usize]);
        if (word + 1).is_multiple_of(each.max(1) as u64) {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// What the request itself says about its answer.
#[derive(Default)]
struct Named {
    usage: Option<Usage>,
    fault: Option<Fault>,
    ignores_cap: bool,
    counted: Option<u64>,
    count_fault: Option<Fault>,
    count_is_big: bool,
}

impl Named {
    fn read(ask: &Ask<'_>, options: &Options) -> Self {
        let mut named = Self { usage: options.usage, ..Self::default() };
        // Bedrock's models have their vendor in front.
        let model = ask.model.rsplit('.').next().unwrap_or_default();
        if let Some(rest) = model.strip_prefix("sim-") {
            named.read_model(rest);
        }
        let header = |name: &str| ask.headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(numbers) = header("x-sim-usage") {
            let n: Vec<u64> = numbers.split(',').filter_map(|n| n.trim().parse().ok()).collect();
            let at = |i: usize| n.get(i).copied().unwrap_or_default();
            let (input, output, cache_read, cache_write, reasoning) = (at(0), at(1), at(2), at(3), at(4));
            named.usage = Some(Usage { input, output, cache_read, cache_write, reasoning });
        }
        if let Some(fault) = header("x-sim-fault") {
            named.fault = Fault::parse(fault);
        }
        named
    }

    fn read_model(&mut self, rest: &str) {
        let mut usage = Usage::default();
        let mut plain = 0;
        for part in rest.split('-') {
            let number = |prefix: &str| part.strip_prefix(prefix).and_then(|n| n.parse::<u64>().ok());
            if let Ok(n) = part.parse() {
                match plain {
                    0 => usage.input = n,
                    _ => usage.output = n,
                }
                plain += 1;
            } else if let Some(n) = number("r") {
                usage.cache_read = n;
            } else if let Some(n) = number("w") {
                usage.cache_write = n;
            } else if let Some(n) = number("t") {
                usage.reasoning = n;
            } else if let Some(n) = number("c") {
                self.counted = Some(n);
            } else if part == "cslow" {
                self.count_fault = Some(Fault::Stall(0));
            } else if let Some(status) = number("cs").and_then(|status| u16::try_from(status).ok()) {
                self.count_fault = Some(Fault::Status(status));
            } else if part == "cbig" {
                self.count_is_big = true;
            } else if part == "nocap" {
                self.ignores_cap = true;
            } else {
                self.fault = Fault::parse(part).or(self.fault);
            }
        }
        if plain > 0 {
            self.usage = Some(usage);
        }
    }
}

/// The parts of a JSON body as one text, in order; absent ones count for nothing.
pub(super) fn prompt_of(body: &Value, keys: &[&str]) -> String {
    keys.iter().filter_map(|key| body.get(key)).map(Value::to_string).collect()
}

fn digest(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

fn identifier(from: u64) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let mut dice = Dice(from);
    (0..24).map(|_| char::from(LETTERS[dice.below(LETTERS.len() as u64) as usize])).collect()
}

/// SplitMix64: small, quick and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}
