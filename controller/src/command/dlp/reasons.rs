//! Why a finding asks for what it asks for, and what to write so that it does not.

use super::{NOWHERE, scan::word};
use hudson_dlp::{Class, Confidence, Finding, Lowered, Rule};
use hudson_schema::config::Host;
use jiff::{ToSpan, Zoned};

/// How long a suppression that is proposed holds.
const DAYS: i64 = 90;

/// What made the class of a finding, a sentence each.
pub(super) fn reasons(finding: &Finding, rule: Option<&Rule>) -> Vec<String> {
    let mut reasons = Vec::new();
    if finding.is_known() {
        let name = finding.detail.as_deref().unwrap_or_default();
        reasons.push(match finding.class {
            Class::Trip => {
                format!("it is the canary {name}, which nobody uses: it is blocked on every route")
            }
            _ => format!("it is the value {name}, which Hudson knows by heart"),
        });
    }
    if let Some(rule) = rule {
        match (rule.validator, finding.validated) {
            (Some(validator), Some(true)) => reasons.push(format!("its check holds ({})", word(&validator))),
            (Some(validator), Some(false)) => reasons
                .push(format!("its form is right although its check does not hold ({})", word(&validator))),
            _ => {}
        }
        if rule.entropy > 0.0 {
            reasons.push(format!("the value has {} bits a byte or more", rule.entropy));
        }
        if rule.class == Class::Warn {
            reasons.push("the rule asks for a warning and no more".to_owned());
        }
    }
    if rule.is_none() && finding.validated == Some(true) {
        reasons.push("its check digits are right".to_owned());
    }
    reasons.push(format!(
        "it is {}",
        match finding.confidence {
            Confidence::Confirmed => "confirmed",
            Confidence::Likely => "likely",
            Confidence::Possible => "possible and no more, which is a warning at most",
        }
    ));
    reasons.extend(finding.lowered.map(|lowered| {
        let why = match lowered {
            Lowered::Example => {
                "documentation shows this value; --strict and dlp.strict_examples take it for a real one"
            }
            Lowered::HomeHost => "it goes to the host that it belongs to",
            Lowered::InOpaque => "it stands in a long run of base64, where such forms occur by chance",
            Lowered::Harmless => "it is well formed and opens nothing",
        };
        format!("lowered: {why}")
    }));
    reasons
}

/// The lines of settings.yml that suppress a finding, by its hash and by its place.
pub(super) fn suppression(hash: Option<&str>, place: Option<(&Finding, &Host)>) -> String {
    let last =
        Zoned::now().date().checked_add(DAYS.days()).map_or("2027-01-31".to_owned(), |day| day.to_string());
    let why = format!("reason: say why, expires: {last}");
    let mut text = "To suppress it, in settings.yml:\ndlp:\n  suppressions:\n".to_owned();
    if let Some(hash) = hash {
        text += &format!("    - {{finding: {hash}, {why}}}\n");
    }
    if let Some((finding, host)) = place {
        let or = if hash.is_some() { "    # or, whatever the value:\n" } else { "" };
        let host = match host.to_string() {
            host if host == NOWHERE => "api.example.com".to_owned(),
            host => host,
        };
        let entry = [("rule", finding.rule.to_string()), ("host", host), ("location", finding.place())];
        let entry: Vec<String> =
            entry.iter().map(|(key, value)| format!("{key}: {}", quoted(value))).collect();
        text += &format!("{or}    - {{{}, {why}}}\n", entry.join(", "));
    }
    text
}

/// The lines of a routes file that change what is done.
pub(super) fn routes(finding: &Finding, host: &Host) -> String {
    if finding.class == Class::Trip {
        return "No route changes what a canary does; dlp.on_canary says what becomes of the bottle.\n"
            .to_owned();
    }
    if finding.class != Class::Act {
        return "Nothing is done about it on any route.\n".to_owned();
    }
    let host = match host.to_string() {
        host if host == NOWHERE => "api.example.com".to_owned(),
        host => host,
    };
    let kept = if finding.is_known() { "token_patterns" } else { "known_secrets" };
    format!(
        "To change what is done, on the route:\n  - host: {}\n    outbound_on_match: warn        # or redact, block; \
         supervise is the default\n    # or leave such findings out altogether:\n    # dlp: {{outbound_detectors: \
         [{kept}]}}\n",
        quoted(&host)
    )
}

/// A text as a flow mapping takes it.
fn quoted(text: &str) -> String {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b' '));
    match plain {
        true => text.to_owned(),
        // JSON's strings are YAML's too.
        false => serde_json::to_string(text).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_dlp::{Detectors, HashKey, Part, Policy};
    use hudson_schema::config::{Settings, parse_routes, parse_settings};
    use std::path::Path;
    use std::sync::Arc;

    fn finding(text: &str) -> (Finding, Vec<String>) {
        let policy = Policy::builtin(HashKey::new([5; 32])).unwrap();
        let rules = policy.rules.clone();
        let found =
            Arc::new(Detectors::new(policy).unwrap()).scan(Part::Body, "api.example.com", text.as_bytes());
        let finding = found.into_iter().next().unwrap();
        let told = reasons(&finding, rules.iter().find(|rule| *rule.id == *finding.rule));
        (finding, told)
    }

    #[test]
    fn what_is_proposed_is_read_as_it_stands() {
        let token = ["ghp_", "9cMR9e4wuO4MKcPgXuNWuLUIwHS2N63qlGsj"].concat();
        let (finding, told) = finding(&format!(r#"{{"a, b": {{"c": "{token}"}}}}"#));
        assert!(told.join("\n").contains("(crc32_base62)"), "{told:?}");
        let host: Host = "api.example.com".parse().unwrap();
        let text = suppression(Some(&finding.hash), Some((&finding, &host)));
        let (_, yaml) = text.split_once('\n').unwrap();
        let settings: Settings = parse_settings(Path::new("settings.yml"), yaml).unwrap();
        let [by_hash, by_place] = settings.dlp.suppressions.as_slice() else { panic!("{yaml}") };
        assert_eq!(by_hash.finding.as_ref(), Some(&finding.hash));
        assert_eq!(by_place.location.as_deref(), Some("body /a, b/c"));
        assert!(by_place.ends().unwrap() > crate::instance::now());
        let text = routes(&finding, &host);
        let (_, yaml) = text.split_once('\n').unwrap();
        let routes = parse_routes(Path::new("routes.yaml"), &format!("routes:\n{yaml}")).unwrap();
        assert_eq!(routes.routes[0].outbound_on_match, hudson_schema::config::OnMatch::Warn);
        assert!(!format!("{text}{told:?}").contains(&token[8..]));
    }

    #[test]
    fn what_lowers_a_finding_is_told() {
        let (finding, told) = finding(&["key AKIA", "IOSFODNN7EXAMPLE"].concat());
        assert_eq!(finding.class, Class::Note);
        assert!(told.join("\n").contains("documentation shows this value"), "{told:?}");
    }
}
