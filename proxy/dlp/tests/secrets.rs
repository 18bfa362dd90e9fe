//! Recall and precision on the corpus of secrets that other scanners' rules are tested with.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "every function here is part of a test")]

mod common;

use common::{corpus, detectors, report};
use hudson_dlp::{Class, Finding, Part};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The share of label 1 rows in which a rule of ours has to find something.
const RECALL: f64 = 0.75;

/// Label 0 rows that hold a secret all the same: rule, a part of the text, why.
const DISPUTED: &[(&str, &str, &str)] = &[
    ("mongodb-connection-string", "mongodb-27017.sock", "a password in an address is one on a socket too"),
    ("np.mongodb.1!0", "mongodb-27017.sock", "a password in an address is one on a socket too"),
    ("stripe-access-token", "HIGHNOTE", "a live key of another vendor is a live key"),
    ("np.auth0.1!0", "AUTH0_CLIENT_SECRET", "the secret of a client is one without its domain too"),
    ("np.twitter.2!0", "OAuth(", "secrets that a client of that name is given"),
    ("kingfisher.twitter.2!0", "OAuth(", "secrets that a client of that name is given"),
    ("mailchimp-api-key", "MailchimpSDK", "a key in Mailchimp's form beside Mailchimp's name"),
];

#[derive(Deserialize)]
struct Row {
    source: String,
    rule: String,
    label: u8,
    text: String,
}

#[test]
fn secrets_are_found_and_what_is_none_is_not_blocked() {
    let Some(folder) = corpus() else { return };
    let detectors = detectors(Vec::new(), true);
    let text = std::fs::read_to_string(folder.join("dlp/secrets.jsonl")).unwrap();
    let usual = common::detectors(Vec::new(), false);
    let rows: Vec<Row> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scan = |row: &Row| detectors.scan(Part::Body, "host.invalid", row.text.as_bytes());
    let mut tally: BTreeMap<String, (u32, u32, u32)> = BTreeMap::new();
    let mut missed: BTreeMap<String, u32> = BTreeMap::new();
    // Which rules of ours are the same as one of theirs: those that find what theirs has to find.
    let mut ours: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.label == 1) {
        let findings = scan(row);
        let acting: Vec<&Finding> = findings.iter().filter(|finding| finding.class >= Class::Act).collect();
        let of = tally.entry(row.source.clone()).or_default();
        of.0 += 1;
        of.1 += u32::from(!findings.is_empty());
        of.2 += u32::from(!acting.is_empty());
        ours.entry(row.rule.clone())
            .or_default()
            .extend(acting.iter().map(|finding| finding.rule.to_string()));
        if findings.is_empty() {
            *missed.entry(row.rule.clone()).or_default() += 1;
            note(&format!("missed {} {:?}", row.rule, row.text));
        }
    }
    let secrets: BTreeSet<&str> =
        rows.iter().filter(|row| row.label == 1).map(|row| row.text.as_str()).collect();
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| row.label == 0 && !secrets.contains(row.text.as_str())) {
        let rule = row.rule.split('!').next().unwrap_or_default();
        let same = |finding: &&Finding| {
            vendor(&finding.rule) == vendor(rule)
                && ours.get(rule).is_some_and(|ours| ours.contains(&*finding.rule))
        };
        let disputed = DISPUTED.iter().any(|(rule, text, _)| row.rule == *rule && row.text.contains(text));
        let findings = usual.scan(Part::Body, "host.invalid", row.text.as_bytes());
        for finding in
            findings.iter().filter(|finding| finding.class >= Class::Act).filter(same).filter(|_| !disputed)
        {
            wrong.push(format!("{} ({}): {}", row.rule, finding.rule, finding.preview));
            note(&format!("wrong {} {} {:?}", row.rule, finding.rule, row.text));
        }
    }
    let (rows, found) = tally.values().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    for (source, (rows, found, act)) in &tally {
        report!("{source}: {found} of {rows} found, {act} of them of a class that a route acts on");
    }
    let recall = f64::from(found) / f64::from(rows);
    report!("recall {recall:.3} ({found} of {rows}); missed rules: {missed:?}");
    report!("label 0 rows with a finding that acts, of the same rule: {}", wrong.len());
    assert!(recall >= RECALL, "{recall:.3}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The vendor in a rule's name.
fn vendor(id: &str) -> String {
    let id = id.trim_start_matches("kingfisher.").trim_start_matches("np.").to_ascii_lowercase();
    let vendor = id.split(['-', '.', '!']).next().unwrap_or_default();
    let alias = [("gcp", "google"), ("hashicorp", "vault"), ("terraform", "vault")];
    alias.iter().find(|(name, _)| *name == vendor).map_or(vendor, |(_, name)| name).to_owned()
}

/// Prints the rows themselves for who works on the rules.
fn note(text: &str) {
    if std::env::var_os("HUDSON_DLP_ROWS").is_some() {
        report!("{text}");
    }
}
