//! Opaque tunnels (`intercept: false`): bytes both ways, to the host that the route and the hello name, and to no other.
//!
//! Invariant: the upstream is dialled as every other, and gets no byte before the whole ClientHello was found to name
//! the tunnel's host. A host that Hudson meters is never opaque. What cannot be looked into is ended whole: by a block,
//! by a route that changed, by the end of the run.

use crate::event::Event;
use crate::policy;
use crate::request;
use crate::run::{Run, RunPolicy};
use crate::shared::Shared;
use crate::tls::{self, AcceptFault};
use crate::tunnel::Tunnel;
use hudson_schema::config::{LogLevel, Route};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

/// Carries a tunnel that was opened under `policy` to its end. Its token, and with it the run's, is watched by who calls.
pub(crate) async fn carry<IO>(
    shared: &Shared,
    run: &Run,
    policy: &Arc<RunPolicy>,
    tunnel: &Tunnel,
    mut client: IO,
    mut upstream: TcpStream,
) -> Result<(), AcceptFault>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let hello = tls::read_hello(&mut client, &tunnel.host, shared.limits.tls).await?;
    // Much may have happened since CONNECT: a client has seconds for its hello.
    if request::block(shared, run, |_| None).await.is_err() {
        return Ok(());
    }
    if upstream.write_all(&hello).await.is_err() {
        // The upstream is gone before it was spoken to; the client sees its connection end.
        return Ok(());
    }
    let carried = tokio::select! {
        carried = copy_bidirectional(&mut client, &mut upstream) => carried,
        refusal = request::until_blocked(shared, run, |_| None) => Err(io::Error::other(refusal.message)),
        () = until_rerouted(run, policy, tunnel) => Err(io::Error::other("its route was changed")),
    };
    if run.policy().routes.log == LogLevel::Full {
        shared.events.emit(Event::OpaqueTunnel {
            run: run.id.clone(),
            host: tunnel.host.to_string(),
            port: tunnel.port,
            bytes: carried.as_ref().ok().map(|(sent, received)| (sent + hello.len() as u64, *received)),
            error: carried.err().map(|error| error.to_string()),
        });
    }
    Ok(())
}

/// Waits until the route under which a tunnel was opened is another, or gone.
async fn until_rerouted(run: &Run, opened: &Arc<RunPolicy>, tunnel: &Tunnel) {
    // Where a route stands in its file does not matter.
    let route = |policy: &RunPolicy| {
        policy::opaque_route(&policy.routes, &tunnel.host, tunnel.port)
            .map(|route| Route { line: 0, ..route.clone() })
    };
    let before = route(opened);
    let mut policy = opened.clone();
    while route(&policy) == before {
        policy = run.policy_after(&policy).await;
    }
}
