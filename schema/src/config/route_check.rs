//! From a routes file as written to routes as used: defaults filled in, both spellings of a key folded into one, and
//! everything checked that takes more than one key. All problems of a file are reported together.

mod credentials;
mod matches;
mod rules;

use super::route_file::{DlpFile, MeterFile, OffOr, RouteFile, RoutesFile, UpstreamFile};
use super::tree::Trail;
use super::unsupported::{Unsupported, not_enforced};
use super::yaml::Document;
use super::{
    Allowance, Authority, ClientCertificate, Credential, Detectors, Dlp, MeterSetting, ProxyCredentials,
    Route, Routes, Scheme, Upstream, UpstreamProxy,
};
use std::path::{Path, PathBuf};

/// Checks a whole file whose `routes` stand below `trail`.
pub(super) fn routes(document: &mut Document<'_>, trail: &Trail, file: RoutesFile) -> Routes {
    let trail = trail.key("routes");
    let mut unsupported = Vec::new();
    let mut routes: Vec<Route> = file
        .routes
        .into_iter()
        .enumerate()
        .map(|(index, file)| route(document, &trail.index(index), file, &mut unsupported))
        .collect();
    check_one_way(document, &trail, &routes);
    rules::resolve(document, &trail, &mut routes);
    Routes { log: file.log, routes, unsupported }
}

/// A tunnel is opened before its first request is seen: it cannot be opaque for some requests only.
fn check_one_way(document: &mut Document<'_>, trail: &Trail, routes: &[Route]) {
    for (index, route) in routes.iter().enumerate().filter(|(_, route)| !route.intercept) {
        let other = routes.iter().find(|other| {
            other.intercept
                && (&other.host, other.scheme, other.port) == (&route.host, route.scheme, route.port)
        });
        if let Some(other) = other {
            let message = format!(
                "the route in line {} intercepts the same host; a host is either intercepted or opaque",
                other.line
            );
            document.key(&trail.index(index).key("intercept"), message);
        }
    }
}

fn route(
    document: &mut Document<'_>,
    trail: &Trail,
    file: RouteFile,
    unsupported: &mut Vec<Unsupported>,
) -> Route {
    note_unsupported(document, trail, &file, unsupported);
    let scheme = file.scheme.unwrap_or_default();
    let credentials = credentials::of_route(document, trail, &file);
    check_intercept(document, trail, &file, &credentials);
    let rules = rules::of_route(document, &trail.key("rules"), file.rules);
    rules::of_tools(document, &trail.key("mcp"), file.mcp.as_ref());
    if file.port == Some(0) {
        document.value(&trail.key("port"), "0 is not a port; expected 1 to 65535");
    }
    Route {
        line: document.line(trail),
        scheme,
        port: file.port.unwrap_or_else(|| scheme.port()),
        credentials,
        matches: matches::of_route(document, &trail.key("matches"), file.matches),
        meter: meter(document, &trail.key("meter"), file.meter),
        unmetered: file.unmetered,
        allowance: Allowance {
            server_tools: file.allowance.server_tools.0,
            background: file.allowance.background.0,
        },
        allow_addresses: file.allow_addresses,
        outbound_on_match: on_match(document, trail, file.outbound_on_match, file.dlp.as_ref()),
        dlp: file.dlp.map(dlp).unwrap_or_default(),
        git_fetch: git_fetch(document, trail, file.git_fetch, file.git.map(|git| git.fetch)),
        rules: rules.into(),
        mcp: file.mcp,
        intercept: file.intercept,
        upstream: file.upstream.map(|upstream_file| {
            let open = file.host.is_wildcard() && !file.wildcard_credentials;
            upstream(document, &trail.key("upstream"), scheme, open, upstream_file)
        }),
        wildcard_credentials: file.wildcard_credentials,
        host: file.host,
    }
}

/// Names the keys in use that this version does not enforce.
fn note_unsupported(
    document: &Document<'_>,
    trail: &Trail,
    file: &RouteFile,
    unsupported: &mut Vec<Unsupported>,
) {
    let mut note = |used: bool, trail: Trail, key: &str| {
        if used {
            unsupported.push(not_enforced(document, &trail, key));
        }
    };
    note(file.mcp.is_some(), trail.key("mcp"), "mcp");
    // Whoever may decide anything decides: a list that nobody goes by must not be taken for one that is kept.
    for (index, rule) in file.rules.iter().enumerate() {
        let place = trail.key("rules").index(index).key("approvers");
        note(!rule.approvers.is_empty(), place, "approvers of a rule");
    }
}

/// Nothing inside an opaque tunnel can be seen, so nothing that needs to see it may be asked for.
fn check_intercept(document: &mut Document<'_>, trail: &Trail, file: &RouteFile, credentials: &[Credential]) {
    if file.intercept {
        return;
    }
    let needs = [
        (!credentials.is_empty(), "credentials"),
        (file.matches.is_some(), "matches"),
        (matches!(file.meter, Some(MeterFile::As(_))), "meter"),
        (!file.rules.is_empty(), "rules"),
        (file.mcp.is_some(), "mcp"),
    ];
    for (_, key) in needs.iter().filter(|(used, _)| *used) {
        document.key(
            &trail.key("intercept"),
            format!("intercept: false hides the requests that {key} is about; remove one of the two"),
        );
    }
    if file.scheme == Some(Scheme::Http) {
        document
            .key(&trail.key("intercept"), "intercept: false is for TLS; a route with scheme: http has none");
    }
}

