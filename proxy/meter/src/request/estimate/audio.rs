//! How many tokens audio and video are.
//!
//! Invariant: where the length in time cannot be read, the fewest bytes a second that speech is coded with decide.

/// Tokens of a second of audio: 10 (OpenAI), 32 (Gemini), up to 75 (Mistral).
const TOKENS_PER_SECOND: u64 = 75;
/// Audio and video: bytes for one token. Speech is coded with 1,000 bytes a second and up, and counts 32 (Gemini) to 75
/// (Mistral) tokens a second.
const BYTES_PER_TOKEN: u64 = 8;

/// The tokens of audio or video of so many bytes; `head` are its first ones.
pub(in crate::request) fn tokens(head: &[u8], bytes: u64) -> u64 {
    match wave_rate(head) {
        Some(rate) => bytes.saturating_mul(TOKENS_PER_SECOND).div_ceil(rate).max(TOKENS_PER_SECOND),
        None => bytes.div_ceil(BYTES_PER_TOKEN),
    }
}

/// The bytes a second of a WAVE file whose format chunk comes first, as a recorder writes it.
fn wave_rate(head: &[u8]) -> Option<u64> {
    let is = |at: usize, text: &[u8]| head.get(at..at + text.len()) == Some(text);
    if !(is(0, b"RIFF") && is(8, b"WAVE") && is(12, b"fmt ")) {
        return None;
    }
    let rate = u32::from_le_bytes(head.get(28..32)?.try_into().ok()?);
    // A slower one is no sound.
    (rate >= 1_000).then_some(u64::from(rate))
}
