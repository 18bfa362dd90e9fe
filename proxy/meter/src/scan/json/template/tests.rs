use super::super::tests::{Field, Finds, SELECTOR, any_json};
use super::*;
use proptest::prelude::*;

/// What documents hand on, each from a piece of input of its own, by one scanner or each by a new one.
fn scan(documents: &[String], sizes: &[usize], one: bool) -> Vec<String> {
    let mut scanner = JsonScanner::<Field>::new(&SELECTOR, false);
    let mut finds = Finds::default();
    for (document, size) in documents.iter().zip(sizes.iter().cycle()) {
        if !one {
            scanner = JsonScanner::new(&SELECTOR, false);
        }
        for piece in document.as_bytes().chunks(*size) {
            scanner.feed(piece, &mut finds);
        }
        scanner.settle(&mut finds);
        // What an event leaves behind is told apart from what the next one has.
        finds.0.push(format!("{} {}", scanner.is_broken(), scanner.is_open()));
        scanner.restart();
    }
    finds.0
}

/// Documents of few shapes, in which few values vary, as the events of a stream have them.
fn documents() -> impl Strategy<Value = Vec<String>> {
    let value = prop_oneof![
        4 => "\"[a-c\\\\]{0,3}\"",
        2 => "[0-9]{1,3}",
        1 => Just("null".to_owned()),
        1 => Just("{}".to_owned()),
        1 => Just("[1, {}]".to_owned()),
        1 => Just(r#"{"b":"a","in":[2],"y":3}"#.to_owned()),
        1 => Just(r#"[{"y":1},"x\":"]"#.to_owned()),
        1 => "[\"{}\\[\\],: a]{0,4}",
    ];
    let shape = prop::sample::select(vec![
        r#"{"a":"some id","q":@,"o":{"b":"text","c":1},"list":[1,@,{"a":2}],"s":"12345"}"#,
        r#"{"a":"some id","q":1,"o":{"b":@,"c":@},"list":[],"x":[{"y":@}]}"#,
        r#"{"list": [@, 2], "o": {"b": @}, "bulk": {"in": @}, "s": "x"}"#,
        r#"{"o":@,"x":[{"y":1},{"y":2}],"a":"another \" id"}"#,
    ]);
    let values = prop::collection::vec(value, 1..4);
    // One shape goes on for a while, with the values of a few documents in turn.
    let run = (shape, prop::collection::vec(values, 1..3), 1usize..9).prop_map(|(shape, values, count)| {
        let fill = |values: &Vec<String>| {
            let mut values = values.iter().cycle();
            shape.split('@').collect::<Vec<_>>().into_iter().fold(String::new(), |text, part| {
                match text.is_empty() {
                    true => part.to_owned(),
                    false => format!("{text}{}{part}", values.next().unwrap()),
                }
            })
        };
        values.iter().cycle().take(count).map(fill).collect::<Vec<_>>()
    });
    prop::collection::vec(run, 1..5).prop_map(|runs| runs.concat())
}

proptest! {
    #[test]
    fn what_is_repeated_is_handed_on_as_if_it_were_scanned(documents in documents(), sizes in prop::collection::vec(prop_oneof![1usize..60, Just(1000)], 1..6)) {
        let scanned = scan(&documents, &[usize::MAX], false);
        prop_assert_eq!(&scan(&documents, &[usize::MAX], true), &scanned);
        prop_assert_eq!(&scan(&documents, &sizes, true), &scanned);
    }

    #[test]
    fn any_documents_in_any_order(values in prop::collection::vec(any_json(), 1..4), order in prop::collection::vec(0usize..4, 1..20), size in 1usize..80) {
        let documents: Vec<_> = order.iter().map(|index| values[index % values.len()].to_string()).collect();
        prop_assert_eq!(scan(&documents, &[size], true), scan(&documents, &[usize::MAX], false));
    }
}

#[test]
fn a_stream_of_alike_events_is_repeated() {
    let event = |text: &str| {
        format!(r#"{{"a":"some id","q":{{"deep":[1,2]}},"o":{{"b":"{text}","c":1}},"s":"the end"}}"#)
    };
    let mut scanner = JsonScanner::<Field>::new(&SELECTOR, false);
    for index in 0..10 {
        scanner.feed(event(&index.to_string()).as_bytes(), &mut Finds::default());
        scanner.restart();
    }
    let pieces: Vec<_> = scanner.template.pieces.iter().map(|piece| piece.bytes.as_slice()).collect();
    assert_eq!(pieces, [&br#"{"a":"some id","q":{"deep":[1,2]},"o":{"b":"#[..], br#""c":1},"s":"the end"}"#]);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut scanner = JsonScanner::<Field>::new(&SELECTOR, false);
    let many =
        |value: usize| (0..200).map(|key| format!("\"key{key}\":{value}")).collect::<Vec<_>>().join(",");
    for index in 0..300 {
        let document = format!("{{{},\"a\":\"{}\"}}", many(index), "x".repeat(100_000));
        scanner.feed(document.as_bytes(), &mut Finds::default());
        scanner.restart();
    }
    assert_eq!(scanner.template.pieces.len(), MAX_PIECES);
    assert!(scanner.template.pieces.iter().all(|piece| piece.bytes.len() <= MAX_PIECE));
    assert!(scanner.template.last_bytes.capacity() <= 2 * MAX_PIECE);
}

/// The bytes behind a value say nothing without the place they stand at.
#[test]
fn a_piece_is_no_piece_inside_a_container() {
    let plain = |value: u8| format!(r#"{{"q":"some id","o":{value},"a":"x","s":"y"}}"#);
    let inside = r#"{"q":"some id","o":{"a":"x","s":"y"}}"#.to_owned();
    let documents: Vec<_> = (1..6).map(plain).chain([inside]).collect();
    let scanned = scan(&documents, &[usize::MAX], false);
    assert_eq!(scan(&documents, &[usize::MAX], true), scanned);
    assert_eq!(scanned.last(), Some(&"false false".to_owned()));
    assert_eq!(scanned.iter().filter(|find| find.starts_with("A=")).count(), 5, "{scanned:?}");
}
