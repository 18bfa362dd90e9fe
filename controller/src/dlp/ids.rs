//! Ids of rules, those that stand in no file included: numbers and words that nothing announces, and known values.

use hudson_schema::config::nearest;
use std::collections::BTreeSet;

/// What is found without a rule of a file, and what it is.
const WORDLESS: [(&str, &str); 5] = [
    ("card-number", "Number of a payment card: a known range, its length and check digit"),
    ("iban", "International bank account number: its country's length and check digits"),
    ("wallet-private-key", "Private key of a wallet in import format: its checksum holds"),
    (
        "generic-random-word",
        "A word that looks random; only on routes with `entropy` among their outbound_detectors",
    ),
    ("flooded", "More encodings or beginnings of secrets than can be looked at"),
];
/// Values that are known by heart.
const KNOWN: [(&str, &str); 3] = [
    ("known-value", "A value of secrets_file or of a variable that must not leave, in any encoding"),
    ("known-value-split", "The same in pieces"),
    ("canary", "A value of canary_file, which nobody uses: it is blocked on every route"),
];

/// What a rule that stands in no file is about.
pub(crate) fn wordless(id: &str) -> Option<&'static str> {
    WORDLESS.iter().chain(&KNOWN).find(|(name, _)| *name == id).map(|(_, about)| *about)
}

/// Whether this is the rule of a known value.
fn is_known(id: &str) -> bool {
    KNOWN.iter().any(|(name, _)| *name == id)
}

/// Whether the settings may name an id; what is wrong with it otherwise.
pub(super) fn check(id: &str, rules: &BTreeSet<&str>) -> Result<(), String> {
    if is_known(id) {
        return Err(format!("{id} stands for values that must not leave at all; remove the line"));
    }
    let wordless = WORDLESS.iter().map(|(name, _)| *name);
    if rules.contains(id) || wordless.clone().any(|name| name == id) {
        return Ok(());
    }
    let meant = match nearest(id, rules.iter().copied().chain(wordless)) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => "`hudson dlp explain RULE` says what a rule is about".to_owned(),
    };
    Err(format!("there is no rule {id:?}; {meant}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_dlp::{Detectors, HashKey, KnownValue, Part, Policy, Profile};
    use std::sync::Arc;

    #[test]
    fn whatever_is_found_without_a_rule_of_a_file_has_its_name_here() {
        let mut policy = Policy::builtin(HashKey::new([1; 32])).unwrap();
        policy.profiles = BTreeSet::from([Profile::Financial, Profile::Entropy]);
        let secret = "h7Rq2Wv9kLm3XpZt8Yb5";
        policy.known.push(KnownValue::secret("ONE", secret.to_owned().into()));
        policy.known.push(KnownValue::canary("TWO", "c4Nary2Wv9kLm3XpZt".to_owned().into()));
        let text = [
            "card 4242424242424242 iban GB82WEST12345698765432 c4Nary2Wv9kLm3XpZt",
            "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ",
            "/api/x7Kp2mQ9vR4sL8nW1bY6cT3fA0jH5dE/status",
            secret,
        ];
        let found =
            Arc::new(Detectors::new(policy).unwrap()).scan(Part::Body, "h", text.join("\n").as_bytes());
        let ids: BTreeSet<String> = found.iter().map(|finding| finding.rule.to_string()).collect();
        assert!(ids.len() >= 6, "{ids:?}");
        for finding in &found {
            assert!(wordless(&finding.rule).is_some(), "{ids:?}");
            assert_eq!(is_known(&finding.rule), finding.is_known(), "{}", finding.rule);
        }
    }
}
