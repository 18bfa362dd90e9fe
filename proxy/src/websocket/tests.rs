//! Traffic in both directions, by hand; [`laws`] has what holds for all of it.

mod laws;

use super::*;
use proptest::prelude::*;
use secrecy::SecretString;
use std::io::{self, Read, Write};
use tungstenite::WebSocket;
use tungstenite::protocol::{Role, WebSocketConfig};

const KEY: [u8; 4] = [0xa1, 0x00, 0xff, 0x3c];
const SECRET: &str = "sk-0123456789";

/// What a direction was read as: frames with their whole payload, and how it ended.
#[derive(Debug, Default, PartialEq)]
struct Reading {
    frames: Vec<(FrameHead, Vec<u8>, String)>,
    /// A frame that is not complete. How much of it was reported before a violation inside it depends on the split.
    begun: Option<(FrameHead, Vec<u8>)>,
    violation: Option<Violation>,
}

fn read(sender: Sender, limit: u64, pieces: &[&[u8]]) -> Reading {
    let mut parser = Parser::new(sender, limit);
    let mut reading = Reading::default();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match parser.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Event::Head { head, wire })) => {
                    let mut encoded = Vec::new();
                    head.encode(&mut encoded);
                    assert_eq!(encoded, wire, "a header is not what it says");
                    reading.begun = Some((head, Vec::new()));
                }
                Ok(Some(Event::Payload { wire, clear })) => {
                    assert_eq!(wire.len(), clear.len());
                    reading.begun.as_mut().unwrap().1.extend_from_slice(clear);
                }
                Ok(Some(Event::End(end))) => {
                    let (head, payload) = reading.begun.take().unwrap();
                    reading.frames.push((head, payload, format!("{end:?}")));
                }
                Err(violation) => {
                    assert_eq!(parser.next(&mut input), Err(violation), "a violation is final");
                    reading.begun = None;
                    reading.violation = Some(violation);
                    return reading;
                }
            }
        }
        assert!(input.is_empty(), "something was left");
    }
    reading
}

/// Feeds a passage; what went out, and the verdict.
fn pass(mut passage: Passage, pieces: &[&[u8]]) -> (Vec<u8>, Vec<Message>, Result<(), Violation>, Passage) {
    let (mut out, mut messages) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut input = *piece;
        loop {
            let fed = passage.feed(&mut input);
            out.extend_from_slice(passage.out());
            passage.clear_out();
            match fed {
                Ok(None) => break,
                Ok(Some(message)) => {
                    passage.admit(&message.payload);
                    messages.push(message);
                }
                Err(violation) => return (out, messages, Err(violation), passage),
            }
        }
    }
    out.extend_from_slice(passage.out());
    (out, messages, Ok(()), passage)
}

fn frame(fin: bool, opcode: Opcode, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FrameHead { fin, opcode, mask: key, length: payload.len() as u64 }.encode(&mut out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        mask(key, 0, &mut out[start..]);
    }
    out
}

/// One message of valid traffic: its kind, where it is cut into fragments, and a ping between them.
#[derive(Clone, Debug)]
struct Sent {
    text: bool,
    payload: Vec<u8>,
    cuts: Vec<usize>,
    ping: Option<Vec<u8>>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let text = ".{0,40}".prop_map(|text| (true, text.into_bytes()));
    let binary = prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| (false, bytes));
    let long = (60_000usize..70_000).prop_map(|length| (false, vec![7; length]));
    let payload = prop_oneof![8 => text, 8 => binary, 1 => long];
    let ping = prop::option::of(prop::collection::vec(any::<u8>(), 0..125));
    (payload, prop::collection::vec(0usize..300, 0..4), ping).prop_map(|((text, payload), mut cuts, ping)| {
        cuts.sort_unstable();
        cuts.retain(|cut| *cut <= payload.len());
        Sent { text, payload, cuts, ping }
    })
}

fn traffic(messages: &[Sent], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut wire = Vec::new();
    for message in messages {
        let mut opcode = if message.text { Opcode::Text } else { Opcode::Binary };
        let mut start = 0;
        for cut in &message.cuts {
            wire.extend(frame(false, opcode, key, &message.payload[start..*cut]));
            if let Some(ping) = &message.ping {
                wire.extend(frame(true, Opcode::Ping, key, ping));
            }
            (opcode, start) = (Opcode::Continuation, *cut);
        }
        wire.extend(frame(true, opcode, key, &message.payload[start..]));
    }
    wire
}

