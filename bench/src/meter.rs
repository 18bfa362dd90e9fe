//! What metering costs by itself: no peers, no sockets, one thread; recorded streams in, usage out.
//!
//! Every time is the thread's own on the processor, so that what else the machine does adds less to it than to a clock
//! on the wall. The streams are read from `$HUDSON_CORPUS`, else from `../shared/corpus` beside the workspace.

mod bars;
mod corpus;
mod report;
mod work;

pub(crate) use report::Report;

use anyhow::Result;
use corpus::Corpus;
use report::Unit;

/// How many bytes come at a time: what fits a packet, and a full read.
const CHUNKS: [usize; 2] = [1400, 16_384];
/// The content encodings that are decoded.
const ENCODINGS: [&str; 3] = ["gzip", "br", "zstd"];
/// Sizes of one event, in MiB.
const EVENTS: [usize; 3] = [1, 4, 16];
/// Bytes that one figure of one round goes over, at least.
const ENOUGH: usize = 40 << 20;

/// All rounds. A quick one goes over each stream once.
pub(crate) fn run(rounds: u32, quick: bool) -> Result<Report> {
    let corpus = Corpus::read()?;
    let enough = if quick { 1 } else { ENOUGH };
    let families = corpus.families();
    let all: Vec<_> = corpus.streams.iter().collect();
    let events = corpus.streams.iter().map(|stream| stream.events).sum();
    let mut encoded = Vec::new();
    for encoding in ENCODINGS {
        encoded.push((encoding, corpus.encoded(encoding)?));
    }

    let mut report = Report::new(rounds, &corpus);
    for _ in 0..rounds {
        for size in CHUNKS {
            for (family, streams) in &families {
                let spent = work::spend(streams, enough, |stream| work::meter(stream, size));
                report.add(format!("{family}, chunks of {size}"), Unit::MegabytesPerSecond, spent.rate());
            }
            let spent = work::spend(&all, enough, |stream| work::meter(stream, size));
            report.add(bars::all(size), Unit::MegabytesPerSecond, spent.rate());
            report.add(format!("each event, metered, chunks of {size}"), Unit::Nanos, spent.each(events));
            let spent = work::spend(&all, enough, |stream| work::pass_on(stream, size));
            report.add(format!("each event, passed on, chunks of {size}"), Unit::Nanos, spent.each(events));
        }
        for size in EVENTS {
            let event = work::one_event(size)?;
            report.add(bars::event(size), Unit::Millis, event.millis);
            report.add(bars::memory(size), Unit::Kib, event.kib);
        }
        for (encoding, streams) in &encoded {
            let streams: Vec<_> = streams.iter().collect();
            let spent = work::spend(&streams, enough, work::decode);
            report.add(format!("{encoding} decoded"), Unit::MegabytesPerSecond, spent.rate());
        }
    }
    Ok(report)
}
