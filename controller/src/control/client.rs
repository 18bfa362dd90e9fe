//! The other side of the control socket: what `hudson` commands ask of a running controller.

use crate::dlp::Summary;
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hudson_proxy::LaunchSecret;
use hudson_schema::RunId;
use hudson_schema::config::{BottleAddress, ListenAddress};
use hudson_schema::home::Home;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long an order may take, which waits for those who carry it out.
const ORDERED_WITHIN: Duration = Duration::from_secs(40);
/// How long it rests before it knocks again where too many wait to be let in.
const REST: Duration = Duration::from_millis(50);
/// The longest answer, in bytes: thousands of bottles.
const MAX_ANSWER: usize = 64 << 20;

/// What a running controller says of itself: `GET /v1/version`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Identity {
    /// Hudson's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Which command it is: `up` or `controller`.
    pub role: String,
    /// Where its proxy listens; nowhere where it has none.
    pub addresses: Vec<ListenAddress>,
    /// Where its metrics are, if they are.
    #[serde(default)]
    pub metrics: Option<std::net::SocketAddr>,
    /// Where approvals are asked for over HTTP, if they are.
    #[serde(default)]
    pub confirm: Option<std::net::SocketAddr>,
    /// Where they are decided, if they are.
    #[serde(default)]
    pub admin: Option<std::net::SocketAddr>,
    /// What is wrong with the configuration files, if anything.
    #[serde(default)]
    pub configuration_fault: Option<String>,
    /// What of DLP is to be kept an eye on, as its proxy goes by it; absent where it has none.
    #[serde(default)]
    pub dlp: Option<Summary>,
}

impl Identity {
    /// Whether runs can be handed over to it.
    pub fn serves(&self) -> bool {
        self.role == "up"
    }
}

/// Serve a run that stands in the ledger: `POST /v1/runs/{id}/serve`.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RunServe {
    /// The launch's credentials, by the variable under which routes name them. They are stored nowhere.
    #[serde(default)]
    secrets: BTreeMap<String, Secret>,
    /// An address of the run's own, whose clients need no credentials.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub listen: Option<BottleAddress>,
}

#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
enum Secret {
    /// The value itself.
    Value(String),
    /// A member of a JSON file, read anew each time.
    JsonFile {
        /// The file.
        path: PathBuf,
        /// The members to walk down.
        keys: Vec<String>,
    },
}

/// What came of it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Served {
    /// The process that serves it.
    pub pid: u32,
    /// Where its proxy listens.
    pub addresses: Vec<ListenAddress>,
    /// The address that was asked for, of one bottle alone.
    pub own_address: Option<ListenAddress>,
}

/// A launch's credentials.
pub type LaunchSecrets = HashMap<String, LaunchSecret>;

impl RunServe {
    /// The credentials, taken out.
    pub fn take_secrets(&mut self) -> LaunchSecrets {
        let taken = std::mem::take(&mut self.secrets).into_iter().map(|(name, secret)| {
            let secret = match secret {
                Secret::Value(value) => LaunchSecret::Value(SecretString::from(value)),
                Secret::JsonFile { path, keys } => LaunchSecret::JsonFile { path, keys },
            };
            (name, secret)
        });
        taken.collect()
    }
}

/// Hands a run over to the running controller, to be served at an address of its own too if one is named.
pub async fn hand_over(
    home: &Home,
    run: &RunId,
    secrets: &LaunchSecrets,
    listen: Option<&BottleAddress>,
) -> Result<Served> {
    let secrets = secrets
        .iter()
        .map(|(name, secret)| {
            let secret = match secret {
                LaunchSecret::Value(value) => Secret::Value(value.expose_secret().to_owned()),
                LaunchSecret::JsonFile { path, keys } => {
                    Secret::JsonFile { path: path.clone(), keys: keys.clone() }
                }
            };
            (name.clone(), secret)
        })
        .collect();
    let body = serde_json::to_vec(&RunServe { secrets, listen: listen.cloned() })?;
    ask(home, Method::POST, &format!("/v1/runs/{run}/serve"), body, DEADLINE)
        .await?
        .context("hudson up ended just now; try again")
}

