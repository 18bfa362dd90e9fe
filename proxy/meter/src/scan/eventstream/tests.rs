use super::*;
use crate::formats::tests::bodies::{frame, frame_of};
use proptest::prelude::*;

#[derive(Debug, Default, Eq, PartialEq)]
struct Frames {
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
    done: Vec<(Vec<u8>, bool)>,
}

impl FrameSink for Frames {
    fn header(&mut self, name: &[u8], value: &[u8]) {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.headers.push((text(name), text(value)));
    }
    fn payload(&mut self, bytes: &[u8]) {
        self.payload.extend_from_slice(bytes);
    }
    fn end(&mut self, sound: bool) {
        self.done.push((std::mem::take(&mut self.payload), sound));
    }
}

fn scan(bytes: &[u8], size: usize) -> (FrameScanner, Frames) {
    let (mut scanner, mut frames) = (FrameScanner::new(), Frames::default());
    bytes.chunks(size).for_each(|piece| scanner.feed(piece, &mut frames));
    (scanner, frames)
}

#[test]
fn frames_come_out_whole_wherever_they_are_split() {
    let body =
        [frame("event", "a", b"{\"x\":1}"), frame("exception", "b", b""), frame_of(&[], b"z")].concat();
    for size in [1, 3, 12, 13, usize::MAX] {
        let (scanner, frames) = scan(&body, size);
        let whole = [(b"{\"x\":1}".to_vec(), true), (Vec::new(), true), (b"z".to_vec(), true)];
        assert_eq!(frames.done, whole, "in pieces of {size}");
        assert!(!scanner.is_open() && !scanner.is_broken());
        assert_eq!(frames.headers[1], (":event-type".to_owned(), "a".to_owned()));
        assert_eq!(frames.headers[4], (":exception-type".to_owned(), "b".to_owned()));
    }
}

#[test]
fn headers_of_every_type_are_passed_over() {
    let mut headers = Vec::new();
    for (kind, value) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)]
        .map(|(kind, size)| (kind, vec![7; size]))
    {
        headers.extend_from_slice(&[1, b'h', kind]);
        headers.extend_from_slice(&value);
    }
    headers.extend_from_slice(b"\x01b\x06\x00\x02xy\x01t\x07\x00\x02no");
    let (_, frames) = scan(&frame_of(&headers, b"p"), 1);
    assert_eq!(frames.headers, [("t".to_owned(), "no".to_owned())]);
    assert_eq!(frames.done, [(b"p".to_vec(), true)]);
}

#[test]
fn a_wrong_checksum_is_said_and_the_next_frame_is_found() {
    let sound = frame("event", "a", b"{}");
    let mut wrong = sound.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let (scanner, frames) = scan(&[wrong, sound].concat(), 5);
    assert_eq!(frames.done, [(b"{}".to_vec(), false), (b"{}".to_vec(), true)]);
    assert!(!scanner.is_broken());
}

#[test]
fn lengths_that_no_frame_has_end_the_reading() {
    let prelude = |total: u32, headers: u32| {
        let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    };
    let mut lying = prelude(100, 10);
    lying[11] ^= 1;
    for bytes in [
        prelude(u32::MAX, 0),
        prelude(15, 0),
        prelude(0, 0),
        prelude(100, 85),
        prelude(1 << 20, 1 << 19),
        lying,
    ] {
        let (scanner, frames) = scan(&[bytes.as_slice(), &[0; 64]].concat(), 7);
        assert!(scanner.is_broken() && frames.done.is_empty(), "{bytes:?}");
    }
    // A header that says it is longer than all of them.
    assert!(scan(&frame_of(b"\x09abc", b""), 4).0.is_broken());
}

proptest! {
    #[test]
    fn noise_is_the_same_at_every_split_and_costs_no_memory(
        parts in prop::collection::vec(prop_oneof![
            3 => prop::collection::vec(any::<u8>(), 0..300).prop_map(|payload| frame("event", "chunk", &payload)),
            1 => prop::collection::vec(any::<u8>(), 0..40),
            1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(|headers| frame_of(&headers, b"x")),
        ], 0..6),
        size in 1usize..50,
    ) {
        let body = parts.concat();
        let ((fine, split), (whole, frames)) = (scan(&body, size), scan(&body, usize::MAX));
        prop_assert_eq!(split, frames);
        prop_assert_eq!((fine.is_open(), fine.is_broken()), (whole.is_open(), whole.is_broken()));
        prop_assert!(fine.taken.capacity() <= 2 * MAX_HEADERS);
    }
}
