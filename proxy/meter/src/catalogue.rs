//! What a request to a host is: a metered model call, a free side call, a call that costs and cannot be metered, or
//! nothing to do with a model provider.
//!
//! Owns the hosts of the known providers; `endpoints` owns their paths. The invariant: on a provider's host nothing is
//! `Free` because it is unknown. A path that no list names is [`Endpoint::Unknown`], and the proxy decides.

mod endpoints;
mod models;

use endpoints::Api;
use hudson_schema::{Format, Provider};
pub use models::Model;
use std::borrow::Cow;
use std::collections::HashMap;

/// What a request is to the meter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// A model call whose response carries usage in `format`.
    Metered {
        /// Whose budget it charges.
        provider: Provider,
        /// How its request and response are read.
        format: Format,
    },
    /// A read of work that another request has set going, whose answer carries that work's usage in `format`: a
    /// response by its id, the results of a batch. It is charged where that work was not.
    Retrieval {
        /// Whose budget it charges.
        provider: Provider,
        /// How its response is read.
        format: Format,
    },
    /// A side call on a provider's host that costs no tokens: model lists, token counts, telemetry, sign-in.
    Free {
        /// Whose host it is.
        provider: Provider,
    },
    /// A call on a provider's host that may cost tokens which Hudson cannot read: fine-tuning, runs of assistants, video,
    /// and everything that is not known.
    Unknown {
        /// Whose host it is.
        provider: Provider,
    },
    /// The host belongs to no model provider.
    Foreign,
}

/// The known providers' hosts and the operator's own (`providers:` in settings.yml).
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// By host name, in lower case: it is asked for every request.
    exact: HashMap<String, Entry>,
    /// By pattern. Later ones were added by the operator and win over the built-in ones.
    patterns: Vec<(HostPattern, Entry)>,
    /// What the operator says of models.
    models: HashMap<Provider, Vec<Model>>,
}

#[derive(Clone, Debug)]
struct Entry {
    provider: Provider,
    api: Api,
}

/// What a host name looks like, in lower case: one `*` stands for at least one character (`*.openai.azure.com`,
/// `*-aiplatform.googleapis.com`, `bedrock-runtime.*.amazonaws.com`).
#[derive(Clone, Debug)]
struct HostPattern {
    head: String,
    tail: String,
}

