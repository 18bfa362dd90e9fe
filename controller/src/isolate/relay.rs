//! From a bottle's network namespace to the proxy of a running `hudson up`.
//!
//! Invariant: nothing is dialled but that proxy, which asks for the run's credentials itself.

use anyhow::Result;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use tokio::net::TcpStream;

/// Relays every connection that is made to `listener` to the proxy at `to`, for as long as the process lives.
pub fn relay(listener: TcpListener, to: SocketAddr) -> Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((client, _)) => {
                    tokio::spawn(pass(client, to));
                }
                // A full file table is waited out.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    Ok(())
}

async fn pass(mut client: TcpStream, to: SocketAddr) {
    // The address of the operator's own proxy, by its own word: no name and nothing of the agent's is in it.
    #[allow(clippy::disallowed_methods)]
    let Ok(mut proxy) = TcpStream::connect(to).await else { return };
    let _ = (client.set_nodelay(true), proxy.set_nodelay(true));
    // Either side may break off; the other is told by its own end.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut proxy).await;
}
