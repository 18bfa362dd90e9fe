//! The benchmark runs, and what it prints are figures. What they are depends on the machine, so nothing is asked of them.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// The peers that need nothing installed.
const OWN: [&str; 4] = ["direct", "relay", "hudsucker", "hudson"];

fn bench(arguments: &[&str], hudson: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hudson-bench"));
    command.args(arguments).env("HUDSON_BIN", hudson);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_figure_of_every_case_is_a_positive_number_for_every_peer() {
    let hudson = hudson_tests::hudson::binary();
    let arguments = ["all", "--peers", &OWN.join(","), "--quick", "--rounds", "1", "--json"];
    let output = bench(&arguments, hudson).output().expect("it starts");
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!(report["rounds"], 1);
    assert_eq!(report["notes"], serde_json::json!([]), "nothing is left out");

    let rows = report["rows"].as_array().expect("it has rows");
    for row in rows {
        let peers = row["peers"].as_object().expect("a row has peers");
        let figure = row["figure"].as_str().expect("a row has a figure");
        // Nothing stands between a client without a proxy and the upstream, so nothing takes CPU time or memory.
        let proxy_only = figure.contains("CPU") || row["case"] == "rss";
        for peer in OWN {
            assert_eq!(peers.contains_key(peer), peer != "direct" || !proxy_only, "{peer}: {row}");
        }
        for peer in peers.values() {
            let number = |key: &str| peer["spread"][key].as_f64().unwrap_or_else(|| panic!("{row}"));
            let (min, median, max) = (number("min"), number("median"), number("max"));
            assert!(min <= median && median <= max, "{row}");
            // So few tunnels may find room in what the peer holds already.
            assert!(min > 0.0 || figure.starts_with("each of"), "{row}");
        }
    }
    let mut cases: Vec<&str> = rows.iter().filter_map(|row| row["case"].as_str()).collect();
    cases.dedup();
    let all = [
        "keepalive",
        "http2",
        "metered",
        "post",
        "tunnels",
        "paced",
        "metering",
        "burst",
        "dlp",
        "bulk",
        "rss",
    ];
    assert_eq!(cases, all, "each case has its rows together");

    for bar in report["bars"].as_array().expect("it has bars") {
        let text = bar["bar"].as_str().expect("a bar says what it asks");
        // The installed peers were not asked for, and thousands of tunnels are not quick.
        let measured = !text.contains("mitmdump") && bar["case"] != "rss";
        assert_eq!(bar["value"].is_f64() && bar["met"].is_boolean(), measured, "{bar}");
    }
}

#[test]
fn a_peer_that_is_not_installed_is_said_and_the_others_are_measured() {
    let arguments = ["post", "--peers", "mitmdump,relay", "--quick", "--rounds", "2"];
    let mut command = bench(&arguments, Path::new("/bin/false"));
    let output = command.env("MITMDUMP", "/nonexistent").output().expect("it starts");
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", said(&output));
    assert!(table.contains("Medians of 2 rounds"), "{table}");
    assert!(table.contains("mitmdump is not measured: install"), "{table}");
    assert!(table.contains("| unit |") && table.contains("relay"), "{table}");
}

#[test]
fn a_hudson_that_does_not_start_is_said_and_nothing_is_printed() {
    let arguments = ["rss", "--peers", "hudson", "--quick"];
    let output = bench(&arguments, Path::new("/bin/false")).output().expect("it starts");
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    assert!(said(&output).contains("hudson up ended at once"), "{}", said(&output));
}

/// The streams are not part of the project: where they are missing, that is said, and fails on CI.
#[test]
fn the_meter_is_measured_on_recorded_streams_and_every_bar_has_a_verdict() {
    let folder = std::env::var_os("HUDSON_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
        std::path::PathBuf::from,
    );
    let output = bench(&["meter", "--quick", "--rounds", "2", "--json"], Path::new("/bin/false"))
        .output()
        .expect("it starts");
    if !folder.join("streams/manifest.jsonl").is_file() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "the corpus is missing; set HUDSON_CORPUS");
        assert!(!output.status.success());
        assert!(said(&output).contains("set HUDSON_CORPUS"), "{}", said(&output));
        return;
    }
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    for row in report["rows"].as_array().expect("it has rows") {
        let number = |key: &str| row["spread"][key].as_f64().unwrap_or_else(|| panic!("{row}"));
        assert!(number("min") <= number("median") && number("median") <= number("max"), "{row}");
        // Memory may not rise at all.
        assert!(number("min") > 0.0 || row["unit"] == "KiB", "{row}");
    }
    let bars = report["bars"].as_array().expect("it has bars");
    assert_eq!(bars.len(), 4, "two chunk sizes, time and memory: {bars:?}");
    assert!(bars.iter().all(|bar| bar["value"].is_f64() && bar["met"].is_boolean()), "{bars:?}");
}

/// Other scanners and the corpus are not part of the project: what is missing is said.
#[test]
fn the_scanner_is_measured_alone_and_with_dlp_on_and_off_and_who_is_missing_is_said() {
    let hudson = hudson_tests::hudson::binary();
    let mut command =
        bench(&["dlp", "--peers", "relay,hudson", "--quick", "--rounds", "1", "--json"], hudson);
    for variable in ["KINGFISHER", "BETTERLEAKS", "GITLEAKS", "DETECT_SECRETS"] {
        command.env(variable, "/nonexistent");
    }
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", said(&output));
    let reports: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    let [scanner, requests] = reports.as_slice() else { panic!("{reports:?}") };
    let missing = scanner["notes"].as_array().expect("it has notes").iter();
    let missing =
        missing.filter(|note| note.as_str().is_some_and(|note| note.contains("is not measured: install")));
    assert_eq!(missing.count(), 4, "{scanner}");
    let rows = scanner["rows"].as_array().expect("it has rows");
    assert!(rows.iter().any(|row| row["figure"] == "hudson-dlp, in this process"), "{scanner}");
    for row in rows {
        assert!(row["spread"]["min"].as_f64().is_some_and(|least| least > 0.0), "{row}");
    }
    // Where there is a corpus, everybody who is there finds a part of it.
    for row in scanner["recall"].as_array().expect("it has a recall") {
        let (found, of) = (row["found"].as_u64().unwrap_or(0), row["of"].as_u64().unwrap_or(0));
        assert!(found > 0 && found <= of, "{row}");
    }
    let figures: Vec<&str> = requests["rows"]
        .as_array()
        .expect("it has rows")
        .iter()
        .filter_map(|row| row["figure"].as_str())
        .collect();
    for figure in
        ["GET p50", "GET, DLP off p50", "64 KiB POST p99", "64 KiB POST, DLP off p99", "64 KiB POST"]
    {
        assert!(figures.contains(&figure), "{figure}: {figures:?}");
    }
}
