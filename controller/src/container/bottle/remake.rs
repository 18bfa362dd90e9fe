//! From a container that was frozen to what another one is made with in its place.

use anyhow::{Context, Result};
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, EndpointSettings, Mount, MountType, NetworkingConfig,
};
use std::collections::BTreeMap;

/// The same configuration, from this image, but for these variables.
pub(super) fn body(
    container: &ContainerInspectResponse,
    image: &str,
    variables: &BTreeMap<String, String>,
) -> Result<ContainerCreateBody> {
    let config = container.config.clone().context("the engine tells no configuration of the container")?;
    let mut host = container.host_config.clone().context("the engine tells no host configuration")?;
    let id = container.id.clone().unwrap_or_default();
    // What the engine made up for the one before is not the next one's.
    let own_host_name =
        config.hostname.as_deref().is_some_and(|name| !name.is_empty() && id.starts_with(name));
    let mut mounts = host.mounts.take().unwrap_or_default();
    mounts.extend(anonymous(container, &mounts, host.binds.as_deref().unwrap_or_default()));
    host.mounts = Some(mounts);
    for limit in host.ulimits.iter_mut().flatten() {
        // Podman tells them by names that it does not take.
        limit.name =
            limit.name.as_deref().map(|name| name.trim_start_matches("RLIMIT_").to_ascii_lowercase());
    }
    // Asked for by name or id, and written down as the id of the container's own past.
    host.container_id_file = None;
    Ok(ContainerCreateBody {
        hostname: config.hostname.filter(|_| !own_host_name),
        domainname: config.domainname,
        user: config.user,
        attach_stdin: config.attach_stdin,
        attach_stdout: config.attach_stdout,
        attach_stderr: config.attach_stderr,
        exposed_ports: config.exposed_ports,
        tty: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        env: Some(replaced(config.env.unwrap_or_default(), variables)),
        cmd: config.cmd,
        healthcheck: config.healthcheck,
        args_escaped: config.args_escaped,
        image: Some(image.to_owned()),
        volumes: config.volumes,
        working_dir: config.working_dir,
        entrypoint: config.entrypoint,
        network_disabled: config.network_disabled,
        on_build: config.on_build,
        labels: config.labels,
        stop_signal: config.stop_signal,
        stop_timeout: config.stop_timeout,
        shell: config.shell,
        host_config: Some(host),
        networking_config: Some(networks(container, &id)),
    })
}

/// Whether a container has these variables.
pub(super) fn has(container: &ContainerInspectResponse, variables: &BTreeMap<String, String>) -> bool {
    let lines = container.config.as_ref().and_then(|config| config.env.as_deref()).unwrap_or_default();
    variables.iter().all(|(name, value)| {
        lines
            .iter()
            .rev()
            .find(|line| line.split('=').next() == Some(name))
            .and_then(|line| line.split_once('='))
            .is_some_and(|(_, now)| now == value)
    })
}

/// The lines of an environment with these in place of those of the same name.
fn replaced(lines: Vec<String>, variables: &BTreeMap<String, String>) -> Vec<String> {
    let kept = lines
        .into_iter()
        .filter(|line| !line.split('=').next().is_some_and(|name| variables.contains_key(name)));
    kept.chain(variables.iter().map(|(name, value)| format!("{name}={value}"))).collect()
}

/// Volumes that the engine made for the container itself: what is in them is not in the image.
fn anonymous(container: &ContainerInspectResponse, mounts: &[Mount], binds: &[String]) -> Vec<Mount> {
    let told = |target: &str| {
        mounts.iter().any(|mount| mount.target.as_deref() == Some(target))
            || binds.iter().any(|bind| bind.split(':').nth(1) == Some(target))
    };
    let points = container.mounts.iter().flatten();
    points
        .filter(|point| point.typ.as_deref() == Some("volume"))
        .filter_map(|point| {
            let target = point.destination.clone().filter(|target| !told(target))?;
            Some(Mount {
                typ: Some(MountType::VOLUME),
                source: Some(point.name.clone()?),
                target: Some(target),
                read_only: Some(point.rw == Some(false)),
                ..Mount::default()
            })
        })
        .collect()
}

/// The same networks by the same names; addresses are given anew.
fn networks(container: &ContainerInspectResponse, id: &str) -> NetworkingConfig {
    let networks = container.network_settings.as_ref().and_then(|settings| settings.networks.clone());
    let endpoints = networks.unwrap_or_default().into_iter().map(|(name, endpoint)| {
        let aliases = endpoint.aliases.map(|names| {
            names.into_iter().filter(|name| name.is_empty() || !id.starts_with(name.as_str())).collect()
        });
        let kept = EndpointSettings {
            ipam_config: endpoint.ipam_config,
            links: endpoint.links,
            aliases,
            driver_opts: endpoint.driver_opts,
            ..EndpointSettings::default()
        };
        (name, kept)
    });
    NetworkingConfig { endpoints_config: Some(endpoints.collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::{ContainerConfig, HostConfig, MountPoint, NetworkSettings};
    use std::collections::HashMap;

    fn container() -> ContainerInspectResponse {
        ContainerInspectResponse {
            id: Some("0123456789abcdef".to_owned()),
            config: Some(ContainerConfig {
                hostname: Some("0123456789ab".to_owned()),
                env: Some(vec!["HTTPS_PROXY=old".to_owned(), "A=b=c".to_owned()]),
                ..ContainerConfig::default()
            }),
            host_config: Some(HostConfig { network_mode: Some("own".to_owned()), ..HostConfig::default() }),
            mounts: Some(vec![MountPoint {
                typ: Some("volume".to_owned()),
                name: Some("made-up".to_owned()),
                destination: Some("/data".to_owned()),
                rw: Some(true),
                ..MountPoint::default()
            }]),
            network_settings: Some(NetworkSettings {
                networks: Some(HashMap::from([(
                    "own".to_owned(),
                    EndpointSettings {
                        aliases: Some(vec!["0123456789ab".to_owned(), "web".to_owned()]),
                        mac_address: Some("02:42:ac:11:00:02".to_owned()),
                        ..EndpointSettings::default()
                    },
                )])),
                ..NetworkSettings::default()
            }),
            ..ContainerInspectResponse::default()
        }
    }

    #[test]
    fn the_next_one_is_the_same_but_for_what_was_its_own() {
        let variables = BTreeMap::from([("HTTPS_PROXY".to_owned(), "new".to_owned())]);
        assert!(!has(&container(), &variables));
        let body = body(&container(), "image:1", &variables).unwrap();
        assert_eq!(body.env, Some(vec!["A=b=c".to_owned(), "HTTPS_PROXY=new".to_owned()]));
        assert_eq!(body.hostname, None);
        let host = body.host_config.unwrap();
        assert_eq!(host.network_mode.as_deref(), Some("own"));
        assert_eq!(host.mounts.unwrap()[0].source.as_deref(), Some("made-up"));
        let endpoint = body.networking_config.unwrap().endpoints_config.unwrap().remove("own").unwrap();
        assert_eq!(endpoint.aliases, Some(vec!["web".to_owned()]));
        assert_eq!(endpoint.mac_address, None);
        assert!(has(&container(), &BTreeMap::from([("A".to_owned(), "b=c".to_owned())])));
    }
}
