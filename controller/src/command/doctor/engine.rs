//! Container engines: where their sockets are, which versions answer, and whether rules of the network can be set, which
//! is what holds a container back.

use super::Finding;
use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::process::Command;

const CHECK: &str = "engine";
const NFT: &str = "nftables";
/// How long an engine, or a program, has to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer, in bytes.
const LONGEST: usize = 1 << 20;

/// Looks at them.
pub(super) async fn look() -> Vec<Finding> {
    let docker_host = std::env::var("DOCKER_HOST").ok();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let there: Vec<PathBuf> = sockets(docker_host.as_deref(), runtime.as_deref())
        .into_iter()
        .filter(|path| path.exists())
        .collect();
    let mut findings = Vec::new();
    for path in &there {
        findings.push(match tokio::time::timeout(PATIENCE, version(path)).await {
            Ok(Ok(found)) => Finding::ok(CHECK, format!("{found} at {}", path.display())),
            Ok(Err(error)) => Finding::failed(
                CHECK,
                format!("{}: {error:#}", path.display()),
                "start the engine, and let this user use its socket (Docker: the group docker)",
            ),
            Err(_) => Finding::failed(
                CHECK,
                format!("{} does not answer within {PATIENCE:?}", path.display()),
                "start the engine anew",
            ),
        });
    }
    if there.is_empty() {
        let fix = "where bottles are to be containers, install Docker or Podman, and start it";
        findings.push(Finding::warning(CHECK, "there is no Docker or Podman socket", fix));
    }
    findings.push(nft().await);
    findings
}

/// Where engines listen, what the environment names first.
fn sockets(docker_host: Option<&str>, runtime: Option<&Path>) -> Vec<PathBuf> {
    let named = docker_host.and_then(|host| host.strip_prefix("unix://")).map(PathBuf::from);
    let usual = ["/var/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from);
    let own = runtime
        .into_iter()
        .flat_map(|folder| ["docker.sock", "podman/podman.sock"].map(|name| folder.join(name)));
    named.into_iter().chain(usual).chain(own).collect()
}

/// Its name and versions, by `GET /version`.
async fn version(path: &Path) -> Result<String> {
    let stream = UnixStream::connect(path).await.context("cannot connect")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/version").header("host", "engine").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.context("it does not speak HTTP")?;
    if !response.status().is_success() {
        bail!("it answers {} to GET /version", response.status());
    }
    let body = Limited::new(response.into_body(), LONGEST).collect().await;
    connection.abort();
    let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    named(&serde_json::from_slice(&body).context("its answer is no JSON")?)
}

fn named(version: &Value) -> Result<String> {
    let text = |key: &str| version.get(key).and_then(Value::as_str);
    let number = text("Version").context("its answer has no Version")?;
    let components = version.get("Components").and_then(Value::as_array).into_iter().flatten();
    let mut names = components.filter_map(|part| part.get("Name")?.as_str());
    let name = if names.any(|name| name.contains("Podman")) { "Podman" } else { "Docker" };
    Ok(format!("{name} {number} (API {})", text("ApiVersion").unwrap_or("unknown")))
}

/// Whether this user may set rules of the network.
async fn nft() -> Finding {
    let mut command = Command::new("nft");
    command.args(["list", "tables"]).stdin(Stdio::null()).kill_on_drop(true);
    let outcome = tokio::time::timeout(PATIENCE, command.output()).await;
    let unless = "where bottles are to be containers,";
    match outcome {
        Ok(Ok(output)) if output.status.success() => {
            Finding::ok(NFT, "`nft` is there, and this user may use it")
        }
        Ok(Ok(output)) => {
            let why = String::from_utf8_lossy(&output.stderr);
            let why = why.lines().next().unwrap_or("it says nothing").to_owned();
            let fix = format!("{unless} run Hudson as root or with CAP_NET_ADMIN");
            Finding::warning(NFT, format!("`nft list tables` fails: {why}"), fix)
        }
        Ok(Err(error)) => {
            let fix = format!("{unless} install it (Debian: nftables), and have /usr/sbin in PATH");
            Finding::warning(NFT, format!("`nft` cannot be started: {error}"), fix)
        }
        Err(_) => {
            Finding::warning(NFT, format!("`nft` does not end within {PATIENCE:?}"), "see what it waits for")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    #[test]
    fn the_environment_names_the_first_socket() {
        let found = sockets(Some("unix:///tmp/d.sock"), Some(Path::new("/run/user/5")));
        assert_eq!(found.first().unwrap(), Path::new("/tmp/d.sock"));
        assert!(found.contains(&PathBuf::from("/run/user/5/podman/podman.sock")));
        assert_eq!(sockets(Some("tcp://x:1"), None).len(), 2);
    }

    #[test]
    fn engines_are_told_apart() {
        let docker = json!({"Version": "28.1", "ApiVersion": "1.47", "Components": [{"Name": "Engine"}]});
        assert_eq!(named(&docker).unwrap(), "Docker 28.1 (API 1.47)");
        let podman = json!({"Version": "4.3.1", "Components": [{"Name": "Podman Engine"}]});
        assert_eq!(named(&podman).unwrap(), "Podman 4.3.1 (API unknown)");
        assert!(named(&json!([])).is_err());
    }

    #[tokio::test]
    async fn an_engine_is_asked_over_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&path).unwrap();
        for (status, body, told) in [
            ("200 OK", r#"{"Version":"9.1","ApiVersion":"1.50"}"#, Some("Docker 9.1 (API 1.50)")),
            ("200 OK", "words", None),
            ("500 Oops", "{}", None),
        ] {
            let served = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                let read = stream.read(&mut head).await.unwrap();
                assert!(head[..read].starts_with(b"GET /version HTTP/1.1\r\n"));
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            };
            let (version, ()) = tokio::join!(version(&path), served);
            assert_eq!(version.ok().as_deref(), told, "{status} {body}");
        }
    }
}
