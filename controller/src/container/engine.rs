//! The engine: found by its socket, asked with a time-out, and its answers made errors that say who, what and why.

use crate::exit::{self, Exit};
use anyhow::Result;
use bollard::{API_DEFAULT_VERSION, Docker};
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where engines listen when nobody says where.
const USUAL: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a question may take that the engine answers only when it has copied the container's files.
pub(super) const COPY: Duration = Duration::from_secs(1800);
/// How long a container may run: what waits for its end has no other limit.
const EVER: u64 = 10 * 365 * 24 * 3600;

/// An engine that answers.
#[derive(Clone, Debug)]
pub struct Engine {
    docker: Docker,
    socket: PathBuf,
    /// Podman, which makes a network's interface only with the first container in it.
    pub(super) podman: bool,
    /// Where it keeps images and containers.
    root: Option<PathBuf>,
}

impl Engine {
    /// The engine that `$DOCKER_HOST` names, else the one at a usual socket.
    pub async fn find() -> Result<Self> {
        let named = std::env::var("DOCKER_HOST").ok().filter(|value| !value.is_empty());
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let socket = choose(named.as_deref(), runtime.as_deref(), &|path| path.exists())?;
        Self::at(&socket).await
    }

    /// The engine at a socket.
    pub async fn at(socket: &Path) -> Result<Self> {
        let failed = |why: String| Exit {
            code: exit::FAILED,
            message: format!(
                "no container engine answers at {}: {why}; start Docker or Podman's service (`podman system service`), \
                 see that this user may open the socket, or name another with DOCKER_HOST=unix:///PATH",
                socket.display()
            ),
        };
        let path = socket.to_str().ok_or_else(|| failed("its path is not UTF-8".to_owned()))?;
        let docker = Docker::connect_with_unix(path, EVER, API_DEFAULT_VERSION)
            .map_err(|error| failed(error.to_string()))?;
        let mut engine = Self { docker, socket: socket.to_owned(), podman: false, root: None };
        let negotiated = tokio::time::timeout(ANSWER, engine.docker.clone().negotiate_version()).await;
        engine.docker = match negotiated {
            Ok(Ok(docker)) => docker,
            Ok(Err(error)) => return Err(failed(chain(&error)).into()),
            Err(_) => return Err(failed(format!("it says nothing for {} s", ANSWER.as_secs())).into()),
        };
        let version = engine.ask("its version", engine.docker.version()).await?;
        let parts = version.components.unwrap_or_default();
        engine.podman = parts.iter().any(|part| part.name.to_ascii_lowercase().contains("podman"));
        let info = engine.ask("its state", engine.docker.info()).await?;
        engine.root = info.docker_root_dir.map(PathBuf::from).filter(|root| root.is_absolute());
        let rootless = |option: &String| option.contains("name=rootless") || option == "rootless";
        if info.security_options.unwrap_or_default().iter().any(rootless) {
            return Err(failed(
                "it is a rootless engine, which keeps its networks where this host can neither listen nor filter"
                    .to_owned(),
            )
            .into());
        }
        Ok(engine)
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where it keeps images, containers and volumes, as far as it says.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// What of the host a volume of the engine's is made of, where it is not of the engine's own files.
    pub async fn volume_device(&self, name: &str) -> Result<Option<PathBuf>, Fault> {
        let asked = self.docker.inspect_volume(name);
        let volume = found(self.ask(format!("looking at the volume {name}"), asked).await)?;
        let device = volume.and_then(|volume| volume.options.get("device").cloned());
        Ok(device.filter(|device| device.starts_with('/')).map(PathBuf::from))
    }

    /// The client.
    pub(super) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Waits for an answer, not for ever.
    pub(super) async fn ask<T>(
        &self,
        what: impl fmt::Display,
        answer: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, Fault> {
        self.ask_within(ANSWER, what, answer).await
    }

    /// Waits for an answer this long.
    pub(super) async fn ask_within<T>(
        &self,
        limit: Duration,
        what: impl fmt::Display,
        answer: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.fault(what, &error)),
            Err(_) => Err(Fault {
                status: None,
                message: format!(
                    "the engine at {}: {what}: no answer for {} s",
                    self.socket.display(),
                    limit.as_secs()
                ),
            }),
        }
    }

