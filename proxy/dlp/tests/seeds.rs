//! Every seed of the fuzz targets of this crate, as it is and changed at random, on the stable compiler.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "every function here is part of a test"
)]

mod benign;
#[path = "../../../fuzz/fuzz_targets/common/dlp.rs"]
mod dlp;

use benign::Dice;
use std::path::Path;

/// Changes of each seed.
const CHANGES: usize = 60;

/// Calls a target with each of its seeds and with changed ones.
fn each(target: &str, call: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let seeds: Vec<Vec<u8>> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    let mut dice = Dice::new(target.len() as u64);
    for seed in &seeds {
        call(seed);
        for _ in 0..CHANGES {
            let mut changed = seed.clone();
            for _ in 0..=dice.below(6) {
                let at = dice.below(changed.len());
                match dice.below(3) {
                    0 => changed[at] = dice.next() as u8,
                    1 => changed.truncate(at.max(2)),
                    _ => changed
                        .splice(at..at, b"\\u0067%25\"&#".iter().copied().take(dice.below(12)))
                        .for_each(drop),
                }
            }
            call(&changed);
        }
    }
}

#[test]
fn the_same_is_found_however_the_bytes_come() {
    each("dlp_scan", |seed| {
        let Some((size, bytes)) = seed.split_first() else { return };
        let whole = dlp::scan(bytes, usize::MAX);
        for size in [1, 5, usize::from(*size).max(1)] {
            assert_eq!(dlp::scan(bytes, size), whole, "in pieces of {size}");
        }
    });
}

#[test]
fn bodies_are_decoded_within_bounds() {
    each("dlp_transport", |seed| {
        for size in [7, 1400, usize::MAX] {
            dlp::decode(seed[0], &seed[1..], size);
        }
    });
}

#[test]
fn what_can_be_redacted_keeps_its_form() {
    each("dlp_redact", dlp::redact);
}

#[test]
fn messages_together_are_told_with_places_in_the_last() {
    each("dlp_fragments", dlp::fragments);
}
