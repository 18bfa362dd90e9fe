use super::*;
use proptest::prelude::*;
use std::io::Write;

const STREAM: &str = "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n\
    data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\ndata: [DONE]\n\n";

fn head(encoding: Option<&str>) -> ResponseHead<'_> {
    ResponseHead {
        status: 200,
        content_type: Some("text/event-stream"),
        content_encoding: encoding,
        ..ResponseHead::default()
    }
}

#[test]
fn a_meter_can_move_to_another_task() {
    fn sent<T: Send + 'static>() {}
    sent::<Meter>();
}

#[test]
fn each_flush_of_an_encoded_stream_is_counted_at_once() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut meter = Meter::new(Format::OpenaiChat, &head(Some("gzip")));
    for (at, event) in STREAM.split_inclusive("\n\n").enumerate() {
        encoder.write_all(event.as_bytes()).unwrap();
        encoder.flush().unwrap();
        meter.feed(&std::mem::take(encoder.get_mut()));
        assert!(meter.live_output() >= if at >= 2 { 4 } else { 2 }, "event {at}");
    }
    // The connection closes before the trailer: the numbers were in.
    let report = meter.finish(End::Interrupted);
    assert!(report.exact && report.fault.is_none());
    assert_eq!(report.usage.map(|usage| usage.total), Some(7));
}

#[test]
fn what_cannot_be_decoded_is_a_fault_and_never_a_number() {
    for (encoding, body) in
        [("compress", STREAM.as_bytes()), ("gzip", STREAM.as_bytes()), ("zstd", b"\x28\xb5\x2f\xfd")]
    {
        let mut meter = Meter::new(Format::OpenaiChat, &head(Some(encoding)));
        meter.feed(body);
        let report = meter.finish(End::Complete);
        assert!(report.fault.is_some() && !report.exact && report.usage.is_none(), "{encoding}: {report:?}");
    }
    let bomb = zstd::encode_all(std::io::repeat(b' ').take_bytes(64 << 20).as_slice(), 3).unwrap();
    let mut meter = Meter::new(Format::OpenaiChat, &head(Some("zstd")));
    meter.feed(&bomb);
    assert_eq!(meter.finish(End::Complete).fault.as_deref(), Some("the body decodes to more than the limit"));
}

trait TakeBytes {
    fn take_bytes(self, count: usize) -> Vec<u8>;
}

impl TakeBytes for std::io::Repeat {
    fn take_bytes(self, count: usize) -> Vec<u8> {
        vec![b' '; count]
    }
}

#[test]
fn the_framing_is_what_the_bytes_are() {
    let json = r#"{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;
    for kind in [None, Some("text/event-stream"), Some("application/json; charset=utf-8"), Some("text/plain")]
    {
        for (body, stream) in [(STREAM, true), (json, false)] {
            let head = ResponseHead {
                status: 200,
                content_type: kind,
                content_encoding: None,
                ..ResponseHead::default()
            };
            let mut meter = Meter::new(Format::OpenaiChat, &head);
            meter.feed(body.as_bytes());
            let report = meter.finish(End::Complete);
            assert!(report.exact && report.stream == stream, "{kind:?}");
        }
    }
    for (kind, body) in
        [(Some("audio/mpeg"), STREAM), (None, "<html>"), (Some("application/json"), "\u{1}{}")]
    {
        let head = ResponseHead {
            status: 200,
            content_type: kind,
            content_encoding: None,
            ..ResponseHead::default()
        };
        let mut meter = Meter::new(Format::OpenaiChat, &head);
        meter.feed(body.as_bytes());
        let report = meter.finish(End::Complete);
        assert!(report.fault.is_some() && !report.exact, "{kind:?}");
    }
    let empty = Meter::new(Format::Anthropic, &head(None)).finish(End::Complete);
    assert!(!empty.exact && !empty.finished && empty.usage.is_none());
}

#[test]
fn a_huge_event_takes_constant_memory_and_its_usage_is_found() {
    let mut meter = Meter::new(Format::OpenaiResponses, &head(None));
    meter.feed(
        b"data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"output\":[{\"result\":\"",
    );
    let image = vec![b'A'; 1400];
    for _ in 0..12_000 {
        meter.feed(&image);
    }
    meter.feed(b"\"}],\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"total_tokens\":3}}}\n\n");
    assert!(meter.scratch.capacity() == 0);
    let report = meter.finish(End::Complete);
    assert_eq!((report.exact, report.usage.map(|usage| usage.total)), (true, Some(3)));
}

proptest! {
    #[test]
    fn noise_never_panics_and_the_split_does_not_matter(
        body in prop::collection::vec(prop_oneof![
            3 => Just(b"data: {\"usage\":{\"input_tokens\":1,\"output_tokens\":2},\"type\":\"message_delta\"}\n\n".to_vec()),
            3 => Just(b"data: {\"usageMetadata\":{\"promptTokenCount\":1},\"candidates\":[{\"finishReason\":\"S\"}]}\n\n".to_vec()),
            2 => Just(b"{\"a\":[".to_vec()),
            2 => prop::collection::vec(any::<u8>(), 0..12),
        ], 0..8),
        size in 1usize..30,
        which in 0..Format::ALL.len(),
        encoding in prop::sample::select(vec![None, None, Some("gzip"), Some("br"), Some("zstd"), Some("deflate")]),
    ) {
        let body = body.concat();
        let mut reports = [size, body.len().max(1)].into_iter().map(|size| {
            let mut meter = Meter::new(Format::ALL[which], &head(encoding));
            body.chunks(size).for_each(|chunk| meter.feed(chunk));
            meter.finish(End::Complete)
        });
        let (fine, whole) = (reports.next().unwrap(), reports.next().unwrap());
        prop_assert_eq!(&fine.fault, &whole.fault);
        // A decoder that fails may keep back what a finer split let out; neither report is exact then.
        match encoding.is_some() && whole.fault.is_some() {
            true => prop_assert!(!fine.exact && !whole.exact),
            false => prop_assert_eq!(fine, whole),
        }
    }
}
