//! `hudson check`: whether the files say what can be done. Every file is looked at, whatever is wrong with others.
//!
//! Invariant: nothing is written, and a file is `ok` only if a proxy would start with it.

mod dlp;
mod home;
mod kind;

use super::Context;
use super::output;
use crate::cli::CheckArgs;
use crate::settings::hidden_usage;
use crate::{exit, presets};
use anyhow::Result;
use hudson_meter::Catalogue;
use hudson_schema::config::{
    ConfigError, Problem, load_bottle, load_bottle_file, load_manifest, load_routes, load_settings,
};
use hudson_schema::home::Home;
use kind::Kind;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Checks the given files, or everything in the home.
pub(super) fn execute(context: &Context, arguments: CheckArgs) -> Result<u8> {
    let checked = match arguments.files.is_empty() {
        true => home::check(&context.home)?,
        false => arguments.files.iter().flat_map(|path| with_dlp(check(path))).collect(),
    };
    match context.json {
        true => output::json(&checked.iter().map(Checked::object).collect::<Vec<_>>())?,
        false => print(context, &checked)?,
    }
    Ok(if checked.iter().all(|file| file.faults.is_empty()) { exit::OK } else { exit::USAGE })
}

/// Everything that is wrong with a home's files, for `hudson status`.
pub(super) fn home_faults(home: &Home) -> Result<Vec<String>> {
    let faults = home::check(home)?.into_iter().flat_map(|file| file.faults);
    Ok(faults.map(|fault| fault.rendered).collect())
}

/// One file and what is wrong with it.
#[derive(Debug)]
struct Checked {
    path: PathBuf,
    kind: Option<Kind>,
    faults: Vec<Fault>,
    /// What is not wrong, and has to be known.
    notices: Vec<String>,
}

/// One thing that is wrong.
#[derive(Debug, PartialEq)]
struct Fault {
    line: usize,
    column: usize,
    message: String,
    help: Option<String>,
    /// The whole of it, with file, line and snippet.
    rendered: String,
}

impl Fault {
    /// A fault at the beginning of a line.
    fn at(path: &Path, line: usize, message: String) -> Self {
        let rendered = format!("{}:{line}:1: {message}", path.display());
        Self { line, column: 1, message, help: None, rendered }
    }

    /// A fault of the file as a whole.
    fn of_file(path: &Path, message: &str) -> Self {
        let rendered = format!("{}: {message}", path.display());
        Self { line: 0, column: 0, message: message.to_owned(), help: None, rendered }
    }
}

impl From<&Problem> for Fault {
    fn from(problem: &Problem) -> Self {
        Self {
            line: problem.line,
            column: problem.column,
            message: problem.message.clone(),
            help: problem.help.clone(),
            rendered: problem.to_string(),
        }
    }
}

impl Checked {
    fn new(path: &Path, kind: Option<Kind>, faults: Vec<Fault>) -> Self {
        Self { path: path.to_owned(), kind, faults, notices: Vec::new() }
    }

    /// Whether it is the settings.yml of a home, and sound in itself.
    fn is_settings_of(&self, home: &Home) -> bool {
        let path = std::path::absolute(&self.path).ok();
        self.kind == Some(Kind::Settings) && self.faults.is_empty() && path == Some(home.settings())
    }

    fn object(&self) -> Value {
        let fault = |fault: &Fault| json!({"line": fault.line, "column": fault.column, "message": fault.message, "help": fault.help});
        json!({
            "file": self.path,
            "kind": self.kind.map(Kind::name),
            "ok": self.faults.is_empty(),
            "problems": self.faults.iter().map(fault).collect::<Vec<_>>(),
            "notices": self.notices,
        })
    }
}

/// Checks one file that was named.
fn check(path: &Path) -> Checked {
    match kind::of(path) {
        Ok(kind) => {
            let mut checked = check_as(path, kind);
            if let (Kind::Bottle, true, Some((home, name))) =
                (kind, checked.faults.is_empty(), kind::bottle_of(path))
            {
                // Inside a home its parents can be looked up as well.
                checked.faults.extend(faults(&load_bottle(&home, &name, None).err()));
            }
            checked
        }
        Err(message) => Checked::new(path, None, vec![Fault::of_file(path, &message)]),
    }
}

/// Checks one file of a known kind.
fn check_as(path: &Path, kind: Kind) -> Checked {
    let mut extra = None;
    let result = match kind {
        Kind::Settings => load_settings(path).map(|settings| settings.unsupported()),
        Kind::Routes => load_routes(path).map(|routes| {
            extra =
                hidden_usage(&Catalogue::builtin(), &routes).map(|(line, why)| Fault::at(path, line, why));
            routes.unsupported()
        }),
        Kind::Bottle => load_bottle_file(path).map(|file| {
            extra = file.agent_provider.and_then(|provider| unknown_preset(path, &provider.template));
            Vec::new()
        }),
        Kind::Manifest => load_manifest(path)
            .map(|manifest| manifest.and_then(|manifest| manifest.egress).unwrap_or_default().unsupported()),
        // They are read together, as the settings name them.
        Kind::Rules | Kind::Values | Kind::Key => Ok(Vec::new()),
    };
    let faults = match result {
        Ok(unsupported) => unsupported.iter().map(Fault::from).chain(extra).collect(),
        Err(error) => faults(&Some(error)),
    };
    Checked::new(path, Some(kind), faults)
}

/// The settings of a home, and behind them what they name for DLP; any other file by itself.
fn with_dlp(settings: Checked) -> Vec<Checked> {
    let home = std::path::absolute(&settings.path).ok().and_then(|path| Some(Home::new(path.parent()?)));
    let mut checked = vec![settings];
    if let Some(home) = home.filter(|home| checked.iter().any(|file| file.is_settings_of(home))) {
        dlp::check(&home, &mut checked);
    }
    checked
}

/// An `agent_provider` that no run could start with.
fn unknown_preset(path: &Path, name: &str) -> Option<Fault> {
    let message = format!("agent_provider: {}", presets::check_name(name).err()?);
    // In a mapping of one line, or a key in quotes, the file as a whole is meant.
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Some(match text.lines().position(|line| line.starts_with("agent_provider:")) {
        Some(before) => Fault::at(path, before + 1, message),
        None => Fault::of_file(path, &message),
    })
}

fn faults(error: &Option<ConfigError>) -> Vec<Fault> {
    error.iter().flat_map(|error| error.problems().iter().map(Fault::from)).collect()
}

/// The files that are in order on standard output, what is wrong on standard error.
fn print(context: &Context, checked: &[Checked]) -> Result<()> {
    if checked.is_empty() {
        let home = Home::path(&context.home).display();
        return output::text(&format!("nothing to check: {home} has no settings.yml and no bottles\n"));
    }
    for file in checked {
        file.notices.iter().for_each(|notice| eprintln!("hudson: {notice}"));
        match file.faults.is_empty() {
            true => output::text(&format!("ok  {}\n", file.path.display()))?,
            false => file.faults.iter().for_each(|fault| eprintln!("{}", fault.rendered)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_file_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let bad = check(&write("routes.yaml", "routes:\n  - hots: a.example.com\n"));
        assert_eq!(bad.faults.first().unwrap().line, 2, "{bad:?}");
        assert!(bad.faults.first().unwrap().rendered.contains("routes.yaml:2:"));
        assert!(check(&write("settings.yml", "budget: {claude: 5}\n")).faults.is_empty());
        assert!(!check(&folder.path().join("none.yaml")).faults.is_empty());
    }
}
