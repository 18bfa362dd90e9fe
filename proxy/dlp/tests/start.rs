//! What it costs to make detectors, and to make others of them: every process starts with it, and every run has its own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "every function here is part of a test")]

mod benign;
mod common;

use benign::Dice;
use common::report;
use hudson_dlp::{Class, Detectors, HashKey, KnownValue, Part, Policy, Profile, RuleSet};
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;

/// What a process may spend until its detectors are there.
const START: Duration = Duration::from_millis(if cfg!(debug_assertions) { 30 } else { 15 });
/// What a run with 20 values may add to that.
const RUN: Duration = Duration::from_millis(if cfg!(debug_assertions) { 30 } else { 10 });

/// The time that this thread has had on the processor, so that what else the machine does adds little.
fn spent() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// The best of three, and what the last one made.
fn timed<T>(make: impl Fn() -> T) -> (Duration, T) {
    let once = || {
        let start = spent();
        let made = make();
        (spent() - start, made)
    };
    let (one, two, (three, made)) = (once().0, once().0, once());
    (one.min(two).min(three), made)
}

/// KiB that this process has in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// What each of forty of them adds to the process, in KiB. They are kept, so that the next have no old room to use.
fn weight<T>(make: impl Fn() -> T) -> usize {
    let before = resident();
    let made: Vec<T> = (0..40).map(|_| make()).collect();
    let after = resident();
    std::mem::forget(made);
    after.saturating_sub(before) / 40
}

fn values(count: usize) -> Vec<KnownValue> {
    let mut dice = Dice::new(count as u64);
    (0..count)
        .map(|number| {
            let value = format!("tok{number}_{}", dice.base64_url(24 + number % 9));
            KnownValue::secret(format!("VALUE_{number}"), SecretString::from(value))
        })
        .collect()
}

#[test]
fn a_process_starts_and_a_run_begins_without_waiting_for_the_rules() {
    let key = || HashKey::new([7; 32]);
    let (read, rules) = timed(|| RuleSet::builtin().unwrap());
    let policy = Policy::builtin(key()).unwrap();
    let (made, detectors) = timed(|| Detectors::new(policy.clone()).unwrap());
    let (few, _) = timed(|| detectors.with_known(values(20)));
    let (many, _) = timed(|| detectors.with_known(values(200)));
    report!("{} rules read in {read:?}, {} KiB", rules.len(), weight(|| RuleSet::builtin().unwrap()));
    report!("detectors made in {made:?}, {} KiB", weight(|| Detectors::new(policy.clone()).unwrap()));
    report!("with 20 known values in {few:?}, {} KiB", weight(|| detectors.with_known(values(20))));
    report!("with 200 known values in {many:?}, {} KiB", weight(|| detectors.with_known(values(200))));
    report!("a clone {} KiB", weight(|| detectors.with_entropy(true)));
    assert!(read + made <= START, "{read:?} and {made:?}");
    assert!(few <= RUN, "{few:?}");
}

#[test]
fn detectors_made_of_others_look_for_their_own_values_and_the_same_rules() {
    let mut policy = Policy::builtin(HashKey::new([7; 32])).unwrap();
    policy.known = vec![KnownValue::secret("OLD", SecretString::from("h7Rq2Wv9kLm3XpZt8Yb5".to_owned()))];
    let first = Detectors::new(policy).unwrap();
    let second = Arc::new(first.with_known(vec![
        KnownValue::secret("NEW", SecretString::from("q4Jd8Ns2Vw6Lx9Tz3Hc7".to_owned())),
        KnownValue::secret("SHORT", SecretString::from("abc".to_owned())),
    ]));
    let found = |detectors: &Arc<Detectors>, text: &str| {
        let found = detectors.scan(Part::Body, "h", text.as_bytes());
        found.iter().map(|finding| finding.rule.to_string()).collect::<Vec<_>>()
    };
    let token = concat!("ghp", "_wWPw5k4aXcaT4fNP0", "UcnZwJUVFk6LO0pINUx");
    assert_eq!(found(&second, "q4Jd8Ns2Vw6Lx9Tz3Hc7"), ["known-value"]);
    assert!(found(&second, "h7Rq2Wv9kLm3XpZt8Yb5").is_empty());
    assert_eq!(found(&second, token), ["github-pat"]);
    assert_eq!((first.rules(), first.unused().len()), (second.rules(), 0));
    assert_eq!(second.unused()[0].name, "SHORT");
    assert_eq!(found(&Arc::new(first), "h7Rq2Wv9kLm3XpZt8Yb5"), ["known-value"]);
}

#[test]
fn more_values_than_any_run_has_are_all_found() {
    let values = values(2000);
    let detectors = Arc::new(common::policy_detectors(&[Profile::TokenPatterns]).with_known(values.clone()));
    for value in [&values[0], &values[1000], &values[1999]] {
        use secrecy::ExposeSecret as _;
        let found = detectors.scan(Part::Body, "h", value.value.expose_secret().as_bytes());
        assert!(
            found.iter().any(|finding| finding.detail.as_deref() == Some(&value.name)),
            "{} is not found",
            value.name
        );
    }
}

#[test]
fn random_words_are_findings_for_who_asks_for_them() {
    let usual = common::policy_detectors(&[Profile::TokenPatterns]);
    let text = b"/api/x7Kp2mQ9vR4sL8nW1bY6cT3fA0jH5dE/status";
    let asked = Arc::new(usual.with_entropy(true)).scan(Part::Target, "h", text);
    assert_eq!(asked.iter().map(|finding| finding.class).collect::<Vec<_>>(), [Class::Warn]);
    assert!(Arc::new(usual.with_entropy(true).with_entropy(false)).scan(Part::Target, "h", text).is_empty());
}
