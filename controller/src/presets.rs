//! Presets: what a model provider's clients need, so that `hudson run -- claude` needs no file at all. A preset is
//! ordinary routes (printed by `hudson presets show`), the place its credential comes from, and the dummy that stands
//! in the child's environment where the client insists on a key.
//!
//! Invariant: the real credential stays in this process; the child gets the dummy.

mod codex_home;

use crate::exit::Exit;
use anyhow::{Context, Result};
pub use codex_home::CodexHome;
use hudson_proxy::LaunchSecret;
use hudson_schema::config::{Routes, parse_routes};
use secrecy::SecretString;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The names that `--provider` takes.
pub const NAMES: [&str; 3] = ["claude", "codex", "gemini"];

/// What a dummy key looks like: of the form that the client expects, and telling what it is.
const DUMMY_CLAUDE: &str = "sk-ant-api03-hudson-puts-the-real-key-on";
const DUMMY_CLAUDE_LOGIN: &str = "sk-ant-oat01-hudson-puts-the-real-token-on";
const DUMMY_OPENAI: &str = "sk-hudson-puts-the-real-key-on";
const DUMMY_GEMINI: &str = "AIzaHudsonPutsTheRealKeyOn0000000000000";

/// A preset for one launch.
#[derive(Debug)]
pub struct Preset {
    /// Its variant: its name, with `-login` where a login stands in for a key. See [`routes`].
    pub variant: &'static str,
    /// Where its credentials come from, by the variable that its routes name.
    pub secrets: BTreeMap<String, LaunchSecret>,
    /// Variables that would hold a real credential: they are removed from the child.
    pub removed: Vec<&'static str>,
    /// Variables set for the child.
    pub environment: BTreeMap<String, String>,
    /// A private home for Codex, where its login has to stay away from the child.
    pub codex_home: Option<CodexHome>,
    /// Where its credential was found, for people.
    pub found: String,
}

/// The preset that a command's name points to, if any.
pub fn guess(program: &Path) -> Option<&'static str> {
    let name = program.file_name()?.to_str()?;
    let stem = name.split('.').next().unwrap_or(name);
    NAMES.into_iter().find(|preset| stem == *preset)
}

/// The YAML of a preset, for people to copy.
pub fn yaml(name: &str) -> Result<String> {
    Ok(match name {
        "claude" => format!("{}\n{}", CLAUDE, commented(CLAUDE_LOGIN)),
        "codex" => format!("{}\n{}", CODEX, commented(CODEX_LOGIN)),
        "gemini" => GEMINI.to_owned(),
        _ => return Err(unknown(name).into()),
    })
}

/// The routes of a preset's variant.
pub fn routes(variant: &str) -> Result<Routes> {
    let Some((_, yaml)) = VARIANTS.iter().find(|(name, _)| *name == variant) else {
        return Err(unknown(variant).into());
    };
    Ok(parse_routes(Path::new(&format!("preset {variant}")), yaml)?)
}

/// Makes a preset for a launch: `variable` reads the launching environment, `user_home` is the person's home.
pub fn load(
    name: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    user_home: Option<&Path>,
) -> Result<Preset> {
    match name {
        "claude" => claude(variable, user_home),
        "codex" => codex(variable, user_home),
        "gemini" => gemini(variable),
        _ => Err(unknown(name).into()),
    }
}

