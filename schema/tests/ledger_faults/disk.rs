//! A full disk. The process that meets it is one of its own: its file system, or how large its files may become, is
//! nobody else's business.

use super::{Patient, assert_says, block_on};
use crate::ledger_support::*;
use hudson_schema::ledger::sqlite::SqliteLedger;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for the process whose disk becomes full: the kind of disk, and its folder.
const SCENE: &str = "HUDSON_TEST_FULL_DISK";

/// What can be filled up and made room on.
enum Disk<'a> {
    /// No file may grow: what is full is the quota.
    Quota,
    /// A small file system of its own.
    Small { dir: &'a Path },
}

impl Disk<'_> {
    fn fill(&self, dir: &Path) {
        match self {
            Self::Quota => {
                let log = fs::metadata(dir.join("bot-bottle.db-wal")).unwrap().len();
                setrlimit(Resource::Fsize, Rlimit { current: Some(log), ..getrlimit(Resource::Fsize) })
                    .unwrap();
            }
            Self::Small { dir } => {
                let mut ballast =
                    OpenOptions::new().create(true).append(true).open(dir.join("ballast")).unwrap();
                while ballast.write_all(&[0; 4096]).is_ok() {}
            }
        }
    }

    fn make_room(&self) {
        match self {
            Self::Quota => {
                let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
                setrlimit(Resource::Fsize, Rlimit { current: maximum, maximum }).unwrap();
            }
            Self::Small { dir } => fs::remove_file(dir.join("ballast")).unwrap(),
        }
    }
}

/// Not a test of its own: the process that the tests below start.
#[test]
fn scene() {
    let Ok(scene) = std::env::var(SCENE) else { return };
    let (kind, dir) = scene.split_once(' ').unwrap();
    let dir = Path::new(dir);
    let disk = if kind == "quota" { Disk::Quota } else { Disk::Small { dir } };
    block_on(play(&disk, dir));
    fs::write(dir.join("played"), "").unwrap();
    println!("played to the end");
}

async fn play(disk: &Disk<'_>, dir: &Path) {
    let mut patient = Patient::begin(dir).await;
    for round in 0..3 {
        disk.fill(dir);
        // What still fits in the log is answered, and is there.
        let error = loop {
            match patient.settle().await {
                Ok(()) => patient.place().await.map_or((), drop),
                Err(error) => break error,
            }
        };
        assert_says(&error, "disk");
        patient.check().await;
        let Err(error) = patient.place().await else { panic!("a hold was placed that cannot be kept") };
        assert_says(&error, "disk");
        assert_says(&patient.ledger.hold_release(&patient.held[0]).await.unwrap_err(), "disk");
        let error = patient.ledger.run_insert(run("r2", "ci", None, &[])).await.unwrap_err();
        assert_says(&error, "disk");
        // Many at once, of which none takes another's answer for its own.
        let mut tasks = tokio::task::JoinSet::new();
        for hold in patient.held.iter().take(12) {
            let hold = hold.clone();
            let ledger = patient.ledger.clone();
            tasks.spawn(async move {
                ledger.usage_settle(settlement(&hold, Some(usage(2, 1)), &Patient::limits())).await
            });
        }
        for settled in tasks.join_all().await {
            assert_says(&settled.unwrap_err(), "");
        }
        patient.check().await;
        // Another process comes to a full disk.
        if let Err(error) = SqliteLedger::open(&dir.join("bot-bottle.db"), &dir.join("owners")) {
            assert!(error.to_string().contains(&dir.display().to_string()), "{error}");
        }
        disk.make_room();
        // The settle that failed is tried again, and the rest with it.
        patient.check_recovered(dir).await;
        assert_eq!(patient.ledger.run_list(true).await.unwrap().len(), 1, "round {round}");
        for _ in 0..40 {
            patient.place().await.unwrap();
        }
    }
    // Who comes after it finds everything.
    let spent = patient.spent;
    drop(patient);
    let ledger = open(dir);
    assert_eq!(ledger.holds_reap(NOW).await.unwrap(), 40);
    assert_eq!(balance(&*ledger, hudson_schema::ScopeKind::Global, "", "any").await, (spent + 80, 0));
}

fn plays(kind: &str, command: &mut Command) {
    let dir = tempfile::tempdir().unwrap();
    let output = command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "disk::scene", "--nocapture"])
        .env(SCENE, format!("{kind} {}", dir.path().display()))
        .env("FOLDER", dir.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success() && said[0].contains("played to the end"), "{}\n{}", said[0], said[1]);
}

#[test]
fn a_full_quota_fails_closed_and_loses_nothing() {
    // Ignoring the signal makes it an error of the write.
    plays("quota", Command::new("sh").args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]));
}

/// On Linux, where a process may have a file system of its own.
#[test]
fn a_full_file_system_fails_closed_and_loses_nothing() {
    let mount = "mount -t tmpfs -o size=24m none \"$FOLDER\"";
    let own = |then: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", &format!("{mount} && {then}")]);
        command
    };
    let folder = tempfile::tempdir().unwrap();
    let tried = own("true").env("FOLDER", folder.path()).stderr(Stdio::null()).status();
    match tried {
        Ok(status) if status.success() => plays("small", &mut own("exec \"$0\" \"$@\"")),
        _ => eprintln!("no file system of its own is allowed here: left to the quota"),
    }
}