    /// The same for what is asked without bollard.
    pub(super) async fn own<T>(
        &self,
        what: impl fmt::Display,
        answer: impl Future<Output = anyhow::Result<T>>,
    ) -> Result<T, Fault> {
        let said = match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("no answer for {} s", ANSWER.as_secs()),
        };
        Err(Fault {
            status: None,
            message: format!("the engine at {}: {what}: {said}", self.socket.display()),
        })
    }

    fn fault(&self, what: impl fmt::Display, error: &bollard::errors::Error) -> Fault {
        let (status, said) = match error {
            bollard::errors::Error::DockerResponseServerError { status_code, message } => {
                (Some(*status_code), message.clone())
            }
            other => (None, chain(other)),
        };
        Fault { status, message: format!("the engine at {}: {what}: {said}", self.socket.display()) }
    }
}

/// What an engine would not do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    status: Option<u16>,
    message: String,
}

impl Fault {
    /// Whether what was asked for is not there.
    pub fn is_missing(&self) -> bool {
        self.status == Some(404)
    }

    /// Whether it is in another state than the question took for granted.
    pub fn is_conflict(&self) -> bool {
        matches!(self.status, Some(304 | 409))
    }

    /// Whether the engine itself could not be asked.
    pub fn is_unanswered(&self) -> bool {
        self.status.is_none()
    }
}

/// What is missing counts as nothing.
pub(super) fn found<T>(answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(fault) if fault.is_missing() => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// An error with its causes, which alone say what happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let part = inner.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = inner.source();
    }
    text
}

/// Which socket it is.
fn choose(
    named: Option<&str>,
    runtime: Option<&Path>,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<PathBuf, Exit> {
    if let Some(named) = named {
        return match named.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
            _ => Err(Exit::usage(format!(
                "DOCKER_HOST is {named}, but only an engine of this host can be used, whose networks Hudson closes: \
                 DOCKER_HOST=unix:///PATH"
            ))),
        };
    }
    let own = runtime.map(|runtime| runtime.join("podman/podman.sock"));
    let [docker, podman] = USUAL.map(PathBuf::from);
    let candidates: Vec<PathBuf> = std::iter::once(docker).chain(own).chain([podman]).collect();
    candidates.iter().find(|path| exists(path)).cloned().ok_or_else(|| {
        let listed: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
        Exit {
            code: exit::FAILED,
            message: format!(
                "there is no container engine: none of {} exists; start Docker or Podman's service, or name the socket \
                 with DOCKER_HOST=unix:///PATH",
                listed.join(", ")
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_the_one_named_or_the_first_there_is() {
        let runtime = Some(Path::new("/run/user/1000"));
        let chosen = |named: Option<&str>, there: &[&str]| {
            choose(named, runtime, &|path| there.iter().any(|one| path == Path::new(one)))
        };
        let path = |text: &str| PathBuf::from(text);
        assert_eq!(chosen(Some("unix:///x/d.sock"), &[]).unwrap(), path("/x/d.sock"));
        assert_eq!(
            chosen(None, &["/run/podman/podman.sock", "/var/run/docker.sock"]).unwrap(),
            path("/var/run/docker.sock")
        );
        assert_eq!(
            chosen(None, &["/run/podman/podman.sock", "/run/user/1000/podman/podman.sock"]).unwrap(),
            path("/run/user/1000/podman/podman.sock")
        );
        for bad in ["tcp://10.0.0.1:2375", "ssh://host", "unix://relative", "/var/run/docker.sock"] {
            assert_eq!(chosen(Some(bad), &[]).unwrap_err().code, exit::USAGE, "{bad}");
        }
        let none = chosen(None, &[]).unwrap_err();
        assert!(
            none.message.contains("/var/run/docker.sock") && none.message.contains("DOCKER_HOST"),
            "{none}"
        );
    }
}
