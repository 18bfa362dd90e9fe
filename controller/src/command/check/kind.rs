//! Which of Hudson's files a file is: by its name, else by the keys at its top.

use hudson_schema::BottleName;
use hudson_schema::home::Home;
use std::path::Path;

/// The kinds of files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// settings.yml
    Settings,
    /// bottle.yml
    Bottle,
    /// routes.yaml
    Routes,
    /// bot-bottle's Markdown manifest
    Manifest,
    /// Rules of DLP, which settings.yml names
    Rules,
    /// Values that must not leave, or canaries, which it names too
    Values,
    /// The key of the findings' hashes
    Key,
}

impl Kind {
    /// The name, as in the JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Bottle => "bottle",
            Self::Routes => "routes",
            Self::Manifest => "manifest",
            Self::Rules => "dlp_rules",
            Self::Values => "dlp_values",
            Self::Key => "dlp_key",
        }
    }
}

/// The kind of a file; the error says why there is none.
pub(super) fn of(path: &Path) -> Result<Kind, String> {
    let bytes = match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            return Err("is a folder; name files, or check a whole home with --home".to_owned());
        }
        Ok(found) if !found.is_file() => return Err("is not a regular file".to_owned()),
        Ok(_) => std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?,
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    by_name(&name).or_else(|| by_content(&String::from_utf8_lossy(&bytes))).ok_or_else(|| {
        "cannot be told apart: name it settings.yml, bottle.yml, routes.yaml or NAME.md, or give it a key of one of these"
            .to_owned()
    })
}

fn by_name(name: &str) -> Option<Kind> {
    let (stem, extension) = name.rsplit_once('.')?;
    match extension {
        "md" => Some(Kind::Manifest),
        "yml" | "yaml" if stem == "settings" => Some(Kind::Settings),
        "yml" | "yaml" if stem == "bottle" => Some(Kind::Bottle),
        // routes.yaml, routes.example.yaml, ci-routes.yaml
        "yml" | "yaml" if stem.split(['.', '-', '_']).any(|word| word == "routes") => Some(Kind::Routes),
        _ => None,
    }
}

fn by_content(text: &str) -> Option<Kind> {
    if text.lines().next().is_some_and(|line| line.trim_end() == "---")
        && text.lines().skip(1).any(|line| line == "---")
    {
        return Some(Kind::Manifest);
    }
    let keys = text.lines().filter_map(|line| {
        let (key, rest) = line.split_once(':')?;
        (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some(key.trim_matches(['"', '\'', '{']))
    });
    // The keys that only one kind has decide; `budget` and `shutdown` are in two and come last.
    let mut shared = None;
    for key in keys {
        match key {
            "routes" | "log" => return Some(Kind::Routes),
            "extends" | "agent_provider" | "env" => return Some(Kind::Bottle),
            "precedence" | "mode" | "min_output" | "cutoff" | "estimate" | "timezone" | "warn_at"
            | "budget_header" | "weights" | "agents" | "bottles" | "providers" | "proxy" | "control"
            | "approvals" | "notify" | "ledger" | "refuse" => return Some(Kind::Settings),
            "budget" | "shutdown" | "window" => shared = Some(Kind::Settings),
            _ => {}
        }
    }
    shared
}

/// The home and the bottle that a bottle.yml belongs to, when it stands where a bottle's file stands.
pub(super) fn bottle_of(path: &Path) -> Option<(Home, BottleName)> {
    let path = std::path::absolute(path).ok()?;
    let folder = path.parent()?;
    let bottles = folder.parent()?;
    let home = Home::new(bottles.parent()?);
    let name: BottleName = folder.file_name()?.to_str()?.parse().ok()?;
    (home.bottle(&name) == path).then_some((home, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide_before_content() {
        for (name, kind) in [
            ("settings.yml", Some(Kind::Settings)),
            ("bottle.yml", Some(Kind::Bottle)),
            ("routes.yaml", Some(Kind::Routes)),
            ("routes.example.yaml", Some(Kind::Routes)),
            ("ci-routes.yml", Some(Kind::Routes)),
            ("ci.md", Some(Kind::Manifest)),
            ("other.yaml", None),
            ("routes", None),
        ] {
            assert_eq!(by_name(name), kind, "{name}");
        }
    }

    #[test]
    fn content_decides_by_its_top_keys() {
        for (text, kind) in [
            ("# x\nroutes:\n  - host: a\n", Some(Kind::Routes)),
            ("log: 1\n", Some(Kind::Routes)),
            ("budget: {claude: 1}\nextends: ci\n", Some(Kind::Bottle)),
            ("budget: {claude: 1}\n", Some(Kind::Settings)),
            ("---\nextends: ci\n---\n# Ci\n", Some(Kind::Manifest)),
            ("  routes: nested\n", None),
            ("", None),
        ] {
            assert_eq!(by_content(text), kind, "{text:?}");
        }
    }

    #[test]
    fn a_bottle_is_known_by_its_place() {
        let (home, name) = bottle_of(Path::new("/h/bottles/ci/bottle.yml")).unwrap();
        assert_eq!((home.path(), name.as_str()), (Path::new("/h"), "ci"));
        assert!(bottle_of(Path::new("/h/other/ci/bottle.yml")).is_none());
    }
}
