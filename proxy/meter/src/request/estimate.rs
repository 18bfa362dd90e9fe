//! How many input tokens a body is, before anyone has counted it.
//!
//! The rule: every byte of the body is a third of a token, rounded up, JSON and white space included; base64 media are
//! taken out and counted by what they are; a constant stands for the system text that a format adds to a request and to
//! its tools. Real tokenisers make 3 to 5 bytes of English and of JSON into one token, so the rule leans high; the corpus
//! test prints by how much, and how often it falls short all the same. Invariant: more bytes never give a lower estimate.
//!
//! Media are only taken out where the provider reads media (a content part of a message); base64 elsewhere is text.

use super::dialect::Dialect;
use super::fields::INPUT_IMAGE;
use super::walk::{Scalar, reads, starts_with, unescaped_until};
use std::borrow::Cow;

/// Bytes of text that count as one token.
const BYTES_PER_TOKEN: u64 = 3;
/// One image. Anthropic: at most 4,784 (2,576 × 2,576 on the newest models, 1,568 on others); OpenAI: 1,536 patches
/// times up to 2.46, or 1,445 by tiles; Gemini: 16 tiles of 258.
const IMAGE: u64 = 4_800;
/// One image on gpt-4o-mini: 2,833 and 8 tiles of 5,667.
const IMAGE_4O_MINI: u64 = 48_200;
/// A PDF has at least this many tokens, and one for every two bytes of it: a page is text and an image. How many pages
/// it has cannot be counted while its objects are compressed: 100 of them fit into 20 KB.
const PDF_LEAST: u64 = 16_000;
/// One below [`PDF_SMALL`] bytes has at least this many.
const PDF_SMALL_LEAST: u64 = 4_800;
/// Below 4 KB there is no room for many pages.
const PDF_SMALL: u64 = 4_096;
/// And at most so many: 100 pages of [`IMAGE`].
const PDF_MOST: u64 = 480_000;
/// Audio and video: bytes for one token. Speech is coded with 1,000 bytes a second and up, and counts 32 (Gemini) to 75
/// (Mistral) tokens a second.
const BYTES_PER_AUDIO_TOKEN: u64 = 8;
/// The same on a Realtime socket, whose audio is of a known kind: 8,000 bytes a second and up, and 10 tokens; five times
/// that leans high.
const BYTES_PER_REALTIME_TOKEN: u64 = 160;
/// An office document is compressed: a token for each of its bytes.
const BYTES_PER_OFFICE_TOKEN: u64 = 1;
/// How much of a URL is read to tell a link from a `data:` URL and what that holds.
const MAX_URL_HEAD: usize = 256;
/// What a format adds to any request: roles, separators, a provider's own system text. Measured: below 10 for most,
/// up to 320 on xAI, 1,500 on Venice.
const FRAME: u64 = 320;
/// What Cohere adds: recorded up to 500, and 1,340 on the model that reasons.
const COHERE_FRAME: u64 = 600;
const COHERE_REASONING_FRAME: u64 = 1_400;
/// What it adds when tools or documents are there: recorded up to 1,620 in all.
const COHERE_TOOLS: u64 = 1_400;
/// What it adds when tools are defined. Anthropic documents 313 to 804 tokens; open models' templates measured below
/// 600.
const TOOLS: u64 = 810;
/// What Anthropic adds when a document asks for citations; measured up to 485.
const CITATIONS: u64 = 600;
/// What `reasoning.mode: pro` adds; measured up to 1,665.
pub(super) const PRO_MODE: u64 = 2_048;

/// What the estimate needs from a walk.
#[derive(Debug)]
pub(super) struct Estimate {
    dialect: Dialect,
    /// Bytes of base64 that are not counted as text.
    media_bytes: u64,
    images: u64,
    /// Tokens of media other than images, and other additions.
    extra: u64,
    citations: bool,
    /// The open objects, innermost last.
    stack: Vec<Object>,
}

