use super::*;
use futures_util::StreamExt;
use proptest::prelude::*;

#[derive(Debug, Default, Eq, PartialEq)]
struct Events {
    data: Vec<u8>,
    done: Vec<(String, String)>,
}

impl SseSink for Events {
    fn data(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
    }
    fn end(&mut self, name: &[u8]) {
        let data = String::from_utf8_lossy(&std::mem::take(&mut self.data)).into_owned();
        self.done.push((String::from_utf8_lossy(name).into_owned(), data));
    }
}

fn scan(input: &[u8], sizes: &[usize]) -> Vec<(String, String)> {
    let mut scanner = SseScanner::new();
    let mut events = Events::default();
    let mut rest = input;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, more) = rest.split_at((*size).min(rest.len()));
        scanner.feed(chunk, &mut events);
        rest = more;
    }
    scanner.finish(&mut events);
    events.done
}

fn one(name: &str, data: &str) -> (String, String) {
    (name.to_owned(), data.to_owned())
}

#[test]
fn every_line_end_and_the_fields_that_matter() {
    for eol in ["\n", "\r\n", "\r"] {
        let input = "\u{feff}: comment\nevent: a\ndata: 1\ndata:2\nid: 7\nretry: 5\nnonsense\n\ndata\n\ndata:  x\n\nevent: b\n\n"
            .replace('\n', eol);
        for size in [1, 2, 5, 1000] {
            let expected = [one("a", "1\n2"), one("", ""), one("", " x"), one("b", "")];
            assert_eq!(scan(input.as_bytes(), &[size]), expected, "{eol:?} at {size}");
        }
    }
}

#[test]
fn bytes_that_are_no_text_and_an_open_end_are_taken() {
    assert_eq!(scan(b"data: \xff\xfe\n\ndata: end", &[1]), [one("", "\u{fffd}\u{fffd}"), one("", "end")]);
    // Half a byte order mark is a field name nobody knows.
    assert_eq!(scan(b"\xef\xbbdata: x\n\ndata: y\n\n", &[1]), [one("", "y")]);
    assert_eq!(scan(b"datax: x\ndat: y\ndata : z\n\n", &[3]), []);
}

#[test]
fn a_large_event_is_linear() {
    let event = format!("data: {}\n\n", "x".repeat(4 << 20));
    assert_eq!(scan(event.as_bytes(), &[1400])[0].1.len(), 4 << 20);
}

/// Lines as the wire has them, with a field more often than not.
fn lines() -> impl Strategy<Value = Vec<(String, &'static str)>> {
    let line = prop_oneof![
        3 => "(data|event): ?[ -~é]{0,10}",
        1 => Just(String::new()),
        1 => "[ -~]{0,8}",
    ];
    prop::collection::vec((line, prop::sample::select(vec!["\n", "\r\n"])), 0..16)
}

/// The same lines read as the standard says it, all at once.
fn read(input: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(input.strip_prefix(&BOM).unwrap_or(input))
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), None::<String>);
    for line in text.split('\n').chain([""]) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data = Some(data.map_or_else(String::new, |data| data + "\n") + value),
            "event" => name = value.to_owned(),
            "" if line.is_empty() => {
                let data = data.take();
                if data.is_some() || !name.is_empty() {
                    events.push((std::mem::take(&mut name), data.unwrap_or_default()));
                }
            }
            _ => {}
        }
    }
    events
}

proptest! {
    #[test]
    fn it_reads_what_the_standard_says(
        bom in any::<bool>(),
        text in prop::collection::vec((prop_oneof![3 => "(data|event|dat|datas):? ?[ -~é]{0,40}", 1 => Just(String::new()), 1 => ":?[ -~]{0,8}"], prop::sample::select(vec!["\n", "\r\n", "\r"])), 0..16),
        sizes in prop::collection::vec(1usize..50, 1..6),
    ) {
        let text: String = text.iter().map(|(line, eol)| format!("{line}{eol}")).collect();
        let input = if bom { format!("\u{feff}{text}") } else { text };
        prop_assert_eq!(scan(input.as_bytes(), &sizes), read(input.as_bytes()), "{:?}", input);
    }

    #[test]
    fn the_split_does_not_matter(input in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), any::<u8>()], 0..80), text in lines(), sizes in prop::collection::vec(1usize..9, 1..9)) {
        let text: String = text.iter().map(|(line, eol)| format!("{line}{eol}")).collect();
        for input in [input, text.into_bytes()] {
            prop_assert_eq!(scan(&input, &sizes), scan(&input, &[usize::MAX]));
        }
    }

    /// `eventsource-stream` as a second opinion, on inputs it survives: no byte order mark, no lone CR, no open end.
    #[test]
    fn it_agrees_with_eventsource_stream(text in lines()) {
        let input: String = text.iter().map(|(line, eol)| format!("{line}{eol}")).collect::<String>() + "\n\n";
        let ours: Vec<_> = scan(input.as_bytes(), &[7]).into_iter().filter(|(_, data)| !data.is_empty()).collect();
        let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(input.clone())]);
        let theirs = eventsource_stream::EventStream::new(stream);
        let theirs: Vec<_> = futures_util::FutureExt::now_or_never(theirs.collect::<Vec<_>>())
            .unwrap()
            .into_iter()
            .map(|event| event.unwrap())
            // It calls an event without a name `message`.
            .map(|event| (if event.event == "message" { String::new() } else { event.event }, event.data))
            .filter(|(_, data)| !data.is_empty())
            .collect();
        let ours: Vec<_> = ours.into_iter().map(|(name, data)| (if name == "message" { String::new() } else { name }, data)).collect();
        prop_assert_eq!(ours, theirs, "{:?}", input);
    }
}
