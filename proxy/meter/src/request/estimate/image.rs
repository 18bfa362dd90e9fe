//! How many tokens an image is: its size from the file's first bytes, and each provider's rule for it.
//!
//! Sources: Anthropic's, OpenAI's and Google's guides to vision (image size, tiles, patches, `detail`, media
//! resolution). Invariants: an image whose size cannot be read is the largest that its provider makes of one; so is one
//! that is only named.

use super::super::dialect::{Dialect, bare_model};

/// An image of a request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Image {
    /// Width and height in pixels, where the bytes are there and say so.
    pub(super) size: Option<(u64, u64)>,
    pub(super) detail: Detail,
}

/// How closely the provider is to look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Detail {
    #[default]
    Unsaid,
    Low,
    /// As large as it was sent.
    Original,
}

/// How a model's images become tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Eyes {
    /// Anthropic: a token for each square of 28 pixels, over at most `edge` pixels each way and `most` tokens.
    Claude { edge: u64, most: u64 },
    /// OpenAI: at most 2,048 pixels each way and 768 on the shorter side, then `base` and `tile` for each 512 × 512.
    Tiles { base: u64, tile: u64 },
    /// OpenAI: a token for each 32 × 32, at most `most` of them, times `percent`.
    Patches { most: u64, percent: u64 },
    /// Gemini up to 2.5: 258 for a small image, else for each tile of 768 × 768.
    GeminiTiles,
    /// Gemini 3: by the resolution asked for, not by the image.
    GeminiFixed,
    /// gpt-image: an image to edit.
    Edited,
    /// Others: a token for each 16 × 16 with one for each row, at least `least` and at most [`UNKNOWN`].
    Other { least: u64 },
}

/// The most that a model nobody knows is taken to make of one image. Above what all but one of the rules give.
const UNKNOWN: u64 = 4_800;
/// Anthropic's models of high resolution: 2,576 × 2,576, at most 4,784 tokens.
const CLAUDE_SHARP: Eyes = Eyes::Claude { edge: 2_576, most: 4_784 };
/// Its others: 1,568 pixels each way; about 1,600 tokens is the largest documented.
const CLAUDE: Eyes = Eyes::Claude { edge: 1_568, most: 1_640 };
/// Claude before the first with high resolution, by how their names begin.
const CLAUDE_BEFORE: &[&str] = &[
    "claude-2",
    "claude-instant",
    "claude-v2",
    "claude-3",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-2",
    "claude-opus-4-5",
    "claude-opus-4-6",
    "claude-opus-4.1",
    "claude-opus-4.5",
    "claude-opus-4.6",
    "claude-sonnet-4",
    "claude-haiku-4",
];
/// OpenAI's models, the longer names first.
const OPENAI: &[(&str, Eyes)] = &[
    ("gpt-4o-mini", Eyes::Tiles { base: 2_833, tile: 5_667 }),
    ("gpt-4o", Eyes::Tiles { base: 85, tile: 170 }),
    ("chatgpt-4o", Eyes::Tiles { base: 85, tile: 170 }),
    ("gpt-4.1-mini", Eyes::Patches { most: 1_536, percent: 162 }),
    ("gpt-4.1-nano", Eyes::Patches { most: 1_536, percent: 246 }),
    // Documented by patches, and charged by tiles (community.openai.com/t/1230130 and 1262691).
    ("gpt-4.1", Eyes::Tiles { base: 85, tile: 170 }),
    ("gpt-4.5", Eyes::Tiles { base: 85, tile: 170 }),
    ("gpt-4-turbo", Eyes::Tiles { base: 85, tile: 170 }),
    ("gpt-4-vision", Eyes::Tiles { base: 85, tile: 170 }),
    ("gpt-5-mini", Eyes::Patches { most: 1_536, percent: 162 }),
    ("gpt-5-nano", Eyes::Patches { most: 1_536, percent: 246 }),
    ("gpt-5-codex-mini", Eyes::Patches { most: 1_536, percent: 162 }),
    ("gpt-5.1", Eyes::Tiles { base: 70, tile: 140 }),
    ("gpt-5-", Eyes::Tiles { base: 70, tile: 140 }),
    ("o4-mini", Eyes::Patches { most: 1_536, percent: 172 }),
    ("o1", Eyes::Tiles { base: 75, tile: 150 }),
    ("o3", Eyes::Tiles { base: 75, tile: 150 }),
    ("computer-use-preview", Eyes::Tiles { base: 65, tile: 129 }),
    // Charged with a fifth more than is documented, and as it was sent where that is asked for.
    ("gpt-5.", Eyes::Patches { most: 2_500, percent: 120 }),
];

impl Eyes {
    /// Those of a model behind this kind of body.
    pub(super) fn of(dialect: Dialect, model: Option<&str>) -> Self {
        let name = bare_model(model.unwrap_or_default()).to_ascii_lowercase();
        let name = name.strip_prefix("anthropic.").unwrap_or(&name);
        let begins = |known: &[&str]| known.iter().any(|known| name.starts_with(known));
        match dialect {
            Dialect::Images => return Self::Edited,
            Dialect::Gemini | Dialect::Interactions if begins(&["gemini-1", "gemini-2"]) => {
                return Self::GeminiTiles;
            }
            Dialect::Gemini | Dialect::Interactions => return Self::GeminiFixed,
            _ => {}
        }
        if name == "gpt-5" {
            return Self::Tiles { base: 70, tile: 140 };
        }
        if let Some((_, eyes)) = OPENAI.iter().find(|(known, _)| name.starts_with(known)) {
            return *eyes;
        }
        match () {
            () if begins(CLAUDE_BEFORE) => CLAUDE,
            () if name.starts_with("claude")
                || matches!(dialect, Dialect::Anthropic | Dialect::AnthropicBatch) =>
            {
                CLAUDE_SHARP
            }
            () if begins(&["gemini-1", "gemini-2"]) => Self::GeminiTiles,
            () if begins(&["gemini"]) => Self::GeminiFixed,
            // Mistral states this rule; others cut up even a small image.
            () if begins(&["mistral", "ministral", "magistral", "pixtral"]) => Self::Other { least: 0 },
            () => Self::Other { least: 1_024 },
        }
    }

