//! Every seed of every fuzz target, and every input that fuzzing once failed on, on the stable compiler: the fuzz targets
//! call the same functions.

// A seed that fails, or a folder that is not there, ends the test.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

#[path = "../../fuzz/fuzz_targets/common/mod.rs"]
mod common;

use common::{approvals, files, hello, metering, policy};
use std::path::Path;

/// Calls a target with each of its seeds.
fn each(target: &str, call: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let entries: Vec<_> = std::fs::read_dir(&folder).expect("the target has seeds").collect();
    assert!(!entries.is_empty(), "{target} has no seeds");
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        println!("{}", path.display());
        call(&std::fs::read(&path).expect("a seed is readable"));
    }
}

/// The same for a target that takes text.
fn each_text(target: &str, call: impl Fn(&str)) {
    each(target, |seed| {
        if let Ok(text) = std::str::from_utf8(seed) {
            call(text);
        }
    });
}

#[test]
fn first_bytes_get_one_verdict_however_they_are_split() {
    each("hello", |seed| {
        let verdict = hello::verdict(&seed[1..], usize::MAX);
        println!("  {verdict}");
        for size in [1, 2, 5, 63, usize::from(seed[0])] {
            assert_eq!(hello::verdict(&seed[1..], size), verdict, "in pieces of {size}");
        }
    });
}

#[test]
fn hosts_and_paths_have_one_form() {
    each_text("authority", policy::authority);
    each_text("path", policy::path);
}

#[test]
fn only_routes_that_name_the_host_decide() {
    each_text("routes", policy::routes);
}

#[test]
fn files_are_values_or_located_errors() {
    each_text("routes_file", files::routes);
    each_text("settings_file", files::settings);
    each_text("bottle_file", files::bottle);
    each_text("manifest_file", files::manifest);
}

#[test]
fn commands_are_judged_by_all_of_them() {
    each_text("action_command", approvals::command);
}

#[test]
fn bodies_are_metered_and_rewritten_alike_at_every_split() {
    for (target, kind) in [("meter_json", "application/json"), ("meter_sse", "text/event-stream")] {
        each(target, |seed| {
            let format = metering::format(seed[0]);
            let whole = metering::meter(format, kind, &seed[1..], usize::MAX);
            assert_eq!(metering::meter(format, kind, &seed[1..], 1), whole);
            metering::decode(seed[0], &seed[1..]);
        });
    }
    each("meter_eventstream", |seed| {
        let (format, bodies) = metering::eventstream(seed).expect("a seed names its format");
        for body in bodies {
            let whole = metering::meter(format, "", &body, usize::MAX);
            println!("  {whole:?}");
            assert_eq!(metering::meter(format, "", &body, 1), whole);
        }
    });
    each("request_rewrite", |seed| metering::rewrite(metering::format(seed[0]), &seed[1..]));
    each("strip", |seed| assert_eq!(metering::strip(seed, 1), metering::strip(seed, usize::MAX)));
}
