//! A private `CODEX_HOME` for one launch: everything of the person's own by symbolic links, but for the login file,
//! which holds dummies of the same form. Codex then behaves as it does for the person, and never reads the tokens.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

const DUMMY: &str = "hudson-puts-the-real-token-on";

/// The private home; removed when dropped.
#[derive(Debug)]
pub struct CodexHome {
    folder: PathBuf,
    /// Whether the login is an API key rather than a ChatGPT session.
    pub has_api_key: bool,
}

impl CodexHome {
    /// Makes one from the person's own and what its auth.json says.
    pub fn make(home: &Path, login: &Value) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("hudson-codex-{}", uuid::Uuid::now_v7()));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("creating {}", folder.display()))?;
        let made = Self { folder, has_api_key: login.get("OPENAI_API_KEY").is_some_and(Value::is_string) };
        for entry in fs::read_dir(home).with_context(|| format!("reading {}", home.display()))? {
            let entry = entry?;
            if entry.file_name() != "auth.json" {
                symlink(entry.path(), made.folder.join(entry.file_name()))?;
            }
        }
        fs::write(made.folder.join("auth.json"), dummy(login).to_string())?;
        Ok(made)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for CodexHome {
    fn drop(&mut self) {
        // Best effort: it holds links and dummies only.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The same login with every secret replaced. Codex reads account and plan from the ID token's payload and does not
/// verify its signature.
fn dummy(login: &Value) -> Value {
    if login.get("OPENAI_API_KEY").is_some_and(Value::is_string) {
        return json!({"auth_mode": "apikey", "OPENAI_API_KEY": DUMMY, "tokens": null, "last_refresh": null});
    }
    let claims = login
        .pointer_text(&["tokens", "id_token"])
        .and_then(|token| token.split('.').nth(1).map(str::to_owned))
        .unwrap_or_else(|| URL_SAFE_NO_PAD.encode("{}"));
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    // Far in the future, so that Codex does not try to refresh what it does not have.
    let access = URL_SAFE_NO_PAD.encode(r#"{"exp":4102444800}"#);
    json!({
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": null,
        "tokens": {
            "id_token": format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode(DUMMY)),
            "access_token": format!("{head}.{access}.{}", URL_SAFE_NO_PAD.encode(DUMMY)),
            "refresh_token": DUMMY,
            "account_id": login.pointer_text(&["tokens", "account_id"]),
        },
        "last_refresh": jiff::Timestamp::now().to_string(),
    })
}

trait PointerText {
    fn pointer_text(&self, keys: &[&str]) -> Option<String>;
}

impl PointerText for Value {
    fn pointer_text(&self, keys: &[&str]) -> Option<String> {
        keys.iter().try_fold(self, |value, key| value.get(key)).and_then(Value::as_str).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_private_home_has_everything_but_the_tokens() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), "model = \"x\"").unwrap();
        let claims = URL_SAFE_NO_PAD.encode(r#"{"email":"a@b.c"}"#);
        let login = json!({"OPENAI_API_KEY": null, "tokens": {
            "id_token": format!("h.{claims}.REAL-SIGNATURE"), "access_token": "REAL-ACCESS",
            "refresh_token": "REAL-REFRESH", "account_id": "acc"}});
        fs::write(folder.path().join("auth.json"), login.to_string()).unwrap();
        let home = CodexHome::make(folder.path(), &login).unwrap();
        let path = home.path().to_owned();
        let written = fs::read_to_string(path.join("auth.json")).unwrap();
        assert!(!written.contains("REAL") && written.contains(&claims) && written.contains("acc"));
        assert_eq!(fs::read_to_string(path.join("config.toml")).unwrap(), "model = \"x\"");
        drop(home);
        assert!(!path.exists() && folder.path().join("config.toml").exists());
    }
}
