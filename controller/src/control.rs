//! The control socket of `hudson up`: by it a `hudson run` or `hudson bottle add` hands over a run with credentials
//! that must not be stored anywhere.
//!
//! Invariants: only the operator's own uid is answered, and only in the namespaces of the controller: no bottle is; a
//! request is one bounded line of JSON.

use crate::instance::Instance;
use anyhow::{Context, Result, bail};
use hudson_proxy::LaunchSecret;
use hudson_schema::RunId;
use hudson_schema::config::{BottleAddress, ListenAddress};
use hudson_schema::home::Home;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// The longest request and answer, in bytes.
const MAX_LINE: u64 = 1 << 20;
/// How long either may take.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Deserialize, Serialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    /// Serve a run that stands in the ledger, with these credentials, and at this address of its own.
    RunServe { run: RunId, secrets: BTreeMap<String, Secret>, listen: Option<BottleAddress> },
    /// Say what is going on.
    Status,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Secret {
    Value(String),
    JsonFile { path: PathBuf, keys: Vec<String> },
}

/// What a running `hudson up` says of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Answer {
    /// What went wrong, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its process.
    pub pid: u32,
    /// Where its proxy listens.
    pub addresses: Vec<ListenAddress>,
    /// The address that was asked for, of one bottle alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_address: Option<ListenAddress>,
    /// What is wrong with the configuration files, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_fault: Option<String>,
}

/// Holds the place of the one `hudson up` of a home; given back when dropped or when the process ends.
pub struct Place {
    _lock: File,
}

impl Place {
    /// Takes the place; `None` when another process has it.
    pub fn take(home: &Home) -> Result<Option<Self>> {
        let folder = home.runtime();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("creating {}", folder.display()))?;
        let path = folder.join("up.lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _lock: lock })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => bail!("locking {}: {errno}", path.display()),
        }
    }
}

/// Listens on the control socket. The place must be held: what is left of an older socket is removed.
pub fn listen(home: &Home, _place: &Place) -> Result<UnixListener> {
    let path = home.control_socket();
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| format!("listening on {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("protecting {}", path.display()))?;
    Ok(listener)
}

/// Answers requests for as long as the process lives.
pub async fn serve(listener: UnixListener, instance: Arc<Instance>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let instance = instance.clone();
                tokio::spawn(async move {
                    // A client that breaks off has nobody to be told.
                    let _ = tokio::time::timeout(DEADLINE, answer(stream, &instance)).await;
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn answer(stream: UnixStream, instance: &Instance) -> Result<()> {
    let peer = stream.peer_cred()?;
    if peer.uid() != rustix::process::geteuid().as_raw() {
        bail!("uid {} is not the operator's", peer.uid());
    }
    check_namespaces(peer.pid())?;
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(MAX_LINE)).read_line(&mut line).await?;
    let outcome = match serde_json::from_str(&line) {
        Ok(Request::Status) => Ok(None),
        Ok(Request::RunServe { run, secrets, listen }) => {
            run_serve(instance, &run, secrets, listen.as_ref()).await
        }
        // serde_json's words could quote a secret: only the place is told.
        Err(error) => Err(anyhow::anyhow!("not a request of this version, at column {}", error.column())),
    };
    let (own_address, error) = match outcome {
        Ok(address) => (address, None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let answer = Answer {
        error,
        pid: std::process::id(),
        addresses: instance.addresses.clone(),
        own_address,
        configuration_fault: instance.runs.fault(),
    };
    writer.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes()).await?;
    Ok(())
}

/// A process in another user or pid namespace is in a bottle, or cannot be told from one.
fn check_namespaces(pid: Option<i32>) -> Result<()> {
    let pid = pid.filter(|pid| *pid > 0).context("a peer without a process")?;
    for namespace in ["user", "pid"] {
        let of = |process: &str| {
            let link = format!("/proc/{process}/ns/{namespace}");
            std::fs::read_link(&link).context(link)
        };
        if of(&pid.to_string())? != of("self")? {
            bail!("process {pid} is in another {namespace} namespace");
        }
    }
    Ok(())
}

async fn run_serve(
    instance: &Instance,
    run: &RunId,
    secrets: BTreeMap<String, Secret>,
    listen: Option<&BottleAddress>,
) -> Result<Option<ListenAddress>> {
    let record = instance.ledger.run_fetch(run).await?.context("the ledger has no such run")?;
    let secrets = secrets
        .into_iter()
        .map(|(name, secret)| {
            let secret = match secret {
                Secret::Value(value) => LaunchSecret::Value(SecretString::from(value)),
                Secret::JsonFile { path, keys } => LaunchSecret::JsonFile { path, keys },
            };
            (name, secret)
        })
        .collect();
    let serve = || instance.runs.insert(&record, secrets);
    match listen {
        None => serve().map(|_| None),
        Some(address) => instance.serve_at(address, serve).await.map(Some),
    }
}

/// Hands a run over to the running `hudson up`, to be served at an address of its own too if one is named.
pub async fn hand_over(
    home: &Home,
    run: &RunId,
    secrets: &HashMap<String, LaunchSecret>,
    listen: Option<&BottleAddress>,
) -> Result<Answer> {
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
    let answer = ask(home, &Request::RunServe { run: run.clone(), secrets, listen: listen.cloned() })
        .await?
        .context("hudson up ended just now; try again")?;
    match &answer.error {
        Some(error) => bail!("hudson up (process {}): {error}", answer.pid),
        None => Ok(answer),
    }
}

/// What the running `hudson up` of a home says; `None` when none runs.
pub async fn status(home: &Home) -> Result<Option<Answer>> {
    ask(home, &Request::Status).await
}

async fn ask(home: &Home, request: &Request) -> Result<Option<Answer>> {
    let path = home.control_socket();
    let Ok(stream) = UnixStream::connect(&path).await else { return Ok(None) };
    let talk = async {
        let (reader, mut writer) = stream.into_split();
        let line = SecretString::from(format!("{}\n", serde_json::to_string(request)?));
        writer.write_all(line.expose_secret().as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(reader.take(MAX_LINE)).read_line(&mut line).await?;
        serde_json::from_str(&line)
            .with_context(|| format!("{}: an answer of another version", path.display()))
    };
    match tokio::time::timeout(DEADLINE, talk).await {
        Ok(answer) => answer.map(Some),
        Err(_) => bail!("{}: no answer within {DEADLINE:?}; is that hudson stopped?", path.display()),
    }
}
