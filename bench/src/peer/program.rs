//! Peers that are not a part of the benchmark and are measured where they are installed.

use crate::origin::Origin;
use anyhow::{Context as _, Result};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where daemons are that the path of an ordinary user leaves out.
const DAEMONS: &str = "/usr/sbin";

/// The program that `variable` names, else the one of this name on the path.
pub(crate) fn find(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable) {
        return Some(PathBuf::from(named)).filter(|program| is_program(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain([PathBuf::from(DAEMONS)]);
    directories.map(|directory| directory.join(name)).find(|program| is_program(program))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// All authorities of the upstream in one file, for a program that takes one.
pub(super) fn write_bundle(origin: &Origin, file: &Path) -> Result<()> {
    let mut bundle = String::new();
    for ca_file in &origin.ca_files {
        bundle +=
            &std::fs::read_to_string(ca_file).with_context(|| format!("reading {}", ca_file.display()))?;
    }
    std::fs::write(file, bundle).with_context(|| format!("writing {}", file.display()))
}
