//! Both directions of a relayed WebSocket, and how it ends.
//!
//! Invariant: memory is two buffers and a frame each way; every end is told to both sides as well as it can be: by the
//! Close frame that came, by one of ours where the side stands between two frames, else by the end of its connection,
//! as an abnormal end of the other side is. After an order to end no byte of a message passes.

use super::lane::{Lane, LaneEnd};
use crate::websocket::{Counts, DEFAULT_MESSAGE, Handing, Passage, Sender, Violation, close_frame};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use std::future::Future;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, sleep_until, timeout};

/// How long a side may take to answer our Close frame, and to end its connection.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long one side may go on after the other has closed: the clients' own time-outs are as long.
const CLOSING: Duration = Duration::from_secs(10);

/// What a WebSocket came to.
pub(super) struct Relayed {
    /// From the client to the upstream.
    pub(super) sent: Counts,
    /// From the upstream to the client.
    pub(super) received: Counts,
    pub(super) cause: Cause,
    /// The code it was closed with.
    pub(super) code: Option<u16>,
}

/// What ended it.
#[derive(Debug)]
pub(super) enum Cause {
    /// The sides themselves, with Close frames.
    Closed,
    /// The client's connection ended.
    ClientLost,
    /// The upstream's connection ended.
    UpstreamLost,
    /// The client broke the protocol.
    ClientViolation(Violation),
    /// The upstream broke the protocol.
    UpstreamViolation(Violation),
    /// Nothing came from either side for too long.
    Idle,
    /// Hudson.
    Ordered(Order),
}

/// An order to end.
#[derive(Debug)]
pub(super) struct Order {
    name: &'static str,
    code: u16,
    reason: String,
}

impl Order {
    /// This end goes away (1001).
    pub(super) fn going_away(reason: &str) -> Self {
        Self { name: "going_away", code: 1001, reason: reason.to_owned() }
    }

    /// It may not go on (1008).
    pub(super) fn cut_off(reason: &str) -> Self {
        Self { name: "cut_off", code: 1008, reason: reason.to_owned() }
    }
}

impl Cause {
    /// Its name in the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::ClientLost => "client_lost",
            Self::UpstreamLost => "upstream_lost",
            Self::ClientViolation(_) => "client_violation",
            Self::UpstreamViolation(_) => "upstream_violation",
            Self::Idle => "idle",
            Self::Ordered(order) => order.name,
        }
    }

    /// Our own Close frame's code and reason, where there has to be one.
    fn close(&self) -> Option<(u16, String)> {
        match self {
            // Their end is told by the end of the connection: 1006 cannot be sent (RFC 6455 section 7.4.1).
            Self::Closed | Self::ClientLost | Self::UpstreamLost => None,
            Self::ClientViolation(violation) | Self::UpstreamViolation(violation) => {
                Some((violation.close_code(), violation.to_string()))
            }
            Self::Idle => Some((1001, "nothing came for too long".to_owned())),
            Self::Ordered(order) => Some((order.code, order.reason.clone())),
        }
    }
}

/// A connection, its two directions apart.
struct Side {
    read: ReadHalf<TokioIo<Upgraded>>,
    write: WriteHalf<TokioIo<Upgraded>>,
}

impl Side {
    fn new(connection: Upgraded) -> Self {
        let (read, write) = split(TokioIo::new(connection));
        Self { read, write }
    }
}

