//! DLP: a key that is its user's alone, suppressions that count, and values that can be looked for. Whether its files can
//! be read is among what [`super::files`] looks at.

use super::Finding;
use crate::dlp::{self, Summary};
use crate::instance::now;
use hudson_schema::home::Home;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const CHECK: &str = "dlp";

/// Looks at them.
pub(super) fn look(home: &Home) -> Vec<Finding> {
    let path = home.dlp_key();
    let mode = std::fs::metadata(&path).map(|found| found.permissions().mode());
    if let Some(finding) = mode.ok().and_then(|mode| judge_mode(&path, mode)) {
        return vec![finding];
    }
    let settings = crate::settings::read(home);
    match settings.and_then(|settings| dlp::look(home, &settings)) {
        Ok(loaded) => judge(&loaded.seen().at(now()), loaded.setup.policy.rules.len()),
        Err(_) => Vec::new(),
    }
}

fn judge_mode(key: &Path, mode: u32) -> Option<Finding> {
    let (key, mode) = (key.display(), mode & 0o7777);
    (mode & 0o077 != 0).then(|| {
        let found = format!("others can read {key} (mode {mode:04o}): nothing starts with it");
        Finding::failed(CHECK, found, format!("`chmod 600 {key}`"))
    })
}

fn judge(summary: &Summary, rules: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    if summary.ended > 0 {
        let found = format!("suppressions that have ended: {}", summary.ended);
        let fix = "look at them again (`hudson check` names them), then give them another day or remove them from \
                   dlp.suppressions in settings.yml";
        findings.push(Finding::warning(CHECK, found, fix));
    }
    let fix = "make it longer and more random; until then it leaves unseen";
    findings.extend(summary.not_looked_for.iter().map(|line| Finding::warning(CHECK, line, fix)));
    if findings.is_empty() {
        let found = format!(
            "{rules} rules are looked for, and {} findings are suppressed",
            summary.suppressions.len()
        );
        findings.push(Finding::ok(CHECK, found));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_a_failure_with_its_fix() {
        let key = Path::new("/h/dlp.key");
        assert!(judge_mode(key, 0o100600).is_none() && judge_mode(key, 0o100400).is_none());
        let found = judge_mode(key, 0o100640).unwrap();
        assert_eq!((found.state, found.fix.as_deref()), (State::Failed, Some("`chmod 600 /h/dlp.key`")));
        assert!(found.found.contains("mode 0640"), "{found:?}");
    }

    #[test]
    fn what_no_longer_counts_and_what_is_not_looked_for_are_warnings() {
        let all_well = judge(&Summary::default(), 9);
        assert_eq!(all_well.iter().map(|finding| finding.state).collect::<Vec<_>>(), [State::Ok]);
        let not_looked_for = vec!["the value \"WEAK\" is not looked for".to_owned()];
        let found = judge(&Summary { ended: 2, not_looked_for, ..Summary::default() }, 9);
        assert_eq!(found.iter().map(|finding| finding.state).collect::<Vec<_>>(), [State::Warning; 2]);
        assert!(found[0].found.ends_with("have ended: 2") && found[1].found.contains("WEAK"), "{found:?}");
    }
}
