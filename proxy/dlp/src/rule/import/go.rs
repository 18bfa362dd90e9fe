//! Regexes as Go reads them. Two things are written the same and read otherwise: a brace that repeats nothing is itself
//! there, and inside of a class there are no classes and no operators.

/// The same regex as it is written here.
pub(super) fn translated(regex: &str) -> String {
    let mut out = String::with_capacity(regex.len());
    let mut in_class = false;
    let mut rest = regex;
    while let Some(letter) = rest.chars().next() {
        let operator = matches!(letter, '&' | '~' | '-') && out.ends_with(letter);
        let (escaped, length) = match letter {
            '\\' => (false, escape(rest)),
            '[' if in_class => (named_class(rest).is_none(), named_class(rest).unwrap_or(1)),
            '{' if !in_class => (repetition(rest).is_none(), repetition(rest).unwrap_or(1)),
            _ => (in_class && operator, letter.len_utf8()),
        };
        let (mut head, mut tail) = rest.split_at_checked(length).unwrap_or((rest, ""));
        match letter {
            ']' => in_class = false,
            '[' if !in_class => {
                in_class = true;
                (head, tail) =
                    rest.split_at_checked(if tail.starts_with('^') { 2 } else { 1 }).unwrap_or((rest, ""));
                // A bracket that comes first in a class is itself.
                if let Some(behind) = tail.strip_prefix(']') {
                    out.push_str(head);
                    (head, tail) = ("\\]", behind);
                }
            }
            _ => {}
        }
        if escaped {
            out.push('\\');
        }
        out.push_str(head);
        rest = tail;
    }
    out
}

/// The length of an escape, with the braces that belong to it.
fn escape(text: &str) -> usize {
    let named = ["\\x{", "\\p{", "\\P{"].iter().any(|start| text.starts_with(start));
    match text.find('}') {
        Some(end) if named => end + 1,
        _ => text.chars().take(2).map(char::len_utf8).sum(),
    }
}

/// The length of a class with a name, such as `[:alpha:]`.
fn named_class(text: &str) -> Option<usize> {
    let name = text.strip_prefix("[:")?;
    let (name, _) = name.split_once(":]")?;
    let letters = name.strip_prefix('^').unwrap_or(name);
    letters.bytes().all(|byte| byte.is_ascii_lowercase()).then_some(name.len() + 4)
}

/// The length of a repetition such as `{2,}`.
fn repetition(text: &str) -> Option<usize> {
    let (inside, _) = text.strip_prefix('{')?.split_once('}')?;
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!least.is_empty() && digits(least) && digits(most)).then_some(inside.len() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::bytes::RegexBuilder;

    #[test]
    fn what_go_reads_otherwise_is_written_otherwise() {
        for (go, here, matches, not) in [
            (r"^\$(?:\d+|{\d+})$", r"^\$(?:\d+|\{\d+})$", "${12}", "$x"),
            (r"^\${(?:[A-Z_]+)}$", r"^\$\{(?:[A-Z_]+)}$", "${AB}", "$AB"),
            (r"^\{\{[ \t]*\w}}$", r"^\{\{[ \t]*\w}}$", "{{ x}}", "{x}"),
            (r"^a{2}b{1,}c{1,2}d{,2}$", r"^a{2}b{1,}c{1,2}d\{,2}$", "aabbcd{,2}", "aabbcd"),
            (r"^[[a]$", r"^[\[a]$", "[", "b"),
            (r"^[^[]$", r"^[^\[]$", "a", "["),
            (r"^[]a]$", r"^[\]a]$", "]", "b"),
            (r"^[^]a]$", r"^[^\]a]$", "b", "]"),
            (r"^[a&&b]$", r"^[a&\&b]$", "a", "c"),
            (r"^[+--]$", r"^[+-\-]$", ",", "."),
            (r"^[[:alpha:]{}]\x{41}$", r"^[[:alpha:]{}]\x{41}$", "{A", "1A"),
            (r"^\[a\]{x$", r"^\[a\]\{x$", "[a]{x", "a"),
        ] {
            assert_eq!(translated(go), here, "{go}");
            let regex = RegexBuilder::new(here).unicode(false).build().unwrap();
            assert!(regex.is_match(matches.as_bytes()), "{here} {matches}");
            assert!(!regex.is_match(not.as_bytes()), "{here} {not}");
        }
    }

    #[test]
    fn nothing_else_is_changed() {
        for regex in [
            r#"(?i)[\w.-]{0,50}?(?:adobe)(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)[\x60'"\s=]{0,5}([a-f0-9]{32})(?:[\x60'"\s;]|\\[nr]|$)"#,
            r"(?i)-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----[\s\S-]{64,}?KEY(?: BLOCK)?-----",
            r"ü[\-é]\p{Greek}\",
        ] {
            assert_eq!(translated(regex), regex);
        }
    }
}
