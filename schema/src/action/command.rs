//! A command as the words that a shell may make of it. No shell is imitated: there are many, and an agent chooses. The
//! text is read in several simple ways at once, and a pattern that matches in one of them counts.
//!
//! Invariant: every way looks at a letter and its neighbours only, never at a state that text far in front of it could
//! set. So text that is put around a command, apart from it by a space or a line, never hides what it matches.

use super::fold;
use super::pattern::{Look, Pattern};
use std::iter::Peekable;
use std::ops::{Deref, Range};
use std::str::Chars;

/// Letters of a command that is looked at. A longer one is as bad as any, for nobody can read it.
const LONGEST: usize = 16_384;
/// Letters of a `${…}`.
const EXPANSION: usize = 64;

/// A command, read.
#[derive(Default)]
pub(super) struct Command {
    readings: Vec<Reading>,
    /// The text without any white space.
    dense: String,
    /// Whether it is longer than anybody reads. Nothing else is known of it then.
    pub(super) is_long: bool,
    /// Whether it has what only hides it from its reader.
    pub(super) is_hiding: bool,
    /// Whether the shell puts in what is run: `$x …`, `$(…) …`.
    pub(super) is_expanded: bool,
}

/// The words of one way to read a command.
#[derive(Default)]
struct Reading {
    words: Vec<Word>,
    /// Where the runs of words end that may be one simple command.
    ends: Vec<usize>,
}

/// A word.
pub(super) struct Word {
    text: String,
    /// Where in it a program's name is.
    name: Range<usize>,
}

/// A way to read.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Quotation marks and backslashes are not there, as in `r\m` and `"r"m`.
    Joined,
    /// The same, and a line goes on behind a backslash.
    Continued,
    /// They part words, as in `sh -c'rm'`, and so does what lists things: `{rm,-rf,/}`, `["rm", "-rf"]`.
    Parted,
}

impl Command {
    /// Reads a command.
    pub(super) fn read(text: &str) -> Self {
        if text.chars().nth(LONGEST).is_some() {
            return Self { is_long: true, ..Self::default() };
        }
        let folded = folded(text);
        let mut readings: Vec<_> =
            [Way::Joined, Way::Continued, Way::Parted].map(|way| words(&folded, way)).into();
        let decoded = without_escapes(&folded);
        if decoded != folded {
            readings.extend([Way::Joined, Way::Parted].map(|way| words(&decoded, way)));
        }
        let seen = |letter: &char| !letter.is_whitespace() && *letter != fold::HIDDEN;
        Self {
            readings,
            dense: folded.chars().filter(seen).collect(),
            is_long: false,
            is_hiding: fold::is_hiding(text),
            is_expanded: is_expanded(&folded),
        }
    }

    /// Whether a pattern is in it.
    pub(super) fn matches(&self, pattern: &Pattern) -> bool {
        match pattern.look {
            Look::Run(is) => self.readings.iter().any(|reading| reading.runs().any(is)),
            Look::Words(is) => self.readings.iter().any(|reading| is(&reading.words)),
            Look::Text(is) => is(self),
        }
    }

    /// Whether the text has this in it, white space aside.
    pub(super) fn has_dense(&self, text: &str) -> bool {
        self.dense.contains(text)
    }
}

impl Word {
    pub(super) fn of(text: String) -> Self {
        // What a Makefile or a shell may put in front, and the folder.
        let word = text.trim_end_matches('/');
        let start = word.rfind('/').map_or(0, |slash| slash + 1);
        let front = word.len() - word.trim_start_matches(['@', '!', '+', '~']).len();
        let start = start.max(front);
        let end = word.strip_suffix(".exe").unwrap_or(word).len();
        Self { name: start..end.max(start), text }
    }

    /// The name of the program that it is, if it is one.
    pub(super) fn name(&self) -> &str {
        self.text.get(self.name.clone()).unwrap_or_default()
    }
}

impl Deref for Word {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, text: &str) -> bool {
        self.text == text
    }
}

impl Reading {
    fn runs(&self) -> impl Iterator<Item = &[Word]> {
        let mut start = 0;
        self.ends.iter().filter_map(move |end| self.words.get(std::mem::replace(&mut start, *end)..*end))
    }
}

fn folded(text: &str) -> String {
    fold::letters(text).flat_map(char::to_lowercase).collect()
}

/// The words, in runs that end where a command does. Where anything is quoted or put in by the shell, no such end can
/// be trusted, and all is one run.
fn words(text: &str, way: Way) -> Reading {
    let is_plain = !text.contains(['\'', '"', '\\', '`', '$']);
    let mut reader = Reader { reading: Reading::default(), word: String::new(), is_plain };
    let mut letters = text.chars().peekable();
    let mut last = ' ';
    while let Some(letter) = letters.next() {
        match letter {
            '&' if last == '>' || letters.peek() == Some(&'>') => reader.end_word(),
            ';' | '&' | '\n' => reader.end_run(),
            '|' => reader.alone("|"),
            ' ' | '`' | '(' | ')' | '{' | '}' | '<' | '>' => reader.end_word(),
            '\\' if way == Way::Continued && letters.peek() == Some(&'\n') => {
                letters.next();
            }
            '$' if way != Way::Parted => expansion(&mut letters, &mut reader),
            ':' if way == Way::Parted => {
                // The default of a variable, as in `${x:-rm}`.
                letters.next_if(|next| matches!(next, '-' | '=' | '+' | '?'));
                reader.end_word();
            }
            '\'' | '"' | '\\' | '[' | ']' | fold::HIDDEN if way != Way::Parted => {}
            '\'' | '"' | '\\' | '[' | ']' | '$' | ',' | '=' | '*' | fold::HIDDEN if way == Way::Parted => {
                reader.end_word();
            }
            letter => reader.word.push(letter),
        }
        last = letter;
    }
    reader.end_word();
    reader.reading.ends.push(reader.reading.words.len());
    reader.reading
}

