//! bot-bottle's manifest, `bottles/<name>.md`: Markdown whose YAML front matter says the parent, the environment and
//! the egress of a bottle. What only bot-bottle itself uses is accepted and left alone; unknown keys are an error.

use super::bottle::EnvValue;
use super::error::Problem;
use super::route_check;
use super::route_file::RoutesFile;
use super::tree::Trail;
use super::values::EnvName;
use super::yaml::Document;
use super::{ConfigError, Routes};
use crate::BottleName;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::Path;

/// What a manifest says that Hudson uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// The parent bottle.
    pub extends: Option<BottleName>,
    /// Variables of the agent's environment.
    pub env: BTreeMap<EnvName, EnvValue>,
    /// Its routes; `None` when it declares none and inherits.
    pub egress: Option<Routes>,
    /// Where the parent is named.
    pub(super) named_parent: Option<Problem>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(dead_code, reason = "bot-bottle's own keys are read to be accepted, not to be used")]
struct FrontMatter {
    extends: Option<BottleName>,
    env: BTreeMap<EnvName, EnvValue>,
    egress: Option<RoutesFile>,
    agent_provider: IgnoredAny,
    git: IgnoredAny,
    #[serde(rename = "git-gate")]
    git_gate: IgnoredAny,
    git_user: IgnoredAny,
    supervise: IgnoredAny,
}

/// Reads a manifest; `None` when there is none.
pub fn load_manifest(path: &Path) -> Result<Option<Manifest>, ConfigError> {
    match super::files::text(path)? {
        Some(text) => parse_manifest(path, &text).map(Some),
        None => Ok(None),
    }
}

/// Reads the text of a manifest.
pub fn parse_manifest(path: &Path, text: &str) -> Result<Manifest, ConfigError> {
    let front = front_matter(path, text)?;
    let (file, mut document) = Document::parse::<Option<FrontMatter>>(path, &front)?;
    let file = file.unwrap_or_default();
    let trail = Trail::default().key("egress");
    let egress = file.egress.map(|egress| route_check::routes(&mut document, &trail, egress));
    let named_parent =
        file.extends.is_some().then(|| document.problem_at_value(&Trail::default().key("extends"), ""));
    document.finish()?;
    Ok(Manifest { extends: file.extends, env: file.env, egress, named_parent })
}

/// The lines between the two `---`, with an empty line for the first of them so that line numbers stay true. A file
/// without front matter has an empty one.
fn front_matter(path: &Path, text: &str) -> Result<String, ConfigError> {
    let mut lines = text.lines();
    if lines.next().map(str::trim_end) != Some("---") {
        return Ok(String::new());
    }
    let mut front = String::new();
    for line in lines {
        if line.trim_end() == "---" {
            return Ok(front);
        }
        front.push('\n');
        front.push_str(line);
    }
    let message = "the front matter has no end; expected a second line of ---";
    Err(ConfigError::one(Problem::at(path, text, super::tree::Place { line: 1, column: 1 }, message)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Credential, Source};

    fn parse(text: &str) -> Result<Manifest, String> {
        parse_manifest(Path::new("ci.md"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bot_bottle_manifest_is_read() {
        let manifest = parse(concat!(
            "---\nextends: base\nenv: { NAME: literal, TOKEN: '${HOST_VAR}', ASK: ?prompt }\n",
            "agent_provider: { template: claude, dockerfile: x, auth_token: y, forward_host_credentials: true }\n",
            "git-gate: { user: {name: x}, repos: { a: { url: u, identity: i, host_key: k } } }\nsupervise: true\n",
            "egress:\n  log: 1\n  routes:\n    - host: api.example.com\n      auth: { scheme: token, token_ref: HOST_ENV }\n",
            "      git: { fetch: true }\n---\n# Notes\n\nextends: nothing here\n---\n",
        ))
        .unwrap();
        assert_eq!(manifest.extends, Some("base".parse().unwrap()));
        assert_eq!(manifest.env.len(), 3);
        let egress = manifest.egress.unwrap();
        assert_eq!((egress.routes.len(), egress.routes[0].line), (1, 10));
        assert_eq!(
            egress.routes[0].credentials,
            [Credential::Header {
                name: "authorization".to_owned(),
                prefix: Some("token ".to_owned()),
                from: Source::Env("HOST_ENV".to_owned())
            }]
        );
    }

    #[test]
    fn lines_are_those_of_the_manifest() {
        assert_eq!(
            parse("---\nextends: base\negress:\n  routes:\n    - host: '*.com'\n---\n").unwrap_err(),
            "\
ci.md:5:13: \"*.com\" cannot be a route's host: a wildcard is one whole leading label in front of at least two more, such \
as *.example.com
   |
 5 |     - host: '*.com'
   |             ^^^^^^^"
        );
        assert!(
            parse("---\nextens: base\n---\n").unwrap_err().starts_with("ci.md:2:1: unknown key \"extens\"")
        );
        assert!(parse("---\nenv: {}\n").unwrap_err().starts_with("ci.md:1:1: the front matter has no end"));
    }

    #[test]
    fn a_manifest_without_front_matter_says_nothing() {
        for text in ["", "# Title\n", "---\n---\n", "---\r\n---\r\n"] {
            assert_eq!(parse(text), Ok(Manifest::default()), "{text:?}");
        }
        assert_eq!(
            parse("---\nextends: base\n---\n").unwrap().egress,
            None,
            "no routes declared is not an empty list"
        );
        assert!(parse("---\negress: {routes: []}\n---\n").unwrap().egress.is_some());
    }
}
