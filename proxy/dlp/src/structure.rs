//! Where in a JSON text a byte stands.

/// Names longer than this are cut.
const NAME: usize = 64;
/// Deeper places are told by their beginning.
const DEPTH: usize = 64;

/// The JSON pointer (RFC 6901) of the value or key in which a byte stands; `None` where the text is not JSON.
pub fn locate(text: &[u8], at: usize) -> Option<String> {
    let head = text.trim_ascii_start().first()?;
    if !matches!(head, b'{' | b'[') {
        return None;
    }
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
                    let raw = text.get(position + 1..end).unwrap_or_default();
                    *name = String::from_utf8_lossy(raw.get(..NAME.min(raw.len())).unwrap_or_default())
                        .into_owned();
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
        assert_eq!(locate(b"plain", 2), None);
        assert_eq!(locate(br#"{"a":"b"#, 100), None);
    }
}
