//! Both directions of a relayed WebSocket, and how it ends.
//!
//! Invariant: memory is two buffers and a frame each way; every end is told to both sides as well as it can be: by the
//! Close frame that came, by one of ours where the side stands between two frames, else by the end of its connection,
//! as an abnormal end of the other side is. After an order to end no byte of a message passes.

use super::gate::{Gate, Stop};
use super::lane::{Lane, LaneEnd};
use crate::shared::Shared;
use crate::websocket::{Counts, Violation, close_frame};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
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
    /// The client closed it in the midst of something that is read to its end without it.
    ClientLeft,
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

    /// There is no room for it now (1013).
    pub(super) fn try_later(reason: &str) -> Self {
        Self { name: "no_room", code: 1013, reason: reason.to_owned() }
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
            Self::Closed | Self::ClientLeft => "closed",
            Self::ClientLost => "client_lost",
            Self::UpstreamLost => "upstream_lost",
            Self::ClientViolation(_) => "client_violation",
            Self::UpstreamViolation(_) => "upstream_violation",
            Self::Idle => "idle",
            Self::Ordered(order) => order.name,
        }
    }

    /// Whether it was the client's end, and not the upstream's or ours.
    fn is_the_clients(&self) -> bool {
        matches!(self, Self::ClientLeft | Self::ClientLost | Self::ClientViolation(_))
    }

    /// Our own Close frame's code and reason, where there has to be one.
    fn close(&self) -> Option<(u16, String)> {
        match self {
            // Their end is told by the end of the connection: 1006 cannot be sent (RFC 6455 section 7.4.1).
            Self::Closed | Self::ClientLost | Self::UpstreamLost => None,
            Self::ClientViolation(violation) | Self::UpstreamViolation(violation) => {
                Some((violation.close_code(), violation.to_string()))
            }
            Self::ClientLeft => Some((1000, String::new())),
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

/// Relays until it ends; `ordered` is the order to end. What the gate awaits of the upstream is read out without a
/// client, as a response is whose client left.
pub(super) async fn relay<U: Gate, D: Gate>(
    client: Upgraded,
    upstream: Upgraded,
    (mut up, mut down): (Lane<U>, Lane<D>),
    ordered: impl Future<Output = Order>,
    shared: &Shared,
) -> Relayed {
    let (mut client, mut upstream) = (Side::new(client), Side::new(upstream));
    let cause = tokio::select! {
        cause = both(&mut client, &mut upstream, &mut up, &mut down, shared.limits.idle) => cause,
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
    // A Close that was kept back is ours to send.
    let kept_back = matches!(cause, Cause::ClientLeft) && up.is_between_frames();
    let to_upstream = close.as_ref().filter(|_| up.may_close() || kept_back);
    let to_upstream =
        to_upstream.and_then(|(code, reason)| Some(close_frame(*code, reason, Some(masking_key()?))));
    if !cause.is_the_clients() {
        // Before the client sees the end, as everywhere.
        down.gate.close().await;
    }
    let leaving = async {
        read_out(&mut down, &mut upstream, shared).await;
        down.gate.close().await;
        part(upstream, to_upstream, &mut down).await;
    };
    tokio::join!(part(client, to_client, &mut up), leaving);
    Relayed { sent, received, cause, code }
}

/// Reads what the gate awaits, within the limits for what is read on without a client.
async fn read_out<D: Gate>(down: &mut Lane<D>, upstream: &mut Side, shared: &Shared) {
    if !down.gate.is_awaited() {
        return;
    }
    // The slot is claimed before anything is read, so that the cap holds.
    let Ok(_slot) = shared.detached.clone().try_acquire_owned() else { return };
    tokio::select! {
        _ = timeout(shared.limits.detached_time, down.read_out(&mut upstream.read)) => {}
        () = shared.abort.cancelled() => {}
    }
}

/// Carries both directions until one of them, or nothing coming, ends it all.
async fn both<U: Gate, D: Gate>(
    client: &mut Side,
    upstream: &mut Side,
    up: &mut Lane<U>,
    down: &mut Lane<D>,
    idle: Duration,
) -> Cause {
    // Until when one direction may go on after the other is over.
    let mut closing = None::<Instant>;
    while !(up.over && down.over) {
        let quiet = up.active().max(down.active()) + idle;
        let (end, from_client) = tokio::select! {
            end = up.run(&mut client.read, &mut upstream.write) => (end, true),
            end = down.run(&mut upstream.read, &mut client.write) => (end, false),
            () = sleep_until(closing.map_or(quiet, |closing| closing.min(quiet))) => match closing {
                Some(closing) if closing <= Instant::now() => break,
                _ if up.active().max(down.active()) + idle <= Instant::now() => return Cause::Idle,
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
            LaneEnd::Stopped(Stop::Left) => return Cause::ClientLeft,
            LaneEnd::Stopped(Stop::Order(order)) => return Cause::Ordered(order),
        }
    }
    gone(up, down, if up.over { Cause::UpstreamLost } else { Cause::ClientLost })
}

/// What ended it when a connection is gone: the Close frame before it, if there was one.
fn gone<U: Gate, D: Gate>(up: &Lane<U>, down: &Lane<D>, lost: Cause) -> Cause {
    match up.passage.is_closed() || down.passage.is_closed() {
        true => Cause::Closed,
        false => lost,
    }
}

/// Takes leave of a side: our Close frame, if there is one, and a moment for its answer; then the end of the connection.
async fn part<G: Gate>(mut side: Side, close: Option<Vec<u8>>, from_it: &mut Lane<G>) {
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
