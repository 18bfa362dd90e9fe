//! The corpora, which are data beside the repository: `$HUDSON_CORPUS` names their folder, else `../shared/corpus`.

use std::path::PathBuf;

use hudson_tests::clients;

/// The folder of one corpus that has this file; none when it is absent and that is allowed.
pub(crate) fn folder(name: &str, file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("HUDSON_CORPUS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| clients::repository().join("../shared/corpus")).join(name);
    if folder.join(file).exists() {
        return Some(folder);
    }
    let absent = format!("no corpus in {}; HUDSON_CORPUS names them", folder.display());
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{absent}");
    report!("SKIPPED: {absent}. NOTHING WAS CHECKED.");
    None
}