/// Bytes that are near enough to frames to come deep into the parser.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(0x81u8),
        Just(0x01),
        Just(0x00),
        Just(0x80),
        Just(0x82),
        Just(0x88),
        Just(0x89),
        Just(0x8a),
        Just(0x82),
        Just(0x85),
        Just(0x02),
        Just(0x7e),
        Just(0xfe),
        Just(0x7f),
        Just(0xff),
        any::<u8>(),
    ];
    prop::collection::vec(byte, 0..80)
}

fn at(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

fn splits_agree(sender: Sender, bytes: &[u8], cuts: &[usize]) {
    let pieces = at(bytes, cuts);
    let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let whole = read(sender, 1 << 16, &[bytes]);
    assert_eq!(read(sender, 1 << 16, &pieces), whole);
    assert_eq!(read(sender, 1 << 16, &single), whole);
}

/// What `tungstenite` reads and never answers.
struct Wire(io::Cursor<Vec<u8>>);

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tungstenite_reads(wire: Vec<u8>, role: Role) -> Vec<(MessageKind, Vec<u8>)> {
    let mut socket =
        WebSocket::from_raw_socket(Wire(io::Cursor::new(wire)), role, Some(WebSocketConfig::default()));
    let mut messages = Vec::new();
    while let Ok(message) = socket.read() {
        match message {
            tungstenite::Message::Text(text) => messages.push((MessageKind::Text, text.as_bytes().to_vec())),
            tungstenite::Message::Binary(bytes) => messages.push((MessageKind::Binary, bytes.to_vec())),
            _ => {}
        }
    }
    messages
}

#[test]
fn every_breach_has_its_violation_and_code() {
    let client = |bytes: &[u8]| (Sender::Client, bytes.to_vec());
    let server = |bytes: &[u8]| (Sender::Server, bytes.to_vec());
    let long = [&[0x82, 127][..], &65_537u64.to_be_bytes()].concat();
    let in_two = [
        frame(false, Opcode::Binary, None, &[0; 40_000]),
        frame(true, Opcode::Continuation, None, &[0; 30_000]),
    ];
    for ((sender, wire), violation, code) in [
        (client(&[0x81, 0x05]), Violation::NotMasked, 1002),
        (server(&[0x81, 0x85]), Violation::Masked, 1002),
        (server(&[0xc1]), Violation::ReservedBit, 1002),
        (server(&[0xa1]), Violation::ReservedBit, 1002),
        (server(&[0x91]), Violation::ReservedBit, 1002),
        (server(&[0x83]), Violation::ReservedOpcode { bits: 3 }, 1002),
        (server(&[0x8f]), Violation::ReservedOpcode { bits: 15 }, 1002),
        (server(&[0x82, 126, 0, 125]), Violation::LengthNotMinimal, 1002),
        (server(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), Violation::LengthNotMinimal, 1002),
        (server(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), Violation::LengthTooHigh, 1002),
        (server(&[0x89, 126]), Violation::ControlTooLong, 1002),
        (server(&[0x09]), Violation::ControlFragmented, 1002),
        (server(&[0x80]), Violation::NothingToContinue, 1002),
        (server(&[0x01, 0, 0x81]), Violation::MessageInsideMessage, 1002),
        (server(&[0x81, 1, 0xff]), Violation::TextNotUtf8, 1007),
        (server(&[0x81, 1, 0xc3]), Violation::TextNotUtf8, 1007),
        (server(&[0x01, 1, 0xc3, 0x80, 1, 0x28]), Violation::TextNotUtf8, 1007),
        (server(&[0x88, 1, 3]), Violation::CloseCodeMissing, 1002),
        (server(&[0x88, 2, 3, 0xed]), Violation::CloseCode { code: 1005 }, 1002),
        (server(&[0x88, 3, 3, 0xe8, 0xff]), Violation::CloseReasonNotUtf8, 1007),
        (server(&long), Violation::MessageTooLong { limit: 1 << 16 }, 1009),
        (server(&in_two.concat()), Violation::MessageTooLong { limit: 1 << 16 }, 1009),
        (client(b"GET / HTTP/1.1\r\n\r\n"), Violation::ReservedBit, 1002),
        (client(b"\x16\x03\x01\x02\x00"), Violation::ReservedBit, 1002),
        (client(b"SSH-2.0-x\r\n"), Violation::ReservedBit, 1002),
    ] {
        let single: Vec<&[u8]> = wire.chunks(1).collect();
        for pieces in [&[wire.as_slice()][..], &single] {
            assert_eq!(read(sender, 1 << 16, pieces).violation, Some(violation), "{wire:x?}");
        }
        assert_eq!(violation.close_code(), code);
        // Of what is wrong nothing goes on, and the other side stands between two frames.
        let (out, _, verdict, passage) = pass(Passage::new(sender, 1 << 16, Handing::Streamed), &single);
        assert_eq!((verdict, passage.is_between_frames()), (Err(violation), true));
        assert_eq!(read(sender, 1 << 16, &[&out]).begun, None);
    }
}

#[test]
fn text_may_be_cut_inside_a_character() {
    let wire = [frame(false, Opcode::Text, None, &[0xc3]), frame(true, Opcode::Continuation, None, &[0xbc])]
        .concat();
    let (out, messages, verdict, _) =
        pass(Passage::new(Sender::Server, DEFAULT_MESSAGE, Handing::Seen { bound: 9 }), &[&wire]);
    assert_eq!((out, verdict), (wire, Ok(())));
    assert_eq!(messages[0].payload, "ü".as_bytes());
}

#[test]
fn nothing_is_read_after_a_close() {
    let close = close_frame(1001, "", Some(KEY));
    let wire = [&close[..], b"anything at all"].concat();
    let (out, _, verdict, passage) = pass(Passage::new(Sender::Client, 99, Handing::Streamed), &[&wire]);
    assert_eq!((out, verdict, passage.is_closed()), (close, Ok(()), true));
}

#[test]
fn a_held_message_goes_on_only_when_admitted_and_as_it_was_admitted() {
    let wire = [
        frame(false, Opcode::Text, Some(KEY), b"one "),
        frame(true, Opcode::Ping, Some(KEY), b"?"),
        frame(true, Opcode::Continuation, Some(KEY), b"two"),
        frame(true, Opcode::Text, Some(KEY), b"three"),
    ];
    let mut passage = Passage::new(Sender::Client, DEFAULT_MESSAGE, Handing::Held { bound: 9 });
    let wire_bytes = wire.concat();
    let mut input = &wire_bytes[..];
    let message = passage.feed(&mut input).unwrap().unwrap();
    assert_eq!((message.payload.as_slice(), message.is_cut()), (&b"one two"[..], false));
    // The ping does not wait; the message does.
    assert_eq!(passage.out(), wire[1]);
    passage.clear_out();
    passage.admit(b"instead");
    assert_eq!(passage.out(), frame(true, Opcode::Text, Some(KEY), b"instead"));
    passage.clear_out();
    // A second verdict is none, and a message that is not admitted is gone.
    passage.admit(b"again");
    assert_eq!(passage.feed(&mut input).unwrap().unwrap().payload, b"three");
    assert_eq!(passage.feed(&mut input), Ok(None));
    assert_eq!(passage.out(), b"");
    let long = frame(true, Opcode::Text, Some(KEY), b"ten bytes.");
    assert_eq!(passage.feed(&mut &long[..]), Err(Violation::MessageTooLong { limit: 9 }));
}

#[test]
fn a_message_over_the_bound_is_handed_out_cut_and_goes_on_whole() {
    let wire = frame(true, Opcode::Binary, Some(KEY), &[5; 200_000]);
    let pieces: Vec<&[u8]> = wire.chunks(16_384).collect();
    let seen = Passage::new(Sender::Client, DEFAULT_MESSAGE, Handing::Seen { bound: 1000 });
    let (out, messages, verdict, _) = pass(seen, &pieces);
    assert_eq!((out == wire, verdict), (true, Ok(())));
    assert_eq!((messages[0].payload.len(), messages[0].length, messages[0].is_cut()), (1000, 200_000, true));
}

#[test]
fn a_long_frame_streams_and_a_short_one_waits_for_its_end() {
    let mut passage = Passage::new(Sender::Server, DEFAULT_MESSAGE, Handing::Streamed);
    let short = frame(true, Opcode::Binary, None, &[1; 60_000]);
    passage.feed(&mut &short[..59_000]).unwrap();
    assert_eq!((passage.out(), passage.is_between_frames()), (&[][..], true));
    passage.feed(&mut &short[59_000..]).unwrap();
    assert_eq!(passage.out(), short);
    passage.clear_out();
    let long = frame(true, Opcode::Binary, None, &[1; 70_000]);
    passage.feed(&mut &long[..20]).unwrap();
    assert_eq!((passage.out(), passage.is_between_frames()), (&long[..20], false));
    passage.feed(&mut &long[20..]).unwrap();
    assert!(passage.is_between_frames());
}

#[test]
fn a_message_of_ours_has_its_place_between_two_messages_and_not_inside_one() {
    let mut passage = Passage::new(Sender::Server, DEFAULT_MESSAGE, Handing::Read);
    let feed = |passage: &mut Passage, bytes: &[u8]| {
        passage.feed(&mut &*bytes).unwrap();
        passage.clear_out();
        passage.is_between_messages()
    };
    let whole = frame(true, Opcode::Text, None, b"whole");
    assert!(feed(&mut passage, &whole[..4]), "nothing of it went out");
    assert!(feed(&mut passage, &whole[4..]));
    assert!(!feed(&mut passage, &frame(false, Opcode::Text, None, b"first")));
    assert!(!feed(&mut passage, &frame(true, Opcode::Ping, None, b"?")));
    assert!(feed(&mut passage, &frame(true, Opcode::Continuation, None, b" last")));
    let long = frame(true, Opcode::Text, None, &[b'x'; 70_000]);
    assert!(!feed(&mut passage, &long[..20]));
    assert!(feed(&mut passage, &long[20..]));
    passage.say(b"ours");
    assert_eq!(passage.out(), frame(true, Opcode::Text, None, b"ours"));
}

#[test]
fn a_held_message_that_is_dismissed_never_goes_on() {
    let mut passage = Passage::new(Sender::Client, DEFAULT_MESSAGE, Handing::Held { bound: 1 << 20 });
    let wire =
        [frame(false, Opcode::Text, Some(KEY), b"one"), frame(true, Opcode::Continuation, Some(KEY), b"two")];
    passage.feed(&mut &wire[0][..]).unwrap();
    assert_eq!(passage.announced(), 3);
    assert!(passage.feed(&mut &wire[1][..]).unwrap().is_some());
    assert_eq!(passage.announced(), 0);
    passage.dismiss();
    passage.admit(b"too late");
    assert_eq!(passage.out(), b"");
}

#[test]
fn a_message_that_ends_like_a_value_begins_waits_for_nothing() {
    let values = vec![SecretString::from(SECRET.to_owned())];
    let wire = frame(true, Opcode::Text, None, b"it begins with sk-01");
    let passage = Passage::without(values, DEFAULT_MESSAGE, Handing::Streamed);
    assert_eq!(pass(passage, &[&wire]).0, wire);
}

#[test]
fn empty_fragments_inside_a_value_cannot_fill_the_memory() {
    let values = vec![SecretString::from(SECRET.to_owned())];
    let mut wire = frame(false, Opcode::Text, None, b"sk-01");
    for _ in 0..2000 {
        wire.extend(frame(false, Opcode::Continuation, None, b""));
    }
    let (out, _, verdict, _) = pass(Passage::without(values, DEFAULT_MESSAGE, Handing::Streamed), &[&wire]);
    assert_eq!(verdict, Err(Violation::Scattered));
    assert!(!out.windows(5).any(|bytes| bytes == b"sk-01"));
}

#[test]
fn a_close_reason_with_a_value_goes_on_without_it_and_with_its_code() {
    let values = vec![SecretString::from(SECRET.to_owned())];
    let wire = close_frame(3000, &format!("you sent {SECRET}"), None);
    let passage = Passage::without(values, DEFAULT_MESSAGE, Handing::Streamed);
    assert_eq!(
        pass(passage, &[&wire]).0,
        close_frame(3000, &format!("you sent {}", "*".repeat(SECRET.len())), None)
    );
}

#[test]
fn the_seeds_of_the_fuzzer_are_read_the_same_at_every_split() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/websocket");
    let mut seen = 0;
    for seed in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(seed.unwrap().path()).unwrap();
        for sender in [Sender::Client, Sender::Server] {
            for cut in 0..=bytes.len() {
                splits_agree(sender, &bytes[1..], &[cut]);
            }
        }
        seen += 1;
    }
    assert!(seen > 4, "no seeds");
}
