//! `hudson dlp explain`: what a rule looks for, what a hash stands for, why something in a text is a finding.

use super::reasons::{reasons, routes, suppression};
use super::scan::{Body, Line, word};
use super::{Context, Scene, host};
use crate::command::output::{self, field};
use crate::dlp::wordless;
use crate::exit::{self, Exit};
use anyhow::{Context as _, Result};
use hudson_dlp::{Detectors, Finding, KnownKind, OnMatch, Rule, RuleSet};
use hudson_proxy::dlp::SuppressedFinding;
use hudson_schema::config::{Host, nearest};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// Digits of a hash.
const HASH: usize = 32;
/// Words that are listed of one rule.
const LISTED: usize = 24;

/// Explains a rule, a hash or a text.
pub(super) fn execute(context: &Context, what: &str, named: Option<Host>) -> Result<u8> {
    let scene = Scene::of(context)?;
    if what == "-" {
        return text(context, &scene, &host(named)?);
    }
    match what.len() == HASH && what.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => hash(context, &scene, &what.to_ascii_lowercase()),
        false => rule(context, &scene, what),
    }
}

/// Explains a rule.
fn rule(context: &Context, scene: &Scene, id: &str) -> Result<u8> {
    let setup = &scene.loaded.setup;
    let rules = &setup.policy.rules;
    let Some(rule) = rules.iter().find(|rule| rule.id == id) else {
        let Some(about) = wordless(id) else {
            let meant = nearest(id, rules.iter().map(|rule| rule.id.as_str()));
            let meant = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
            return Err(Exit::not_found(format!("there is no rule {id:?}{meant}")).into());
        };
        match context.json {
            true => output::json(&json!({"rule": id, "description": about}))?,
            false => output::text(&(field("rule       ", id) + &field("about      ", about)))?,
        }
        return Ok(exit::OK);
    };
    let place = rules.place(id).map(|(file, line)| match RuleSet::builtin() {
        Ok(builtin) if builtin.place(id).is_some() => format!("comes with Hudson ({file}:{line})"),
        _ => format!("{file}:{line}"),
    });
    let on = setup.policy.profiles.contains(&rule.profile);
    let facts = facts(rule, place.unwrap_or_default(), on, setup.thresholds.get(id).map(|most| most.get()));
    match context.json {
        true => {
            let object: serde_json::Map<String, Value> =
                facts.into_iter().map(|(name, value)| (name.replace(' ', "_"), value.into())).collect();
            output::json(&object)?;
        }
        false => {
            let lines = facts.iter().map(|(name, value)| field(&format!("{name:<11}"), value));
            output::text(&lines.collect::<String>())?;
        }
    }
    Ok(exit::OK)
}

