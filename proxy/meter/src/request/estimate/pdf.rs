//! How many pages a PDF has, as far as it says so in clear.
//!
//! Invariant: a file whose objects are compressed has no known number of pages, since they cannot be seen.

use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;

/// Characters decoded at once, a multiple of four.
const CHUNK: usize = 16 * 1024;
/// Bytes of a chunk that are looked at again with the next one: longer than any name that is looked for.
const OVERLAP: usize = 16;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The first bytes of what a base64 text holds, decoded from at most `most` of its characters; what is behind a
/// character that is none of base64 is left out.
pub(super) fn head(raw: &str, most: usize) -> Vec<u8> {
    let cut = raw.get(..most.min(raw.len())).unwrap_or_default();
    // Some writers of JSON escape the slash.
    let plain = cut.replace("\\/", "/");
    let whole = plain.len() / 4 * 4;
    plain.get(..whole).and_then(|plain| BASE64.decode(plain).ok()).unwrap_or_default()
}

/// The pages of the PDF in a base64 text; `None` where they cannot be counted.
pub(super) fn pages(raw: &str) -> Option<u64> {
    if !raw.starts_with("JVBERi0") {
        return None;
    }
    let page = memmem::Finder::new("/Page");
    let compressed = memmem::Finder::new("/ObjStm");
    let (mut pages, mut seen) = (0u64, Vec::with_capacity(CHUNK));
    for chunk in raw.as_bytes().chunks(CHUNK) {
        BASE64.decode_vec(chunk, &mut seen).ok()?;
        if compressed.find(&seen).is_some() {
            return None;
        }
        // A name that ends in the overlap was counted with the chunk before.
        let last = seen.len().saturating_sub(OVERLAP);
        pages += page.find_iter(&seen).filter(|at| *at < last && is_end(seen.get(at + 5))).count() as u64;
        seen.drain(..last);
    }
    pages += page.find_iter(&seen).filter(|at| is_end(seen.get(at + 5))).count() as u64;
    (pages > 0).then_some(pages)
}

/// Whether a name ends before this byte: `/Pages` is another one.
fn is_end(next: Option<&u8>) -> bool {
    next.is_none_or(|byte| !byte.is_ascii_alphanumeric())
}
