//! A recorded body cut where its sender flushed: after each event. Cut pieces put together are the body again.

/// How much of a body without events is sent at a time.
const PIECE: usize = 1 << 10;

/// The pieces of a body, in order; none is empty.
pub(super) fn pieces<'a>(body: &'a [u8], framing: &str, encoded: bool) -> Vec<&'a [u8]> {
    match framing {
        // What is compressed has no visible events.
        _ if encoded => body.chunks(PIECE).collect(),
        "sse" => cut(body, event),
        "ndjson" => cut(body, |rest| rest.iter().position(|byte| *byte == b'\n').map(|at| at + 1)),
        "eventstream" => cut(body, frame),
        _ => body.chunks(PIECE).collect(),
    }
}

/// Cuts a body after each end that `end` finds; what has none is the last piece.
fn cut(body: &[u8], end: impl Fn(&[u8]) -> Option<usize>) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let length = end(rest).filter(|length| (1..=rest.len()).contains(length)).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(length);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// The end of the first server-sent event: behind its empty line, whatever the line ends are.
fn event(rest: &[u8]) -> Option<usize> {
    let mut line_is_empty = true;
    let mut bytes = rest.iter().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\n' | b'\r' => {
                let mut end = at + 1;
                if let (b'\r', Some((_, b'\n'))) = (byte, bytes.peek()) {
                    bytes.next();
                    end += 1;
                }
                // Empty lines in front belong to the event that follows.
                if line_is_empty
                    && rest
                        .get(..at)
                        .is_some_and(|before| before.iter().any(|byte| !matches!(byte, b'\r' | b'\n')))
                {
                    return Some(end);
                }
                line_is_empty = true;
            }
            _ => line_is_empty = false,
        }
    }
    None
}

/// The length of an AWS event stream frame, which stands in its first four bytes.
fn frame(rest: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*rest.first_chunk::<4>()?);
    usize::try_from(length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(body: &[u8], framing: &str) -> Vec<usize> {
        let pieces = pieces(body, framing, false);
        assert_eq!(pieces.concat(), body);
        pieces.iter().map(|piece| piece.len()).collect()
    }

    #[test]
    fn events_are_cut_behind_their_empty_line() {
        assert_eq!(lengths(b"data: 1\n\ndata: 2\n\n", "sse"), [9, 9]);
        assert_eq!(lengths(b"data: 1\r\n\r\ndata: 2\r\n\r\n", "sse"), [11, 11]);
        assert_eq!(lengths(b"data: 1\r\rdata", "sse"), [9, 4]);
        assert_eq!(lengths(b"\n\ndata: 1\n\n", "sse"), [11]);
        assert_eq!(lengths(b"{}\n{}\n{", "ndjson"), [3, 3, 1]);
        assert_eq!(lengths(&[0, 0, 0, 5, 9, 0, 0, 0, 99], "eventstream"), [5, 4]);
        assert_eq!(lengths(&[0, 0, 0, 0, 9], "eventstream"), [5]);
        assert!(lengths(b"", "sse").is_empty());
        assert_eq!(lengths(&[1; 2000], "json-array"), [1024, 976]);
    }
}
