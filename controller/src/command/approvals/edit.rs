//! `approve --edit FILE`: something else is approved in the place of what was asked for, and the approval is bound to that
//! from then on.
//!
//! Invariants: what is bound is what the agent is given, so that it can do exactly that; nothing that DLP would keep from
//! leaving is stored.

use super::Context;
use crate::approvals::bind::{Confirm, confirm};
use crate::dlp;
use crate::exit::Exit;
use crate::key::fingerprint_key;
use anyhow::{Context as _, Result};
use hudson_dlp::{Class, Detectors, Part, Scanner};
use hudson_proxy::approval::canonical;
use hudson_schema::ledger::{Approval, ApprovalEdit, ApprovalKind};
use hudson_schema::prompt;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// The longest file, in bytes, as the longest body of a request for approval.
const LONGEST: u64 = 1 << 20;

/// What stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edited {
    description: Option<String>,
    #[serde(alias = "payload")]
    details: Option<Map<String, Value>>,
}

/// Reads what is approved instead.
pub(super) fn read(context: &Context, file: &Path, shown: &Approval) -> Result<ApprovalEdit> {
    if shown.kind != ApprovalKind::Confirm {
        return Err(Exit::usage(format!(
            "{} is of the kind {}: it is bound to a request that is sent as it was asked for, and cannot be edited; deny it, \
             and say with --reason what to ask for instead",
            shown.id, shown.kind
        ))
        .into());
    }
    let place = file.display();
    let mut text = String::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    read.map_err(|error| Exit::usage(format!("{place}: cannot be read: {error}")))?;
    let edited = parse(&text).map_err(|why| Exit::usage(format!("{place}: {why}")))?;
    let description = edited.description.unwrap_or_else(|| shown.description.clone());
    let details = edited.details.map_or_else(|| shown.details.clone(), Value::Object);
    refuse_secrets(context, &format!("{description}\n{details}")).with_context(|| format!("{place}"))?;
    let key = fingerprint_key(&context.home)?;
    let bound = details.to_string();
    let fingerprint = confirm(
        &key,
        &Confirm {
            bottle: &shown.bottle,
            session: shown.session.as_deref(),
            action: &shown.action,
            target: &shown.target,
            description: &description,
            details: bound.as_bytes(),
        },
    )
    .map_err(|why| Exit::usage(format!("{place}: {why}")))?;
    if fingerprint == shown.fingerprint || (description == shown.description && details == shown.details) {
        return Err(
            Exit::usage(format!("{place}: this is what was asked for; approve it without --edit")).into()
        );
    }
    Ok(ApprovalEdit { fingerprint, description, details })
}

/// What is approved instead, for people.
pub(super) fn words(edit: &ApprovalEdit) -> String {
    format!(
        "\napproved in its place:\ndescription   {}\ndetails       {}\ndigest        {}\n",
        prompt::quoted(&edit.description),
        prompt::quoted(&edit.details.to_string()),
        prompt::digest(&edit.fingerprint)
    )
}

fn parse(text: &str) -> Result<Edited, String> {
    if text.len() as u64 > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    // A key that is there twice is read in two ways.
    canonical(text.as_bytes()).map_err(|why| why.to_string())?;
    let expected = "expected a JSON object of `description` (a text), `details` (an object), or both";
    let edited: Edited = serde_json::from_str(text).map_err(|error| format!("{error}; {expected}"))?;
    match (&edited.description, &edited.details) {
        (None, None) => Err(expected.to_owned()),
        _ => Ok(edited),
    }
}

/// A file that holds what must not leave is refused: it would be stored, and told to the agent.
fn refuse_secrets(context: &Context, text: &str) -> Result<()> {
    let settings = crate::settings::read(&context.home)?;
    let setup = dlp::look(&context.home, &settings)?.setup;
    let mut scanner = Scanner::new(Arc::new(Detectors::new(setup.policy)?), Part::Body, "");
    let mut found = scanner.feed(text.as_bytes());
    found.extend(scanner.finish());
    match found.iter().find(|finding| finding.class >= Class::Act) {
        Some(finding) => Err(Exit::usage(format!(
            "it holds what must not leave (rule {}): an approval is stored and told to the agent; leave it out",
            finding.rule
        ))
        .into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_description_and_details_are_edited() {
        assert_eq!(parse(r#"{"description":"x"}"#).unwrap().description.as_deref(), Some("x"));
        assert_eq!(parse(r#"{"payload":{"n":1}}"#).unwrap().details.unwrap().len(), 1);
        for (text, why) in [
            ("{}", "expected a JSON object"),
            ("[]", "expected a JSON object"),
            ("{", "not JSON"),
            (r#"{"details":5}"#, "invalid type"),
            (r#"{"details":{},"payload":{}}"#, "duplicate field"),
            (r#"{"details":{"a":1,"a":2}}"#, "same key twice"),
            (r#"{"action":"other"}"#, "unknown field"),
        ] {
            let told = parse(text).err().unwrap_or_default();
            assert!(told.contains(why), "{text}: {told}");
        }
        assert!(parse(&" ".repeat(2 << 20)).err().unwrap().contains("longer"));
    }
}