    /// The tokens of an image.
    pub(super) fn tokens(self, image: Image) -> u64 {
        let most = self.most(image.detail);
        let Some(size) = image.size else { return most };
        let squares =
            |size: (u64, u64), edge: u64| size.0.div_ceil(edge).saturating_mul(size.1.div_ceil(edge));
        match self {
            Self::Claude { edge, .. } => squares(within(size, edge), 28),
            Self::Tiles { base, .. } if image.detail == Detail::Low => base,
            Self::Tiles { base, tile } => base + tile * squares(tiled(size), 512),
            Self::Patches { percent, .. } => (squares(size, 32).min(MOST_PATCHES) * percent).div_ceil(100),
            Self::GeminiTiles if size.0 <= 384 && size.1 <= 384 => 258,
            // A tile's edge is two thirds of the shorter side, between 256 and 768.
            Self::GeminiTiles => {
                let edge = (size.0.min(size.1) * 2 / 3).clamp(256, 768);
                258 * squares(size, edge)
            }
            Self::GeminiFixed | Self::Edited => most,
            Self::Other { least } => (squares(size, 16) + size.1.div_ceil(16)).max(least),
        }
        .min(most)
    }

    /// The most tokens of one image.
    pub(super) fn most(self, detail: Detail) -> u64 {
        match self {
            Self::Claude { most, .. } => most,
            Self::Tiles { base, .. } if detail == Detail::Low => base,
            // 2,048 × 768.
            Self::Tiles { base, tile } => base + 8 * tile,
            Self::Patches { most, percent } => {
                let most = if detail == Detail::Original { MOST_PATCHES.max(most) } else { most };
                (most * percent).div_ceil(100)
            }
            // A strip of the thinnest tiles.
            Self::GeminiTiles => 16 * 258,
            Self::GeminiFixed if detail == Detail::Original => 2_240,
            Self::GeminiFixed => 1_120,
            Self::Edited => super::super::fields::INPUT_IMAGE,
            Self::Other { .. } => UNKNOWN,
        }
    }

    /// The most tokens of one page of a PDF, as an image of it.
    pub(super) fn page(self) -> u64 {
        match self {
            Self::GeminiTiles => 258,
            // 560 unless more is asked for.
            Self::GeminiFixed => 1_120,
            Self::Other { .. } => 1_640,
            eyes => eyes.most(Detail::Unsaid),
        }
    }
}

/// OpenAI's most patches of an image that is looked at as it was sent.
const MOST_PATCHES: u64 = 10_000;

/// The size when it is made to fit a square of this edge.
fn within((width, height): (u64, u64), edge: u64) -> (u64, u64) {
    let longer = width.max(height);
    match longer > edge {
        true => ((width * edge).div_ceil(longer), (height * edge).div_ceil(longer)),
        false => (width, height),
    }
}

fn tiled(size: (u64, u64)) -> (u64, u64) {
    let (width, height) = within(size, 2_048);
    let shorter = width.min(height);
    match shorter > 768 {
        true => ((width * 768).div_ceil(shorter), (height * 768).div_ceil(shorter)),
        false => (width, height),
    }
}

/// Width and height of a PNG, JPEG, GIF or WebP, from its first bytes; never 0.
pub(super) fn size(head: &[u8]) -> Option<(u64, u64)> {
    let is = |at: usize, text: &[u8]| head.get(at..at + text.len()) == Some(text);
    let size = if is(0, b"\x89PNG\r\n\x1a\n") && is(12, b"IHDR") {
        (big(head.get(16..20)?), big(head.get(20..24)?))
    } else if is(0, b"GIF8") {
        (little(head.get(6..8)?), little(head.get(8..10)?))
    } else if is(0, b"RIFF") && is(8, b"WEBP") {
        webp(head)?
    } else if is(0, b"\xff\xd8") {
        jpeg(head)?
    } else {
        return None;
    };
    // A larger one than any of these formats has on its side is none.
    let possible = 1..=1 << 20;
    (possible.contains(&size.0) && possible.contains(&size.1)).then_some(size)
}

fn webp(head: &[u8]) -> Option<(u64, u64)> {
    match head.get(12..16)? {
        b"VP8X" => Some((little(head.get(24..27)?) + 1, little(head.get(27..30)?) + 1)),
        b"VP8 " => Some((little(head.get(26..28)?) & 0x3fff, little(head.get(28..30)?) & 0x3fff)),
        b"VP8L" => {
            let bits = little(head.get(21..25)?);
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => None,
    }
}

/// Walks a JPEG's segments to the one that begins its frame.
fn jpeg(head: &[u8]) -> Option<(u64, u64)> {
    let mut at = 2;
    loop {
        let [0xff, marker, ..] = head.get(at..)? else { return None };
        match marker {
            // Fill, and markers without a length.
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                return Some((big(head.get(at + 7..at + 9)?), big(head.get(at + 5..at + 7)?)));
            }
            // The image's data, before any frame.
            0xd9 | 0xda => return None,
            _ => at += 2 + usize::try_from(big(head.get(at + 2..at + 4)?).max(2)).ok()?,
        }
    }
}

fn big(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