/// What there is to say of a rule; what is not set is left out.
fn facts(rule: &Rule, place: String, on: bool, threshold: Option<u32>) -> Vec<(&'static str, String)> {
    let list = |words: &[String]| {
        let more = words.len().saturating_sub(LISTED);
        let shown: Vec<&str> = words.iter().take(LISTED).map(String::as_str).collect();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        shown.join(", ") + &more
    };
    let (names, form) = match &rule.assigned {
        Some(assigned) => (list(&assigned.names), assigned.value.clone()),
        None => (String::new(), rule.regex.clone().unwrap_or_default()),
    };
    let entropy =
        if rule.entropy > 0.0 { format!("{} bits a byte or more", rule.entropy) } else { String::new() };
    let profile = word_of_profile(rule) + if on { " (on)" } else { " (off: dlp.profiles turns it on)" };
    let examples = &rule.examples;
    let facts = [
        ("rule", rule.id.clone()),
        ("about", rule.description.clone()),
        ("file", place),
        ("keywords", list(&rule.keywords)),
        ("names", names),
        ("form", form),
        ("check", rule.validator.map(|validator| word(&validator)).unwrap_or_default()),
        ("entropy", entropy),
        ("near", list(&rule.near)),
        ("stopwords", list(&rule.stopwords)),
        ("home hosts", list(&rule.home_hosts)),
        ("asks for", word(&rule.class)),
        ("severity", word(&rule.severity)),
        ("profile", profile),
        ("threshold", threshold.map(|most| format!("more than {most} values")).unwrap_or_default()),
        (
            "examples",
            format!("{} that match, {} that do not", examples.matching.len(), examples.no_match.len()),
        ),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn word_of_profile(rule: &Rule) -> String {
    use hudson_dlp::Profile;
    let name = match rule.profile {
        Profile::TokenPatterns => "token_patterns",
        Profile::Entropy => "entropy",
        Profile::Financial => "financial",
        Profile::Pii => "pii",
        Profile::Crypto => "crypto",
    };
    name.to_owned()
}

/// Explains a hash: nothing leads back from it, but what Hudson knows has one too.
fn hash(context: &Context, scene: &Scene, hash: &str) -> Result<u8> {
    let setup = &scene.loaded.setup;
    let policy = &setup.policy;
    let same =
        |value: &&hudson_dlp::KnownValue| policy.key.hash(value.value.expose_secret().as_bytes()) == hash;
    let known = policy.known.iter().find(same);
    let suppressed = setup
        .suppressions
        .iter()
        .find(|entry| matches!(&entry.what, SuppressedFinding::Hash(of) if of == hash));
    let meaning = match known {
        Some(value) if value.kind == KnownKind::Canary => format!("the canary {}", value.name),
        Some(value) => format!("the value {}, which must not leave", value.name),
        None => {
            "none of the values that Hudson knows; the same value has the same hash, wherever it is found"
                .to_owned()
        }
    };
    let lines = match known {
        Some(_) => "Values that are known cannot be suppressed.\n".to_owned(),
        None => suppression(Some(hash), None),
    };
    let covered = suppressed.map(|entry| (entry.reason.clone(), output::instant(entry.ends)));
    match context.json {
        true => output::json(&json!({
            "hash": hash,
            "known": known.map(|value| &value.name),
            "suppressed": covered.as_ref().map(|(reason, _)| reason),
            "until": covered.as_ref().map(|(_, until)| until),
        }))?,
        false => {
            let covered = match &covered {
                Some((reason, until)) => format!("until {until}: {reason}"),
                None => "no".to_owned(),
            };
            output::text(
                &(field("hash       ", hash)
                    + &field("stands for ", &meaning)
                    + &field("suppressed ", &covered)
                    + &lines),
            )?;
        }
    }
    Ok(exit::OK)
}

/// Explains what is found in a text on standard input.
fn text(context: &Context, scene: &Scene, host: &Host) -> Result<u8> {
    let setup = &scene.loaded.setup;
    let limit = setup.buffer_limit;
    let mut text = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    io::stdin().lock().take(most).read_to_end(&mut text).context("standard input cannot be read")?;
    if text.len() > limit {
        let message = format!(
            "the text has more than {limit} bytes (dlp.buffer_limit); `hudson dlp scan` takes any size"
        );
        return Err(Exit::usage(message).into());
    }
    let detectors = Arc::new(Detectors::new(setup.policy.clone())?);
    let mut body = Body::new(&detectors, setup, &host.to_string());
    let mut findings = body.feed(&text);
    findings.extend(body.finish());
    let now = crate::instance::now();
    if findings.is_empty() && !context.json {
        output::text("Nothing was found.\n")?;
    }
    for (index, finding) in findings.iter().enumerate() {
        let covers = |entry: &&hudson_proxy::dlp::Suppressed| entry.covers(finding, host, now);
        let suppressed = setup.suppressions.iter().find(covers).map(|entry| entry.reason.as_str());
        let rule = setup.policy.rules.iter().find(|rule| *rule.id == *finding.rule);
        let line = Line::new(Path::new("-"), finding, OnMatch::default(), suppressed, scene.lasting);
        if context.json {
            let mut object = serde_json::to_value(&line)?;
            if let Some(object) = object.as_object_mut() {
                object.insert("reasons".to_owned(), reasons(finding, rule).into());
            }
            output::json(&object)?;
            continue;
        }
        let gap = if index > 0 { "\n" } else { "" };
        output::text(&format!("{gap}{}", paragraph(scene, finding, rule, host, &line)))?;
    }
    Ok(exit::OK)
}

fn paragraph(scene: &Scene, finding: &Finding, rule: Option<&Rule>, host: &Host, line: &Line) -> String {
    let about = rule.map(|rule| rule.description.as_str()).or_else(|| wordless(&finding.rule));
    let encoding = line.encoding.as_deref().map(|layers| format!(", inside {layers}")).unwrap_or_default();
    let mut text = field("rule       ", &format!("{} ({})", finding.rule, about.unwrap_or_default()))
        + &field("value      ", &format!("{}{encoding}", finding.preview))
        + &field("where      ", &format!("{}, bytes {} to {}", finding.place(), finding.start, finding.end))
        + &field("class      ", &word(&finding.class));
    for reason in reasons(finding, rule) {
        text += &field("because    ", &reason);
    }
    text += &match &line.suppressed {
        Some(reason) => field("suppressed ", reason),
        None => field("action     ", &word(&line.action)),
    };
    text += "\n";
    match finding.is_known() {
        true => text += "A value that is known cannot be suppressed.\n",
        false => {
            let hash = scene.lasting.then_some(finding.hash.as_str());
            text += &suppression(hash, Some((finding, host)));
        }
    }
    text + &routes(finding, host)
}