/// Relays until it ends. What the upstream sends carries none of `values`; `ordered` is the order to end.
pub(super) async fn relay(
    client: Upgraded,
    upstream: Upgraded,
    values: Vec<SecretString>,
    idle: Duration,
    ordered: impl Future<Output = Order>,
) -> Relayed {
    let (mut client, mut upstream) = (Side::new(client), Side::new(upstream));
    let mut up = Lane::new(Passage::new(Sender::Client, DEFAULT_MESSAGE, Handing::Streamed));
    let mut down = Lane::new(Passage::without(values, DEFAULT_MESSAGE, Handing::Streamed));
    let cause = tokio::select! {
        cause = both(&mut client, &mut upstream, &mut up, &mut down, idle) => cause,
        order = ordered => Cause::Ordered(order),
    };
    let close = cause.close();
    let code = match (&close, up.passage.close(), down.passage.close()) {
        (Some((code, _)), _, _) => Some(*code),
        (None, Some(close), _) | (None, None, Some(close)) => Some(close.code),
        (None, None, None) => None,
    };
    // After an order no further byte is counted as passed, though it is read to see the other side close.
    let (sent, received) = (up.passage.counts(), down.passage.counts());
    let to_client = close.as_ref().filter(|_| down.may_close());
    let to_client = to_client.map(|(code, reason)| close_frame(*code, reason, None));
    let to_upstream = close.as_ref().filter(|_| up.may_close());
    let to_upstream =
        to_upstream.and_then(|(code, reason)| Some(close_frame(*code, reason, Some(masking_key()?))));
    tokio::join!(part(client, to_client, &mut up), part(upstream, to_upstream, &mut down));
    Relayed { sent, received, cause, code }
}

/// Carries both directions until one of them, or nothing coming, ends it all.
async fn both(
    client: &mut Side,
    upstream: &mut Side,
    up: &mut Lane,
    down: &mut Lane,
    idle: Duration,
) -> Cause {
    // Until when one direction may go on after the other is over.
    let mut closing = None::<Instant>;
    while !(up.over && down.over) {
        let quiet = up.active.max(down.active) + idle;
        let (end, from_client) = tokio::select! {
            end = up.run(&mut client.read, &mut upstream.write) => (end, true),
            end = down.run(&mut upstream.read, &mut client.write) => (end, false),
            () = sleep_until(closing.map_or(quiet, |closing| closing.min(quiet))) => match closing {
                Some(closing) if closing <= Instant::now() => break,
                _ if up.active.max(down.active) + idle <= Instant::now() => return Cause::Idle,
                _ => continue,
            },
        };
        match end {
            LaneEnd::Closed => closing = Some(Instant::now() + CLOSING),
            // Who is gone waits for no answer, but what is under way, a Close frame perhaps, may still come.
            LaneEnd::ReceiverLost | LaneEnd::Gone => closing = Some(Instant::now() + FAREWELL),
            LaneEnd::SenderLost if from_client => return gone(up, down, Cause::ClientLost),
            LaneEnd::SenderLost => return gone(up, down, Cause::UpstreamLost),
            LaneEnd::Violated(violation) if from_client => return Cause::ClientViolation(violation),
            LaneEnd::Violated(violation) => return Cause::UpstreamViolation(violation),
        }
    }
    gone(up, down, if up.over { Cause::UpstreamLost } else { Cause::ClientLost })
}

/// What ended it when a connection is gone: the Close frame before it, if there was one.
fn gone(up: &Lane, down: &Lane, lost: Cause) -> Cause {
    match up.passage.is_closed() || down.passage.is_closed() {
        true => Cause::Closed,
        false => lost,
    }
}

/// Takes leave of a side: our Close frame, if there is one, and a moment for its answer; then the end of the connection.
async fn part(mut side: Side, close: Option<Vec<u8>>, from_it: &mut Lane) {
    let parting = async {
        if let Some(close) = close {
            side.write.write_all(&close).await?;
            side.write.flush().await?;
            from_it.drain(&mut side.read).await;
        }
        side.write.shutdown().await?;
        // What is left unread would turn the end into a reset, which can overtake the Close frame.
        let mut rest = [0; 512];
        while side.read.read(&mut rest).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // A side that takes longer, or is gone, is dropped.
    let _ = timeout(FAREWELL, parting).await;
}

/// The key that masks a frame of ours; without randomness there is no frame.
fn masking_key() -> Option<[u8; 4]> {
    let mut key = [0; 4];
    getrandom::fill(&mut key).is_ok().then_some(key)
}
