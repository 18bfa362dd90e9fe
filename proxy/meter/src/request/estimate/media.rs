//! The images, documents, audio and video of a request: where they stand and what they come to.
//!
//! Invariants: a medium is only taken out where the provider looks for one; what is named but not there counts as the
//! largest image of the model.

use super::super::dialect::Dialect;
use super::super::walk::{reads, starts_with, unescaped_until};
use super::image::{Detail, Eyes, Image};
use super::pdf::{Pages, Pdf};
use super::text::Weight;
use super::{audio, image, pdf};
use std::borrow::Cow;

/// The bytes for one token of audio on a Realtime socket, which is of a known kind: 8,000 bytes a second and up, and 10
/// tokens; five times that leans high.
const BYTES_PER_REALTIME_TOKEN: u64 = 160;
/// A file that is only named and not said to be an image: ten pages of a PDF. What it truly comes to nobody can see.
const NAMED_FILE: u64 = 16_000;
/// The bytes for one token of a text that is coded in base64: prose has four, tables two.
const BYTES_PER_PLAIN_TOKEN: u64 = 2;
/// How much of a URL is read to tell a link from a `data:` URL and what that holds.
const MAX_URL_HEAD: usize = 256;
/// How much of a JPEG is read to find its size, in characters of base64: behind an embedded profile and a preview.
const MAX_JPEG_HEAD: usize = 512 * 1024;
/// How much of any other file is.
const MAX_HEAD: usize = 64;
/// Hundredths of a token for a character of base64 that turns out to be text.
const BASE64_TEXT: u64 = 80;

/// What a request has of media.
#[derive(Debug)]
pub(super) struct Media {
    dialect: Dialect,
    images: Vec<Image>,
    pdfs: Vec<Pdf>,
    /// Tokens of all other media.
    tokens: u64,
    /// The open objects, the innermost last.
    stack: Vec<Object>,
}

/// What is known of an object that may be a piece of media.
#[derive(Clone, Copy, Debug, Default)]
struct Object {
    /// The base64 that stands in it.
    data: Option<Found>,
    kind: Kind,
    /// `type` is `text`, so that `data` is no base64 whatever it looks like.
    text: bool,
    /// Bedrock: `format` of a document says that it is plain text.
    plain: bool,
    /// Bedrock: `format` of a document says that it is one of an office's.
    office: bool,
    detail: Detail,
    /// It, or the object around it, says that it is an image.
    image: bool,
    /// It names a file that is not in the body.
    file: bool,
    /// How many images stand before it.
    before: usize,
    /// Which image is its own, by a URL beside its `detail`.
    own: Option<usize>,
}

/// What a base64 text holds, as its first bytes say.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// Its characters.
    length: u64,
    size: Option<(u64, u64)>,
    pages: Option<Pages>,
    /// Tokens when it is audio.
    timed: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Kind {
    #[default]
    Unknown,
    Image,
    Pdf,
    /// Text of any script, coded in base64.
    Plain,
    Office,
    Audio,
    Video,
}

