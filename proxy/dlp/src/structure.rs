//! Where in a JSON text, a form, a multipart body or a request's target a byte stands.
//!
//! Invariant: a place is told by the names around it, never by the text in which the byte stands itself: that may be a
//! secret.

/// Names longer than this are not told.
const NAME: usize = 64;
/// What stands for a name that is not told.
const UNTOLD: &str = "…";
/// Deeper places are told by their beginning.
const DEPTH: usize = 64;

/// Where a byte of a body stands: the JSON pointer (RFC 6901) of its value, the name of its field in a form, the name of its
/// part in a multipart body. `None` where the text is none of these.
pub fn locate(text: &[u8], at: usize) -> Option<String> {
    let trimmed = text.trim_ascii_start();
    match trimmed.first()? {
        b'{' | b'[' => pointer(text, at),
        b'-' if trimmed.starts_with(b"--") => part(text, at),
        _ => {
            let front = text.get(..at)?;
            let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'{' | b'"');
            (front.contains(&b'=') && front.iter().all(plain)).then(|| field(text, at))?
        }
    }
}

/// Where a byte of a path and query stands: the name of its parameter, or which segment of the path.
pub(crate) fn locate_target(target: &[u8], at: usize) -> Option<String> {
    match memchr::memchr(b'?', target) {
        Some(mark) if at > mark => field(target.get(mark + 1..)?, at - mark - 1),
        _ => {
            let front = target.get(..=at)?;
            Some(format!("segment {}", memchr::memchr_iter(b'/', front).count().max(1)))
        }
    }
}

/// The name of the field in which a byte stands; none where it stands in a name.
fn field(text: &[u8], at: usize) -> Option<String> {
    let start = text.get(..at)?.iter().rposition(|byte| *byte == b'&').map_or(0, |before| before + 1);
    let name = text.get(start..at)?;
    let name = name.get(..memchr::memchr(b'=', name)?)?;
    Some(told(name)).filter(|name| !name.is_empty())
}

/// The name of the part of a multipart body in which a byte stands, its headers included.
fn part(text: &[u8], at: usize) -> Option<String> {
    let opening = text.trim_ascii_start();
    let line = opening.get(..memchr::memchr(b'\n', opening)?)?.trim_ascii_end();
    let here = memchr::memmem::rfind(text.get(..at)?, line)?;
    let rest = text.get(here..)?;
    let head =
        rest.get(..memchr::memmem::find(rest, b"\r\n\r\n").or_else(|| memchr::memmem::find(rest, b"\n\n"))?)?;
    // `filename="` ends with the same letters.
    let mut names = memchr::memmem::find_iter(head, b"name=\"");
    let name = names.find(|name| name.checked_sub(1).and_then(|before| head.get(before)) != Some(&b'e'))? + 6;
    let name = head.get(name..string_end(head, name))?;
    Some(told(name)).filter(|name| !name.is_empty())
}

/// A name as it may be told.
fn told(name: &[u8]) -> String {
    if name.len() > NAME { UNTOLD.to_owned() } else { String::from_utf8_lossy(name).into_owned() }
}

fn pointer(text: &[u8], at: usize) -> Option<String> {
    let mut path: Vec<Step> = Vec::new();
    let mut position = 0;
    while position < at {
        match text.get(position)? {
            b'{' => path.push(Step::Name(String::new(), true)),
            b'[' => path.push(Step::Index(0)),
            b'}' | b']' => {
                path.pop();
            }
            b',' => match path.last_mut() {
                Some(Step::Index(index)) => *index += 1,
                Some(Step::Name(_, key)) => *key = true,
                None => {}
            },
            b':' => {
                if let Some(Step::Name(_, key)) = path.last_mut() {
                    *key = false;
                }
            }
            b'"' => {
                let end = string_end(text, position + 1);
                if let Some(Step::Name(name, true)) = path.last_mut() {
                    let inside = at <= end;
                    *name = match text.get(position + 1..end) {
                        Some(raw) if !inside => told(raw),
                        _ => UNTOLD.to_owned(),
                    };
                }
                position = end;
            }
            _ => {}
        }
        position += 1;
    }
    Some(path.iter().take(DEPTH).map(Step::pointer).collect())
}

enum Step {
    /// A member's name, and whether a key comes next.
    Name(String, bool),
    Index(usize),
}

impl Step {
    fn pointer(&self) -> String {
        match self {
            Self::Name(name, _) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Self::Index(index) => format!("/{index}"),
        }
    }
}

/// Where the string that begins at a place ends: at its closing quote, or at the end of the text.
pub(crate) fn string_end(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(next) = memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += next;
        match text.get(at) {
            Some(b'\\') => at += 2,
            _ => return at,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_the_pointer_of_its_value() {
        let text = br#"{"a/b":[1,{"c":"x, y: [z]"},"last"],"d":"e"}"#;
        let of = |needle: &str| locate(text, memchr::memmem::find(text, needle.as_bytes()).unwrap()).unwrap();
        assert_eq!(of("[z]"), "/a~1b/1/c");
        assert_eq!(of("last"), "/a~1b/2");
        assert_eq!(of("e\"}"), "/d");
        assert_eq!(of("c\""), "/a~1b/1/…", "a key is not told where it is the place itself");
        assert_eq!(locate(b"plain", 2), None);
        assert_eq!(locate(br#"{"a":"b"#, 100), None);
    }

    #[test]
    fn a_place_in_a_form_has_the_name_of_its_field() {
        let form = b"user=me&api%5Bkey%5D=abc&empty=&last=x";
        let of =
            |text: &[u8], needle: &str| locate(text, memchr::memmem::find(text, needle.as_bytes()).unwrap());
        assert_eq!(of(form, "abc").as_deref(), Some("api%5Bkey%5D"));
        assert_eq!(of(form, "x").as_deref(), Some("last"));
        assert_eq!(of(form, "last"), None, "a name is not told where it is the place itself");
        assert_eq!(of(b"if a = b then", "then"), None);
        assert_eq!(locate(format!("{}=v", "n".repeat(65)).as_bytes(), 66).as_deref(), Some("…"));
    }

    #[test]
    fn a_place_in_a_multipart_body_has_the_name_of_its_part() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"one\"\r\n\r\nabc\r\n--x\r\nContent-Disposition: form-data; filename=\"f.txt\"; name=\"two\"\r\n\r\ndef\r\n--x--\r\n";
        let of = |needle: &str| locate(body, memchr::memmem::find(body, needle.as_bytes()).unwrap());
        assert_eq!((of("abc").as_deref(), of("def").as_deref()), (Some("one"), Some("two")));
        assert_eq!(of("f.txt").as_deref(), Some("two"));
    }

    #[test]
    fn a_place_in_a_target_has_its_parameter_or_segment() {
        let target = b"/v1/abc/x?q=def&flag&k=ghi";
        let of =
            |needle: &str| locate_target(target, memchr::memmem::find(target, needle.as_bytes()).unwrap());
        assert_eq!(of("abc").as_deref(), Some("segment 2"));
        assert_eq!((of("def").as_deref(), of("ghi").as_deref()), (Some("q"), Some("k")));
        assert_eq!(of("flag"), None);
    }
}
