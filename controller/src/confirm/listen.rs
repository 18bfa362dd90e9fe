//! Where the confirmation service and the admin API listen.
//!
//! Invariants: only addresses of loopback are listened on; every one that is, or that another Hudson of this host may
//! listen on, is among the addresses that no proxy here dials.

use super::service::{Door, Service};
use crate::approvals::desk::Desk;
use crate::control::{self, Answerer};
use crate::exit::Exit;
use crate::process::Process;
use anyhow::{Context as _, Result};
use hudson_proxy::OwnListeners;
use hudson_schema::config::{ControlSettings, ListenSetting, RateLimit, Settings};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections at once, most of which wait for people.
const CONNECTIONS: usize = 512;
/// How long accepting rests after it failed.
const REST: Duration = Duration::from_millis(50);

/// Where it is to be listened on, and how strictly.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Doors {
    confirm: Option<SocketAddr>,
    /// Whether somebody has said so, and it is an error when it cannot be.
    confirm_is_said: bool,
    admin: Option<SocketAddr>,
    /// The rate that the environment sets.
    pub rate: Option<RateLimit>,
}

/// Where it is listened on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Addresses {
    /// The confirmation service.
    pub confirm: Option<SocketAddr>,
    /// The admin API.
    pub admin: Option<SocketAddr>,
}

/// What listens, until it is dropped.
pub struct Listening {
    /// Where.
    pub addresses: Addresses,
    own: OwnListeners,
    end: CancellationToken,
}

impl Doors {
    /// As the settings and the environment say: `CONFIRMATION_HOST`, `CONFIRMATION_PORT` and `CONFIRMATION_RATE_LIMIT`
    /// are what the server before took.
    pub fn read(settings: &Settings) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::of(settings, &variable)
    }

    fn of(settings: &Settings, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let control = &settings.control;
        let set = match control.confirm {
            Some(ListenSetting::Off) => None,
            Some(ListenSetting::On(address)) => Some(address),
            None => Some(ControlSettings::CONFIRM),
        };
        let (host, port) = (variable("CONFIRMATION_HOST"), variable("CONFIRMATION_PORT"));
        let is_said = control.confirm.is_some() || host.is_some() || port.is_some();
        let confirm = match set {
            // What the settings switch off no variable switches on.
            None => None,
            Some(mut address) => {
                if let Some(host) = host {
                    address.set_ip(loopback(&host)?);
                }
                if let Some(port) = port {
                    let wrong =
                        || Exit::usage(format!("CONFIRMATION_PORT={port} is no port; expected 1 to 65535"));
                    address.set_port(port.parse().map_err(|_| wrong())?);
                }
                Some(address)
            }
        };
        let rate = variable("CONFIRMATION_RATE_LIMIT").map(|text| rate(&text)).transpose()?;
        Ok(Self { confirm, confirm_is_said: is_said, admin: control.admin.address(), rate })
    }

    /// What no proxy of this process may dial, listened on here or not.
    pub fn keep_from(&self, own: &OwnListeners) {
        [self.confirm, self.admin].into_iter().flatten().filter(|address| address.port() != 0).for_each(
            |address| {
                own.add(address);
            },
        );
    }

    /// Listens for as long as what is given back lives. `shared` is whether another Hudson may have the addresses.
    pub async fn listen(&self, desk: &Arc<Desk>, process: &Process, shared: bool) -> Result<Listening> {
        let end = CancellationToken::new();
        let mut listening =
            Listening { addresses: Addresses::default(), own: process.own.clone(), end: end.clone() };
        let doors = [
            (Door::Confirm, self.confirm, "control.confirm", self.confirm_is_said && !shared),
            (Door::Admin, self.admin, "control.admin", !shared),
        ];
        for (door, address, key, is_strict) in doors {
            let Some(address) = address else { continue };
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    let bound = listener.local_addr()?;
                    process.own.add(bound);
                    match door {
                        Door::Confirm => listening.addresses.confirm = Some(bound),
                        Door::Admin => listening.addresses.admin = Some(bound),
                    }
                    let service =
                        move |desk: &Arc<Desk>, peer| Service { desk: desk.clone(), door, bound, peer };
                    tokio::spawn(serve(listener, desk.clone(), service, end.clone()));
                }
                Err(error) if is_strict => {
                    return Err(error).with_context(|| {
                        format!("cannot serve approvals on {address}; is another hudson there? {key} names another address")
                    });
                }
                Err(error) => {
                    let error =
                        format!("{address}: {error}; {key} in settings.yml names another address, or `off`");
                    process.events.write("approvals_not_served", json!({"error": error}));
                }
            }
        }
        Ok(listening)
    }

    /// As the settings alone say.
    pub fn of_settings(settings: &Settings) -> Self {
        let confirm = settings.control.confirm.unwrap_or(ListenSetting::On(ControlSettings::CONFIRM));
        Self { confirm: confirm.address(), ..Self::of_embedded(settings) }
    }

    /// Whether an embedded proxy is to listen as well: only where the settings themselves say so.
    pub fn of_embedded(settings: &Settings) -> Self {
        let confirm = settings.control.confirm.and_then(ListenSetting::address);
        Self { confirm, confirm_is_said: true, admin: settings.control.admin.address(), rate: None }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.end.cancel();
        [self.addresses.confirm, self.addresses.admin]
            .into_iter()
            .flatten()
            .for_each(|address| self.own.remove(address));
    }
}

