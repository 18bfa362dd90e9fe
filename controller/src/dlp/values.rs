//! Values that must not leave: from files in the form of `.env`, and from variables.
//!
//! Invariant: an error names file and line, and repeats nothing of what stands there.

use hudson_dlp::KnownValue;
use hudson_schema::config::{ConfigError, Problem, Settings};
use secrecy::SecretString;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// bot-bottle's own variable with prefixes of names, between commas.
pub(super) const PREFIXES: &str = "BOT_BOTTLE_SENSITIVE_PREFIXES";

/// The values of a file that nobody else may read, by name. `key` is that of the settings.
pub(super) fn read(key: &str, path: &Path) -> Result<Vec<(String, SecretString)>, ConfigError> {
    let wrong_at = |line: usize, what: &str| {
        ConfigError::one(Problem::in_file(path, line, format!("{what} (dlp.{key})")))
    };
    let wrong = |what: String| wrong_at(0, &what);
    // A pipe would be waited for.
    let about = path.metadata().map_err(|error| wrong(format!("the values cannot be read: {error}")))?;
    if !about.is_file() {
        return Err(wrong("is not a file".to_owned()));
    }
    let mode = about.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(wrong(format!("others can read the values (mode {mode:04o}): chmod 600 it")));
    }
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    read.map_err(|error| wrong(format!("the values cannot be read: {error}")))?;
    parse(&text).map_err(|Fault { line, message }| wrong_at(line, message))
}

/// Variables whose names begin as the settings, or bot-bottle's own variable, say.
pub(super) fn of_environment(
    settings: &Settings,
    environment: impl Iterator<Item = (OsString, OsString)>,
    notices: &mut Vec<String>,
) -> Vec<KnownValue> {
    let variables: Vec<(OsString, OsString)> = environment.collect();
    let listed = variables.iter().find(|(name, _)| name == PREFIXES);
    let prefixes = prefixes(settings, listed.and_then(|(_, value)| value.to_str()));
    let mut known = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| begins(name, &prefixes) && *name != PREFIXES) else {
            continue;
        };
        match value.into_string() {
            Ok(value) => known.push(KnownValue::secret(name, value.into())),
            Err(_) => notices.push(format!("the value {name:?} is not looked for: it is not UTF-8")),
        }
    }
    known
}

/// Beginnings of the names of variables that hold such values.
pub(super) fn prefixes(settings: &Settings, listed: Option<&str>) -> Vec<String> {
    let own = settings.dlp.env_prefixes.iter().map(|prefix| prefix.0.as_str());
    let all = own.chain(listed.unwrap_or_default().split(',').map(str::trim));
    // An empty one would stand for every variable.
    all.filter(|prefix| !prefix.is_empty()).map(ToOwned::to_owned).collect()
}

/// Whether a name begins with one of these.
pub(super) fn begins(name: &str, prefixes: &[String]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
}

/// What is wrong in a line.
#[derive(Debug, Eq, PartialEq)]
struct Fault {
    line: usize,
    message: &'static str,
}

/// Reads `NAME=VALUE` lines: `export` in front, quotes (in which a value may go over several lines), comments.
fn parse(text: &str) -> Result<Vec<(String, SecretString)>, Fault> {
    let mut values = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let fault = |message| Err(Fault { line, message });
        let (first, below) = rest.split_once('\n').unwrap_or((rest, ""));
        let statement = first.trim();
        if statement.is_empty() || statement.starts_with('#') {
            (rest, line) = (below, line + 1);
            continue;
        }
        if !first.contains('=') {
            return fault("expected NAME=VALUE");
        }
        let Some((name, written)) = rest.split_once('=') else { return fault("expected NAME=VALUE") };
        let name = name.trim();
        let name = name.strip_prefix("export").filter(|name| name.starts_with([' ', '\t'])).unwrap_or(name);
        let name = name.trim_start();
        if !is_name(name) {
            return fault("the name in front of `=` has letters, digits, `_`, `-` and `.` alone");
        }
        let written = written.trim_start_matches([' ', '\t']);
        let quote = written.chars().next().filter(|first| matches!(first, '"' | '\''));
        let (value, behind) = match quote {
            None => bare(written),
            Some(quote) => match quoted(written.get(1..).unwrap_or_default(), quote) {
                Some((value, behind)) => (value, behind),
                None => return fault("the quote that begins here is never closed"),
            },
        };
        let (tail, below) = behind.split_once('\n').unwrap_or((behind, ""));
        if !tail.trim().is_empty() && !tail.trim_start().starts_with('#') {
            return fault("something stands behind the closing quote");
        }
        line += rest.len().checked_sub(below.len()).and_then(|end| rest.get(..end)).map_or(1, lines);
        values.push((name.to_owned(), SecretString::from(value)));
        rest = below;
    }
    Ok(values)
}

