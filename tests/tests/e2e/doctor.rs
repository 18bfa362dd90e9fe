//! `hudson doctor` with the real clients: each of them is found to trust the CA, and each says so when it does not.

use std::time::Duration;

use hudson_tests::{World, clients::Clients, process};
use serde_json::Value;

/// Those that the tests install, by what the doctor calls them.
const INSTALLED: [&str; 11] = [
    "curl",
    "git",
    "node",
    "fetch of node",
    "python",
    "requests of python",
    "httpx of python",
    "pip",
    "Claude Code",
    "Codex",
    "Gemini CLI",
];

/// What is told of each client: its name, and whether it is `ok`.
fn trust(world: &World) -> Vec<(String, bool)> {
    let mut command = world.hudson();
    let python = Clients::installed().root().join("python/bin");
    let path = format!("{}:{}", python.display(), Clients::installed().search_path());
    command.env("PATH", path).args(["doctor", "--json", "--home"]).arg(world.home());
    let outcome = process::run(&mut command, Duration::from_secs(120));
    let told: Value = serde_json::from_slice(&outcome.stdout).expect("`--json` prints JSON");
    let findings = told["findings"].as_array().expect("it has findings").iter();
    let trust = findings.filter(|finding| finding["check"] == "trust").filter_map(|finding| {
        let (name, _) = finding["found"].as_str()?.split_once(" (")?;
        report!("doctor: {}", finding["found"]);
        Some((name.to_owned(), finding["state"] == "ok"))
    });
    trust.collect()
}

fn of(told: &[(String, bool)], name: &str) -> Option<bool> {
    told.iter().find(|(told, _)| told == name).map(|(_, ok)| *ok)
}

#[test]
fn every_installed_client_is_found_to_trust_the_ca_and_not_to_when_the_bundle_is_anothers() {
    let world = World::new();
    let other = World::new();
    for world in [&world, &other] {
        let mut command = world.hudson();
        process::run(command.args(["ca", "path", "--home"]).arg(world.home()), Duration::from_secs(20))
            .exited(0);
    }
    let told = trust(&world);
    for name in INSTALLED {
        assert_eq!(of(&told, name), Some(true), "{name}: {told:?}");
    }
    let bundle = |world: &World| world.home().join("ca/bundle.pem");
    std::fs::copy(bundle(&other), bundle(&world)).expect("bundles are files");
    let told = trust(&world);
    for name in INSTALLED {
        assert_eq!(of(&told, name), Some(false), "{name}: {told:?}");
    }
    assert!(world.simulator.journal().metered_calls().is_empty(), "nobody but the doctor is spoken to");
}