async fn serve(
    listener: TcpListener,
    desk: Arc<Desk>,
    service: impl Fn(&Arc<Desk>, SocketAddr) -> Service,
    end: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.cancelled() => return,
        };
        match accepted {
            // From elsewhere nothing can come to loopback, but for a host that routes it there.
            Ok((_, peer)) if !peer.ip().to_canonical().is_loopback() => {}
            Ok((stream, peer)) => {
                let (answerer, end): (Arc<dyn Answerer>, _) = (Arc::new(service(&desk, peer)), end.clone());
                tokio::spawn(async move {
                    control::serve_connection(TokioIo::new(stream), answerer, end).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

fn loopback(host: &str) -> Result<IpAddr> {
    let ip = match host {
        "localhost" => Some(ControlSettings::CONFIRM.ip()),
        host => host.trim_matches(['[', ']']).parse::<IpAddr>().ok(),
    };
    match ip.filter(|ip| ip.to_canonical().is_loopback()) {
        Some(ip) => Ok(ip),
        None => Err(Exit::usage(format!(
            "CONFIRMATION_HOST={host} is not an address of loopback, and here it is decided what agents may do; name \
             127.0.0.1 or ::1"
        ))
        .into()),
    }
}

/// A number is of an hour, as the server before had it.
fn rate(text: &str) -> Result<RateLimit> {
    let whole = if text.contains('/') { text.to_owned() } else { format!("{text}/hour") };
    whole.parse().map_err(|_| {
        Exit::usage(format!("CONFIRMATION_RATE_LIMIT={text}: expected a number such as 10")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::config::parse_settings;
    use std::path::Path;

    fn wanted(settings: &str, variables: &[(&str, &str)]) -> Result<Doors, String> {
        let settings = parse_settings(Path::new("settings.yml"), settings).unwrap();
        let variable =
            |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        Doors::of(&settings, &variable).map_err(|error| error.to_string())
    }

    #[test]
    fn it_listens_where_the_server_before_did_unless_told_otherwise() {
        let default = wanted("", &[]).unwrap();
        assert_eq!((default.confirm, default.admin), (Some("127.0.0.1:6000".parse().unwrap()), None));
        assert!(!default.confirm_is_said, "another program may have the port");
        let off = wanted("control: {confirm: off}\n", &[("CONFIRMATION_PORT", "7000")]).unwrap();
        assert_eq!(off.confirm, None);
        let set = "control: {confirm: '127.0.0.1:6001', admin: '[::1]:9111'}\n";
        let set = wanted(set, &[("CONFIRMATION_HOST", "::1"), ("CONFIRMATION_RATE_LIMIT", "3")]).unwrap();
        assert_eq!(set.confirm, Some("[::1]:6001".parse().unwrap()));
        assert_eq!(
            (set.admin, set.rate),
            (Some("[::1]:9111".parse().unwrap()), Some("3/hour".parse().unwrap()))
        );
        assert!(set.confirm_is_said);
        assert_eq!(Doors::of_embedded(&Settings::default()).confirm, None);
    }

    #[test]
    fn what_the_network_would_reach_is_refused() {
        for (name, value) in [
            ("CONFIRMATION_HOST", "0.0.0.0"),
            ("CONFIRMATION_HOST", "::"),
            ("CONFIRMATION_HOST", "192.168.1.2"),
            ("CONFIRMATION_HOST", "example.com"),
            ("CONFIRMATION_PORT", "70000"),
            ("CONFIRMATION_RATE_LIMIT", "many"),
        ] {
            let error = wanted("", &[(name, value)]).unwrap_err();
            assert!(error.contains(&format!("{name}={value}")), "{error}");
        }
    }
}
