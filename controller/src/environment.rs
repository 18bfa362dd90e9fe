//! The environment of a bottle: what makes every client go through the proxy and trust its CA, and what must not be in
//! it.
//!
//! Invariant: no variable that routes or settings take a secret from, and none whose value contains a secret that
//! Hudson holds, reaches the child.

use secrecy::{ExposeSecret, SecretString};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Proxy variables, as the different clients read them.
const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
/// Exceptions to the proxy: none, or traffic would pass it by.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Other proxy variables, which would lead somewhere else.
const OTHER_PROXY: [&str; 2] = ["ALL_PROXY", "all_proxy"];
/// CA variables, as the different clients read them.
const CA: [&str; 12] = [
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "npm_config_cafile",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
    "CODEX_CA_CERTIFICATE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
];
/// A folder of certificates would be searched beside the file.
const CA_FOLDER: &str = "SSL_CERT_DIR";
/// Sockets of the operator's session, none of which is in an isolated bottle.
const SESSION: [&str; 5] =
    ["SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "DOCKER_HOST", "WAYLAND_DISPLAY"];
/// Secrets shorter than this are not looked for in values: they would be found everywhere.
const SHORTEST: usize = 8;

/// The proxy URL of a run.
pub fn proxy_url(address: SocketAddr, run: &str, password: &SecretString) -> SecretString {
    SecretString::from(format!("http://{run}:{}@{address}", password.expose_secret()))
}

/// What is set in a bottle's environment.
pub fn variables(proxy_url: &SecretString, bundle: &Path) -> BTreeMap<String, OsString> {
    let mut variables = BTreeMap::new();
    for name in PROXY {
        variables.insert(name.to_owned(), OsString::from(proxy_url.expose_secret()));
    }
    for name in NO_PROXY {
        variables.insert(name.to_owned(), OsString::new());
    }
    // Node reads the proxy variables only when told to.
    variables.insert("NODE_USE_ENV_PROXY".to_owned(), OsString::from("1"));
    for name in CA {
        variables.insert(name.to_owned(), bundle.as_os_str().to_owned());
    }
    variables
}

/// The names in `parent` that a child must not get.
pub fn withheld(
    parent: impl Iterator<Item = (OsString, OsString)>,
    named: &BTreeSet<String>,
    secrets: &[SecretString],
) -> Vec<OsString> {
    let holds_secret = |value: &OsStr| {
        secrets.iter().map(|secret| secret.expose_secret().as_bytes()).any(|secret| {
            secret.len() >= SHORTEST && value.as_bytes().windows(secret.len()).any(|window| window == secret)
        })
    };
    parent
        .filter(|(name, value)| {
            let text = name.to_str().unwrap_or_default();
            named.contains(text) || OTHER_PROXY.contains(&text) || text == CA_FOLDER || holds_secret(value)
        })
        .map(|(name, _)| name)
        .collect()
}

/// Changes what leads to places that an isolated bottle does not have: sockets of the session, and a folder for
/// temporary files.
pub fn isolate(variables: &mut BTreeMap<String, OsString>, withheld: &mut Vec<OsString>) {
    withheld.extend(SESSION.map(OsString::from));
    variables.entry("TMPDIR".to_owned()).or_insert_with(|| OsString::from("/tmp"));
}

/// A bottle's `env` with `${NAME}` taken from the launching environment.
///
/// A variable that is not set, `?prompt`, and a value that holds a secret of Hudson's are errors: the agent must not
/// start with less than was meant, nor with more.
pub fn expanded(
    written: &BTreeMap<String, String>,
    variable: &dyn Fn(&str) -> Option<String>,
    secrets: &[SecretString],
) -> Result<BTreeMap<String, OsString>, String> {
    let mut expanded = BTreeMap::new();
    for (name, text) in written {
        if text == "?prompt" {
            return Err(format!(
                "env.{name} asks for a value (?prompt); set it in the environment as ${{{name}}} instead"
            ));
        }
        let mut value = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (wanted, behind) =
                after.split_once('}').ok_or_else(|| format!("env.{name}: `${{` without `}}`"))?;
            value.push_str(before);
            value.push_str(
                &variable(wanted).ok_or_else(|| format!("env.{name}: the variable {wanted} is not set"))?,
            );
            rest = behind;
        }
        value.push_str(rest);
        if holds_secret(&value, secrets) {
            return Err(format!("env.{name} holds a credential that Hudson puts on itself; leave it out"));
        }
        expanded.insert(name.clone(), OsString::from(value));
    }
    Ok(expanded)
}

/// Whether a value contains a secret that Hudson holds.
pub fn holds_secret(value: &str, secrets: &[SecretString]) -> bool {
    secrets
        .iter()
        .map(ExposeSecret::expose_secret)
        .any(|secret| secret.len() >= SHORTEST && value.contains(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bottles_environment_is_expanded_or_refused() {
        let variable = |name: &str| (name == "WHO").then(|| "ci".to_owned());
        let secrets = [SecretString::from("sk-real-key".to_owned())];
        let of = |text: &str| {
            let written = BTreeMap::from([("NAME".to_owned(), text.to_owned())]);
            expanded(&written, &variable, &secrets)
                .map(|values| values["NAME"].clone().into_string().unwrap())
        };
        assert_eq!(of("a ${WHO} b").as_deref(), Ok("a ci b"));
        assert_eq!(of("plain $x {y}").as_deref(), Ok("plain $x {y}"));
        assert!(of("${NOPE}").unwrap_err().contains("NOPE is not set"));
        assert!(of("?prompt").is_err());
        assert!(of("x sk-real-key").unwrap_err().contains("credential"));
    }

    #[test]
    fn secrets_stay_out_by_name_and_by_value() {
        let parent = [
            ("PATH", "/bin"),
            ("EGRESS_TOKEN_0", "x"),
            ("COPY_OF_KEY", "prefix sk-real-key suffix"),
            ("ALL_PROXY", "socks5://elsewhere"),
            ("SHORT", "abc"),
        ]
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let secrets = ["sk-real-key", "abc"].map(|text| SecretString::from(text.to_owned()));
        let named = BTreeSet::from(["EGRESS_TOKEN_0".to_owned()]);
        let withheld = withheld(parent.into_iter(), &named, &secrets);
        assert_eq!(withheld, ["EGRESS_TOKEN_0", "COPY_OF_KEY", "ALL_PROXY"].map(OsString::from));
    }
}
