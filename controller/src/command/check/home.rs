//! Everything in a home: settings, each bottle's files, and what the bottles inherit from each other.

use super::kind::Kind;
use super::{Checked, Fault, check_as, dlp};
use crate::command::bottle;
use anyhow::Result;
use hudson_schema::config::{load_bottle, load_bottle_file};
use hudson_schema::home::Home;

/// Checks a home. What a chain of parents gets wrong is shown at the file that names the parent, once.
pub(super) fn check(home: &Home) -> Result<Vec<Checked>> {
    let mut checked = Vec::new();
    if home.settings().exists() {
        checked.push(check_as(&home.settings(), Kind::Settings));
    }
    dlp::check(home, &mut checked);
    let names = bottle::on_disk(home)?;
    for name in &names {
        let files = [
            (home.bottle(name), Kind::Bottle),
            (home.manifest(name), Kind::Manifest),
            (home.routes(name), Kind::Routes),
        ];
        let there = files.into_iter().filter(|(path, _)| path.exists());
        checked.extend(there.map(|(path, kind)| check_as(&path, kind)));
    }
    for name in &names {
        let Err(error) = load_bottle(home, name, None) else { continue };
        for problem in error.problems() {
            let fault = Fault::from(problem);
            match checked.iter_mut().find(|file| file.path == problem.path) {
                Some(file) if file.faults.contains(&fault) => {}
                Some(file) => file.faults.push(fault),
                None => checked.push(Checked::new(&problem.path, None, vec![fault])),
            }
        }
    }
    for name in &names {
        let path = home.bottle(name);
        // What else is wrong with a bottle keeps its parents from being looked up.
        let Some(parent) = load_bottle_file(&path).ok().and_then(|file| file.extends) else { continue };
        let Some(file) = checked.iter_mut().find(|file| file.path == path && file.faults.is_empty()) else {
            continue;
        };
        if !names.contains(&parent) {
            let expected = home.bottle(&parent);
            let message =
                format!("extends {parent}, but there is no such bottle; expected {}", expected.display());
            file.faults.push(Fault::of_file(&path, &message));
        }
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_missing_parent_is_shown_where_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        assert!(check(&home).unwrap().is_empty());
        for (name, text) in [("ci", "extends: gone\n"), ("dev", "extends: ci\n")] {
            fs::create_dir_all(home.bottles().join(name)).unwrap();
            fs::write(home.bottle(&name.parse().unwrap()), text).unwrap();
        }
        let checked = check(&home).unwrap();
        assert_eq!(checked.len(), 2);
        let [ci, dev] = checked.as_slice() else { panic!() };
        assert_eq!(ci.faults.len(), 1, "{ci:?}");
        assert!(
            ci.faults.first().unwrap().rendered.contains("bottle.yml:1:10: there is no bottle gone"),
            "{ci:?}"
        );
        assert!(dev.faults.is_empty());
    }
}
