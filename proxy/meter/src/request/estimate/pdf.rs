//! How many pages a PDF has, as far as it says so in clear, and how many tokens it comes to.
//!
//! Invariant: a file whose objects are compressed, or of whose names one is written with escapes, has no known number of
//! pages, since they cannot be seen.

use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use memchr::{memchr_iter, memmem};

/// A PDF whose pages cannot be counted has at least this many tokens, and one for every two bytes of it: 100 pages fit
/// into 20 KB.
pub(super) const LEAST: u64 = 16_000;
/// One below [`SMALL`] bytes has at least this many.
const SMALL_LEAST: u64 = 4_800;
/// Below 4 KB there is no room for many pages.
const SMALL: u64 = 4_096;
/// And at most so many: 100 pages of the largest images.
const MOST: u64 = 480_000;
/// The text of one page (Anthropic documents 1,500 to 3,000), where the file has so many bytes; a token for every two of
/// these where that is more.
const PAGE_TEXT: u64 = 3_000;
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

/// What a PDF comes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pdf {
    /// Those that can be seen.
    pages: u64,
    /// The tokens of its text, beside those of its pages.
    text: u64,
    /// The fewest tokens that it comes to.
    least: u64,
}

impl Pdf {
    /// A file of so many bytes.
    pub(super) fn of(pages: Option<Pages>, bytes: u64) -> Self {
        let half = (bytes / 2).min(MOST);
        let packed = half.max(if bytes < SMALL { SMALL_LEAST } else { LEAST });
        match pages {
            Some(Pages { count, packed: some }) => Self {
                pages: count,
                text: bytes.min(count.saturating_mul(PAGE_TEXT).max(half)),
                least: if some { packed } else { 0 },
            },
            None => Self { pages: 0, text: 0, least: packed },
        }
    }

    /// Its tokens, when a model makes so many of a page.
    pub(super) fn tokens(&self, page: u64) -> u64 {
        self.pages.saturating_mul(page).saturating_add(self.text).max(self.least)
    }
}

/// The first bytes of what a base64 text holds, decoded from at most `most` of its characters; what is behind a
/// character that is none of base64 is left out.
pub(super) fn head(raw: &str, most: usize) -> Vec<u8> {
    let cut = raw.get(..most.min(raw.len())).unwrap_or_default();
    // Some writers of JSON escape the slash.
    let plain = cut.replace("\\/", "/");
    let whole = plain.len() / 4 * 4;
    plain.get(..whole).and_then(|plain| BASE64.decode(plain).ok()).unwrap_or_default()
}

/// The pages of a PDF.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pages {
    pub(super) count: u64,
    /// Some of its streams are compressed or coded, so that their texts may be longer than the file.
    pub(super) packed: bool,
}

/// The pages of the PDF in a base64 text; `None` where they cannot be counted.
pub(super) fn pages(raw: &str) -> Option<Pages> {
    if !raw.starts_with("JVBERi0") {
        return None;
    }
    let page = memmem::Finder::new("/Page");
    let compressed = memmem::Finder::new("/ObjStm");
    let filter = memmem::Finder::new("/Filter");
    let (mut count, mut packed, mut seen) = (0u64, false, Vec::with_capacity(CHUNK));
    for chunk in raw.as_bytes().chunks(CHUNK) {
        BASE64.decode_vec(chunk, &mut seen).ok()?;
        if compressed.find(&seen).is_some() || has_escaped_name(&seen) {
            return None;
        }
        packed = packed || filter.find(&seen).is_some();
        // A name that ends in the overlap was counted with the chunk before.
        let last = seen.len().saturating_sub(OVERLAP);
        count += page.find_iter(&seen).filter(|at| *at < last && is_end(seen.get(at + 5))).count() as u64;
        seen.drain(..last);
    }
    count += page.find_iter(&seen).filter(|at| is_end(seen.get(at + 5))).count() as u64;
    (count > 0).then_some(Pages { count, packed })
}

/// Whether one of the names here has a character that is written as `#` and two digits, as any of them may be: `/P#61ge`
/// is `/Page`.
fn has_escaped_name(seen: &[u8]) -> bool {
    memchr_iter(b'#', seen).any(|at| {
        let digits = seen.get(at + 1..at + 3).unwrap_or_default();
        // Compressed bytes look like this by chance, but hardly ever behind a name in letters.
        digits.len() == 2
            && digits.iter().all(u8::is_ascii_hexdigit)
            && seen
                .get(at.saturating_sub(OVERLAP)..at)
                .unwrap_or_default()
                .iter()
                .rev()
                .find(|byte| !byte.is_ascii_alphanumeric())
                == Some(&b'/')
    })
}

/// Whether a name ends before this byte: `/Pages` is another one.
fn is_end(next: Option<&u8>) -> bool {
    next.is_none_or(|byte| !byte.is_ascii_alphanumeric())
}