/// Host, provider, and what is served there. Sources: the providers' API references and SDK default base URLs; for the
/// compatible hosts of the last block LiteLLM's lists of providers (`litellm/constants.py`,
/// `llms/openai_like/providers.json`) and the base URLs of the providers' own examples.
const BUILTIN: &[(&str, &str, Api)] = &[
    ("api.anthropic.com", "claude", Api::Anthropic),
    ("api.openai.com", "codex", Api::Openai),
    // Data residency: eu. and us.
    ("*.api.openai.com", "codex", Api::Openai),
    ("chatgpt.com", "codex", Api::Chatgpt),
    ("auth.openai.com", "codex", Api::SignIn),
    ("generativelanguage.googleapis.com", "gemini", Api::Gemini),
    ("generativelanguage.mtls.googleapis.com", "gemini", Api::Gemini),
    ("aiplatform.googleapis.com", "gemini", Api::Gemini),
    ("*-aiplatform.googleapis.com", "gemini", Api::Gemini),
    ("aiplatform.mtls.googleapis.com", "gemini", Api::Gemini),
    ("*-aiplatform.mtls.googleapis.com", "gemini", Api::Gemini),
    // Vertex in one jurisdiction (`aiplatform.eu.rep.googleapis.com`); other services have such hosts too.
    ("aiplatform.*.rep.googleapis.com", "gemini", Api::Gemini),
    ("cloudcode-pa.googleapis.com", "gemini", Api::Gemini),
    ("daily-cloudcode-pa.googleapis.com", "gemini", Api::Gemini),
    ("*.openai.azure.com", "azure", Api::Compatible),
    ("*.openai.azure.us", "azure", Api::Compatible),
    ("*.services.ai.azure.com", "azure", Api::Compatible),
    ("*.cognitiveservices.azure.com", "azure", Api::Compatible),
    ("models.inference.ai.azure.com", "azure", Api::Compatible),
    ("api.githubcopilot.com", "copilot", Api::Compatible),
    ("*.githubcopilot.com", "copilot", Api::Compatible),
    ("models.github.ai", "github-models", Api::Compatible),
    ("openrouter.ai", "openrouter", Api::Compatible),
    ("api.groq.com", "groq", Api::Compatible),
    ("api.deepseek.com", "deepseek", Api::Compatible),
    ("api.mistral.ai", "mistral", Api::Compatible),
    ("codestral.mistral.ai", "mistral", Api::Compatible),
    ("api.x.ai", "xai", Api::Compatible),
    ("*.api.x.ai", "xai", Api::Compatible),
    ("api.together.xyz", "together", Api::Compatible),
    ("api.together.ai", "together", Api::Compatible),
    ("api.perplexity.ai", "perplexity", Api::Compatible),
    ("api.moonshot.ai", "moonshot", Api::Compatible),
    ("api.moonshot.cn", "moonshot", Api::Compatible),
    ("api.fireworks.ai", "fireworks", Api::Compatible),
    ("api.cerebras.ai", "cerebras", Api::Compatible),
    ("api.z.ai", "zai", Api::Compatible),
    ("open.bigmodel.cn", "zai", Api::Compatible),
    ("api.minimax.io", "minimax", Api::Compatible),
    ("dashscope.aliyuncs.com", "dashscope", Api::Compatible),
    ("dashscope-intl.aliyuncs.com", "dashscope", Api::Compatible),
    ("router.huggingface.co", "huggingface", Api::Compatible),
    ("api.sambanova.ai", "sambanova", Api::Compatible),
    ("api.deepinfra.com", "deepinfra", Api::Compatible),
    ("api.hyperbolic.xyz", "hyperbolic", Api::Compatible),
    ("integrate.api.nvidia.com", "nvidia", Api::Compatible),
    ("api.novita.ai", "novita", Api::Compatible),
    ("api.studio.nebius.com", "nebius", Api::Compatible),
    ("api.venice.ai", "venice", Api::Compatible),
    ("api.writer.com", "writer", Api::Compatible),
    ("ai-gateway.vercel.sh", "vercel", Api::Compatible),
    ("ollama.com", "ollama", Api::Ollama),
    // `/model/…`, and the compatible shapes below `/openai/v1` and `/anthropic/v1`, on Mantle below `/v1`.
    ("bedrock-runtime.*.amazonaws.com", "bedrock", Api::Bedrock),
    ("bedrock-runtime-fips.*.amazonaws.com", "bedrock", Api::Bedrock),
    ("bedrock-runtime.*.api.aws", "bedrock", Api::Bedrock),
    ("bedrock-runtime-fips.*.api.aws", "bedrock", Api::Bedrock),
    ("bedrock-mantle.*.api.aws", "bedrock", Api::Bedrock),
    // Agents and knowledge bases, whose answers state no usage: known, so that nothing on them passes as foreign.
    ("bedrock-agent-runtime.*.amazonaws.com", "bedrock", Api::Compatible),
    ("api.cohere.com", "cohere", Api::Cohere),
    ("api.cohere.ai", "cohere", Api::Cohere),
    ("ai-gateway.helicone.ai", "helicone", Api::Compatible),
    ("aihubmix.com", "aihubmix", Api::Compatible),
    ("api.ai21.com", "ai21", Api::Compatible),
    ("api.aimlapi.com", "aimlapi", Api::Compatible),
    ("api.cometapi.com", "cometapi", Api::Compatible),
    ("api.cortecs.ai", "cortecs", Api::Compatible),
    ("api.edenai.run", "edenai", Api::Compatible),
    ("api.featherless.ai", "featherless", Api::Compatible),
    ("api.friendli.ai", "friendli", Api::Compatible),
    ("api.galadriel.com", "galadriel", Api::Compatible),
    ("api.gmi-serving.com", "gmi", Api::Compatible),
    ("api.inceptionlabs.ai", "inception", Api::Compatible),
    ("api.inference.crusoecloud.com", "crusoe", Api::Compatible),
    ("api.inference.net", "inference-net", Api::Compatible),
    ("api.inference.wandb.ai", "wandb", Api::Compatible),
    ("api.jina.ai", "jina", Api::Compatible),
    ("api.lambda.ai", "lambda", Api::Compatible),
    ("api.llama.com", "llama", Api::Compatible),
    ("api.minimaxi.com", "minimax", Api::Compatible),
    ("api.morphllm.com", "morph", Api::Compatible),
    ("api.parasail.io", "parasail", Api::Compatible),
    ("api.poe.com", "poe", Api::Compatible),
    ("api.publicai.co", "publicai", Api::Compatible),
    ("api.reka.ai", "reka", Api::Compatible),
    ("api.sarvam.ai", "sarvam", Api::Compatible),
    ("api.scaleway.ai", "scaleway", Api::Compatible),
    ("api.siliconflow.cn", "siliconflow", Api::Compatible),
    ("api.siliconflow.com", "siliconflow", Api::Compatible),
    ("api.stepfun.com", "stepfun", Api::Compatible),
    ("api.studio.nebius.ai", "nebius", Api::Compatible),
    ("api.synthetic.new", "synthetic", Api::Compatible),
    ("api.upstage.ai", "upstage", Api::Compatible),
    ("api.v0.dev", "v0", Api::Compatible),
    ("api.voyageai.com", "voyage", Api::Compatible),
    ("api.xiaomimimo.com", "xiaomi", Api::Compatible),
    ("api-inference.modelscope.cn", "modelscope", Api::Compatible),
    ("ark.*.volces.com", "volcengine", Api::Compatible),
    ("gigachat.devices.sberbank.ru", "gigachat", Api::Compatible),
    ("inference.api.nscale.com", "nscale", Api::Compatible),
    ("inference.baseten.co", "baseten", Api::Compatible),
    ("llm.chutes.ai", "chutes", Api::Compatible),
    ("nano-gpt.com", "nanogpt", Api::Compatible),
];

