//! What is wrong with a configuration file, in the words of the person who has to repair it: file, line, column, the
//! line itself with a caret, what was found and what was expected.

use super::tree::Place;
use super::values::NOT_THE_SECRET;
use std::fmt;
use std::path::{Path, PathBuf};

/// A configuration file that cannot be used; at least one problem.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// The 1-based line; 0 when the file as a whole is meant.
    pub line: usize,
    /// The 1-based column, in characters; 0 when the line or the file as a whole is meant.
    pub column: usize,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do, when that is not plain from the message.
    pub help: Option<String>,
    snippet: Option<Snippet>,
}

/// The line a problem is in, ready to be shown.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Snippet {
    line: String,
    /// Characters in front of the caret.
    before: usize,
    /// Characters under the caret, at least 1.
    width: usize,
}

impl ConfigError {
    /// One problem as an error.
    pub fn one(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }

    /// `Ok` when there is no problem.
    pub fn check(problems: Vec<Problem>) -> Result<(), Self> {
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Self { problems }),
        }
    }

    /// Every problem, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// An error of reading the file itself.
    pub(super) fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::one(Problem::of_file(path, format!("cannot be read: {error}")))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl Problem {
    /// A problem at a line of a file, or of all of it where the line is 0. Nothing of the file is shown.
    pub fn in_file(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { line, ..Self::of_file(path, message) }
    }

    /// A problem of a file as a whole.
    pub(super) fn of_file(path: &Path, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: 0, column: 0, message: message.into(), help: None, snippet: None }
    }

    /// A problem at a place of a file's text.
    pub(super) fn at(path: &Path, text: &str, place: Place, message: impl Into<String>) -> Self {
        let mut problem = Self::of_file(path, message);
        if place.line > 0 {
            problem.line = place.line;
            problem.column = place.column.max(1);
            let hidden = problem.message.contains(NOT_THE_SECRET);
            problem.snippet = Snippet::new(text, problem.line, problem.column, hidden);
        }
        problem
    }

    /// Shows nothing of the line behind the word at the problem's place.
    pub(super) fn hide_rest(&mut self) {
        if let Some(snippet) = &mut self.snippet {
            let shown = snippet.before + snippet.width;
            if snippet.line.chars().count() > shown + 1 {
                snippet.line = snippet.line.chars().take(shown).chain(": …".chars()).collect();
            }
        }
    }

    /// The same problem with advice.
    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        for part in [self.line, self.column].into_iter().filter(|part| *part > 0) {
            write!(f, ":{part}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(snippet) = &self.snippet {
            let number = self.line.to_string();
            let gutter = " ".repeat(number.len());
            write!(f, "\n {gutter} |\n {number} | {}", snippet.line)?;
            write!(f, "\n {gutter} | {}{}", " ".repeat(snippet.before), "^".repeat(snippet.width))?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n   = help: {help}")?;
        }
        Ok(())
    }
}

impl Snippet {
    /// The most characters of a line that are shown.
    const WIDEST: usize = 120;

    fn new(text: &str, line: usize, column: usize, hidden: bool) -> Option<Self> {
        // Control characters must not reach a terminal.
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        let chars: Vec<char> = text.lines().nth(line.checked_sub(1)?)?.chars().map(shown).collect();
        let before = column.checked_sub(1)?.min(chars.len());
        let skipped = before.saturating_sub(Self::WIDEST / 2);
        let (head, rest) = chars.split_at_checked(before)?;
        let width = token(rest).clamp(1, Self::WIDEST / 2);
        let mut line: String = head.iter().skip(skipped).collect();
        match hidden {
            true => line.push_str(&"*".repeat(8)),
            false => line.extend(rest.iter().take(Self::WIDEST - line.chars().count())),
        }
        Some(Self { line, before: before - skipped, width: if hidden { 8 } else { width } })
    }
}

/// How many characters the word at the start of `rest` has.
fn token(rest: &[char]) -> usize {
    match rest.first() {
        Some(quote @ ('"' | '\'')) => match rest.iter().skip(1).position(|c| c == quote) {
            Some(end) => end + 2,
            None => rest.len(),
        },
        Some('[' | '{' | '-') => 1,
        _ => {
            let ends = |(at, c): (usize, &char)| match c {
                ':' => rest.get(at + 1).is_none_or(|next| next.is_whitespace()),
                c => c.is_whitespace() || matches!(c, ',' | ']' | '}'),
            };
            rest.iter().enumerate().position(ends).unwrap_or(rest.len())
        }
    }
}

/// The candidate nearest to a misspelt word, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let allowed = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of letters to insert, delete or change. Long words are not compared at all.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let changed = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = changed.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_meant() {
        let keys = ["host", "token_env", "auth_scheme", "matches", "meter"];
        for (word, meant) in [
            ("tokn_env", Some("token_env")),
            ("Host", Some("host")),
            ("matchs", Some("matches")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), meant, "{word}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_problem_shows_its_line() {
        let problem = Problem::at(
            Path::new("r.yaml"),
            "a: 1\nb:\t\"x y\" # c\n",
            Place { line: 2, column: 4 },
            "wrong",
        );
        assert_eq!(problem.to_string(), "r.yaml:2:4: wrong\n   |\n 2 | b: \"x y\" # c\n   |    ^^^^^");
    }

    #[test]
    fn a_place_outside_the_text_and_a_long_line_do_no_harm() {
        for place in [
            Place { line: 9, column: 9 },
            Place { line: 1, column: 9999 },
            Place { line: 1, column: 0 },
            Place { line: 0, column: 0 },
        ] {
            assert!(Problem::at(Path::new("r"), "ü", place, "m").to_string().starts_with('r'));
        }
        let long = "x".repeat(10_000);
        assert!(
            Problem::at(Path::new("r"), &long, Place { line: 1, column: 5000 }, "m").to_string().len() < 400
        );
    }
}
