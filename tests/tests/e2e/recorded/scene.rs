//! The scene: `hudson replay` serves the recordings, and `hudson up` stands in front of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hudson_tests::process::Background;
use hudson_tests::{UsageRow, clients, hudson, ledger};
use serde_json::Value;
use tempfile::TempDir;

use super::family::OLLAMA;
use super::{FAMILIES, Recording, recording};
use crate::corpus;
use crate::raw::{self, Stage};

/// AWS keys that sign every request to Bedrock; the replay does not look at them.
const AWS_KEYS: &str = "AKIDHUDSON:tests-only-recorded-secretAccessKey";

/// Everything that runs, and the recordings.
pub(super) struct Scene {
    pub(super) stage: Stage,
    pub(super) recordings: Vec<Recording>,
    _replay: Background,
    _scratch: TempDir,
}

impl Scene {
    /// The scene; none when the recordings are absent and that is allowed. Each of the bottles has every route.
    pub(super) fn set(bottles: &[&str]) -> Option<Self> {
        let folder = streams()?;
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let (replay, address, ca) = replay(&folder, scratch.path());
        let hosts: Vec<&str> = FAMILIES.iter().map(|family| family.host).collect();
        let mut setting = raw::stage().instead_of_simulator(&hosts, &address, &ca).env("AWS_KEYS", AWS_KEYS);
        for bottle in bottles {
            setting = setting.file(&format!("bottles/{bottle}/routes.yaml"), &routes(&address));
        }
        let recordings = recording::all(&folder);
        Some(Self { stage: setting.start(), recordings, _replay: replay, _scratch: scratch })
    }

    /// A bottle's rows, once there are so many.
    pub(super) fn rows(&self, bottle: &str, count: usize) -> Vec<UsageRow> {
        let own =
            |rows: &[UsageRow]| rows.iter().filter(|row| row.bottle == bottle).cloned().collect::<Vec<_>>();
        let home = self.stage.world.home();
        own(&ledger::wait_for(&home, Duration::from_secs(5), |rows| own(rows).len() >= count))
    }
}

/// Every host with what the catalogue says of it, and an Ollama of one's own over plain HTTP.
fn routes(replay: &str) -> String {
    let mut routes = format!(
        "routes:\n  - {{host: {OLLAMA}, scheme: http, port: 11434, meter: {{provider: ollama, format: ollama}}, \
         upstream: {{connect_to: \"{replay}\"}}}}\n"
    );
    let mut hosts: Vec<&str> = FAMILIES.iter().map(|family| family.host).collect();
    hosts.sort_unstable();
    hosts.dedup();
    for host in hosts {
        let credentials = match host.starts_with("bedrock") {
            true => {
                ", credentials: [{aws_sigv4: {region: us-east-1, service: bedrock, from: {env: AWS_KEYS}}}]"
            }
            false => "",
        };
        routes.push_str(&format!("  - {{host: {host}{credentials}}}\n"));
    }
    routes
}

/// The folder with the recordings; none when they are absent and that is allowed.
fn streams() -> Option<PathBuf> {
    corpus::folder("streams", "manifest.jsonl")
}

/// `hudson replay` of a folder, and where it listens.
fn replay(folder: &Path, scratch: &Path) -> (Background, String, String) {
    let ready = scratch.join("replay.json");
    let mut command = clients::clean(&hudson::binary().display().to_string());
    command.env("HOME", scratch).arg("replay").arg(folder).arg("--ready-file").arg(&ready);
    command.arg("--ca-file").arg(scratch.join("replay.pem"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut replay = Background::start(&mut command);
    raw::wait_until(Duration::from_secs(20), || {
        assert!(!replay.ended(), "`hudson replay` ended at once");
        ready.exists().then_some(())
    })
    .expect("`hudson replay` listens");
    let told: Value = serde_json::from_slice(&std::fs::read(&ready).expect("the ready file is readable"))
        .expect("the ready file is JSON");
    let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    (replay, text("address"), text("ca_file"))
}
