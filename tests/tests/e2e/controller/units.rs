//! The systemd units: what systemd itself says of them.

use std::process::Command;

use hudson_tests::clients::repository;
use hudson_tests::{hudson, process};

use super::SOON;

/// How exposed a unit may be, of 100: systemd calls up to 40 OK.
const EXPOSED: u32 = 30;

#[test]
fn systemd_understands_the_units_and_finds_them_hardened() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        report!("skipped: there is no systemd-analyze; tests/tools installs it");
        return;
    }
    let folder = tempfile::tempdir().expect("a scratch directory");
    for name in ["hudson", "hudson-controller", "hudson-proxy"] {
        let text = std::fs::read_to_string(repository().join(format!("packaging/{name}.service")));
        let text = text.expect("the unit is there");
        assert!(text.contains("ExecStart=/usr/bin/hudson "), "{text}");
        // What it starts has to be there: the program under test.
        let text = text.replace("/usr/bin/hudson", &hudson::binary().display().to_string());
        std::fs::write(folder.path().join(format!("{name}.service")), text).expect("it can be written");
    }
    for name in ["hudson", "hudson-controller", "hudson-proxy"] {
        let unit = folder.path().join(format!("{name}.service"));
        let verified =
            process::run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit), SOON);
        verified.exited(0);
        let about = verified.everything();
        let about = about.lines().filter(|line| line.contains("hudson")).collect::<Vec<_>>();
        assert!(about.is_empty(), "{about:#?}");
        let judged = process::run(
            Command::new("systemd-analyze")
                .args(["security", "--no-pager", "--offline=true", &format!("--threshold={EXPOSED}")])
                .arg(&unit),
            SOON,
        );
        judged.exited(0);
        let text = judged.text();
        let level = text.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_default();
        report!("{name}: {}", level.trim_start_matches(|c: char| !c.is_ascii_alphabetic()));
    }
}
