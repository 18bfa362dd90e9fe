//! What each vendor's models make of the same text, and what their hosts add to it.
//!
//! Owns the constants of the estimate, one row for a family of models. They were fitted to the recorded requests of the
//! corpus, leaning high (a tenth on ASCII: recorded prompts are plainer than others), with the providers' documented
//! numbers where there are any (Anthropic's system prompt for tools, its newer vocabulary). Invariant: an unknown model
//! gets a row that leans higher than most; hidden prompts are only in the rows of those that have them.

use super::super::dialect::{Dialect, bare_model};
use super::text::Weight;
use crate::catalogue;

/// What `reasoning.mode: pro` adds; measured up to 1,665.
pub(in crate::request) const PRO_MODE: u64 = 2_048;
/// What Anthropic adds when a document asks for citations; measured up to 601.
pub(super) const CITATIONS: u64 = 640;
/// Text that is only named: what went before in a conversation, contents of a cache, a prompt that is stored.
pub(super) const ELSEWHERE: &[&str] = &[
    "previous_response_id",
    "previous_interaction_id",
    "conversation",
    "conversation_id",
    "cachedContent",
    "prompt",
];
/// What each of them counts over HTTP; what it truly comes to nobody can see. On a WebSocket the responses before are
/// known.
pub(super) const NAMED_CONVERSATION: u64 = 8_192;
/// What Venice puts before every conversation; measured from 820 to 1,568.
const VENICE: u64 = 1_600;
/// What an assistant has that a request only names by its id; measured 366.
const ASSISTANT: u64 = 420;

/// The rates of one family, in hundredths of a token where nothing else is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Per cent of what ASCII weighs.
    plain: u64,
    /// Per cent of what other characters weigh.
    wide: u64,
    /// For each digit, where the vocabulary keeps digits apart.
    digit: u64,
    /// For each message.
    pub(super) message: u64,
    /// For each call of a tool, and for each result.
    pub(super) call: u64,
    /// Per cent of what the texts of tools weigh.
    definition: u64,
    /// For each value of a definition.
    pub(super) defined: u64,
    /// For each tool.
    pub(super) tool: u64,
    /// Tokens added to any request.
    pub(super) frame: u64,
    /// Tokens added when there are tools.
    pub(super) tools: u64,
    /// Tokens added when one of them has to be called.
    pub(super) forced: u64,
    /// Tokens added when the model is to think.
    pub(super) thinking: u64,
    /// For each character of an encrypted thought: three quarters of a byte, of text that has four for a token, where
    /// the thought is read again.
    pub(super) cipher: u64,
}

/// For each value of JSON that the model reads: the signs around it.
pub(super) const MEMBER: u64 = 150;

