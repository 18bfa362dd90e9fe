//! Turning an answer into bytes on a connection: paced events, gzip per event, faults, and the journal's record.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Response, StatusCode};
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use super::Shared;
use super::script::{Fault, Script, Usage};

/// Time for the events before a break to leave the machine.
const BEFORE_BREAK: Duration = Duration::from_millis(50);

pub(super) type Body = BoxBody<Bytes, std::io::Error>;

/// An answer in its provider's format, not yet on the wire.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    /// The body; for a stream, one element an event.
    pub(super) frames: Vec<Bytes>,
    pub(super) stream: bool,
    pub(super) fault: Option<Fault>,
    /// The event with which this format reports a failure in mid-stream.
    pub(super) error_event: Bytes,
    pub(super) usage: Option<Usage>,
    pub(super) model: Option<String>,
    pub(super) text: Option<String>,
    pub(super) id: Option<String>,
}

impl Reply {
    pub(super) fn bytes(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            frames: vec![body.into()],
            stream: false,
            fault: None,
            error_event: Bytes::new(),
            usage: None,
            model: None,
            text: None,
            id: None,
        }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json", body.to_string())
    }

    /// A whole answer to a model call.
    pub(super) fn answer(script: &Script, body: &Value) -> Self {
        Self::json(200, body).of(script)
    }

    /// A streamed answer to a model call.
    pub(super) fn events(script: &Script, frames: Vec<Bytes>, error_event: Bytes) -> Self {
        let mut reply = Self::bytes(200, "text/event-stream; charset=utf-8", Bytes::new()).of(script);
        reply.frames = frames;
        reply.stream = true;
        reply.error_event = error_event;
        reply.headers.push(("cache-control", "no-cache".to_owned()));
        reply
    }

    fn of(mut self, script: &Script) -> Self {
        self.usage = Some(script.usage);
        self.model = Some(script.model.clone());
        self.text = Some(script.text());
        self.id = Some(script.id.clone());
        self.fault = script.fault;
        self
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// One server-sent event with a name.
pub(super) fn named_event(name: &str, data: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// One server-sent event without a name.
pub(super) fn data_event(data: &str) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

/// Puts an answer on the wire and into the journal.
pub(super) fn deliver(
    reply: Reply,
    gzip: bool,
    entry: Option<usize>,
    shared: &Arc<Shared>,
) -> Response<Body> {
    let gzip = gzip && reply.status == 200 && shared.options.gzip;
    let mut response = Response::builder().status(reply.status).header("content-type", reply.content_type);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    if gzip {
        response = response.header("content-encoding", "gzip");
    }
    shared.journal.update(entry, |entry| {
        entry.status = reply.status;
        entry.stream = reply.stream;
        entry.usage = reply.usage;
        entry.model.clone_from(&reply.model);
        entry.text.clone_from(&reply.text);
        entry.answer_id.clone_from(&reply.id);
    });
    let body = if reply.stream || matches!(reply.fault, Some(Fault::Drop(_))) {
        let (sender, body) = Channel::new(16);
        tokio::spawn(stream(reply, gzip, entry, Arc::clone(shared), sender));
        body.boxed()
    } else {
        let mut coder = Coder::new(gzip);
        let mut whole = coder.code(&reply.frames.concat()).to_vec();
        whole.extend_from_slice(&coder.end());
        shared.journal.sent(entry, &whole);
        shared.journal.update(entry, |entry| entry.complete = true);
        Full::from(whole).map_err(|never| match never {}).boxed()
    };
    response.body(body).unwrap_or_else(|error| {
        let body = Full::from(error.to_string()).map_err(|never| match never {}).boxed();
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

async fn stream(
    reply: Reply,
    gzip: bool,
    entry: Option<usize>,
    shared: Arc<Shared>,
    mut sender: http_body_util::channel::Sender<Bytes, std::io::Error>,
) {
    let mut coder = Coder::new(gzip);
    let mut send = async |coded: Bytes| {
        if coded.is_empty() {
            return true;
        }
        // The record comes first: whoever has read a byte finds it in the journal.
        shared.journal.sent(entry, &coded);
        sender.send_data(coded).await.is_ok()
    };
    for (count, frame) in reply.frames.iter().enumerate() {
        match reply.fault {
            Some(Fault::Drop(after)) if count >= after || !reply.stream => {
                if !reply.stream {
                    send(coder.code(frame.get(..frame.len() / 2).unwrap_or_default())).await;
                }
                // What was sent before the break shall arrive: a reset would throw it away.
                tokio::time::sleep(BEFORE_BREAK).await;
                sender.abort(std::io::Error::other("dropped on purpose"));
                return;
            }
            Some(Fault::Stall(after)) if count == after => tokio::time::sleep(shared.options.stall).await,
            Some(Fault::Error(after)) if count >= after => {
                send(coder.code(&reply.error_event)).await;
                send(coder.end()).await;
                return;
            }
            _ => {}
        }
        if !shared.options.gap.is_zero() {
            tokio::time::sleep(shared.options.gap).await;
        }
        // Counted before it is sent: what a client has read was never more.
        shared.journal.update(entry, |entry| entry.sent_events = count + 1);
        if !send(coder.code(frame)).await {
            return;
        }
    }
    if send(coder.end()).await {
        shared.journal.update(entry, |entry| entry.complete = true);
    }
}

/// Plain bytes, or gzip with a flush after each event as the providers do it.
enum Coder {
    Plain,
    Gzip(Option<GzEncoder<Vec<u8>>>),
}

impl Coder {
    fn new(gzip: bool) -> Self {
        if gzip { Self::Gzip(Some(GzEncoder::new(Vec::new(), Compression::fast()))) } else { Self::Plain }
    }

    fn code(&mut self, bytes: &[u8]) -> Bytes {
        let Self::Gzip(Some(encoder)) = self else { return Bytes::copy_from_slice(bytes) };
        let coded = encoder.write_all(bytes).and_then(|()| encoder.flush());
        coded.expect("a Vec takes every byte");
        Bytes::from(std::mem::take(encoder.get_mut()))
    }

    fn end(&mut self) -> Bytes {
        let Self::Gzip(encoder) = self else { return Bytes::new() };
        let rest = encoder.take().map(|encoder| encoder.finish().expect("a Vec takes every byte"));
        Bytes::from(rest.unwrap_or_default())
    }
}