/// What is known of an object that may be a piece of media.
#[derive(Clone, Copy, Debug, Default)]
struct Object {
    /// Length of the base64 that stands in it.
    data: Option<u64>,
    kind: Media,
    /// `type` is `text`, so that `data` is no base64 whatever it looks like.
    text: bool,
    /// Bedrock: `format` of a document says that it is plain text.
    plain: bool,
    /// Bedrock: `format` of a document says that it is one of an office's.
    office: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Media {
    #[default]
    Unknown,
    Image,
    Pdf,
    Office,
    /// Audio and video.
    Timed,
}

impl Estimate {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, media_bytes: 0, images: 0, extra: 0, citations: false, stack: Vec::new() }
    }

    /// Adds tokens that stand in no byte of the body.
    pub(super) fn extra(&mut self, tokens: u64) {
        self.extra = self.extra.saturating_add(tokens);
    }

    /// Notes that a document asks for citations.
    pub(super) fn citations(&mut self) {
        self.citations = true;
    }

    /// The estimate for a body of this length.
    pub(super) fn total(&self, body: usize, model: Option<&str>, tools: bool) -> u64 {
        let text = (body as u64).saturating_sub(self.media_bytes);
        let image = match (self.dialect, model) {
            (Dialect::Images, _) => INPUT_IMAGE,
            (_, Some(model)) if model.contains("gpt-4o-mini") => IMAGE_4O_MINI,
            _ => IMAGE,
        };
        let (frame, with_tools) = match self.dialect {
            Dialect::Gemini | Dialect::Interactions => (0, 0),
            Dialect::Anthropic => (0, TOOLS),
            Dialect::Cohere if model.is_some_and(|model| model.contains("reasoning")) => {
                (COHERE_REASONING_FRAME, COHERE_TOOLS)
            }
            Dialect::Cohere => (COHERE_FRAME, COHERE_TOOLS),
            _ => (FRAME, TOOLS),
        };
        let tools = if tools { with_tools } else { 0 };
        let citations = if self.citations { CITATIONS } else { 0 };
        [self.images.saturating_mul(image), self.extra, frame, tools, citations]
            .into_iter()
            .fold(text.div_ceil(BYTES_PER_TOKEN), u64::saturating_add)
    }

    pub(super) fn open(&mut self) {
        self.stack.push(Object::default());
    }

    pub(super) fn close(&mut self, path: &[Cow<'_, str>]) {
        let Some(object) = self.stack.pop() else { return };
        if !holds_media(self.dialect, path) {
            return;
        }
        if !matches!(self.dialect, Dialect::Converse | Dialect::Nova) {
            if let (Some(bytes), false) = (object.data, object.text) {
                self.media(object.kind, bytes);
            }
            return;
        }
        // Bedrock: the bytes stand in `source`, what they are in the object around it.
        let kind = match path.last().map(Cow::as_ref) {
            Some("source") => {
                self.update(|outer| outer.data = object.data);
                return;
            }
            Some("image") => Media::Image,
            Some("video" | "audio") => Media::Timed,
            Some("document") if object.office => Media::Office,
            Some("document") if !object.plain => Media::Pdf,
            _ => return,
        };
        if let Some(bytes) = object.data {
            self.media(kind, bytes);
        }
    }

    pub(super) fn scalar(&mut self, path: &[Cow<'_, str>], value: Scalar<'_>) {
        let (Scalar::Text(raw), Some((name, parents))) = (value, path.split_last()) else { return };
        let bedrock = matches!(self.dialect, Dialect::Converse | Dialect::Nova);
        match name.as_ref() {
            "type" if reads(raw, "text") => self.update(|object| object.text = true),
            "media_type" | "mimeType" | "mime_type" => {
                let kind = media_type(raw);
                self.update(|object| object.kind = kind);
            }
            "format" if parents.last().is_some_and(|name| name == "input_audio") => {
                self.update(|object| object.kind = Media::Timed);
            }
            "format" if bedrock => {
                let one_of = |known: &[&str]| known.iter().any(|known| reads(raw, known));
                let plain = one_of(&["csv", "html", "txt", "md"]);
                let office = one_of(&["doc", "docx", "xls", "xlsx"]);
                self.update(|object| (object.plain, object.office) = (plain, office));
            }
            "bytes" if bedrock && is_base64(raw) => {
                self.update(|object| object.data = Some(raw.len() as u64))
            }
            "uri" if bedrock && parents.last().is_some_and(|name| name == "s3Location") => {
                self.images = self.images.saturating_add(1);
            }
            "audio" if self.dialect == Dialect::Realtime && is_base64(raw) && is_spoken(parents) => {
                let bytes = raw.len() as u64;
                self.extra((bytes / 4 * 3).div_ceil(BYTES_PER_REALTIME_TOKEN));
                self.media_bytes = self.media_bytes.saturating_add(bytes);
            }
            "data" if is_base64(raw) => self.update(|object| object.data = Some(raw.len() as u64)),
            "url" | "image_url" | "file_url" | "file_data" if holds_media(self.dialect, parents) => {
                self.data_url(raw)
            }
            // A file that is only named: at least what an image counts.
            "file_id" | "fileUri" | "file_uri" | "uri" if !bedrock && holds_media(self.dialect, parents) => {
                self.images = self.images.saturating_add(1);
            }
            // Ollama's images are bare.
            "[]" if self.dialect == Dialect::Ollama && is_base64(raw) && are_images(parents) => {
                self.images = self.images.saturating_add(1);
                self.media_bytes = self.media_bytes.saturating_add(raw.len() as u64);
            }
            _ => {}
        }
    }

    /// A `data:` URL (RFC 2397), or a link to an image or a file, which counts as an image.
    fn data_url(&mut self, raw: &str) {
        let (head, data) = unescaped_until(raw, ',', MAX_URL_HEAD);
        let head = head.trim_start().to_ascii_lowercase();
        match head.strip_prefix("data:") {
            Some(head) if head.ends_with(";base64,") && is_base64(data) => {
                self.media(media_type(head), data.len() as u64);
            }
            Some(_) => {}
            // `gs://` and the like are read by some hosts.
            None => {
                let link = head.starts_with("http") || head.contains("://");
                self.images = self.images.saturating_add(u64::from(link));
            }
        }
    }

    fn media(&mut self, kind: Media, bytes: u64) {
        // Four characters of base64 are three bytes.
        let decoded = bytes / 4 * 3;
        match kind {
            Media::Unknown => return,
            Media::Image => self.images = self.images.saturating_add(1),
            Media::Pdf => {
                let least = if decoded < PDF_SMALL { PDF_SMALL_LEAST } else { PDF_LEAST };
                self.extra((decoded / 2).clamp(least, PDF_MOST));
            }
            Media::Office => self.extra((decoded / BYTES_PER_OFFICE_TOKEN).max(PDF_LEAST)),
            Media::Timed => self.extra(decoded.div_ceil(BYTES_PER_AUDIO_TOKEN)),
        }
        self.media_bytes = self.media_bytes.saturating_add(bytes);
    }

    fn update(&mut self, change: impl FnOnce(&mut Object)) {
        if let Some(object) = self.stack.last_mut() {
            change(object);
        }
    }
}

/// Whether the object at `path` is one in which the provider looks for media. The names on the way there are fixed, so
/// that a tool's arguments or schema cannot pose as an image.
fn holds_media(dialect: Dialect, path: &[Cow<'_, str>]) -> bool {
    let way: &[&str] = match dialect {
        Dialect::Anthropic => &["messages", "system", "content", "source"],
        Dialect::AnthropicBatch => &["requests", "params", "messages", "system", "content", "source"],
        Dialect::Gemini => &[
            "request",
            "contents",
            "systemInstruction",
            "parts",
            "inlineData",
            "inline_data",
            "functionResponse",
            "function_response",
            "fileData",
            "file_data",
        ],
        Dialect::Interactions => &["input", "content", "result"],
        Dialect::Responses => &["input", "content", "output", "response"],
        Dialect::Converse | Dialect::Nova => &[
            "messages",
            "system",
            "content",
            "toolResult",
            "guardContent",
            "image",
            "document",
            "video",
            "audio",
            "source",
        ],
        Dialect::Images => &["images", "image", "mask"],
        Dialect::Realtime => &["item", "response", "input", "content"],
        Dialect::Ollama | Dialect::Embedding | Dialect::Opaque => return false,
        _ => &["messages", "content", "image_url", "file", "input_audio", "video_url"],
    };
    let deep =
        path.len() >= 2 || (matches!(dialect, Dialect::Interactions | Dialect::Images) && path.len() == 1);
    deep && path.iter().all(|name| name == "[]" || way.contains(&name.as_ref()))
}

/// Whether a Realtime message holds audio here: the message itself, or a part of an item.
fn is_spoken(parents: &[Cow<'_, str>]) -> bool {
    parents.iter().all(|name| matches!(name.as_ref(), "[]" | "item" | "response" | "input" | "content"))
}

/// Whether Ollama looks for images here: `images` of the body or of a message.
fn are_images(parents: &[Cow<'_, str>]) -> bool {
    match parents {
        [images] => images == "images",
        [messages, _, images] => messages == "messages" && images == "images",
        _ => false,
    }
}

fn media_type(text: &str) -> Media {
    match text {
        _ if starts_with(text, "image/") => Media::Image,
        _ if starts_with(text, "audio/") || starts_with(text, "video/") => Media::Timed,
        _ if starts_with(text, "application/pdf") => Media::Pdf,
        _ => Media::Unknown,
    }
}

/// Whether a text is base64, plain or URL-safe, with slashes escaped or not.
fn is_base64(text: &str) -> bool {
    text.len() >= 16
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_' | b'\\')
        })
}