fn meter(document: &mut Document<'_>, trail: &Trail, file: Option<MeterFile>) -> MeterSetting {
    match file {
        None => MeterSetting::Default,
        Some(MeterFile::Off) => MeterSetting::Off,
        Some(MeterFile::As(file)) => {
            if file.provider.is_any() {
                document.value(
                    &trail.key("provider"),
                    "\"any\" counts every provider together and is none itself",
                );
            }
            MeterSetting::As { provider: file.provider, format: file.format }
        }
    }
}

fn dlp(file: DlpFile) -> Dlp {
    fn detectors<T>(file: Option<OffOr<T>>) -> Detectors<T> {
        match file {
            None => Detectors::Default,
            Some(OffOr::Off) => Detectors::Off,
            Some(OffOr::Only(list)) if list.is_empty() => Detectors::Off,
            Some(OffOr::Only(list)) => Detectors::Only(list),
        }
    }
    Dlp {
        outbound: detectors(file.outbound_detectors),
        inbound: detectors(file.inbound_detectors),
        inbound_on_match: file.inbound_on_match,
    }
}

fn on_match(
    document: &mut Document<'_>,
    trail: &Trail,
    own: Option<super::OnMatch>,
    dlp: Option<&DlpFile>,
) -> super::OnMatch {
    let inner = dlp.and_then(|dlp| dlp.outbound_on_match);
    if own.is_some() && inner.is_some() {
        document.key(
            &trail.key("dlp").key("outbound_on_match"),
            "outbound_on_match stands on the route already; keep one of the two",
        );
    }
    own.or(inner).unwrap_or_default()
}

fn git_fetch(document: &mut Document<'_>, trail: &Trail, own: Option<bool>, git: Option<bool>) -> bool {
    if own.is_some() && git.is_some() {
        document.key(&trail.key("git"), "git.fetch and git_fetch are the same; keep one of the two");
    }
    own.or(git).unwrap_or(false)
}

/// `open`: the hosts are a wildcard's, and the route does not say that credentials may go to all of them.
fn upstream(
    document: &mut Document<'_>,
    trail: &Trail,
    scheme: Scheme,
    open: bool,
    file: UpstreamFile,
) -> Upstream {
    if file.ca_file.is_some() && scheme == Scheme::Http {
        document.key(&trail.key("ca_file"), "ca_file is for TLS; a route with scheme: http has none");
    }
    if file.client_certificate.is_some() && scheme == Scheme::Http {
        document.key(
            &trail.key("client_certificate"),
            "client_certificate is for TLS; a route with scheme: http has none",
        );
    }
    if file.client_certificate.is_some() && open {
        document.key(
            &trail.key("client_certificate"),
            "the certificate would be shown to every host of a wildcard; list the hosts, or state wildcard_credentials: true",
        );
    }
    if file.proxy_credentials.is_some() && file.proxy.is_none() {
        document
            .key(&trail.key("proxy_credentials"), "proxy_credentials needs proxy, the proxy they are for");
    }
    if file.connect_to.is_some() && file.proxy.is_some() {
        document.key(&trail.key("proxy"), "connect_to and proxy both say where to dial; keep one of the two");
    }
    let proxy = file.proxy.as_deref().and_then(|url| {
        let authority = proxy_authority(url);
        if authority.is_none() {
            document.value(
                &trail.key("proxy"),
                "expected http://HOST:PORT, without user, password or path; see proxy_credentials",
            );
        }
        authority
    });
    let credentials = file.proxy_credentials.and_then(|basic| {
        let trail = trail.key("proxy_credentials");
        credentials::check_username(document, &trail, &basic.username);
        let from = credentials::source(document, &trail.key("from"), &basic.from)?;
        Some(ProxyCredentials { username: basic.username, from })
    });
    Upstream {
        connect_to: file.connect_to,
        ca_file: file.ca_file.map(|file| beside(document.path, file)),
        client_certificate: file.client_certificate.map(|file| ClientCertificate {
            certificate_file: beside(document.path, file.certificate_file),
            key_file: beside(document.path, file.key_file),
        }),
        proxy: proxy.map(|authority| UpstreamProxy { authority, credentials }),
    }
}

fn proxy_authority(url: &str) -> Option<Authority> {
    let rest = url.strip_prefix("http://")?;
    Authority::parse_or(rest.strip_suffix('/').unwrap_or(rest), 80).ok()
}

/// A path in a file is relative to that file.
fn beside(file: &Path, path: PathBuf) -> PathBuf {
    match file.parent() {
        Some(folder) => folder.join(path),
        None => path,
    }
}

#[cfg(test)]
mod tests;
