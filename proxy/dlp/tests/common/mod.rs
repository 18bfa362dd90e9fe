//! What the suites share: the corpus, detectors, and printing past the test harness.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    clippy::unwrap_used,
    reason = "each suite uses a part, and all of it is tests"
)]

use hudson_dlp::{Detectors, HashKey, KnownValue, Policy, Profile};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Prints past the test harness, which keeps `println!` of a test that passes to itself.
macro_rules! report {
    ($($part:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}
pub(crate) use report;

/// The corpus's folder; None when it is absent and that is allowed.
pub(crate) fn corpus() -> Option<PathBuf> {
    let folder = match std::env::var_os("HUDSON_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
    };
    if folder.join("dlp/secrets.jsonl").is_file() {
        return Some(folder);
    }
    assert_ne!(
        std::env::var("CI").as_deref(),
        Ok("true"),
        "the corpus is missing at {}; set HUDSON_CORPUS",
        folder.display()
    );
    report!("SKIPPED: NO CORPUS AT {}; SET HUDSON_CORPUS. NOTHING WAS CHECKED.", folder.display());
    None
}

/// The rules that come with Hudson and these values.
pub(crate) fn detectors(known: Vec<KnownValue>, strict_examples: bool) -> Arc<Detectors> {
    let mut policy = Policy::builtin(HashKey::new([7; 32])).unwrap();
    policy.known = known;
    policy.strict_examples = strict_examples;
    Arc::new(Detectors::new(policy).unwrap())
}

/// Detectors of these sets of rules and no known values.
pub(crate) fn policy_detectors(profiles: &[Profile]) -> Detectors {
    let mut policy = Policy::builtin(HashKey::new([7; 32])).unwrap();
    policy.profiles = profiles.iter().copied().collect();
    Detectors::new(policy).unwrap()
}

/// The usual detectors without known values, made once.
pub(crate) fn detectors_of_no_values() -> &'static Arc<Detectors> {
    static USUAL: OnceLock<Arc<Detectors>> = OnceLock::new();
    USUAL.get_or_init(|| detectors(Vec::new(), false))
}
