//! Numbers, times and texts in little room.
//!
//! Invariant: a text that does not fit ends in an ellipsis, and none of them moves the cursor of the terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Tokens in at most five columns: `999`, `1.2k`, `12.3k`, `123k`, `1.2M`; rounded down.
pub(crate) fn tokens(number: u64) -> String {
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.into_iter().find(|(unit, _)| number >= *unit) {
        None => number.to_string(),
        Some((unit, name)) => match (number / unit, number % unit * 10 / unit) {
            (whole @ 100.., _) | (whole, 0) => format!("{whole}{name}"),
            (whole, tenth) => format!("{whole}.{tenth}{name}"),
        },
    }
}

/// Tokens with every digit: `1,234,567`.
pub(crate) fn exact_tokens(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// So many things: `1 run`, `2 runs`.
pub(super) fn counted(number: &str, thing: &str) -> String {
    format!("{number} {thing}{}", if number == "1" { "" } else { "s" })
}

/// A span of milliseconds in at most five columns: `now`, `12s`, `5m`, `3h12m`, `2d`.
pub(super) fn span(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes, seconds) {
        (1000.., ..) => ">999d".to_owned(),
        (2.., ..) => format!("{days}d"),
        (_, 10.., ..) => format!("{hours}h"),
        (_, 1.., ..) => format!("{hours}h{:02}m", minutes % 60),
        (_, _, 1.., _) => format!("{minutes}m"),
        (_, _, _, 1..) => format!("{seconds}s"),
        _ => "now".to_owned(),
    }
}

/// A span in at most four columns: as [`span`], without the minutes of an hour.
pub(super) fn coarse(milliseconds: i64) -> String {
    let span = span(milliseconds);
    match span.split_once('h') {
        Some((hours, _)) => format!("{hours}h"),
        None if span.starts_with('>') => "long".to_owned(),
        None => span,
    }
}

/// A bar of `width` columns, `percent` of it filled; something spent is never shown as nothing.
pub(super) fn bar(percent: u64, width: usize) -> String {
    let hundred = width.saturating_mul(usize::try_from(percent.min(100)).unwrap_or(100));
    let filled = (hundred / 100).max(usize::from(percent > 0)).min(width);
    "█".repeat(filled) + &"░".repeat(width.saturating_sub(filled))
}

/// A text without what a terminal would take for an order: models and causes come from elsewhere.
pub(crate) fn clean(text: &str) -> String {
    let harmful = |symbol: char| {
        symbol.is_control()
            || matches!(symbol, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|symbol| if harmful(symbol) { '·' } else { symbol }).collect()
}

/// At most `width` columns of a text, the last of them an ellipsis where it was longer.
pub(super) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for symbol in text.chars() {
        used += symbol.width().unwrap_or(0);
        if used >= width {
            break;
        }
        out.push(symbol);
    }
    let kept = out.trim_end().len();
    out.truncate(kept);
    if width > 0 {
        out.push('…');
    }
    out
}

/// Exactly `width` columns, the text on the left.
pub(super) fn left(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let rest = width.saturating_sub(text.width());
    text + &" ".repeat(rest)
}

/// Exactly `width` columns, the text on the right.
pub(super) fn right(text: &str, width: usize) -> String {
    let text = fit(text, width);
    " ".repeat(width.saturating_sub(text.width())) + &text
}

/// As many of these as fit, whole, from the first on.
pub(super) fn joined<T: AsRef<str>>(parts: impl IntoIterator<Item = T>, sign: &str, width: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let sign = if line.is_empty() { "" } else { sign };
        if line.width() + sign.width() + part.as_ref().width() > width {
            break;
        }
        line.push_str(sign);
        line.push_str(part.as_ref());
    }
    line
}

/// A text in lines of at most `width` columns, broken between words.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word = fit(word, width);
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = word,
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}
