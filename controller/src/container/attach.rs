//! A container's standard streams, over a connection of their own.
//!
//! Own code, not bollard's: its reader takes the length of a frame from whatever a container with a terminal prints, and
//! would gather as much in memory as an agent likes. Invariant: memory is bounded, whatever comes.

use super::Engine;
use anyhow::{Context, Result, bail};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::UnixStream;

/// How long the engine may take to connect the streams.
const LIMIT: Duration = Duration::from_secs(60);
/// The head of a frame: which stream, and how many bytes follow.
const HEAD: usize = 8;
/// A piece that is passed on at once.
const PIECE: usize = 16 * 1024;
/// Of an error that is shown.
const TOLD: usize = 4096;
/// Keys that nobody types, for what the engine would else take Ctrl-P and Ctrl-Q for: leaving the container alone.
const DETACH: &str = "ctrl-%40%2Cctrl-_%2Cctrl-%5E%2Cctrl-%40%2Cctrl-_";

/// What is copied ahead of who reads.
const AHEAD: usize = 64 * 1024;

/// Connected streams.
pub(super) struct Attached {
    /// What it prints: frames, or with a terminal the plain bytes.
    pub(super) output: Box<dyn AsyncRead + Send + Unpin>,
    /// What it reads.
    pub(super) input: Box<dyn AsyncWrite + Send + Unpin>,
}

/// Connects to the streams of a container that was not started yet.
pub(super) async fn attach(engine: &Engine, container: &str) -> Result<Attached> {
    within(engine, container, async {
        let (output, input) = upgraded(engine, container, "stdin=1&stdout=1&stderr=1").await?;
        Ok(Attached { output: Box::new(output), input: Box::new(input) })
    })
    .await
}

/// Connects to the streams of a container that was started: all that it has printed comes, from its beginning on. Where it
/// has ended already nothing is asked about its input, which Podman would begin it anew for.
pub(super) async fn attach_again(engine: &Engine, container: &str, runs: bool) -> Result<Attached> {
    within(engine, container, async {
        let path = format!("/containers/{container}/logs?follow=1&stdout=1&stderr=1");
        let request = Request::get(path).header(header::HOST, "engine").body(Empty::new())?;
        let mut body = asked(engine, request, StatusCode::OK).await?.into_body();
        let (output, mut copy) = tokio::io::simplex(AHEAD);
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(piece) = frame.into_data() else { continue };
                if copy.write_all(&piece).await.is_err() {
                    return;
                }
            }
            let _ = copy.shutdown().await;
        });
        let input: Box<dyn AsyncWrite + Send + Unpin> = match runs {
            true => Box::new(upgraded(engine, container, "stdin=1").await?.1),
            false => Box::new(tokio::io::sink()),
        };
        Ok(Attached { output: Box::new(output), input })
    })
    .await
}

async fn within<T>(
    engine: &Engine,
    container: &str,
    connecting: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(LIMIT, connecting)
        .await
        .with_context(|| format!("the engine does not answer for {} s", LIMIT.as_secs()))
        .flatten()
        .with_context(|| {
            format!("the engine at {}: connecting to the container {container}", engine.socket().display())
        })
}

type Upgrade = TokioIo<Upgraded>;

async fn upgraded(
    engine: &Engine,
    container: &str,
    streams: &str,
) -> Result<(ReadHalf<Upgrade>, WriteHalf<Upgrade>)> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/containers/{container}/attach?stream=1&{streams}&detachKeys={DETACH}"))
        .header(header::HOST, "engine")
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "tcp")
        .body(Empty::new())?;
    let response = asked(engine, request, StatusCode::SWITCHING_PROTOCOLS).await?;
    Ok(tokio::io::split(TokioIo::new(hyper::upgrade::on(response).await?)))
}

/// Asks on a connection of its own. Old engines answer 200 to an upgrade, and change over all the same.
async fn asked(
    engine: &Engine,
    request: Request<Empty<Bytes>>,
    expected: StatusCode,
) -> Result<Response<Incoming>> {
    let stream = UnixStream::connect(engine.socket()).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(request).await?;
    let status = response.status();
    if status != expected && status != StatusCode::OK {
        let body = Limited::new(response.into_body(), TOLD).collect().await;
        let told = body.map(|body| body.to_bytes()).unwrap_or_default();
        bail!("{status}: {}", String::from_utf8_lossy(&told).trim());
    }
    Ok(response)
}

/// Passes on what a container prints, to its end. With a terminal there is one stream.
pub(super) async fn pass_on(
    from: &mut (impl AsyncRead + Unpin),
    terminal: bool,
    stdout: &mut (impl AsyncWrite + Unpin),
    stderr: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    if terminal {
        return copy(from, u64::MAX, stdout).await.map(drop);
    }
    loop {
        let mut head = [0; HEAD];
        match from.read_exact(&mut head).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let [stream, _, _, _, a, b, c, d] = head;
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        let passed = match stream {
            0 | 1 => copy(from, length, stdout).await?,
            2 | 3 => copy(from, length, stderr).await?,
            other => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the engine sends a stream {other}, which there is none of"),
                ));
            }
        };
        if passed < length {
            return Ok(());
        }
    }
}

/// Copies so many bytes, or fewer where the source ends. A reader that has gone is no reason for the container to stop.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    length: u64,
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let Some(room) = piece.get_mut(..most) else { break };
        let count = from.read(room).await?;
        if count == 0 {
            break;
        }
        if let Some(read) = piece.get(..count) {
            let _ = to.write_all(read).await;
            let _ = to.flush().await;
        }
        left = left.saturating_sub(count as u64);
    }
    Ok(length - left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let mut bytes = vec![stream, 0, 0, 0];
        bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text);
        bytes
    }

    async fn passed(bytes: &[u8], terminal: bool) -> (io::Result<()>, Vec<u8>, Vec<u8>) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut from = bytes;
        let result = pass_on(&mut from, terminal, &mut out, &mut err).await;
        (result, out, err)
    }

    #[tokio::test]
    async fn streams_come_apart_at_whatever_length() {
        let long = vec![b'x'; 3 * PIECE + 1];
        let bytes = [frame(1, b"one\n"), frame(2, b"two\n"), frame(1, b""), frame(1, &long)].concat();
        let (result, out, err) = passed(&bytes, false).await;
        result.unwrap();
        assert_eq!(out, [b"one\n".as_slice(), &long].concat());
        assert_eq!(err, b"two\n");
    }

    #[tokio::test]
    async fn what_is_cut_off_ends_and_what_is_no_frame_is_an_error() {
        let (result, out, _) = passed(&frame(1, b"whole")[..10], false).await;
        result.unwrap();
        assert_eq!(out, b"wh");
        let (result, ..) = passed(b"plain text that is no frame", false).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_terminals_bytes_are_never_taken_for_frames() {
        let hostile = b"\x01\0\0\0\xff\xff\xff\xff and on";
        let (result, out, _) = passed(hostile, true).await;
        result.unwrap();
        assert_eq!(out, hostile);
    }
}
