//! The table: what is known, what is not, and who must say yes.

use super::*;
use hudson_schema::action::Approver;
use hudson_schema::ledger::HIGH_RISK_ACTIONS;
use std::time::Duration;

/// 002's `detect_tier` by its table.
#[test]
fn each_tier_has_its_actions() {
    for (expected, actions) in [
        (
            Tier::Safe,
            &["read_file", "search_files", "web_search", "session_search", "list_files", "skills_list"][..],
        ),
        (Tier::Low, &["write_file", "create_file", "patch_file", "execute_code", "terminal", "run_script"]),
        (Tier::Medium, &["send_message", "web_fetch", "browser_navigate", "api_call", "git_push", "deploy"]),
        (Tier::High, &["config_change", "env_change", "key_rotation", "access_grant", "permission_change"]),
        (
            Tier::Critical,
            &["kill_process", "rm_rf", "format_disk", "shutdown", "payment", "crypto_transaction"],
        ),
    ] {
        for name in actions {
            let judged = action(name);
            assert_eq!((judged.tier, judged.known, judged.rate_key.as_str()), (expected, true, *name));
        }
    }
}

/// 002's `requires_human_approval`, `requires_llm_approval` and `should_auto_approve`.
#[test]
fn from_tier_2_up_a_person_decides_and_a_model_only_looks_first() {
    for (name, alone, with_model) in [
        ("read_file", Approver::Nobody, Approver::Nobody),
        ("write_file", Approver::Person, Approver::Model),
        ("send_message", Approver::Person, Approver::Person),
        ("key_rotation", Approver::Person, Approver::Person),
        ("shutdown", Approver::Person, Approver::Person),
    ] {
        let judged = action(name);
        assert_eq!((judged.approver, judged.reviewed), (alone, false), "{name} without a model");
        let judged = judge(&reviewed(""), &asked(name, None));
        assert_eq!(
            (judged.approver, judged.reviewed),
            (with_model, name != "read_file"),
            "{name} with a model"
        );
    }
}

/// B.5 #5 (000) `HIGH_RISK_ACTIONS` was never read: a whitelist let all of them through.
#[test]
fn no_grant_no_model_and_no_crisis_answers_for_an_action_of_high_risk() {
    let rules = reviewed("crisis_bypass: actions_and_context");
    for name in HIGH_RISK_ACTIONS {
        let judged = judge(&rules, &Asked { context: "a crisis: call 988", ..asked(name, None) });
        assert!(
            !judged.bypassable && !judged.crisis && judged.approver == Approver::Person,
            "{name}: {judged:?}"
        );
    }
    assert!(action("send_message").bypassable);
}

#[test]
fn what_the_operator_says_is_not_bypassable_is_a_persons_whatever_its_tier() {
    let rules = reviewed("non_bypassable: [Write-File, read_file]");
    for name in ["write_file", "read_file"] {
        let judged = judge(&rules, &asked(name, None));
        assert_eq!((judged.bypassable, judged.approver), (false, Approver::Person), "{name}");
    }
    assert_eq!(judge(&rules, &asked("patch_file", None)).approver, Approver::Model);
}

/// B.5 #12 (001) A caller's own `risk_level: low` approved anything.
#[test]
fn a_caller_may_only_raise() {
    for (name, wish, expected) in [
        ("transfer_funds", Tier::Low, Tier::High),
        ("send_message", Tier::Safe, Tier::Medium),
        ("nobody_knows_this", Tier::Safe, Tier::Medium),
        ("read_file", Tier::High, Tier::High),
        ("nobody_knows_this", Tier::Critical, Tier::Critical),
    ] {
        let judged = judge(&rules(""), &Asked { tier: Some(wish), ..asked(name, None) });
        assert_eq!(judged.tier, expected, "{name}, {wish} wished");
        assert_eq!(judged.approver, Approver::Person);
    }
}

/// B.5 #18 (002) An action that was in no table was LOW, and nobody was asked.
#[test]
fn an_unknown_action_is_medium_and_a_persons() {
    for name in ["make_coffee", "", "réparer", "deploy_productions", &"x".repeat(10_000)] {
        let judged = judge(&reviewed(""), &asked(name, None));
        assert_eq!((judged.tier, judged.known, judged.approver), (Tier::Medium, false, Approver::Person));
    }
}

/// B.5 #7 (000) The key that is counted was the agent's own word: another name was a new allowance.
#[test]
fn another_name_is_no_new_allowance() {
    let mut keys: Vec<_> =
        ["a1", "a2", "deploy_now_please", "\u{0}"].iter().map(|name| action(name).rate_key).collect();
    keys.dedup();
    assert_eq!(keys, ["unknown"]);
    for spelling in
        ["Send-Message", "sendMessage", "send message", "send\u{200b}_message", "ｓｅｎｄ_message"]
    {
        assert_eq!(action(spelling).rate_key, "send_message", "{spelling:?}");
    }
    let judged = judge(&rules("tiers: {make_coffee: safe}"), &asked("Make-Coffee", None));
    assert_eq!((judged.rate_key.as_str(), judged.approver), ("make_coffee", Approver::Nobody));
}

#[test]
fn the_operator_raises_what_is_known_and_does_not_lower_it() {
    let rules = rules("tiers: {read_file: high, shutdown: safe}");
    assert_eq!(judge(&rules, &asked("read_file", None)).tier, Tier::High);
    assert_eq!(judge(&rules, &asked("shutdown", None)).tier, Tier::Critical);
}

/// B.3 #20 (001) CRITICAL needed a reason, and nothing asked for one.
#[test]
fn what_is_critical_needs_a_reason() {
    assert!(action("payment").reason_required && command("mkfs.ext4 /dev/sda1").reason_required);
    assert!(!action("transfer_funds").reason_required, "000 approves its own actions without one");
}

/// B.5 #21 (002) The most dangerous tier had the shortest window.
#[test]
fn the_most_dangerous_tier_has_no_shorter_window() {
    let names = ["read_file", "write_file", "send_message", "key_rotation", "shutdown"];
    assert!(names.iter().all(|name| action(name).decision_ttl == Duration::from_secs(300)));
}

/// 002's `get_timeout`, under its profile.
#[test]
fn the_profile_of_those_who_watch_has_60_30_and_10_seconds() {
    let rules = rules("profile: realtime_tiers");
    for (name, seconds) in [("send_message", 60), ("key_rotation", 30), ("shutdown", 10), ("write_file", 300)]
    {
        assert_eq!(judge(&rules, &asked(name, None)).decision_ttl, Duration::from_secs(seconds), "{name}");
    }
}