const OPENAI: Rates = Rates {
    plain: 109,
    wide: 78,
    digit: 0,
    message: 380,
    call: 900,
    definition: 105,
    defined: 60,
    tool: 2_050,
    frame: 12,
    tools: 0,
    thinking: 0,
    forced: 0,
    cipher: 30,
};
/// Up to GPT-4: an older vocabulary.
const OPENAI_OLD: Rates = Rates { wide: 105, ..OPENAI };
/// The first GPT-5 writes more around tools.
const OPENAI_5: Rates = Rates { tools: 100, ..OPENAI };
const GPT_OSS: Rates = Rates { frame: 66, ..OPENAI };
/// 346 tokens are documented for tools; measured are 500, and 35 for each call and each result.
const CLAUDE: Rates = Rates {
    plain: 110,
    wide: 140,
    digit: 0,
    message: 400,
    call: 3_500,
    definition: 106,
    defined: 420,
    tool: 0,
    frame: 9,
    tools: 505,
    forced: 95,
    thinking: 30,
    cipher: 30,
};
/// Documented are from 159 (Claude 3 Sonnet) to 530 (Claude 3 Opus).
const CLAUDE_OLD: Rates = Rates { defined: 200, tools: 545, ..CLAUDE };
/// Since Opus 4.7: documented are up to 1.35 times the tokens for the same text, and 675 to 804 for tools.
const CLAUDE_NEW: Rates = Rates {
    plain: 142,
    wide: 170,
    message: 600,
    call: 4_200,
    definition: 138,
    defined: 500,
    frame: 14,
    tools: 700,
    forced: 130,
    thinking: 42,
    ..CLAUDE
};
const GEMINI: Rates = Rates {
    plain: 109,
    wide: 85,
    digit: 67,
    message: 350,
    call: 600,
    definition: 105,
    defined: 350,
    tool: 0,
    frame: 4,
    tools: 0,
    thinking: 0,
    forced: 0,
    cipher: 8,
};
const NOVA: Rates = Rates {
    plain: 118,
    wide: 120,
    digit: 0,
    message: 400,
    call: 700,
    definition: 190,
    defined: 180,
    tool: 0,
    frame: 5,
    tools: 325,
    thinking: 0,
    forced: 0,
    cipher: 30,
};
const LLAMA: Rates = Rates {
    plain: 110,
    wide: 100,
    digit: 0,
    message: 450,
    call: 500,
    definition: 105,
    defined: 160,
    tool: 1_100,
    frame: 36,
    tools: 165,
    thinking: 0,
    forced: 0,
    cipher: 30,
};
const MISTRAL: Rates = Rates {
    plain: 110,
    wide: 95,
    digit: 67,
    message: 400,
    call: 500,
    definition: 370,
    defined: 60,
    tool: 340,
    frame: 14,
    tools: 0,
    thinking: 0,
    forced: 0,
    cipher: 30,
};
const QWEN: Rates = Rates {
    plain: 109,
    wide: 100,
    digit: 67,
    message: 400,
    call: 1_650,
    definition: 105,
    defined: 340,
    tool: 0,
    frame: 10,
    tools: 210,
    thinking: 0,
    forced: 0,
    cipher: 30,
};
/// It thinks unless that is switched off.
const DEEPSEEK: Rates = Rates {
    plain: 111,
    wide: 100,
    digit: 0,
    message: 400,
    call: 2_250,
    definition: 105,
    defined: 320,
    tool: 0,
    frame: 5,
    tools: 225,
    thinking: 82,
    forced: 0,
    cipher: 30,
};
/// A system prompt of its own stands before every conversation.
const GROK: Rates = Rates {
    plain: 110,
    wide: 90,
    digit: 0,
    message: 800,
    call: 2_000,
    definition: 105,
    defined: 60,
    tool: 0,
    frame: 430,
    tools: 0,
    thinking: 0,
    forced: 0,
    cipher: 10,
};
/// Command A; the others have less of what it adds.
const COHERE: Rates = Rates {
    plain: 122,
    wide: 110,
    digit: 0,
    message: 400,
    call: 2_000,
    definition: 110,
    defined: 100,
    tool: 0,
    frame: 530,
    tools: 1_000,
    thinking: 0,
    forced: 0,
    cipher: 30,
};
const UNKNOWN: Rates = Rates {
    plain: 116,
    wide: 120,
    digit: 67,
    message: 600,
    call: 2_300,
    definition: 150,
    defined: 380,
    tool: 0,
    frame: 40,
    tools: 225,
    thinking: 82,
    forced: 0,
    cipher: 30,
};

