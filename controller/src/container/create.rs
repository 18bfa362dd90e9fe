//! What a run's container is made with.

use super::engine::found;
use super::volume::INSIDE;
use super::{Engine, Names};
use crate::exit::Exit;
use anyhow::Result;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, ImageInspect, Mount, MountType};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The CA bundle, inside.
pub const BUNDLE: &str = "/etc/hudson/bundle.pem";
/// Processes and threads that a container may have: many builds' worth, and not the host's whole table.
const PIDS: i64 = 4096;
/// What an image may set that would lead past the proxy or to other certificates.
const CLEARED: [&str; 3] = ["ALL_PROXY", "all_proxy", "SSL_CERT_DIR"];

/// What is wished for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The image, as its name was given.
    pub image: String,
    /// The command; empty for the image's own.
    pub command: Vec<String>,
    /// `--workdir`.
    pub directory: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// Its environment beside the image's own.
    pub environment: BTreeMap<String, OsString>,
    /// What of the host it sees.
    pub mounts: Vec<Mount>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// The certificates: file on the host, name inside.
    pub certificates: Vec<(PathBuf, &'static str)>,
    /// Its name on the network of its own.
    pub host: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
}

/// The image; one that is not there is never fetched.
pub async fn image(engine: &Engine, name: &str) -> Result<ImageInspect> {
    let inspected =
        engine.ask(format!("looking at the image {name}"), engine.docker().inspect_image(name)).await;
    found(inspected)?.ok_or_else(|| {
        Exit::not_found(format!(
            "the engine at {} has no image {name}; Hudson pulls none: pull, load or build it first",
            engine.socket().display()
        ))
        .into()
    })
}

/// Makes the container of a run.
pub async fn create(engine: &Engine, names: &Names, wish: &Wish, image: &ImageInspect) -> Result<()> {
    let name = &names.container;
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let body = body(names, wish, image)?;
    engine
        .ask(format!("making the container {name}"), engine.docker().create_container(Some(options), body))
        .await?;
    Ok(())
}

fn body(names: &Names, wish: &Wish, image: &ImageInspect) -> Result<ContainerCreateBody, Exit> {
    let mut mounts = wish.mounts.clone();
    for (file, inside) in &wish.certificates {
        mounts.push(Mount {
            typ: Some(MountType::BIND),
            source: Some(text(file)?),
            target: Some(format!("{INSIDE}/{inside}")),
            read_only: Some(true),
            ..Mount::default()
        });
    }
    let host = HostConfig {
        network_mode: Some(names.container.clone()),
        mounts: Some(mounts),
        // The engine's own forwarder asks whom this names, from inside of the container; nobody listens there.
        dns: Some(vec!["127.0.0.1".to_owned()]),
        dns_search: Some(vec![".".to_owned()]),
        // Raw sockets see and make what the packet filter never sees; device nodes are for nobody's agent.
        cap_drop: Some(vec!["NET_RAW".to_owned(), "MKNOD".to_owned()]),
        pids_limit: Some(PIDS),
        // Kept until the end, for who comes back to it after a freeze, but not without limit.
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([("max-size".to_owned(), "16m".to_owned())])),
        }),
        ..HostConfig::default()
    };
    Ok(ContainerCreateBody {
        image: Some(wish.image.clone()),
        cmd: (!wish.command.is_empty()).then(|| wish.command.clone()),
        working_dir: wish.directory.clone(),
        user: wish.user.clone(),
        env: Some(environment(wish, image)?),
        hostname: host_name(&wish.host),
        labels: Some(wish.labels.clone()),
        tty: Some(wish.terminal),
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    })
}

/// `NAME=VALUE` sets a variable, and `NAME` alone takes one of the image's away.
fn environment(wish: &Wish, image: &ImageInspect) -> Result<Vec<String>, Exit> {
    let own = image.config.as_ref().and_then(|config| config.env.as_deref()).unwrap_or_default();
    let has = |name: &str| own.iter().any(|line| line.split('=').next() == Some(name));
    let mut lines: Vec<String> = CLEARED
        .into_iter()
        .filter(|name| has(name) && !wish.environment.contains_key(*name))
        .map(str::to_owned)
        .collect();
    for (name, value) in &wish.environment {
        let value = value.to_str().ok_or_else(|| {
            Exit::usage(format!("the variable {name} is not UTF-8, which the engine cannot take"))
        })?;
        lines.push(format!("{name}={value}"));
    }
    Ok(lines)
}

fn text(path: &Path) -> Result<String, Exit> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Exit::usage(format!("{} is not UTF-8, which the engine cannot take", path.display())))
}

/// A bottle's name as a host's, where it can be one.
fn host_name(name: &str) -> Option<String> {
    let fits = name.len() <= 63
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    fits.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ImageConfig;

    fn wish() -> Wish {
        Wish {
            image: "image".to_owned(),
            command: vec!["true".to_owned()],
            directory: None,
            user: None,
            environment: BTreeMap::from([("A".to_owned(), OsString::from("b=c"))]),
            mounts: Vec::new(),
            terminal: false,
            certificates: vec![("/home/x/ca/bundle.pem".into(), "bundle.pem")],
            host: "ci".to_owned(),
            labels: HashMap::new(),
        }
    }

    #[test]
    fn a_container_has_one_network_no_resolver_and_no_raw_sockets() {
        let names =
            Names { container: "hudson-x".to_owned(), bridge: "hb-x".to_owned(), table: "t".to_owned() };
        let body = body(&names, &wish(), &ImageInspect::default()).unwrap();
        let host = body.host_config.unwrap();
        assert_eq!(host.network_mode.as_deref(), Some("hudson-x"));
        assert_eq!(host.dns, Some(vec!["127.0.0.1".to_owned()]));
        assert!(host.cap_drop.unwrap().contains(&"NET_RAW".to_owned()));
        assert!(host.privileged.is_none() && host.cap_add.is_none() && host.extra_hosts.is_none());
        let mounts = host.mounts.unwrap();
        assert!(mounts.iter().all(|mount| mount.read_only == Some(true)));
        assert_eq!(mounts[0].target.as_deref(), Some(BUNDLE));
    }

    #[test]
    fn what_an_image_says_of_other_proxies_is_taken_away() {
        let config = ImageConfig {
            env: Some(vec!["ALL_PROXY=socks5://elsewhere".to_owned(), "PATH=/bin".to_owned()]),
            ..ImageConfig::default()
        };
        let image = ImageInspect { config: Some(config), ..ImageInspect::default() };
        assert_eq!(environment(&wish(), &image).unwrap(), ["ALL_PROXY", "A=b=c"]);
    }

    #[test]
    fn a_bottle_that_can_name_a_host_does() {
        assert_eq!(host_name("ci-1"), Some("ci-1".to_owned()));
        for bad in ["a_b", "-a", "a.b", &"x".repeat(64)] {
            assert_eq!(host_name(bad), None, "{bad}");
        }
    }
}
