//! Secrets, read from where a route says: a variable, a file, a command, or what the launch provides in its place.
//!
//! Invariant: a value lives in a `SecretString`, and no error quotes what was read, also not in part.

use crate::run::{LaunchSecret, Run};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hudson_schema::config::Source;
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// The longest a credential command may take.
const COMMAND_TIME: Duration = Duration::from_secs(10);
/// The most a credential file or command may give, in bytes.
const MAX_VALUE: usize = 64 * 1024;

/// Reads a secret for a run; in words, why it cannot be read.
pub(crate) async fn read(run: &Run, source: &Source) -> Result<SecretString, String> {
    let secret = match source {
        Source::Env(name) => match run.secrets.get(name) {
            Some(LaunchSecret::Value(secret)) => secret.clone(),
            Some(LaunchSecret::JsonFile { path, keys }) => member(&file(path).await?, path, keys)?,
            None => match std::env::var(name) {
                Ok(value) => SecretString::from(value),
                Err(_) => return Err(format!("the variable {name} is not set")),
            },
        },
        Source::File(path) => file(path).await?,
        Source::Command(argv) => command(argv).await?,
    };
    let trimmed = secret.expose_secret().trim_end_matches(['\r', '\n']);
    match trimmed.is_empty() {
        true => Err(match source {
            Source::Env(name) => format!("the variable {name} is empty"),
            Source::File(path) => format!("{} is empty", path.display()),
            Source::Command(_) => "the command printed nothing".to_owned(),
        }),
        false => Ok(SecretString::from(trimmed.to_owned())),
    }
}

/// The value of a Basic authorization (RFC 7617).
pub(crate) fn basic(username: &str, password: &SecretString) -> SecretString {
    SecretString::from(format!("Basic {}", basic_pair(username, password).expose_secret()))
}

/// User and password as they stand in a Basic authorization.
pub(crate) fn basic_pair(username: &str, password: &SecretString) -> SecretString {
    let pair = SecretString::from(format!("{username}:{}", password.expose_secret()));
    SecretString::from(STANDARD.encode(pair.expose_secret()))
}

async fn file(path: &Path) -> Result<SecretString, String> {
    let bytes = tokio::fs::read(path).await.map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.len() > MAX_VALUE {
        return Err(format!("{} is larger than {MAX_VALUE} bytes", path.display()));
    }
    String::from_utf8(bytes).map(SecretString::from).map_err(|_| format!("{} is not UTF-8", path.display()))
}

/// A text member of a JSON file.
fn member(text: &SecretString, path: &Path, keys: &[String]) -> Result<SecretString, String> {
    // serde_json's words could quote the file: only where it failed is told.
    let root: serde_json::Value = serde_json::from_str(text.expose_secret())
        .map_err(|error| format!("{} is not JSON at line {}", path.display(), error.line()))?;
    keys.iter()
        .try_fold(&root, |value, key| value.get(key))
        .and_then(serde_json::Value::as_str)
        .map(|secret| SecretString::from(secret.to_owned()))
        .ok_or_else(|| format!("{} has no text at {}; log in again", path.display(), keys.join(".")))
}

async fn command(argv: &[String]) -> Result<SecretString, String> {
    let (program, arguments) = argv.split_first().ok_or_else(|| "the command is empty".to_owned())?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(COMMAND_TIME, command.output())
        .await
        .map_err(|_| format!("{program} took longer than {COMMAND_TIME:?}"))?
        .map_err(|error| format!("{program}: {error}"))?;
    // What it printed may hold the secret, also when it failed: only its status is told.
    if !output.status.success() {
        return Err(format!("{program} ended with {}", output.status));
    }
    if output.stdout.len() > MAX_VALUE {
        return Err(format!("{program} printed more than {MAX_VALUE} bytes"));
    }
    String::from_utf8(output.stdout)
        .map(SecretString::from)
        .map_err(|_| format!("{program} printed no UTF-8"))
}
