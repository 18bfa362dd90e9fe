//! The tokens by which people decide over HTTP, each with the name under which its decisions are recorded.
//!
//! Invariants: only hashes are kept; all of them are compared, each in constant time; a token that others could have read
//! or guessed is none.

use anyhow::{Context, Result, anyhow, bail, ensure};
use hudson_schema::config::{Settings, TokenSource};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use subtle::ConstantTimeEq;

/// The fewest characters: what is shorter is tried out.
const SHORTEST: usize = 16;
/// The longest file, in bytes.
const LONGEST: u64 = 4096;

/// Every token that decides.
#[derive(Clone, Default)]
pub struct Tokens(Vec<Token>);

#[derive(Clone)]
struct Token {
    name: String,
    hash: [u8; 32],
}

impl Tokens {
    /// The tokens of the settings; those that cannot be taken are left out, and why is told beside.
    pub fn read(settings: &Settings) -> (Self, Vec<String>) {
        Self::from(settings, &|name| std::env::var(name).ok())
    }

    fn from(settings: &Settings, variable: &dyn Fn(&str) -> Option<String>) -> (Self, Vec<String>) {
        let (mut tokens, mut faults) = (Vec::new(), Vec::new());
        for (name, source) in &settings.approvals.approvers.tokens {
            match hash(source, variable) {
                Ok(hash) => tokens.push(Token { name: name.clone(), hash }),
                Err(error) => {
                    faults.push(format!("settings.yml: approvals.approvers.tokens.{name}: {error:#}"))
                }
            }
        }
        (Self(tokens), faults)
    }

    /// Whose token this is.
    pub fn owner(&self, presented: &str) -> Option<&str> {
        let presented: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        // No comparison ends the search: how long it takes says nothing.
        self.0.iter().fold(None, |found, token| {
            let is_it: bool = token.hash.ct_eq(&presented).into();
            if is_it { Some(token.name.as_str()) } else { found }
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn hash(source: &TokenSource, variable: &dyn Fn(&str) -> Option<String>) -> Result<[u8; 32]> {
    let token = match source {
        TokenSource::Sha256(hex) => return of_hex(hex),
        TokenSource::Env(name) => {
            let value = variable(&name.0).filter(|value| !value.is_empty());
            SecretString::from(
                value.with_context(|| format!("the environment variable {} is not set", name.0))?,
            )
        }
        TokenSource::File(path) => file(path).with_context(|| path.display().to_string())?,
    };
    let token = token.expose_secret().trim();
    ensure!(
        token.chars().count() >= SHORTEST,
        "it is shorter than {SHORTEST} characters; make one with `openssl rand -hex 32`"
    );
    Ok(Sha256::digest(token.as_bytes()).into())
}

/// A file that nobody else can read.
fn file(path: &Path) -> Result<SecretString> {
    // A pipe would be waited for.
    let mut file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    let about = file.metadata()?;
    ensure!(about.is_file(), "it is no file");
    let mode = about.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        bail!("others can read it (mode {mode:04o}): chmod 600 it");
    }
    let user = rustix::process::geteuid().as_raw();
    ensure!(about.uid() == user, "it is another user's (uid {})", about.uid());
    ensure!(about.len() <= LONGEST, "it is longer than {LONGEST} bytes");
    let mut text = String::new();
    file.by_ref().take(LONGEST).read_to_string(&mut text)?;
    Ok(SecretString::from(text))
}

fn of_hex(hex: &str) -> Result<[u8; 32]> {
    // It is not repeated: a token pasted here by mistake must not reach a log.
    let wrong = || anyhow!("sha256 is 64 hex digits: `printf %s TOKEN | sha256sum`; never the token itself");
    let digits = hex.trim().as_bytes();
    if digits.len() != 64 {
        return Err(wrong());
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::config::parse_settings;

    const TOKEN: &str = "correct horse battery staple";

    fn tokens(yaml: &str) -> (Tokens, Vec<String>) {
        let text = format!("approvals: {{approvers: {{tokens: {{{yaml}}}}}}}\n");
        let settings = parse_settings(Path::new("settings.yml"), &text).unwrap();
        Tokens::from(&settings, &|name| (name == "OPS").then(|| TOKEN.to_owned()))
    }

    #[test]
    fn a_token_is_known_by_the_name_that_the_settings_give_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "another long token of mine\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let hash: String =
            Sha256::digest(b"the third of the tokens").iter().map(|b| format!("{b:02x}")).collect();
        let yaml =
            format!("ops: {{env: OPS}}, anna: {{file: '{}'}}, bob: {{sha256: {hash}}}", path.display());
        let (tokens, faults) = tokens(&yaml);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(tokens.owner(TOKEN), Some("ops"));
        assert_eq!(tokens.owner("another long token of mine"), Some("anna"));
        assert_eq!(tokens.owner("the third of the tokens"), Some("bob"));
        for wrong in ["", "ops", "correct horse battery stapl", &hash] {
            assert_eq!(tokens.owner(wrong), None);
        }
    }

    #[test]
    fn a_token_that_others_may_know_is_none_and_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, TOKEN).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        for (yaml, why) in [
            (format!("a: {{file: '{}'}}", path.display()), "chmod 600"),
            ("a: {file: /nowhere/token}".to_owned(), "/nowhere/token"),
            ("a: {env: UNSET}".to_owned(), "UNSET is not set"),
            (format!("a: {{sha256: '{TOKEN}'}}"), "64 hex digits"),
        ] {
            let (tokens, faults) = tokens(&yaml);
            assert!(tokens.is_empty() && tokens.owner(TOKEN).is_none());
            assert!(faults[0].contains("approvers.tokens.a") && faults[0].contains(why), "{faults:?}");
            assert!(!faults[0].contains(TOKEN), "{faults:?}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "short").unwrap();
        assert!(tokens(&format!("a: {{file: '{}'}}", path.display())).1[0].contains("shorter than 16"));
    }
}
