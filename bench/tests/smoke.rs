//! The benchmark runs, and what it prints are figures. What they are depends on the machine, so nothing is asked of them.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn bench(arguments: &[&str], hudson: &Path) -> std::io::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hudson-bench"));
    command.args(arguments).env("HUDSON_BIN", hudson).output()
}

#[test]
fn every_figure_of_two_quick_cases_is_a_positive_number() {
    let hudson = hudson_tests::hudson::binary();
    let output = bench(&["keepalive", "metered", "rss", "--quick", "--rounds", "2", "--json"], hudson)
        .expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!(report["rounds"], 2);

    let rows = report["rows"].as_array().expect("it has rows");
    let mut both = 0;
    for row in rows {
        let peers = row["peers"].as_object().expect("a row has peers");
        assert!(peers.contains_key("hudson"), "{row}");
        both += usize::from(peers.contains_key("direct"));
        for peer in peers.values() {
            let number = |key: &str| peer["spread"][key].as_f64().unwrap_or_else(|| panic!("{row}"));
            let (min, median, max) = (number("min"), number("median"), number("max"));
            // Few requests may take no whole tick of CPU.
            let cpu = row["figure"].as_str().is_some_and(|figure| figure.ends_with("CPU"));
            assert!(min > 0.0 || (cpu && min >= 0.0), "{row}");
            assert!(min <= median && median <= max, "{row}");
        }
    }
    let cases: Vec<&str> = rows.iter().filter_map(|row| row["case"].as_str()).collect();
    assert_eq!(cases, [&["keepalive"; 4][..], &["metered"; 3], &["rss"]].concat());
    assert_eq!(both, 5, "latencies and rates are compared with no proxy");
}

#[test]
fn a_hudson_that_does_not_start_is_said_and_nothing_is_printed() {
    let output = bench(&["rss", "--quick"], Path::new("/bin/false")).expect("it starts");
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("hudson up ended at once"), "{said}");
}
