//! `hudson replay`: recorded provider streams over TLS, for demonstrations and tests. It plays every host of the
//! recordings at once: whatever name a client asks for, it gets a certificate of a throw-away CA. Plain HTTP is answered on
//! the same port.
//!
//! Invariant: bodies leave as they were recorded, byte for byte; everything that can be wrong with the recordings is
//! found before anything listens.

mod authority;
mod body;
mod choice;
mod manifest;
mod server;
mod stream;

use super::{Context, output};
use crate::cli::ReplayArgs;
use crate::exit;
use crate::network;
use anyhow::{Context as _, Result};
use authority::Authority;
use choice::Recordings;
use serde_json::json;
use server::Server;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Serves a folder of recordings until told to stop.
pub(super) async fn execute(context: &Context, arguments: ReplayArgs) -> Result<u8> {
    let recordings = Recordings::new(manifest::read(&arguments.directory)?);
    let authority = Authority::make().context("making the throw-away CA")?;
    let listener = TcpListener::bind(arguments.listen).await.with_context(|| {
        format!("cannot listen on {}; is another hudson running there?", arguments.listen)
    })?;
    let address = listener.local_addr()?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("waiting for signals")?;
    let ca_file = CaFile::write(arguments.ca_file.as_deref(), authority.certificate_pem())?;
    let streams = recordings.len();
    let server = Arc::new(Server { recordings, gap: Duration::from_millis(arguments.gap) });
    tokio::spawn(server::serve(listener, authority.acceptor()?, server));
    let ready = json!({"address": address, "ca_file": ca_file.path, "streams": streams});
    if let Some(path) = &arguments.ready_file {
        network::write_ready(path, &ready)?;
    }
    match context.json {
        true => output::json(&ready)?,
        false => output::text(&format!(
            "replaying {streams} streams of {} on {address}\n\
             reach it with: --connect-to HOST:443:{address} --upstream-ca {}\n",
            arguments.directory.display(),
            ca_file.path.display()
        ))?,
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(exit::OK)
}

/// The CA's certificate on disk; one that was not asked for is removed at the end.
struct CaFile {
    path: PathBuf,
    temporary: bool,
}

impl CaFile {
    fn write(named: Option<&Path>, pem: &str) -> Result<Self> {
        let (path, temporary) = match named {
            Some(path) => (std::path::absolute(path)?, false),
            None => (std::env::temp_dir().join(format!("hudson-replay-{}.pem", uuid::Uuid::now_v7())), true),
        };
        std::fs::write(&path, pem).with_context(|| {
            format!("cannot write the CA's certificate to {}; name another --ca-file", path.display())
        })?;
        Ok(Self { path, temporary })
    }
}

impl Drop for CaFile {
    fn drop(&mut self) {
        if self.temporary {
            // Best effort: it holds a certificate and no key.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
