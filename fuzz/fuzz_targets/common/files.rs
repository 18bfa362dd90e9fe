//! Every configuration file is a value or errors that can be shown, each at a line of the file.

use hudson_schema::config::{self, ConfigError};
use std::path::Path;

/// A routes.yaml.
pub fn routes(text: &str) {
    check(text, config::parse_routes(Path::new("routes.yaml"), text));
}

/// A settings.yml.
pub fn settings(text: &str) {
    check(text, config::parse_settings(Path::new("settings.yml"), text));
}

/// A bottle.yml.
pub fn bottle(text: &str) {
    check(text, config::parse_bottle_file(Path::new("bottle.yml"), text));
}

/// A bottle's Markdown manifest.
pub fn manifest(text: &str) {
    check(text, config::parse_manifest(Path::new("ci.md"), text));
}

fn check<T>(text: &str, result: Result<T, ConfigError>) {
    let Err(error) = result else { return };
    let lines = text.lines().count().max(1) + 1;
    assert!(!error.problems().is_empty());
    for problem in error.problems() {
        assert!((1..=lines).contains(&problem.line), "line {} of {lines}: {error}", problem.line);
        assert!(error.to_string().contains(&problem.message));
    }
}