/// How many lines a text ends.
fn lines(text: &str) -> usize {
    text.matches('\n').count()
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// A value without quotes: to the end of the line, or to a comment behind a blank.
fn bare(written: &str) -> (String, &str) {
    let (value, _) = written.split_once('\n').unwrap_or((written, ""));
    let behind = written.strip_prefix(value).unwrap_or_default();
    let value = match value.starts_with('#') {
        true => "",
        false => [" #", "\t#"]
            .iter()
            .fold(value, |value, mark| value.split_once(mark).map_or(value, |(value, _)| value)),
    };
    (value.trim().to_owned(), behind)
}

/// A value up to its closing quote, and what stands behind that. Only double quotes know escapes.
fn quoted(written: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = written.chars();
    while let Some(letter) = letters.next() {
        match letter {
            letter if letter == quote => return Some((value, letters.as_str())),
            '\\' if quote == '"' => match letters.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                letter @ ('"' | '\\' | '$') => value.push(letter),
                letter => value.extend(['\\', letter]),
            },
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn read_as(text: &str) -> Result<Vec<(String, String)>, Fault> {
        let plain = |(name, value): (String, SecretString)| (name, value.expose_secret().to_owned());
        Ok(parse(text)?.into_iter().map(plain).collect())
    }

    #[test]
    fn lines_are_read_as_a_shell_and_other_tools_read_them() {
        for (line, expected) in [
            ("A=plain", "plain"),
            ("export A=plain", "plain"),
            ("  A = plain  ", "plain"),
            ("A=a=b#c", "a=b#c"),
            ("A=a # b", "a"),
            ("A=", ""),
            ("A= # nothing", ""),
            ("A='a # b'", "a # b"),
            ("A='a\\n$b' # c", "a\\n$b"),
            (r#"A="a\n\"b\" \\ \$c \d""#, "a\n\"b\" \\ $c \\d"),
            ("A=\"-----BEGIN\nline\n-----END\"", "-----BEGIN\nline\n-----END"),
            ("\u{feff}# x\r\n\r\nA=plain\r\n", "plain"),
        ] {
            assert_eq!(read_as(line).unwrap(), [("A".to_owned(), expected.to_owned())], "{line:?}");
        }
        let two = read_as("export_me=1\nB='2\n3'\nC.d-e=4").unwrap();
        let names: Vec<&str> = two.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["export_me", "B", "C.d-e"]);
    }

    #[test]
    fn a_fault_names_its_line_and_nothing_that_stands_there() {
        for (text, line, told) in [
            ("A=1\nsecret-without-name", 2, "expected NAME=VALUE"),
            ("no\nA=1", 1, "expected NAME=VALUE"),
            ("A='1\n2'\n9z=3", 3, "the name"),
            ("\nA=\"x\n", 2, "never closed"),
            ("A='x' secret", 1, "behind the closing quote"),
            ("my secret=3", 1, "the name"),
        ] {
            let fault = read_as(text).unwrap_err();
            assert_eq!(fault.line, line, "{text:?}");
            assert!(fault.message.contains(told) && !fault.message.contains("secret"), "{fault:?}");
        }
    }
}
