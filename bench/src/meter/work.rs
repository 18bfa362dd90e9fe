//! What is measured, and how long it took.

use super::corpus::Stream;
use crate::clock::thread_cpu;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use hudson_meter::{End, Meter, ResponseHead, StreamDecoder};
use hudson_schema::Format;
use std::hint::black_box;

/// How many bytes of the one large event come at a time.
const CHUNK: usize = 1400;

/// What some passes over streams took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    nanos: f64,
    passes: usize,
    /// Of one pass, decoded.
    bytes: usize,
}

/// What one event of many mebibytes took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) millis: f64,
    /// How much resident memory rose while it was read.
    pub(super) kib: f64,
}

impl Spent {
    /// Megabytes of decoded text in a second.
    pub(super) fn rate(self) -> f64 {
        (self.bytes * self.passes) as f64 * 1e3 / self.nanos
    }

    /// Nanoseconds of each of so many in a pass.
    pub(super) fn each(self, count: u64) -> f64 {
        self.nanos / self.passes as f64 / count as f64
    }
}

/// Does something with each stream, until `enough` bytes were gone over.
pub(super) fn spend(streams: &[&Stream], enough: usize, work: impl Fn(&Stream)) -> Spent {
    let bytes: usize = streams.iter().map(|stream| stream.plain).sum();
    let passes = enough.div_ceil(bytes.max(1));
    let started = thread_cpu();
    for _ in 0..passes {
        streams.iter().for_each(|stream| work(stream));
    }
    Spent { nanos: thread_cpu() - started, passes, bytes }
}

/// What metering adds to a stream: the meter reads each chunk.
pub(super) fn meter(stream: &Stream, size: usize) {
    let head = ResponseHead {
        status: 200,
        content_type: Some(stream.content_type.as_str()).filter(|kind| !kind.is_empty()),
        content_encoding: None,
        stated: None,
    };
    let mut meter = Meter::new(stream.format, &head);
    for chunk in stream.body.chunks(size) {
        meter.feed(chunk);
    }
    black_box(meter.finish(End::Complete));
}

/// What is done with one that is not metered: each chunk is copied once, as it is when it is passed on.
pub(super) fn pass_on(stream: &Stream, size: usize) {
    for chunk in stream.body.chunks(size) {
        black_box(Bytes::copy_from_slice(chunk));
    }
}

/// Decodes a stream and reads nothing.
pub(super) fn decode(stream: &Stream) {
    let Ok(mut decoder) = StreamDecoder::new(stream.encoding) else { return };
    let mut out = Vec::new();
    for chunk in stream.body.chunks(1 << 10) {
        out.clear();
        if decoder.decode(chunk, &mut out).is_err() {
            return;
        }
        black_box(&out);
    }
}

/// Meters one event of so many MiB, most of them one string, as a generated image is.
pub(super) fn one_event(mib: usize) -> Result<Event> {
    let head = ResponseHead { status: 200, ..ResponseHead::default() };
    let mut meter = Meter::new(Format::OpenaiResponses, &head);
    let chunk = [b'A'; CHUNK];
    meter.feed(b"data: {\"type\":\"x\",\"response\":{\"output\":[\"");
    // Writing 5 makes the most that was resident what is resident now.
    std::fs::write("/proc/self/clear_refs", "5").context("resetting the peak of the memory")?;
    let before = peak_kib()?;
    let started = thread_cpu();
    for _ in 0..(mib << 20).div_ceil(CHUNK) {
        meter.feed(black_box(&chunk));
    }
    meter.feed(b"\"]}}\n\n");
    let millis = (thread_cpu() - started) / 1e6;
    let kib = peak_kib()? - before;
    anyhow::ensure!(meter.finish(End::Complete).fault.is_none(), "the event was not read");
    Ok(Event { millis, kib })
}

/// The most resident memory so far, in KiB.
fn peak_kib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
    Ok(line.context("/proc/self/status has no VmHWM")?.parse()?)
}
