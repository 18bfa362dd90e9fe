//! What the settings name for DLP: rules, values, canaries, and the ids in them; read as a proxy would read it.

use super::kind::Kind;
use super::{Checked, Fault};
use crate::dlp;
use hudson_schema::config::{ConfigError, Problem, Settings, load_settings};
use hudson_schema::home::Home;
use std::path::Path;

/// Adds each of the files, and what is wrong with the settings for their sake. Settings that are wrong in themselves name
/// nothing that could be read.
pub(super) fn check(home: &Home, checked: &mut Vec<Checked>) {
    let sound = checked.iter().all(|file| file.kind != Some(Kind::Settings) || file.faults.is_empty());
    let Some(settings) = load_settings(&home.settings()).ok().filter(|_| sound) else { return };
    let (problems, notices) = look(home, &settings);
    // The key is nobody's to write: it is shown where something is wrong with it.
    let named = dlp::files(home, &settings).into_iter().filter(|path| *path != home.dlp_key());
    checked.extend(named.map(|path| Checked::new(&path, Some(kind(home, &settings, &path)), Vec::new())));
    for problem in &problems {
        // A fault of the settings is shown at them, however they were named.
        match checked.iter_mut().find(|file| same(&file.path, &problem.path)) {
            Some(file) => file.faults.push(Fault::from(problem)),
            None => {
                let kind = kind(home, &settings, &problem.path);
                checked.push(Checked::new(&problem.path, Some(kind), vec![Fault::from(problem)]));
            }
        }
    }
    if let Some(file) = checked.iter_mut().find(|file| same(&file.path, &home.settings())) {
        file.notices = notices;
    }
}

/// What is wrong, else what has to be known.
fn look(home: &Home, settings: &Settings) -> (Vec<Problem>, Vec<String>) {
    match dlp::look(home, settings) {
        Ok(loaded) => (Vec::new(), loaded.notices),
        Err(error) => match error.downcast::<ConfigError>() {
            Ok(error) => (error.problems().to_vec(), Vec::new()),
            Err(error) => {
                (vec![Problem::in_file(&home.settings(), 0, format!("dlp: {error:#}"))], Vec::new())
            }
        },
    }
}

fn kind(home: &Home, settings: &Settings, path: &Path) -> Kind {
    let rules = settings.dlp.rules_file.as_ref().map(|rules| home.path().join(rules));
    match path {
        path if path == home.settings() => Kind::Settings,
        path if path == home.dlp_key() => Kind::Key,
        path if rules.is_some_and(|rules| rules == path) => Kind::Rules,
        _ => Kind::Values,
    }
}

fn same(one: &Path, other: &Path) -> bool {
    one == other || std::path::absolute(one).is_ok_and(|one| one == other)
}
