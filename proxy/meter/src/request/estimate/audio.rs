//! How many tokens audio and video are.
//!
//! Invariant: where the length in time cannot be read, the fewest bytes a second that such a medium is coded with decide.

/// Tokens of a second of audio: 10 (OpenAI), 32 (Gemini), up to 75 (Mistral).
const TOKENS_PER_SECOND: u64 = 75;
/// Audio: bytes for one token. Speech is coded with 1,000 bytes a second and up, and counts 32 (Gemini) to 75 (Mistral)
/// tokens a second.
const BYTES_PER_TOKEN: u64 = 8;
/// Video: bytes for one token. Gemini documents 258 tokens for the one frame that it takes of each second and 32 for the
/// sound; a picture that hardly moves is coded with 600 bytes a second and up.
const BYTES_PER_VIDEO_TOKEN: u64 = 2;
/// The fewest tokens of a video: one second.
const VIDEO_LEAST: u64 = 300;
/// The most: the longest context of the models that take video, and what Gemini documents for an hour.
const VIDEO_MOST: u64 = 1_048_576;
/// In the format chunk of a WAVE file: uncompressed samples.
const PCM: u64 = 1;

/// The tokens of audio of so many bytes; `head` are its first ones.
pub(in crate::request) fn tokens(head: &[u8], bytes: u64) -> u64 {
    match wave_rate(head) {
        Some(rate) => bytes.saturating_mul(TOKENS_PER_SECOND).div_ceil(rate).max(TOKENS_PER_SECOND),
        None => bytes.div_ceil(BYTES_PER_TOKEN),
    }
}

/// The tokens of a video of so many bytes: its header says how long it is, and nobody has to heed that.
pub(super) fn video_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_VIDEO_TOKEN).clamp(VIDEO_LEAST, VIDEO_MOST)
}

/// The bytes a second of a WAVE file of plain samples whose format chunk comes first, as a recorder writes it. The header
/// says it three times, and decoders heed different ones: the lowest counts.
fn wave_rate(head: &[u8]) -> Option<u64> {
    let is = |at: usize, text: &[u8]| head.get(at..at + text.len()) == Some(text);
    let short = |at: usize| Some(u64::from(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?)));
    let long = |at: usize| Some(u64::from(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?)));
    if !(is(0, b"RIFF") && is(8, b"WAVE") && is(12, b"fmt ") && short(20)? == PCM) {
        return None;
    }
    let (channels, samples, stated, block, bits) = (short(22)?, long(24)?, long(28)?, short(32)?, short(34)?);
    let rate = stated.min(samples * block).min(samples * channels * bits.div_ceil(8));
    (rate > 0).then_some(rate)
}
