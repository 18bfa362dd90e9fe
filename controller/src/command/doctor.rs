//! `hudson doctor`: everything that a bottle needs, looked at once, with what mends each thing that is wrong.
//!
//! Invariants: nothing of the home, the kernel or the engine is changed; whatever is not `ok` comes with its fix.

mod approvals;
mod authority;
mod channels;
mod clock;
mod confirm;
mod dlp;
mod engine;
mod files;
mod home;
mod kernel;
mod ledger;
mod listeners;
mod trust;

use super::Context;
use super::output;
use crate::exit;
use anyhow::{Context as _, Result};
use hudson_proxy::tls::CertificateAuthority;
use hudson_schema::home::Home;
use serde::Serialize;
use serde_json::json;
use tempfile::TempDir;

/// Columns of the state and of the name of what was looked at.
const COLUMNS: (usize, usize) = (9, 11);

/// Looks at everything.
pub(super) async fn execute(context: &Context) -> Result<u8> {
    let home = &context.home;
    let mut report = Report { json: context.json, findings: Vec::new() };
    report.add(home::look(home))?;
    report.add(files::look(home))?;
    report.add(dlp::look(home))?;
    report.add(confirm::look(home))?;
    report.add(authority::look(home))?;
    report.add(ledger::look(home).await)?;
    report.add(approvals::look(home).await)?;
    report.add(clock::look(home).await)?;
    report.add(channels::look(home).await)?;
    report.add(listeners::look(home).await)?;
    report.add(engine::look().await)?;
    let scratch = Scratch::new(home)?;
    report.add(kernel::look(&scratch).await)?;
    trust::look(&scratch, async |finding| report.add(vec![finding])).await?;
    report.end()
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was looked at.
    check: &'static str,
    state: State,
    /// What was found.
    found: String,
    /// What mends it; there unless it is `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// How things are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// It works, though not all of it or not for long.
    Warning,
    /// Something that a bottle needs does not work.
    Failed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), fix: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Warning, found: found.into(), fix: Some(fix.into()) }
    }

    fn failed(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Failed, found: found.into(), fix: Some(fix.into()) }
    }

    fn words(&self) -> String {
        let (state, check) = COLUMNS;
        let label = format!("{:<state$}{:<check$}", self.state.name(), self.check);
        let mut words = output::field(&label, &self.found);
        if let Some(fix) = &self.fix {
            words += &output::field(&" ".repeat(state + check), &format!("→ {fix}"));
        }
        words
    }
}

/// What was found so far; printed as it comes, for clients take their time.
struct Report {
    json: bool,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, findings: Vec<Finding>) -> Result<()> {
        if !self.json {
            findings.iter().try_for_each(|finding| output::text(&finding.words()))?;
        }
        self.findings.extend(findings);
        Ok(())
    }

    fn end(self) -> Result<u8> {
        let of = |state| self.findings.iter().filter(|finding| finding.state == state).count();
        let (warnings, failed) = (of(State::Warning), of(State::Failed));
        if self.json {
            output::json(&json!({"ok": failed == 0, "findings": self.findings}))?;
        } else {
            output::text(&format!("\n{} ok, {warnings} warnings, {failed} failed\n", of(State::Ok)))?;
        }
        Ok(if failed == 0 { exit::OK } else { exit::FAILED })
    }
}

/// A folder for what is tried out, and the CA that it is tried out with.
struct Scratch {
    folder: TempDir,
    /// The home itself, or one in the folder where that has no CA that can be used.
    home: Home,
    /// Whether it is the home itself.
    own: bool,
}

impl Scratch {
    fn new(home: &Home) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("hudson-doctor-")
            .tempdir()
            .context("making a folder for what is tried out")?;
        let own = CertificateAuthority::read(home).is_ok() && home.ca_bundle().is_file();
        let home = if own { home.clone() } else { Home::new(folder.path().join("home")) };
        if !own {
            std::fs::create_dir(home.path()).context("making a home to try things out with")?;
            CertificateAuthority::open(&home)?;
        }
        Ok(Self { folder, home, own })
    }

    /// A new folder.
    fn folder(&self, name: &str) -> Result<std::path::PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_state_finding_and_fix() {
        let finding = Finding::warning("home", "it is open to others", "`chmod 700 it`");
        assert_eq!(
            finding.words(),
            "warning  home       it is open to others\n                    → `chmod 700 it`\n"
        );
        let told = serde_json::to_value(Finding::ok("ledger", "sound")).unwrap();
        assert_eq!(told, json!({"check": "ledger", "state": "ok", "found": "sound"}));
    }
}
