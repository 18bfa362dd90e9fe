//! The facts of a request that comes as a form: images to edit, audio to transcribe.
//!
//! Invariant: a field that decides stands in the form once, under its own spelling, as text. Nothing in a form is
//! rewritten; these endpoints take no cap.

use super::dialect::Dialect;
use super::estimate;
use super::fields::{self, Picture};
use super::multipart::{self, Part};
use super::{RequestError, RequestFacts, RequestHead};

/// Bytes of text that count as one token: a form's prompts are short, and leaning high costs little.
const BYTES_PER_TOKEN: u64 = 3;
/// What a provider may add to a request.
const FRAME: u64 = 320;
/// Longest text of a field that decides.
const MAX_TEXT: usize = 256;
/// Names that decide about money.
const DECIDING: &[&str] =
    &["model", "stream", "n", "quality", "size", "partial_images", "file_id", "url", "file_url"];
/// Names of which a form may have several.
const SEVERAL: &[&str] =
    &["image", "image[]", "include[]", "timestamp_granularities[]", "known_speaker_names[]"];

/// Whether a request is read as a form.
pub(super) fn is_form(head: &RequestHead<'_>) -> bool {
    multipart::is_multipart(head.content_type)
}

pub(super) fn read(head: &RequestHead<'_>, body: &[u8]) -> Result<RequestFacts, RequestError> {
    let dialect = Dialect::of(head);
    if !matches!(dialect, Dialect::Images | Dialect::Audio) {
        return Err(RequestError::WrongType { field: "content-type", expected: "application/json" });
    }
    let parts = multipart::parts(head.content_type.unwrap_or_default(), body)?;
    let mut facts = RequestFacts { choices: 1, ..RequestFacts::default() };
    let mut picture = Picture::default();
    let mut files = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        once(part, parts.get(..index).unwrap_or_default())?;
        match part.name {
            "model" => facts.model = Some(text("model", part)?.to_owned()),
            "stream" => facts.stream = flag("stream", part)?,
            "n" => facts.choices = count("n", part)?.max(1),
            "quality" => picture.quality(Some(text("quality", part)?.to_owned())),
            "partial_images" => picture.partial(count("partial_images", part)?),
            "file_id" => facts.unseen_input.push("file_id"),
            "url" | "file_url" if !facts.unseen_input.contains(&"url") => facts.unseen_input.push("url"),
            _ if part.is_file => files.push(part.content),
            _ => {}
        }
    }
    let sent = files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.len() as u64));
    let media = match dialect {
        Dialect::Images => (files.len() as u64).saturating_mul(fields::INPUT_IMAGE),
        _ => files
            .iter()
            .map(|file| estimate::audio_tokens(file, file.len() as u64))
            .fold(0, u64::saturating_add),
    };
    let words = (body.len() as u64).saturating_sub(sent).div_ceil(BYTES_PER_TOKEN);
    facts.input_estimate = [media, words, FRAME].into_iter().fold(0, u64::saturating_add);
    facts.model = fields::model_in_path(head).or(facts.model);
    facts.output_cap = Some(match dialect {
        Dialect::Images => picture.bound(facts.model.as_deref()),
        _ => fields::Speech::default().bound(head.path, body.len()),
    });
    Ok(facts)
}

/// Refuses a part that another reader may take for one that decides, or for one that came before.
fn once(part: &Part<'_>, before: &[Part<'_>]) -> Result<(), RequestError> {
    let name = part.name;
    // Some servers read `model[]` as `model`.
    let bare = name.split('[').next().unwrap_or(name);
    if let Some(field) = DECIDING.iter().find(|field| field.eq_ignore_ascii_case(bare) && **field != name) {
        return Err(RequestError::WrongType { field, expected: "spelled in this way" });
    }
    if let Some(field) = DECIDING.iter().find(|field| **field == name && part.is_file) {
        return Err(RequestError::WrongType { field, expected: "a text and no file" });
    }
    let repeated = before.iter().any(|earlier| earlier.name.eq_ignore_ascii_case(name));
    match repeated && !SEVERAL.contains(&name) {
        true => Err(RequestError::DuplicateKey {
            key: name.chars().take(64).collect(),
            // Both lie in the same body; the second one's place says enough.
            at: before.iter().map(|earlier| earlier.content.len()).sum(),
        }),
        false => Ok(()),
    }
}

fn text<'a>(field: &'static str, part: &Part<'a>) -> Result<&'a str, RequestError> {
    match std::str::from_utf8(part.content) {
        Ok(text) if text.len() <= MAX_TEXT => Ok(text),
        _ => Err(RequestError::WrongType { field, expected: "a text of at most 256 bytes" }),
    }
}

fn flag(field: &'static str, part: &Part<'_>) -> Result<bool, RequestError> {
    match text(field, part)? {
        "true" | "True" | "1" => Ok(true),
        "false" | "False" | "0" => Ok(false),
        _ => Err(RequestError::WrongType { field, expected: "true or false" }),
    }
}

fn count(field: &'static str, part: &Part<'_>) -> Result<u64, RequestError> {
    let digits = text(field, part)?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(count) if plain => Ok(count),
        _ => Err(RequestError::WrongType { field, expected: "a whole number from 0 up" }),
    }
}
