use super::*;
use proptest::prelude::*;

const LIMIT: usize = 256;

/// Writes capital letters where the data says `list`, and keeps what it was asked.
#[derive(Default)]
struct Capitals(Vec<(String, String)>);

impl EventEditor for Capitals {
    fn edit(&mut self, name: &[u8], data: &[u8]) -> Option<Vec<u8>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.push((text(name), text(data)));
        data.starts_with(b"list").then(|| data.to_ascii_uppercase())
    }
}

/// What comes out of a stream that comes in these pieces, and what was asked.
fn through(pieces: &[&[u8]]) -> (Result<String, ListTooLong>, Vec<(String, String)>, Replies) {
    let (mut filter, mut editor, mut out) = (EventFilter::new(LIMIT), Capitals::default(), Vec::new());
    for piece in pieces {
        if let Err(error) = filter.feed(piece, &mut out, &mut editor) {
            return (Err(error), editor.0, filter.replies());
        }
    }
    filter.finish(&mut out, &mut editor);
    (Ok(String::from_utf8_lossy(&out).into_owned()), editor.0, filter.replies())
}

/// The same at every place where a stream can be cut in two, and byte by byte.
#[track_caller]
fn at_every_split(stream: &str) -> (Result<String, ListTooLong>, Vec<(String, String)>, Replies) {
    let stream = stream.as_bytes();
    let whole = through(&[stream]);
    for cut in 0..=stream.len() {
        let (one, other) = stream.split_at(cut);
        assert_eq!(through(&[one, other]), whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(through(&bytes), whole, "byte by byte");
    whole
}

#[test]
fn only_the_data_changes_that_is_meant_to() {
    for (stream, expected) in [
        ("data: list\n\n", "data: LIST\n\n"),
        ("data:list\n\ndata: other\n\n", "data: LIST\n\ndata: other\n\n"),
        (
            ": hello\nevent: message\nid: 7\ndata: list a\nretry: 3\n\n",
            ": hello\nevent: message\nid: 7\ndata: LIST A\nretry: 3\n\n",
        ),
        ("data: list\r\ndata: of\r\nid: 1\r\n\r\n", "data: LIST\r\ndata: OF\r\nid: 1\r\n\r\n"),
        ("data: list\r\rdata: x\r\r", "data: LIST\r\rdata: x\r\r"),
        ("\u{feff}data: list\n\n", "\u{feff}data: LIST\n\n"),
        ("\u{feff}\n\ndata: list\n\n", "\u{feff}\n\ndata: LIST\n\n"),
        ("\u{feff}: c\n\n", "\u{feff}: c\n\n"),
        ("id: 1\n\n\u{feff}data: list\n\n", "id: 1\n\n\u{feff}data: list\n\n"),
        ("data: list", "data: LIST\n"),
        ("event: x\n\n", "event: x\n\n"),
        ("database: list\n\n", "database: list\n\n"),
        ("\n\n\r\n: a\n\n: b\n", "\n\n\r\n: a\n\n: b\n"),
        ("data\n\ndata: \n\n", "data\n\ndata: \n\n"),
    ] {
        assert_eq!(at_every_split(stream).0.as_deref(), Ok(expected), "{stream:?}");
    }
}

#[test]
fn names_and_data_are_those_that_a_client_reads() {
    let (_, asked, _) = at_every_split("event: endpoint\ndata: /messages\ndata: 2\n\n: c\ndata:  x\n\n\n");
    let pair = |name: &str, data: &str| (name.to_owned(), data.to_owned());
    assert_eq!(asked, [pair("endpoint", "/messages\n2"), pair("", " x")]);
}

#[test]
fn an_event_that_is_too_long_passes_unless_it_is_a_list() {
    let long = "x".repeat(2 * LIMIT);
    let call = format!("data: {{\"id\":1,\"result\":{{\"content\":\"{long}\"}}}}\n\ndata: list\n\n");
    let changed = call.replace("data: list", "data: LIST");
    assert_eq!(at_every_split(&call).0, Ok(changed));
    for list in [
        format!("data: {{\"result\":{{\"tools\":[\"{long}\"]}}}}\n\n"),
        format!("data: {{\"result\":{{\"a\":\"{long}\",\"tools\":[]}}}}\n\n"),
        format!("data: [{{\"a\":\"{long}\"}},{{\"result\":{{\"tools\":[]}}}}]\n\n"),
    ] {
        assert_eq!(at_every_split(&list).0, Err(ListTooLong { limit: LIMIT }), "{list}");
    }
}

#[test]
fn answers_are_told_from_what_a_server_says_besides() {
    let stream = concat!(
        "data: {\"method\":\"notifications/progress\",\"params\":{\"error\":1,\"result\":{}}}\n\n",
        "data: {\"id\":1,\"result\":{\"isError\":true}}\n\n",
        "data: {\"id\":2,\"error\":{\"code\":-1}}\n\n",
        "data: {\"id\":3,\"error\":null,\"result\":null}\n\n",
        "data: [{\"id\":4,\"error\":\"x\"},{\"id\":5,\"result\":1}]\n\n",
    );
    let (out, _, replies) = at_every_split(stream);
    assert_eq!(out.as_deref(), Ok(stream));
    assert_eq!(replies, Replies { results: 3, errors: 2 });
}

#[test]
fn keep_alives_come_through_at_once_and_events_when_they_are_whole() {
    let (mut filter, mut editor, mut out) = (EventFilter::new(LIMIT), Capitals::default(), Vec::new());
    let mut feed = |filter: &mut EventFilter, piece: &str| {
        out.clear();
        filter.feed(piece.as_bytes(), &mut out, &mut editor).unwrap();
        (String::from_utf8_lossy(&out).into_owned(), filter.is_between())
    };
    for (piece, passed, between) in [
        (": ping\n", ": ping\n", true),
        ("\n", "\n", true),
        (": ping\r\n\r", ": ping\r\n\r", true),
        ("\n", "\n", true),
        ("data: list\n", "", false),
        ("\n", "data: LIST\n\n", true),
        (": p", "", false),
        ("\n\ndata", ": p\n\n", false),
        (": x\n\n", "data: x\n\n", true),
    ] {
        assert_eq!(feed(&mut filter, piece), (passed.to_owned(), between), "{piece:?}");
    }
}

proptest! {
    #[test]
    fn what_is_not_edited_is_byte_for_byte_the_same(
        pieces in prop::collection::vec(
            prop_oneof![
                Just("\n"), Just("\r"), Just("\r\n"), Just("data:"), Just("data: "), Just(":"), Just("event: "),
                Just("\u{feff}"), Just("{\"result\":{\"tool\":1}}"), Just("x"), Just("data"),
            ],
            0..40,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let stream = pieces.concat();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.sort_unstable();
        let (mut parts, mut from) = (Vec::new(), 0);
        for place in places {
            parts.push(&stream.as_bytes()[from..place]);
            from = place;
        }
        parts.push(&stream.as_bytes()[from..]);
        let (out, asked, _) = through(&parts);
        prop_assert_eq!(out.unwrap(), stream.clone());
        prop_assert_eq!(asked, through(&[stream.as_bytes()]).1);
    }

    #[test]
    fn any_bytes_are_read_alike_at_any_split(
        bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b'd'), any::<u8>()], 0..80),
        cut in any::<prop::sample::Index>(),
    ) {
        let (one, other) = bytes.split_at(cut.index(bytes.len() + 1));
        let (out, asked, replies) = through(&[one, other]);
        prop_assert_eq!((out.clone(), asked, replies), through(&[&bytes]));
        prop_assert_eq!(out.unwrap(), String::from_utf8_lossy(&bytes).into_owned());
    }
}
