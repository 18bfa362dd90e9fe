//! Credentials: bot-bottle's two spellings and the general form become one list. A credential goes to one place, comes
//! from one place, and never to hosts that a wildcard leaves open unless the route says so.

use super::beside;
use super::matches::is_token;
use crate::config::route_file::{CredentialFile, RouteFile, SourceFile};
use crate::config::tree::Trail;
use crate::config::values::NOT_THE_SECRET;
use crate::config::yaml::Document;
use crate::config::{Credential, Source};

/// Headers that the proxy or HTTP itself owns.
const RESERVED: [&str; 16] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn of_route(document: &mut Document<'_>, trail: &Trail, file: &RouteFile) -> Vec<Credential> {
    let mut credentials = Vec::new();
    // The key a problem of the credential is shown at.
    let mut first_key = "credentials";
    if let Some(credential) = bot_bottle(document, trail, file) {
        first_key = if file.auth.is_some() { "auth" } else { "auth_scheme" };
        credentials.push(credential);
    }
    let list = trail.key("credentials");
    for (index, entry) in file.credentials.iter().enumerate() {
        let trail = list.index(index);
        if let Some(credential) = general(document, &trail, entry) {
            if credentials.iter().any(|other| same_place(other, &credential)) {
                document.value(&trail, "another credential of this route is put in the same place");
            }
            credentials.push(credential);
        }
    }
    if !credentials.is_empty() && file.host.is_wildcard() && !file.wildcard_credentials {
        let message = format!(
            "credentials would go to every host that {} names; list the hosts, or state wildcard_credentials: true",
            file.host
        );
        document.key(&trail.key(first_key), message);
    }
    credentials
}

fn bot_bottle(document: &mut Document<'_>, trail: &Trail, file: &RouteFile) -> Option<Credential> {
    let (key, scheme, name) = match (&file.auth_scheme, &file.token_env, &file.auth) {
        (None, None, None) => return None,
        (Some(scheme), Some(name), None) => (trail.key("auth_scheme"), scheme, name),
        (None, None, Some(auth)) => (trail.key("auth").key("scheme"), &auth.scheme, &auth.token_ref),
        (Some(_), None, None) => {
            document.key(
                &trail.key("auth_scheme"),
                "auth_scheme needs token_env, the variable that holds the token",
            );
            return None;
        }
        (None, Some(_), None) => {
            document.key(&trail.key("token_env"), "token_env needs auth_scheme, such as Bearer");
            return None;
        }
        (_, _, Some(_)) => {
            document.key(
                &trail.key("auth"),
                "auth is the same as auth_scheme with token_env; keep one of the two",
            );
            return None;
        }
    };
    if !is_token(scheme) {
        document.value(
            &key,
            format!("expected an authentication scheme such as Bearer, one word, {NOT_THE_SECRET}"),
        );
        return None;
    }
    Some(Credential::Header {
        name: "authorization".to_owned(),
        prefix: Some(format!("{scheme} ")),
        from: Source::Env(name.0.clone()),
    })
}

fn general(document: &mut Document<'_>, trail: &Trail, file: &CredentialFile) -> Option<Credential> {
    let kinds = [file.header.is_some(), file.query.is_some(), file.basic.is_some(), file.aws_sigv4.is_some()];
    if kinds.iter().filter(|used| **used).count() != 1 {
        document.value(trail, "a credential has exactly one of header, query, basic and aws_sigv4");
        return None;
    }
    if file.prefix.is_some() && file.header.is_none() {
        document.key(&trail.key("prefix"), "prefix goes with header only");
    }
    if let Some(basic) = &file.basic {
        let trail = trail.key("basic");
        check_username(document, &trail, &basic.username);
        no_outer_source(document, &trail, file);
        let from = source(document, &trail.key("from"), &basic.from)?;
        return Some(Credential::Basic { username: basic.username.clone(), from });
    }
    if let Some(sigv4) = &file.aws_sigv4 {
        let trail = trail.key("aws_sigv4");
        for (key, text) in [("region", &sigv4.region), ("service", &sigv4.service)] {
            if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') || text.is_empty() {
                document.value(
                    &trail.key(key),
                    format!(
                        "expected the name of a {key}, such as {}",
                        if key == "region" { "us-east-1" } else { "bedrock" }
                    ),
                );
            }
        }
        no_outer_source(document, &trail, file);
        let from = source(document, &trail.key("from"), &sigv4.from)?;
        return Some(Credential::AwsSigv4 {
            region: sigv4.region.clone(),
            service: sigv4.service.clone(),
            from,
        });
    }
    let Some(from) = &file.from else {
        document.value(trail, "from is missing: {env: NAME}, {file: PATH} or {command: [PROGRAM]}");
        return None;
    };
    let from = source(document, &trail.key("from"), from)?;
    if let Some(name) = &file.query {
        if name.is_empty() {
            document.value(&trail.key("query"), "expected the name of a query parameter");
        }
        return Some(Credential::Query { name: name.clone(), from });
    }
    let name = file.header.as_ref()?.to_ascii_lowercase();
    if !is_token(&name) || RESERVED.contains(&name.as_str()) {
        document.value(
            &trail.key("header"),
            format!(
                "{name:?} cannot carry a credential; expected a header such as authorization or x-api-key"
            ),
        );
        return None;
    }
    if file
        .prefix
        .as_ref()
        .is_some_and(|prefix| !prefix.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()))
    {
        document.value(&trail.key("prefix"), "a header's value is printable ASCII");
        return None;
    }
    Some(Credential::Header { name, prefix: file.prefix.clone(), from })
}

/// RFC 7617 section 2: the first colon ends the user name.
pub(super) fn check_username(document: &mut Document<'_>, trail: &Trail, username: &str) {
    if username.contains(|c: char| c == ':' || c.is_control()) {
        document.value(&trail.key("username"), "a user name has neither ':' nor control characters");
    }
}

fn no_outer_source(document: &mut Document<'_>, trail: &Trail, file: &CredentialFile) {
    if file.from.is_some() {
        document.key(trail, "from stands inside this mapping, not beside it");
    }
}

pub(super) fn source(document: &mut Document<'_>, trail: &Trail, file: &SourceFile) -> Option<Source> {
    match (&file.env, &file.file, &file.command) {
        (Some(name), None, None) => Some(Source::Env(name.0.clone())),
        (None, Some(path), None) if path.starts_with("~") => {
            document.value(&trail.key("file"), "'~' is not expanded here; write the whole path");
            None
        }
        (None, Some(path), None) if !path.as_os_str().is_empty() => {
            Some(Source::File(beside(document.path, path.clone())))
        }
        (None, None, Some(command)) if command.first().is_some_and(|program| !program.is_empty()) => {
            Some(Source::Command(command.clone()))
        }
        _ => {
            document.value(
                trail,
                "expected exactly one of {env: NAME}, {file: PATH} and {command: [PROGRAM, ARGUMENT…]}",
            );
            None
        }
    }
}

/// Whether two credentials would overwrite each other.
fn same_place(one: &Credential, other: &Credential) -> bool {
    fn place(credential: &Credential) -> (&str, &str) {
        match credential {
            Credential::Header { name, .. } => ("header", name),
            Credential::Query { name, .. } => ("query", name),
            Credential::Basic { .. } | Credential::AwsSigv4 { .. } => ("header", "authorization"),
        }
    }
    place(one) == place(other)
}
