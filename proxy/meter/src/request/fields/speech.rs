//! OpenAI speech and transcription: no cap is taken, and the output is bounded by the length of the text or the audio.
//! Sources: openai-python `types/audio/speech_create_params.py`, `transcription_create_params.py`,
//! `translation_create_params.py`; the realtime guide for tokens a second of audio.

use super::{Draft, RequestError, Scalar, is_link, reads};

/// Audio tokens that one byte of text may become: audio is 20 tokens a second, and who is told to speak slowly says 5
/// letters in a second.
const AUDIO_TOKENS_PER_BYTE: u64 = 4;
/// And for a text of a few letters: 25 seconds.
const LEAST: u64 = 500;
/// Bytes of audio for one token of its transcript: speech is at most 12 tokens a second, and coded with 750 bytes a
/// second and up.
const BYTES_PER_TRANSCRIPT_TOKEN: u64 = 62;

/// What bounds the output.
#[derive(Debug, Default)]
pub(crate) struct Speech {
    /// Bytes of the text to speak, escapes included.
    text: u64,
    /// `stream_format` is `sse`: the audio comes as events that end with the usage.
    pub(crate) events: bool,
}

impl Speech {
    /// The most tokens that the answer may be; `body` is the request's length.
    pub(crate) fn bound(&self, path: &str, body: usize) -> u64 {
        match path.trim_end_matches('/').ends_with("/speech") {
            true => self.text.saturating_mul(AUDIO_TOKENS_PER_BYTE).saturating_add(LEAST),
            false => (body as u64).div_ceil(BYTES_PER_TRANSCRIPT_TOKEN).saturating_add(LEAST),
        }
    }
}

pub(super) fn scalar(draft: &mut Draft, path: &[&str], value: Scalar<'_>) -> Result<(), RequestError> {
    match (path, value) {
        (["input"], Scalar::Text(raw)) => draft.speech.text = raw.len() as u64,
        (["input"], _) => return super::wrong("input", "a text"),
        (["stream_format"], Scalar::Text(raw)) => draft.speech.events = reads(raw, "sse"),
        (["file_id"], Scalar::Text(_)) => draft.unseen("file_id"),
        (["url" | "file_url"], _) if is_link(value) => draft.unseen("url"),
        _ => {}
    }
    Ok(())
}