/// Whether a command begins with what the shell puts in.
fn is_expanded(text: &str) -> bool {
    let mut begins = true;
    text.chars().any(|letter| match letter {
        '$' | '`' => begins,
        ' ' | '"' => false,
        letter => {
            begins = matches!(letter, ';' | '&' | '|' | '\n' | '(');
            false
        }
    })
}

struct Reader {
    reading: Reading,
    word: String,
    is_plain: bool,
}

impl Reader {
    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.reading.words.push(Word::of(std::mem::take(&mut self.word)));
        }
    }

    fn end_run(&mut self) {
        self.end_word();
        if self.is_plain {
            self.reading.ends.push(self.reading.words.len());
        }
    }

    fn alone(&mut self, word: &str) {
        self.end_word();
        self.word.push_str(word);
        self.end_word();
    }
}

/// What follows a `$`: `$IFS` is white space, any other variable may well be empty.
fn expansion(letters: &mut Peekable<Chars<'_>>, reader: &mut Reader) {
    let is_name = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
    let name: String = match letters.peek() {
        Some('{') => {
            let inner: String = letters
                .clone()
                .skip(1)
                .take(EXPANSION)
                .take_while(|letter| *letter != '}' && *letter != ' ' && *letter != '\n')
                .collect();
            let length = inner.chars().count();
            if letters.clone().nth(length + 1) != Some('}') {
                return;
            }
            letters.by_ref().take(length + 2).for_each(drop);
            inner
        }
        Some('@' | '*' | '#' | '?' | '!' | '$' | '-' | '0'..='9') => {
            letters.next();
            return;
        }
        _ => std::iter::from_fn(|| letters.next_if(is_name)).collect(),
    };
    if name.starts_with("ifs") {
        reader.end_word();
    }
}

/// The text with `\x72`, `\162`, `\u0072` and `\n` as what they stand for.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((front, behind)) = rest.split_once('\\') {
        out.push_str(front);
        let (letter, behind) = escaped(behind).unwrap_or(('\\', behind));
        out.push(letter);
        rest = behind;
    }
    out.push_str(rest);
    folded(&out)
}

/// The letter that a backslash and this stand for, and what is behind it.
fn escaped(text: &str) -> Option<(char, &str)> {
    let mut letters = text.chars();
    let first = letters.next()?;
    let rest = letters.as_str();
    match first {
        'n' | 'r' => Some(('\n', rest)),
        't' => Some((' ', rest)),
        'x' => code(rest, 16, 2),
        'u' => match rest.strip_prefix('{') {
            Some(braced) => {
                code(braced, 16, 6).map(|(letter, rest)| (letter, rest.strip_prefix('}').unwrap_or(rest)))
            }
            None => code(rest, 16, if rest.starts_with("0000") { 8 } else { 4 }),
        },
        '0' => code(text, 8, 4),
        '1'..='7' => code(text, 8, 3),
        _ => None,
    }
}

/// The letter of a number in front of a text, and the rest of it.
fn code(text: &str, radix: u32, most: usize) -> Option<(char, &str)> {
    let digits = text.bytes().take(most).take_while(|digit| char::from(*digit).is_digit(radix)).count();
    let (digits, rest) = text.split_at_checked(digits)?;
    Some((char::from_u32(u32::from_str_radix(digits, radix).ok()?)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, way: Way) -> Vec<String> {
        let reading = words(&folded(text), way);
        reading
            .runs()
            .filter(|run| !run.is_empty())
            .map(|run| run.iter().map(|word| &**word).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn quotation_hides_no_word() {
        for text in [
            r#"r"m" -rf /"#,
            r"r\m -rf /",
            "'rm' -rf /",
            "rm${IFS}-rf$IFS/",
            "r$@m -rf /",
            "r${x}m -rf /",
            "r[m] -rf /",
        ] {
            assert_eq!(read(text, Way::Joined), ["rm -rf /"], "{text}");
        }
        assert_eq!(read("{rm,-rf,/}", Way::Parted), ["rm -rf /"]);
        assert_eq!(read("r\\\nm -rf /", Way::Continued), ["rm -rf /"]);
        assert_eq!(read("${x:-rm} -rf /", Way::Parted), ["x rm -rf /"]);
        assert_eq!(read(&without_escapes(r"$'\x72\155' -rf \u002f"), Way::Joined), ["rm -rf /"]);
    }

    #[test]
    fn commands_are_apart_where_nothing_is_quoted() {
        assert_eq!(read("a b; c && d\ne | f 2>&1 g", Way::Joined), ["a b", "c", "d", "e | f 2 1 g"]);
        assert_eq!(read("a 'b'; c", Way::Joined), ["a b c"]);
    }
}