/// What the running controller of a home says of itself; `None` when none runs.
pub async fn status(home: &Home) -> Result<Option<Identity>> {
    get(home, "/v1/version").await
}

/// What the running controller of a home answers; `None` when none runs.
pub async fn get<T: DeserializeOwned>(home: &Home, path: &str) -> Result<Option<T>> {
    ask(home, Method::GET, path, Vec::new(), DEADLINE).await
}

/// Orders something of the running controller of a home; `None` when none runs. What it refuses is a [`Refused`].
pub async fn order<T: DeserializeOwned>(
    home: &Home,
    path: &str,
    body: &serde_json::Value,
) -> Result<Option<T>> {
    ask(home, Method::POST, path, serde_json::to_vec(body)?, ORDERED_WITHIN).await
}

/// What a running controller tells as it comes.
pub struct Stream {
    body: Incoming,
    _connection: AbortOnDropHandle<hyper::Result<()>>,
}

impl Stream {
    /// Opens the stream of events; `None` when no controller runs.
    pub async fn open(home: &Home) -> Result<Option<Self>> {
        let Some(stream) = connect(&home.control_socket()).await else { return Ok(None) };
        let (response, connection) = send(stream, Method::GET, "/v1/events", Vec::new()).await?;
        if !response.status().is_success() {
            bail!("{}: no events: {}", home.control_socket().display(), response.status());
        }
        Ok(Some(Self { body: response.into_body(), _connection: connection }))
    }

    /// Waits for something to be told; `false` at its end. What only says that it lives is passed over.
    pub async fn next(&mut self) -> bool {
        while let Some(Ok(frame)) = self.body.frame().await {
            if frame.data_ref().is_some_and(|data| !data.starts_with(b":")) {
                return true;
            }
        }
        false
    }
}

/// The running controller has understood what it was asked, and says why it did not do it.
#[derive(Debug, thiserror::Error)]
#[error("the running hudson: {0}")]
pub struct Refused(pub String);

async fn ask<T: DeserializeOwned>(
    home: &Home,
    method: Method,
    path: &str,
    body: Vec<u8>,
    deadline: Duration,
) -> Result<Option<T>> {
    let socket = home.control_socket();
    let asking = async {
        match connect(&socket).await {
            None => Ok(None),
            Some(stream) => exchange(stream, method, path, body).await.map(Some),
        }
    };
    let Ok(answered) = tokio::time::timeout(deadline, asking).await else {
        bail!("{}: no answer within {deadline:?}; is that hudson stopped?", socket.display())
    };
    let Some((status, body)) = answered.with_context(|| format!("{}: no whole answer", socket.display()))?
    else {
        return Ok(None);
    };
    if status.is_success() {
        return serde_json::from_slice(&body).map(Some).with_context(|| another_version(&socket));
    }
    let told: Fault = serde_json::from_slice(&body).with_context(|| another_version(&socket))?;
    Err(Refused(told.error.message).into())
}

/// An answer that is an error.
#[derive(Deserialize)]
struct Fault {
    error: Cause,
}

#[derive(Deserialize)]
struct Cause {
    message: String,
}

fn another_version(socket: &Path) -> String {
    format!("{}: an answer of another version", socket.display())
}

/// `None` when nobody listens. Where more wait than have room, the listener is stopped, or slow: it is waited for.
async fn connect(socket: &Path) -> Option<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Some(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(REST).await,
            Err(_) => return None,
        }
    }
}

async fn exchange(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes)> {
    let (response, _connection) = send(stream, method, path, body).await?;
    let status = response.status();
    let body =
        Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| anyhow!(error))?;
    Ok((status, body.to_bytes()))
}

/// The head of the answer, and what keeps its connection.
async fn send(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(Response<Incoming>, AbortOnDropHandle<hyper::Result<()>>)> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "hudson")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    Ok((sender.send_request(request).await?, connection))
}