/// What is wrong with the name of a preset, if anything is; `none` names none.
pub fn check_name(name: &str) -> Result<(), Exit> {
    match name == "none" || NAMES.contains(&name) {
        true => Ok(()),
        false => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Exit {
    Exit::usage(format!("there is no preset {name:?}; expected one of {}, or none", NAMES.join(", ")))
}

const CLAUDE: &str = include_str!("presets/claude.yaml");
const CLAUDE_LOGIN: &str = include_str!("presets/claude-login.yaml");
const CODEX: &str = include_str!("presets/codex.yaml");
const CODEX_LOGIN: &str = include_str!("presets/codex-login.yaml");
const GEMINI: &str = include_str!("presets/gemini.yaml");

const VARIANTS: [(&str, &str); 5] = [
    ("claude", CLAUDE),
    ("claude-login", CLAUDE_LOGIN),
    ("codex", CODEX),
    ("codex-login", CODEX_LOGIN),
    ("gemini", GEMINI),
];

fn claude(variable: &dyn Fn(&str) -> Option<String>, user_home: Option<&Path>) -> Result<Preset> {
    let removed = vec!["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"];
    let config =
        variable("CLAUDE_CONFIG_DIR").map(PathBuf::from).or(user_home.map(|home| home.join(".claude")));
    let login = config.map(|folder| folder.join(".credentials.json")).filter(|path| path.is_file());
    let token = ["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_AUTH_TOKEN"]
        .into_iter()
        .find_map(|name| variable(name).map(|value| (name, value)));
    let mut preset = match (variable("ANTHROPIC_API_KEY"), token, login) {
        (Some(key), _, _) => plain("claude", "ANTHROPIC_API_KEY", value(key), "ANTHROPIC_API_KEY"),
        (None, Some((name, token)), _) => {
            plain("claude-login", "CLAUDE_CODE_OAUTH_TOKEN", value(token), name)
        }
        (None, None, Some(path)) => {
            login_file(&path, "log in again with `claude`, or set ANTHROPIC_API_KEY")?;
            let found = path.display().to_string();
            let keys = ["claudeAiOauth", "accessToken"].map(str::to_owned).to_vec();
            plain("claude-login", "CLAUDE_CODE_OAUTH_TOKEN", LaunchSecret::JsonFile { path, keys }, &found)
        }
        (None, None, None) => missing("claude", "ANTHROPIC_API_KEY"),
    };
    let dummy = match preset.secrets.contains_key("CLAUDE_CODE_OAUTH_TOKEN") {
        true => ("CLAUDE_CODE_OAUTH_TOKEN", DUMMY_CLAUDE_LOGIN),
        false => ("ANTHROPIC_API_KEY", DUMMY_CLAUDE),
    };
    preset.environment.insert(dummy.0.to_owned(), dummy.1.to_owned());
    preset.removed = removed;
    Ok(preset)
}

fn codex(variable: &dyn Fn(&str) -> Option<String>, user_home: Option<&Path>) -> Result<Preset> {
    let home = variable("CODEX_HOME").map(PathBuf::from).or(user_home.map(|home| home.join(".codex")));
    let login = home.filter(|home| home.join("auth.json").is_file());
    let key = ["CODEX_API_KEY", "OPENAI_API_KEY"]
        .into_iter()
        .find_map(|name| variable(name).map(|value| (name, value)));
    let mut preset = match (key, login) {
        (Some((name, key)), _) => plain("codex", "OPENAI_API_KEY", value(key), name),
        (None, Some(home)) => codex_login(&home)?,
        (None, None) => missing("codex", "OPENAI_API_KEY"),
    };
    if preset.codex_home.is_none() {
        for name in ["OPENAI_API_KEY", "CODEX_API_KEY"] {
            preset.environment.insert(name.to_owned(), DUMMY_OPENAI.to_owned());
        }
    }
    preset.removed = vec!["OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN"];
    Ok(preset)
}

/// Codex reads its login file itself, so the child gets a home in which that file holds dummies.
fn codex_login(home: &Path) -> Result<Preset> {
    let path = home.join("auth.json");
    let login = login_file(&path, "log in again with `codex login`, or set OPENAI_API_KEY")?;
    let private = CodexHome::make(home, &login)
        .with_context(|| format!("preparing a private CODEX_HOME from {}", home.display()))?;
    let found = path.display().to_string();
    let (variant, name, keys) = match private.has_api_key {
        true => ("codex", "OPENAI_API_KEY", vec!["OPENAI_API_KEY".to_owned()]),
        false => ("codex-login", "CODEX_ACCESS_TOKEN", vec!["tokens".to_owned(), "access_token".to_owned()]),
    };
    let mut preset = plain(variant, name, LaunchSecret::JsonFile { path, keys }, &found);
    preset.environment.insert("CODEX_HOME".to_owned(), private.path().display().to_string());
    preset.codex_home = Some(private);
    Ok(preset)
}

fn gemini(variable: &dyn Fn(&str) -> Option<String>) -> Result<Preset> {
    let key = ["GEMINI_API_KEY", "GOOGLE_API_KEY"]
        .into_iter()
        .find_map(|name| variable(name).map(|value| (name, value)));
    let mut preset = match key {
        Some((name, key)) => plain("gemini", "GEMINI_API_KEY", value(key), name),
        None => missing("gemini", "GEMINI_API_KEY"),
    };
    preset.environment.insert("GEMINI_API_KEY".to_owned(), DUMMY_GEMINI.to_owned());
    preset.removed = vec!["GEMINI_API_KEY", "GOOGLE_API_KEY"];
    Ok(preset)
}

/// A login file, or what to do about one that is none. serde_json's words could quote it: only where it fails is told.
fn login_file(path: &Path, remedy: &str) -> Result<Value, Exit> {
    let wrong = |why: String| Exit::usage(format!("{}: {why}; {remedy}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(format!("is not JSON at line {}", error.line())))
}

fn plain(variant: &'static str, variable: &str, secret: LaunchSecret, found: &str) -> Preset {
    let mut preset = missing(variant, variable);
    preset.secrets.insert(variable.to_owned(), secret);
    preset.found = format!("credential from {found}");
    preset
}

/// Without a credential the preset stands all the same: each request is refused and says what to set.
fn missing(variant: &'static str, variable: &str) -> Preset {
    Preset {
        variant,
        secrets: BTreeMap::new(),
        removed: Vec::new(),
        environment: BTreeMap::new(),
        codex_home: None,
        found: format!("no credential found; set {variable}"),
    }
}

fn value(text: String) -> LaunchSecret {
    LaunchSecret::Value(SecretString::from(text))
}

fn commented(yaml: &str) -> String {
    yaml.lines().map(|line| format!("# {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::config::OnMatch;
    use std::collections::BTreeSet;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_command_is_known_by_its_name() {
        assert_eq!(guess(Path::new("/usr/bin/claude")), Some("claude"));
        assert_eq!(guess(Path::new("claude.exe")), Some("claude"));
        assert_eq!(guess(Path::new("python3")), None);
    }

    #[test]
    fn every_preset_parses_and_uses_nothing_unsupported() {
        for name in NAMES {
            let preset = load(name, &none, None).unwrap();
            assert!(routes(preset.variant).unwrap().unsupported().is_empty());
            assert!(preset.found.contains("set "), "{}", preset.found);
            assert!(parse_routes(Path::new("x"), &yaml(name).unwrap()).is_ok());
        }
        for (variant, _) in VARIANTS {
            let routes = routes(variant).unwrap().routes;
            let hosts: BTreeSet<String> = routes.iter().map(|route| route.host.to_string()).collect();
            assert_eq!(hosts.len(), 1, "{variant}");
            // A session goes on without the secret; nobody has to be asked.
            assert!(routes.iter().all(|route| route.outbound_on_match != OnMatch::Supervise), "{variant}");
            assert_eq!(
                routes.last().map(|route| route.outbound_on_match),
                Some(OnMatch::Redact),
                "{variant}"
            );
        }
    }

    #[test]
    fn a_wrong_name_or_login_file_is_wrong_input() {
        let code = |error: &anyhow::Error| crate::exit::code_of(error);
        assert_eq!(code(&load("nope", &none, None).unwrap_err()), crate::exit::USAGE);
        assert_eq!(code(&routes("nope").unwrap_err()), crate::exit::USAGE);
        assert!(check_name("none").is_ok() && check_name("codex").is_ok() && check_name("nope").is_err());
        let home = tempfile::tempdir().unwrap();
        for (name, file) in [("claude", ".claude/.credentials.json"), ("codex", ".codex/auth.json")] {
            let path = home.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "{\n\"tok-s3cret").unwrap();
            let error = load(name, &none, Some(home.path())).unwrap_err();
            let text = format!("{error:#}");
            assert_eq!(code(&error), crate::exit::USAGE, "{text}");
            assert!(
                text.contains(file) && text.contains("line 2") && text.contains("log in again"),
                "{text}"
            );
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn the_key_is_kept_and_the_child_gets_a_dummy() {
        let environment = |name: &str| (name == "ANTHROPIC_API_KEY").then(|| "sk-ant-real".to_owned());
        let preset = load("claude", &environment, None).unwrap();
        assert!(preset.secrets.contains_key("ANTHROPIC_API_KEY"));
        assert!(preset.removed.contains(&"ANTHROPIC_API_KEY"));
        assert_ne!(preset.environment.get("ANTHROPIC_API_KEY").unwrap(), "sk-ant-real");
    }
}
