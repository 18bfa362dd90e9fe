//! Reads the files. A file that is not there is its empty form; a file that cannot be read is an error, because what
//! it says may be what keeps something shut.

use super::route_check;
use super::route_file::RoutesFile;
use super::settings;
use super::tree::Trail;
use super::yaml::Document;
use super::{BottleFile, ConfigError, Problem, Routes, Settings};
use serde::de::IgnoredAny;
use std::io::ErrorKind;
use std::path::Path;

/// Reads a routes file; a missing one allows nothing.
pub fn load_routes(path: &Path) -> Result<Routes, ConfigError> {
    match text(path)? {
        Some(text) => parse_routes(path, &text),
        None => Ok(Routes::default()),
    }
}

/// Reads the text of a routes file. `path` is named in errors, and relative paths in the text stand beside it.
pub fn parse_routes(path: &Path, text: &str) -> Result<Routes, ConfigError> {
    let (file, mut document) = Document::parse::<Option<RoutesFile>>(path, text)?;
    let routes = route_check::routes(&mut document, &Trail::default(), file.unwrap_or_default());
    document.finish()?;
    Ok(routes)
}

/// Reads settings.yml; a missing one is all defaults.
pub fn load_settings(path: &Path) -> Result<Settings, ConfigError> {
    match text(path)? {
        Some(text) => parse_settings(path, &text),
        None => Ok(Settings::default()),
    }
}

/// Reads the text of a settings.yml.
pub fn parse_settings(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    let (file, mut document) = Document::parse::<Option<Settings>>(path, text)?;
    let mut settings = file.unwrap_or_default();
    settings::check(&mut document, &mut settings);
    document.finish()?;
    Ok(settings)
}

/// A problem with a key of a settings.yml that can be read: what only other files show to be wrong.
pub fn settings_problem(path: &Path, trail: &Trail, message: impl Into<String>) -> Problem {
    let text = text(path).ok().flatten().unwrap_or_default();
    match Document::parse::<IgnoredAny>(path, &text) {
        Ok((_, document)) if !text.is_empty() => document.problem_at_key(trail, message),
        _ => Problem::of_file(path, message),
    }
}

/// Reads a bottle.yml; a missing one says nothing.
pub fn load_bottle_file(path: &Path) -> Result<BottleFile, ConfigError> {
    match text(path)? {
        Some(text) => parse_bottle_file(path, &text),
        None => Ok(BottleFile::default()),
    }
}

/// Reads the text of a bottle.yml.
pub fn parse_bottle_file(path: &Path, text: &str) -> Result<BottleFile, ConfigError> {
    Ok(super::yaml::parse::<Option<BottleFile>>(path, text)?.unwrap_or_default())
}

/// A file's text; `None` when there is no such file.
pub(super) fn text(path: &Path) -> Result<Option<String>, ConfigError> {
    match std::fs::read(path) {
        Ok(bytes) => super::yaml::text(path, bytes).map(Some),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(ConfigError::io(path, &error)),
    }
}
