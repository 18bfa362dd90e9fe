//! Accepting connections: TLS or plain HTTP on one port, HTTP/1.1 or HTTP/2 by ALPN.
//!
//! It is a forward proxy to itself too: a CONNECT to any host ends at the same answers. So clients are tried against
//! the simulator with exactly the proxy variables that they get under Hudson, and Hudson is the only difference.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::delivery::Body;
use super::{Shared, router};

/// First byte of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a connection needs to answer.
#[derive(Clone)]
struct Desk {
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
}

pub(super) async fn serve(listener: TcpListener, tls: Arc<rustls::ServerConfig>, shared: Arc<Shared>) {
    let desk = Desk { acceptor: TlsAcceptor::from(tls), shared };
    loop {
        // Out of descriptors, for instance: other connections will end, so waiting a little is the cure.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        // A client that breaks off is no concern of the simulator's.
        tokio::spawn(connection(stream, desk.clone()));
    }
}

async fn connection(stream: TcpStream, desk: Desk) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first == [TLS_HANDSHAKE] {
        return encrypted(stream, desk).await;
    }
    let service = service_fn(move |request| proxy_or_answer(request, desk.clone()));
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await?;
    Ok(())
}

async fn encrypted<S>(stream: S, desk: Desk) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = desk.acceptor.accept(stream).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| answer(request, desk.clone()));
    if http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await?;
    } else {
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await?;
    }
    Ok(())
}

async fn proxy_or_answer(request: Request<Incoming>, desk: Desk) -> Result<Response<Body>, Infallible> {
    if request.method() != Method::CONNECT {
        return answer(request, desk).await;
    }
    tokio::spawn(async move {
        let tunnel = hyper::upgrade::on(request).await?;
        encrypted(TokioIo::new(tunnel), desk).await
    });
    Ok(Response::new(Empty::new().map_err(|never| match never {}).boxed()))
}

async fn answer(request: Request<Incoming>, desk: Desk) -> Result<Response<Body>, Infallible> {
    Ok(router::answer(request, &desk.shared).await)
}