/// By how a model's name begins, without what says who serves it; the longer beginnings first.
const FAMILIES: &[(&str, Rates)] = &[
    ("gpt-oss", GPT_OSS),
    ("gpt-3", OPENAI_OLD),
    ("gpt-4o", OPENAI),
    ("gpt-4.", OPENAI),
    ("gpt-4", OPENAI_OLD),
    ("gpt-5-", OPENAI_5),
    ("gpt-", OPENAI),
    ("chatgpt-", OPENAI),
    ("codex-", OPENAI),
    ("o1", OPENAI),
    ("o3", OPENAI),
    ("o4", OPENAI),
    ("babbage", OPENAI_OLD),
    ("davinci", OPENAI_OLD),
    ("text-embedding", OPENAI_OLD),
    ("claude-opus-4-0", CLAUDE_OLD),
    ("claude-opus-4-1", CLAUDE_OLD),
    ("claude-opus-4-2", CLAUDE_OLD),
    ("claude-sonnet-4-0", CLAUDE_OLD),
    ("claude-sonnet-4-2", CLAUDE_OLD),
    ("claude-opus-4-5", CLAUDE),
    ("claude-opus-4-6", CLAUDE),
    ("claude-opus-4.5", CLAUDE),
    ("claude-opus-4.6", CLAUDE),
    ("claude-sonnet-4", CLAUDE),
    ("claude-haiku-4", CLAUDE),
    ("claude-2", CLAUDE_OLD),
    ("claude-3-5", Rates { tools: 345, ..CLAUDE_OLD }),
    ("claude-3-sonnet", Rates { tools: 185, ..CLAUDE_OLD }),
    ("claude-3-haiku", Rates { tools: 345, ..CLAUDE_OLD }),
    ("claude-3", CLAUDE_OLD),
    ("claude-v2", CLAUDE_OLD),
    ("claude-instant", CLAUDE_OLD),
    ("claude", CLAUDE_NEW),
    ("gemini", GEMINI),
    ("gemma", Rates { frame: 12, ..GEMINI }),
    ("amazon.nova", NOVA),
    ("nova", NOVA),
    ("amazon.titan", Rates { frame: 18, ..NOVA }),
    ("meta.llama", LLAMA),
    ("llama", LLAMA),
    ("mistral", MISTRAL),
    ("ministral", MISTRAL),
    ("magistral", MISTRAL),
    ("codestral", MISTRAL),
    ("devstral", MISTRAL),
    ("pixtral", MISTRAL),
    ("voxtral", MISTRAL),
    ("open-mi", MISTRAL),
    ("qwen", QWEN),
    ("deepseek", DEEPSEEK),
    ("grok", GROK),
    ("command-a-reasoning", Rates { frame: 1_420, tools: 200, ..COHERE }),
    ("command-a-plus", Rates { frame: 500, tools: 200, ..COHERE }),
    ("command-light", Rates { frame: 75, ..COHERE }),
    ("cohere.command", Rates { frame: 30, ..COHERE }),
    ("command-r", Rates { frame: 215, tools: 800, ..COHERE }),
    ("command-a", COHERE),
];

impl Rates {
    /// Those of a model behind this kind of body on this host.
    pub(super) fn of(dialect: Dialect, model: Option<&str>, host: &str) -> Self {
        let rates = match model {
            Some(model) => family(dialect, model),
            None if dialect == Dialect::Chat => Self { frame: ASSISTANT, ..UNKNOWN },
            None => vendor(dialect).unwrap_or(UNKNOWN),
        };
        let host = catalogue::bare(host);
        match host == "venice.ai" || host.ends_with(".venice.ai") {
            true => Self { frame: rates.frame.saturating_add(VENICE), ..rates },
            false => rates,
        }
    }

    /// Hundredths of a token for these names and texts of definitions.
    pub(super) fn definitions(&self, weight: Weight) -> u64 {
        Self { plain: self.definition, ..*self }.text(weight)
    }

    /// Hundredths of a token for this text.
    pub(super) fn text(&self, weight: Weight) -> u64 {
        let Weight { plain, wide, digits } = weight;
        let sum = plain.saturating_mul(self.plain).saturating_add(wide.saturating_mul(self.wide));
        (sum / 100).saturating_add(digits.saturating_mul(self.digit))
    }
}

fn family(dialect: Dialect, model: &str) -> Rates {
    let name = bare_model(model).to_ascii_lowercase();
    let name = name.strip_prefix("anthropic.").unwrap_or(&name);
    // The first of a family has the family's name.
    let name = match name {
        "gpt-5" => "gpt-5-",
        "command" => "command-light",
        name => name,
    };
    let known = FAMILIES.iter().find(|(beginning, _)| name.starts_with(beginning));
    known.map(|(_, rates)| *rates).or_else(|| vendor(dialect)).unwrap_or(UNKNOWN)
}

/// Where only one vendor's models are spoken to in this way: the rates of its newest.
fn vendor(dialect: Dialect) -> Option<Rates> {
    match dialect {
        Dialect::Anthropic | Dialect::AnthropicBatch => Some(CLAUDE_NEW),
        Dialect::Gemini | Dialect::Interactions => Some(GEMINI),
        Dialect::Realtime | Dialect::Images | Dialect::Audio | Dialect::BatchFile => Some(OPENAI),
        Dialect::Cohere => Some(Rates { frame: 600, ..COHERE }),
        _ => None,
    }
}
