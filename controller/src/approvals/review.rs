//! A model that looks at what is asked for before people do. The connection is Hudson's own: verified TLS, no proxy of any
//! environment, no redirect followed.
//!
//! Invariants: a model may deny and may have a person asked; it answers for nobody above tier 1. Whatever goes wrong, and
//! any answer that is not exactly a verdict, has a person asked. Neither the key nor what was asked is in any reason.

mod api;
mod verdict;

use crate::exit::Exit;
use anyhow::Result;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hudson_proxy::dial::{Dialer, Target, UpstreamStream};
use hudson_proxy::tls::Wire;
use hudson_schema::Tier;
use hudson_schema::config::{Host, IpNetwork, ReviewApi, ReviewSetting, Scheme, WebhookUrl};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// The longest answer that is read, in bytes.
const LONGEST: usize = 256 << 10;

/// What a model is to look at. It leaves the host: all of it is redacted before.
#[derive(Clone, Copy, Debug)]
pub struct ReviewAsked<'a> {
    /// The action.
    pub action: &'a str,
    /// How much harm it can do.
    pub tier: Tier,
    /// What it is, in the agent's words.
    pub description: &'a str,
    /// More of it, as JSON text.
    pub details: &'a str,
    /// The command that it is to run.
    pub command: Option<&'a str>,
}

/// What a model says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Yes.
    Approve {
        /// Why.
        reason: String,
    },
    /// No.
    Deny {
        /// Why.
        reason: String,
    },
    /// A person is to decide.
    Escalate {
        /// Why.
        reason: String,
    },
}

/// A model that reviews.
pub struct Reviewer {
    dialer: Dialer,
    url: WebhookUrl,
    api: ReviewApi,
    model: String,
    key: Option<SecretString>,
    system: String,
    timeout: Duration,
}

impl Reviewer {
    /// The reviewer of the settings, with the key that the environment holds.
    pub fn new(setting: &ReviewSetting, dialer: Dialer) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::with(setting, dialer, &variable)
    }

    fn with(
        setting: &ReviewSetting,
        dialer: Dialer,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        const PLACE: &str = "settings.yml: approvals.review";
        let base: WebhookUrl =
            setting.url.parse().map_err(|why| Exit::usage(format!("{PLACE}.url: {why}")))?;
        if base.path.contains('?') {
            return Err(Exit::usage(format!("{PLACE}.url: a base of an API has no query")).into());
        }
        if base.scheme == Scheme::Http && !is_here(&base.authority.host) {
            let why = "expected https://: whoever is on the way could answer in the model's place; http:// is for this host";
            return Err(Exit::usage(format!("{PLACE}.url: {why}")).into());
        }
        let key = match &setting.key_env {
            None => None,
            Some(name) => {
                let why = || Exit::usage(format!("{PLACE}.key_env: {} is not set, or empty", name.0));
                let key = SecretString::from(variable(&name.0).ok_or_else(why)?);
                let why = |_| {
                    Exit::usage(format!("{PLACE}.key_env: what {} holds cannot stand in a header", name.0))
                };
                HeaderValue::from_str(key.expose_secret()).map_err(why)?;
                Some(key)
            }
        };
        let path = format!("{}{}", base.path.trim_end_matches('/'), api::path(setting.api));
        Ok(Self {
            dialer,
            url: WebhookUrl { path, ..base },
            api: setting.api,
            model: setting.model.clone(),
            key,
            system: verdict::system(setting.policy.as_deref()),
            timeout: setting.timeout.0,
        })
    }

    /// Has the model look at what is asked for.
    pub async fn review(&self, asked: &ReviewAsked<'_>) -> Verdict {
        let Some(question) = verdict::question(asked) else {
            return escalated(
                "it is too long for the model that reviews, which is shown all of it or nothing",
            );
        };
        match tokio::time::timeout(self.timeout, self.ask(&question)).await {
            Ok(Ok(answer)) => verdict::read(&answer, asked.tier),
            Ok(Err(why)) => escalated(format!("the model that reviews gave no verdict: {why}")),
            Err(_) => escalated(format!("the model that reviews gave no verdict within {:?}", self.timeout)),
        }
    }

    /// The model's words.
    async fn ask(&self, question: &str) -> Result<String, String> {
        let request = self.request(question)?;
        // The operator's own URL: a model on this host or in a private network is as good as any.
        let anywhere: Vec<IpNetwork> =
            ["0.0.0.0/0", "::/0"].iter().filter_map(|range| range.parse().ok()).collect();
        let target = Target {
            scheme: self.url.scheme,
            host: &self.url.authority.host,
            port: self.url.authority.port,
            wire: Wire::Http1,
            allow: &anywhere,
            tls: None,
            connect_to: None,
            proxy: None,
        };
        let (status, body) = match self.dialer.dial(target).await.map_err(|fault| fault.to_string())? {
            UpstreamStream::Plain(stream) | UpstreamStream::Forwarded(stream) => {
                answered(TokioIo::new(stream), request).await?
            }
            UpstreamStream::Tls(stream) => answered(TokioIo::new(stream), request).await?,
        };
        match status {
            StatusCode::OK => api::words(self.api, &body),
            status if status.is_redirection() => {
                Err(format!("answered {}, and redirects are not followed", status.as_u16()))
            }
            status => Err(format!("answered {}", status.as_u16())),
        }
    }

    fn request(&self, question: &str) -> Result<Request<Full<Bytes>>, String> {
        let WebhookUrl { scheme, authority, path } = &self.url;
        let usual = if *scheme == Scheme::Https { 443 } else { 80 };
        let host = match authority.port == usual {
            true => authority.host.to_string(),
            false => authority.to_string(),
        };
        let body = api::body(self.api, &self.model, &self.system, question);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("hudson/", env!("CARGO_PKG_VERSION")));
        for (name, value) in api::headers(self.api, self.key.as_ref())? {
            request = request.header(name, value);
        }
        request.body(Full::from(body)).map_err(|_| "its URL cannot be asked for".to_owned())
    }
}

/// The status and the body of the answer.
async fn answered(
    stream: impl Read + Write + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let broken = |error: hyper::Error| format!("the connection broke: {error}");
    let (mut sender, connection) = http1::handshake(stream).await.map_err(broken)?;
    let answer = async move {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| format!("its answer cannot be read: {error}"))?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => answer,
        // What was read before the end is an answer all the same.
        _ = &mut connection => answer.await,
    }
}

/// Whether a host is this one, by its address or its only sure name.
fn is_here(host: &Host) -> bool {
    host.ip().is_some_and(|ip| ip.to_canonical().is_loopback()) || host.name() == Some("localhost")
}

fn escalated(reason: impl Into<String>) -> Verdict {
    Verdict::Escalate { reason: reason.into() }
}

#[cfg(test)]
mod tests;