impl Catalogue {
    /// The providers Hudson knows.
    pub fn builtin() -> Self {
        let mut catalogue = Self::default();
        for (host, provider, api) in BUILTIN {
            if let Ok(provider) = provider.parse() {
                catalogue.insert(host, Entry { provider, api: *api });
            }
        }
        catalogue
    }

    /// Adds the operator's own provider. `hosts` are exact names or `*.suffix`. On them the endpoints of every known
    /// format are recognised by their path; a bare `/` speaks `format`; everything else is [`Endpoint::Unknown`]. An
    /// operator's entry wins over a built-in one for the same host.
    pub fn with_provider(mut self, provider: Provider, hosts: Vec<String>, format: Format) -> Self {
        for host in hosts {
            self.insert(&host, Entry { provider: provider.clone(), api: Api::Own(format) });
        }
        self
    }

    /// Adds what the operator says of a provider's models, which goes before what Hudson knows of them.
    pub fn with_models(mut self, provider: Provider, models: Vec<Model>) -> Self {
        self.models.entry(provider).or_default().extend(models);
        self
    }

    /// What the operator says of a provider's models.
    pub fn models(&self, provider: &Provider) -> &[Model] {
        self.models.get(provider).map_or(&[], Vec::as_slice)
    }

    /// Whose host this is. Case, a trailing dot and a port do not matter.
    pub fn provider_of(&self, host: &str) -> Option<&Provider> {
        self.entry(host).map(|entry| &entry.provider)
    }

    /// Every provider name of the catalogue, sorted, each once.
    pub fn providers(&self) -> Vec<&Provider> {
        let entries = self.exact.values().chain(self.patterns.iter().map(|(_, entry)| entry));
        let mut names: Vec<_> = entries.map(|entry| &entry.provider).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What a request is. `path` is normalised and has no query; `query` is the text behind `?`. A call on a Google API
    /// whose query could hide the usage from its response is [`Endpoint::Unknown`].
    pub fn classify(&self, host: &str, method: &str, path: &str, query: Option<&str>) -> Endpoint {
        let Some(entry) = self.entry(host) else { return Endpoint::Foreign };
        let provider = entry.provider.clone();
        match endpoints::classify(entry.api, method, path) {
            endpoints::Kind::Metered(format) | endpoints::Kind::Retrieval(format)
                if (entry.api == Api::Gemini || is_google(format)) && query.is_some_and(query_masks) =>
            {
                Endpoint::Unknown { provider }
            }
            endpoints::Kind::Metered(format) => Endpoint::Metered { provider, format },
            endpoints::Kind::Retrieval(format) => Endpoint::Retrieval { provider, format },
            endpoints::Kind::Free => Endpoint::Free { provider },
            endpoints::Kind::Unknown => Endpoint::Unknown { provider },
        }
    }

    fn entry(&self, host: &str) -> Option<&Entry> {
        let host = bare(host);
        // An exact name says more than a pattern; among equals the operator's entry stands later and wins.
        let by_pattern = || {
            self.patterns.iter().rev().find_map(|(pattern, entry)| pattern.matches(&host).then_some(entry))
        };
        self.exact.get(host.as_ref()).or_else(by_pattern)
    }

    fn insert(&mut self, host: &str, entry: Entry) {
        let host = host.to_ascii_lowercase();
        match host.split_once('*') {
            Some((head, tail)) => {
                let pattern = HostPattern { head: head.to_owned(), tail: tail.to_owned() };
                self.patterns.push((pattern, entry));
            }
            None => {
                self.exact.insert(host.trim_end_matches('.').to_owned(), entry);
            }
        }
    }
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        let Self { head, tail } = self;
        host.len() > head.len() + tail.len()
            && host.starts_with(head.as_str())
            && host.ends_with(tail.as_str())
    }
}

/// Whether a request header leaves the usage out of the response, so that a request with it cannot be metered: Google's,
/// which counts on Vertex whatever vendor's format the body has. The query parameters that do the same are judged by
/// [`Catalogue::classify`].
pub fn masks_usage(header_name: &str) -> bool {
    header_name.eq_ignore_ascii_case("x-goog-fieldmask")
}

/// Whether a format is spoken by Google's APIs, which can leave fields out of a response.
fn is_google(format: Format) -> bool {
    matches!(format, Format::Gemini | Format::GeminiInteractions)
}

/// Whether a query asks a Google API for a response without usage or in a form that is not read. Source: the system
/// parameters of Google's APIs.
fn query_masks(query: &str) -> bool {
    // Some readers part parameters at semicolons, too.
    query.split(['&', ';']).any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let [name, value] = [name, value].map(plain);
        match name.strip_prefix('$').unwrap_or(&name) {
            "alt" => value != "sse" && value != "json",
            // A mask; a function call around the JSON; the type of the body, which the response takes on.
            "fields" | "callback" => true,
            "ct" => name.starts_with('$'),
            _ => false,
        }
    })
}

/// A part of a query with its encoding undone, in lower case.
fn plain(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().to_ascii_lowercase()
}

/// A host as it is compared: lower case, without a port and a trailing dot.
pub(crate) fn bare(host: &str) -> Cow<'_, str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_end_matches('.');
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests;