impl Media {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, images: Vec::new(), pdfs: Vec::new(), tokens: 0, stack: Vec::new() }
    }

    /// The tokens of all media.
    pub(super) fn total(&self, model: Option<&str>) -> u64 {
        let eyes = Eyes::of(self.dialect, model);
        let images = self.images.iter().map(|image| eyes.tokens(*image)).fold(0, u64::saturating_add);
        let pdfs = self.pdfs.iter().map(|pdf| pdf.tokens(eyes.page())).fold(0, u64::saturating_add);
        [pdfs, self.tokens].into_iter().fold(images, u64::saturating_add)
    }

    pub(super) fn open(&mut self) {
        self.stack.push(Object { before: self.images.len(), ..Object::default() });
    }

    /// An object or array ended; what it weighs when it held base64 that is no medium.
    pub(super) fn close(&mut self, path: &[Cow<'_, str>]) -> Option<Weight> {
        let object = self.stack.pop()?;
        // More of an image may be asked for around it, less only beside it.
        let (first, count) = match (object.detail, object.own) {
            (Detail::Original, _) => (object.before, usize::MAX),
            (Detail::Low, Some(own)) => (own, 1),
            _ => (0, 0),
        };
        self.images.iter_mut().skip(first).take(count).for_each(|image| image.detail = object.detail);
        if object.file {
            self.named_file(object, path);
        }
        let data = object.data?;
        if !holds_media(self.dialect, path) {
            return Some(data.as_text());
        }
        if !matches!(self.dialect, Dialect::Converse | Dialect::Nova) {
            let kind = if object.text { Kind::Unknown } else { object.kind };
            return self.medium(kind, data);
        }
        // Bedrock: the bytes stand in `source`, what they are in the object around it.
        let kind = match path.last().map(Cow::as_ref) {
            Some("source") => {
                self.update(|outer| outer.data = Some(data));
                return None;
            }
            Some("image") => Kind::Image,
            Some("video") => Kind::Video,
            Some("audio") => Kind::Audio,
            Some("document") if object.office => Kind::Office,
            Some("document") if object.plain => Kind::Plain,
            Some("document") => Kind::Pdf,
            _ => Kind::Unknown,
        };
        self.medium(kind, data)
    }

    /// Whether a text is a medium, or may turn out to be one when its object ends.
    pub(super) fn takes(&mut self, path: &[Cow<'_, str>], raw: &str) -> bool {
        let Some((name, parents)) = path.split_last() else { return false };
        let bedrock = matches!(self.dialect, Dialect::Converse | Dialect::Nova);
        match name.as_ref() {
            "type" if reads(raw, "text") => self.update(|object| object.text = true),
            "type" if reads(raw, "image") || reads(raw, "input_image") => {
                self.update(|object| object.image = true)
            }
            "detail" if reads(raw, "low") => self.update(|object| object.detail = Detail::Low),
            "detail" if reads(raw, "original") => self.update(|object| object.detail = Detail::Original),
            "level" | "mediaResolution" | "media_resolution" | "resolution"
                if raw.to_ascii_lowercase().contains("ultra_high") =>
            {
                let parts = self.stack.len().saturating_sub(2);
                if let Some(object) = self.stack.get_mut(parts) {
                    object.detail = Detail::Original;
                }
            }
            "media_type" | "mimeType" | "mime_type" => {
                let kind = media_type(raw);
                self.update(|object| object.kind = kind);
            }
            "format" if parents.last().is_some_and(|name| name == "input_audio") => {
                self.update(|object| object.kind = Kind::Audio);
            }
            "format" if bedrock => {
                let one_of = |known: &[&str]| known.iter().any(|known| reads(raw, known));
                let plain = one_of(&["csv", "html", "txt", "md"]);
                let office = one_of(&["doc", "docx", "xls", "xlsx"]);
                self.update(|object| (object.plain, object.office) = (plain, office));
            }
            "uri" if bedrock && parents.last().is_some_and(|name| name == "s3Location") => {
                self.add(NAMED_FILE)
            }
            "audio" if self.dialect == Dialect::Realtime && is_base64(raw) && is_spoken(parents) => {
                let bytes = raw.len() as u64 / 4 * 3;
                self.add(bytes.div_ceil(BYTES_PER_REALTIME_TOKEN));
                return true;
            }
            // Mistral has it bare.
            "input_audio" if holds_media(self.dialect, parents) && is_base64(raw) => {
                self.add(Found::of(raw).timed);
                return true;
            }
            "data" | "bytes" if (bedrock || *name == "data") && is_base64(raw) => {
                let found = Found::of(raw);
                self.update(|object| object.data = Some(found));
                return true;
            }
            "url" | "image_url" | "file_url" | "file_data" | "document_url" | "video_url"
                if holds_media(self.dialect, parents) =>
            {
                let link = match (name.as_ref(), parents.last().map(Cow::as_ref)) {
                    ("video_url", _) | ("url", Some("video_url")) => Kind::Video,
                    ("file_url" | "file_data" | "document_url", _) => Kind::Unknown,
                    _ => Kind::Image,
                };
                return self.data_url(raw, link);
            }
            "file_id" | "fileUri" | "file_uri" | "uri" if !bedrock && holds_media(self.dialect, parents) => {
                self.update(|object| object.file = true);
            }
            // Ollama's images are bare.
            "[]" if self.dialect == Dialect::Ollama && is_base64(raw) && are_images(parents) => {
                let size = Found::of(raw).size;
                self.images.push(Image { size, ..Image::default() });
                return true;
            }
            _ => {}
        }
        false
    }

    /// A `data:` URL (RFC 2397), or a link to an image, a video or any file; whether it was either.
    fn data_url(&mut self, raw: &str, link: Kind) -> bool {
        let (head, data) = unescaped_until(raw, ',', MAX_URL_HEAD);
        let head = head.trim_start().to_ascii_lowercase();
        match head.strip_prefix("data:") {
            Some(head) if head.ends_with(";base64,") && is_base64(data) => {
                let before = self.images.len();
                let taken = self.medium(media_type(head), Found::of(data)).is_none();
                if self.images.len() > before {
                    self.update(|object| object.own = Some(before));
                }
                taken
            }
            Some(_) => false,
            // `gs://` and the like are read by some hosts.
            None if head.starts_with("http") || head.contains("://") => {
                let own = self.images.len();
                match link {
                    Kind::Image => {
                        self.images.push(Image::default());
                        self.update(|object| object.own = Some(own));
                    }
                    Kind::Video => self.add(NAMED_FILE),
                    _ => self.update(|object| object.file = true),
                }
                true
            }
            None => false,
        }
    }

    /// Takes in a medium; gives it back as text when it is none that is known.
    fn medium(&mut self, kind: Kind, data: Found) -> Option<Weight> {
        // Four characters of base64 are three bytes.
        let decoded = data.length / 4 * 3;
        match kind {
            Kind::Unknown => return Some(data.as_text()),
            Kind::Image => self.images.push(Image { size: data.size, ..Image::default() }),
            Kind::Pdf => self.pdfs.push(Pdf::of(data.pages, decoded)),
            Kind::Plain => self.add(decoded.div_ceil(BYTES_PER_PLAIN_TOKEN)),
            // An office document is compressed: a token for each of its bytes.
            Kind::Office => self.add(decoded.max(pdf::LEAST)),
            Kind::Audio => self.add(data.timed),
            Kind::Video => self.add(audio::video_tokens(decoded)),
        }
        None
    }

    /// An object that names a file ended.
    fn named_file(&mut self, object: Object, path: &[Cow<'_, str>]) {
        match (path.last().map(Cow::as_ref), object.image || object.kind == Kind::Image) {
            // What it is, the object around it says.
            (Some("source"), false) => self.update(|outer| outer.file = true),
            (_, true) => self.images.push(Image { detail: object.detail, ..Image::default() }),
            (_, false) if self.dialect == Dialect::Images => self.images.push(Image::default()),
            (_, false) => self.add(NAMED_FILE),
        }
    }

    fn add(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    fn update(&mut self, change: impl FnOnce(&mut Object)) {
        if let Some(object) = self.stack.last_mut() {
            change(object);
        }
    }
}

impl Found {
    fn of(raw: &str) -> Self {
        // A JPEG's size stands anywhere before its data.
        let most = if raw.starts_with("/9j") || raw.starts_with("\\/9j") { MAX_JPEG_HEAD } else { MAX_HEAD };
        let head = pdf::head(raw, most);
        let length = raw.len() as u64;
        Self {
            length,
            size: image::size(&head),
            pages: pdf::pages(raw),
            timed: audio::tokens(&head, length / 4 * 3),
        }
    }

    fn as_text(self) -> Weight {
        Weight { plain: self.length.saturating_mul(BASE64_TEXT), ..Weight::default() }
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

fn media_type(text: &str) -> Kind {
    match text {
        _ if starts_with(text, "image/") => Kind::Image,
        _ if starts_with(text, "audio/") => Kind::Audio,
        _ if starts_with(text, "video/") => Kind::Video,
        _ if starts_with(text, "application/pdf") => Kind::Pdf,
        _ => Kind::Unknown,
    }
}

/// Whether a text is base64, plain or URL-safe, with slashes escaped or not.
fn is_base64(text: &str) -> bool {
    text.len() >= 16
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_' | b'\\')
        })
}
