//! Settings, bottles and routes, as `hudson check` sees them and as a launch would.

use super::Finding;
use crate::command::{bottle, check};
use hudson_schema::home::Home;

const CHECK: &str = "files";

/// Looks at them.
pub(super) fn look(home: &Home) -> Vec<Finding> {
    let fix = "mend the file (`hudson check` shows the line): nothing starts with it, and what runs goes on as before";
    // The key of DLP has a line of its own.
    let key = home.dlp_key().display().to_string();
    let faults: Vec<String> = match check::home_faults(home) {
        Ok(faults) => faults.into_iter().filter(|fault| !is_mode_of(fault, &key)).collect(),
        Err(error) => return vec![Finding::failed(CHECK, format!("{error:#}"), "let this user read it")],
    };
    if !faults.is_empty() {
        // The snippet of the file is for `hudson check`.
        let first = |fault: &String| fault.lines().next().unwrap_or_default().to_owned();
        return faults.iter().map(|fault| Finding::failed(CHECK, first(fault), fix)).collect();
    }
    if let Err(error) = crate::settings::read(home) {
        return vec![Finding::failed(CHECK, format!("{error:#}"), fix)];
    }
    let bottles = bottle::on_disk(home).map(|bottles| bottles.len()).unwrap_or_default();
    let settings = match home.settings().exists() {
        true => "settings.yml",
        false => "no settings.yml, so the defaults hold,",
    };
    vec![Finding::ok(CHECK, format!("{settings} and the files of {bottles} bottles are in order"))]
}

/// Whether a fault is that others can read this file.
fn is_mode_of(fault: &str, path: &str) -> bool {
    fault.strip_prefix(path).is_some_and(|rest| rest.starts_with(": others can read"))
}
