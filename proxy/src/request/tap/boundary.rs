//! Where a stream's events end, so that one of Hudson's can be put behind the one that is under way.
//!
//! An event ends with an empty line (WHATWG HTML, server-sent events), a line break (NDJSON), or where its frame's
//! length says (`application/vnd.amazon.eventstream`). Memory is a few bytes.

use http::{HeaderMap, header};

/// How an event of server-sent events ends.
const EMPTY_LINES: [&[u8]; 3] = [b"\n\n", b"\r\r", b"\r\n\r\n"];

/// Where a stream stands between its events.
#[derive(Debug)]
pub(super) enum Boundary {
    /// Server-sent events, and their last bytes: what an empty line may begin in.
    Events { tail: Vec<u8>, begun: bool },
    /// Lines, and whether one is under way.
    Lines { open: bool },
    /// Frames, and the one under way.
    Frames(Frame),
}

/// A frame under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// The first bytes: its whole length, big-endian.
    length: [u8; 4],
    /// How much of it has come.
    seen: u64,
}

impl Boundary {
    /// The beginning of a body; `None` where it has no events, or is encoded.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(header::CONTENT_ENCODING) {
            return None;
        }
        let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "text/event-stream" => Some(Self::Events { tail: Vec::new(), begun: false }),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                Some(Self::Lines { open: false })
            }
            "application/vnd.amazon.eventstream" => Some(Self::Frames(Frame::default())),
            _ => None,
        }
    }

    /// Takes bytes that go on.
    pub(super) fn pass(&mut self, data: &[u8]) {
        match self {
            Self::Events { tail, begun } => {
                *begun |= !data.is_empty();
                tail.extend_from_slice(data.get(data.len().saturating_sub(4)..).unwrap_or_default());
                let surplus = tail.len().saturating_sub(4);
                tail.drain(..surplus);
            }
            Self::Lines { open } => *open = data.last().map_or(*open, |last| *last != b'\n'),
            Self::Frames(frame) => {
                let mut rest = data;
                while !rest.is_empty() {
                    rest = frame.take(rest);
                }
            }
        }
    }

    /// Whether no event is under way.
    pub(super) fn is_at(&self) -> bool {
        match self {
            Self::Events { tail, begun } => !begun || EMPTY_LINES.iter().any(|end| tail.ends_with(end)),
            Self::Lines { open } => !open,
            Self::Frames(frame) => frame.seen == 0,
        }
    }

    /// Where in `data` the event under way ends, if it does.
    pub(super) fn end_in(&self, data: &[u8]) -> Option<usize> {
        match self {
            Self::Events { tail, .. } => {
                let seen = [tail.as_slice(), data].concat();
                (tail.len() + 1..=seen.len())
                    .find(|end| {
                        let seen = seen.get(..*end).unwrap_or_default();
                        EMPTY_LINES.iter().any(|line| seen.ends_with(line))
                    })
                    .map(|end| end - tail.len())
            }
            Self::Lines { .. } => data.iter().position(|byte| *byte == b'\n').map(|at| at + 1),
            Self::Frames(frame) => {
                let mut frame = *frame;
                let rest = frame.take(data);
                (frame.seen == 0).then(|| data.len() - rest.len())
            }
        }
    }
}

impl Frame {
    /// Takes bytes up to the frame's end; what is left of them.
    fn take<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let mut rest = data;
        while let (Some(slot), Some((byte, behind))) =
            (usize::try_from(self.seen).ok().and_then(|at| self.length.get_mut(at)), rest.split_first())
        {
            *slot = *byte;
            self.seen += 1;
            rest = behind;
        }
        if self.seen < 4 {
            return rest;
        }
        let left = u64::from(u32::from_be_bytes(self.length)).saturating_sub(self.seen);
        let (taken, rest) = rest.split_at(rest.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        self.seen += taken.len() as u64;
        if taken.len() as u64 == left {
            *self = Self::default();
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundary(kind: &str) -> Boundary {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        Boundary::of(&headers).unwrap()
    }

    #[test]
    fn the_end_of_the_event_under_way_is_found_at_every_split() {
        let frame = |payload: &str| {
            let length = (16 + payload.len()) as u32;
            [&length.to_be_bytes()[..], &[0; 8], payload.as_bytes(), &[1; 4]].concat()
        };
        let sse = "text/event-stream; charset=utf-8";
        for (kind, event, more) in [
            (sse, b"data: {}\n\n".to_vec(), b"data: x".to_vec()),
            (sse, b"data: {}\r\n\r\n".to_vec(), b"data".to_vec()),
            (sse, b"data: {}\r\r".to_vec(), b"d".to_vec()),
            ("application/x-ndjson", b"{\"done\":false}\n".to_vec(), b"{".to_vec()),
            ("application/vnd.amazon.eventstream", frame("{}"), frame("more")),
        ] {
            let bytes = [event.clone(), more].concat();
            for at in 1..event.len() {
                let mut boundary = boundary(kind);
                assert!(boundary.is_at(), "nothing has begun");
                boundary.pass(&bytes[..at]);
                assert!(!boundary.is_at(), "{kind} at {at}");
                assert_eq!(boundary.end_in(&bytes[at..]), Some(event.len() - at), "{kind} at {at}");
                boundary.pass(&bytes[at..event.len()]);
                assert!(boundary.is_at(), "{kind} at {at}");
            }
        }
        for (kind, begun) in [
            (sse, &b"data: {"[..]),
            ("application/x-ndjson", b"{"),
            ("application/vnd.amazon.eventstream", &[0, 0]),
        ] {
            let mut boundary = boundary(kind);
            boundary.pass(begun);
            assert_eq!(boundary.end_in(b"\x00\x14\"a\":1"), None, "{kind}");
        }
    }

    #[test]
    fn a_body_without_events_or_in_an_encoding_has_no_boundary() {
        let mut headers = HeaderMap::new();
        assert!(Boundary::of(&headers).is_none());
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        assert!(Boundary::of(&headers).is_none());
        headers.insert(header::CONTENT_TYPE, "text/event-stream".parse().unwrap());
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(Boundary::of(&headers).is_none());
    }
}
