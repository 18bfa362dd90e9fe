//! What an operator has to keep an eye on: findings that are suppressed, those that are not any more, and values that
//! nothing looks for.

use super::Loaded;
use hudson_proxy::dlp::{Suppressed, SuppressedFinding};
use serde::{Deserialize, Serialize};

/// A day, in milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// What was read of it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    suppressions: Vec<Suppressed>,
    not_looked_for: Vec<String>,
}

/// The same at one moment.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// Suppressions in force.
    pub suppressions: Vec<InForce>,
    /// How many have ended.
    pub ended: usize,
    /// Values that are not looked for, a line each, without the value.
    pub not_looked_for: Vec<String>,
}

/// A suppression in force.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct InForce {
    /// The finding's hash; otherwise it is by rule and host.
    pub finding: Option<String>,
    /// The rule's id.
    pub rule: Option<String>,
    /// The hosts.
    pub host: Option<String>,
    /// Where in the request; everywhere where it is not set.
    pub location: Option<String>,
    /// Why, in the operator's words.
    pub reason: String,
    /// The last day on which it counts, UTC.
    pub last_day: String,
}

impl Loaded {
    /// What of it is to be kept an eye on.
    pub fn seen(&self) -> Seen {
        Seen { suppressions: self.setup.suppressions.clone(), not_looked_for: self.not_looked_for.clone() }
    }
}

impl Seen {
    /// How that is at a moment, in unix milliseconds.
    pub fn at(&self, now: i64) -> Summary {
        let (in_force, ended): (Vec<_>, Vec<_>) =
            self.suppressions.iter().partition(|suppression| suppression.ends > now);
        Summary {
            suppressions: in_force.into_iter().map(InForce::from).collect(),
            ended: ended.len(),
            not_looked_for: self.not_looked_for.clone(),
        }
    }
}

impl Summary {
    /// Whether there is nothing to be kept an eye on.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl InForce {
    /// What is suppressed, in words.
    pub fn what(&self) -> String {
        let host = self.host.as_ref().map(|host| format!(" to {host}")).unwrap_or_default();
        let location = self.location.as_ref().map(|location| format!(" in {location}")).unwrap_or_default();
        let what = self.finding.as_ref().or(self.rule.as_ref()).map(String::as_str).unwrap_or_default();
        format!("{what}{location}{host}")
    }
}

impl From<&Suppressed> for InForce {
    fn from(Suppressed { what, reason, ends }: &Suppressed) -> Self {
        // It ends with the first moment of the day after.
        let last = jiff::Timestamp::from_millisecond(ends.saturating_sub(DAY));
        let last_day = last.map(|day| day.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
        let common = Self { reason: reason.clone(), last_day, ..Self::default() };
        match what {
            SuppressedFinding::Hash(hash) => Self { finding: Some(hash.clone()), ..common },
            SuppressedFinding::Place { rule, host, location } => Self {
                rule: Some(rule.clone()),
                host: Some(host.to_string()),
                location: location.clone(),
                ..common
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suppression_counts_to_the_end_of_its_day() {
        let place = |host: &str| SuppressedFinding::Place {
            rule: "jwt".to_owned(),
            host: serde_json::from_value(host.into()).unwrap(),
            location: Some("body /a".to_owned()),
        };
        let suppressed = |what, ends| Suppressed { what, reason: "old".to_owned(), ends };
        // 2027-01-31 and the day before.
        let ends = 1_801_440_000_000;
        let seen = Seen {
            suppressions: vec![
                suppressed(SuppressedFinding::Hash("5d0c".to_owned()), ends - DAY),
                suppressed(place("*.example.com"), ends),
            ],
            not_looked_for: vec!["the value \"WEAK\" is not looked for: it is too short".to_owned()],
        };
        let before = seen.at(ends - DAY - 1);
        assert_eq!((before.suppressions.len(), before.ended), (2, 0));
        assert_eq!(before.suppressions[0].what(), "5d0c");
        assert_eq!(before.suppressions[0].last_day, "2027-01-30");
        let on_the_day = seen.at(ends - 1);
        let [left] = on_the_day.suppressions.as_slice() else { panic!("{on_the_day:?}") };
        assert_eq!(
            (left.what().as_str(), left.last_day.as_str()),
            ("jwt in body /a to *.example.com", "2027-01-31")
        );
        assert_eq!(on_the_day.ended, 1);
        let after = seen.at(ends);
        assert_eq!((after.suppressions.len(), after.ended, after.not_looked_for.len()), (0, 2, 1));
        assert!(!after.is_empty() && Seen::default().at(ends).is_empty());
    }
}
