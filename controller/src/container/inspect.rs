//! Looking at a container.
//!
//! Own code, not bollard's: Podman has states that Docker has not, of which bollard makes an error of the whole answer.

use super::{Engine, Fault};
use bollard::models::ContainerInspectResponse;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Of an answer: a container with thousands of mounts and variables fits.
const LARGEST: usize = 16 * 1024 * 1024;

impl Engine {
    /// A container, by its name or id; `None` where there is none.
    pub(super) async fn container(&self, id: &str) -> Result<Option<ContainerInspectResponse>, Fault> {
        self.own(format!("looking at the container {id}"), async {
            let (status, body) = get(self, &format!("/containers/{id}/json")).await?;
            match status {
                StatusCode::NOT_FOUND => Ok(None),
                StatusCode::OK => Ok(Some(read(&body)?)),
                other => {
                    anyhow::bail!("{other}: {}", String::from_utf8_lossy(body.get(..4096).unwrap_or(&body)))
                }
            }
        })
        .await
    }
}

async fn get(engine: &Engine, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = UnixStream::connect(engine.socket()).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(header::HOST, "engine").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    Ok((status, body.map_err(|error| anyhow::anyhow!("its answer: {error}"))?.to_bytes()))
}

fn read(body: &[u8]) -> serde_json::Result<ContainerInspectResponse> {
    let mut value: Value = serde_json::from_slice(body)?;
    if let Some(status) = value.pointer_mut("/State/Status") {
        let known = match status.as_str().unwrap_or_default() {
            "configured" | "initialized" => "created",
            "stopped" => "exited",
            other @ ("created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead"
            | "stopping") => other,
            _ => "",
        };
        *status = Value::from(known.to_owned());
    }
    serde_json::from_value(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ContainerStateStatusEnum as Status;

    #[test]
    fn every_engines_states_are_read() {
        for (told, expected) in [
            ("running", Status::RUNNING),
            ("stopped", Status::EXITED),
            ("configured", Status::CREATED),
            ("something of next year's", Status::EMPTY),
        ] {
            let text = format!(r#"{{"Id": "a", "State": {{"Status": "{told}", "ExitCode": 3}}}}"#);
            let state = read(text.as_bytes()).unwrap().state.unwrap();
            assert_eq!((state.status, state.exit_code), (Some(expected), Some(3)));
        }
        assert!(read(b"no JSON").is_err());
    }
}
