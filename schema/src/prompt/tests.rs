use super::*;
use crate::ledger::{ApprovalId, ApprovalKind, ApprovalStatus};
use proptest::prelude::*;
use serde_json::json;

const NOW: i64 = 1_780_000_000_500;

fn approval() -> Approval {
    Approval {
        seq: 1,
        id: ApprovalId::of_random([1; 16]),
        kind: ApprovalKind::Confirm,
        bottle: "ci".parse().unwrap(),
        session: Some("s1".to_owned()),
        requester: "bottle ci".to_owned(),
        action: "deploy_production".to_owned(),
        rate_key: "deploy_production".to_owned(),
        target: "api.example.com".to_owned(),
        finding: None,
        tier: Tier::Critical,
        description: "deploy 1.2".to_owned(),
        details: json!({"version": "1.2", "replicas": 3, "force": true, "env": {"KEY": "x"}, "by": null, "more": 1}),
        fingerprint: Fingerprint([0xab; 32]),
        policy_revision: "r1".to_owned(),
        rule: Some("large charge".to_owned()),
        rule_hash: None,
        approvers: 2,
        status: ApprovalStatus::Pending,
        created_at: NOW - 12_000,
        decision_expires_at: NOW + 288_000,
        use_ttl: 900_000,
        use_expires_at: None,
        decided_at: None,
        decided_by: None,
        decided_via: None,
        claimed_by: None,
        reason: None,
        attempt: 0,
        consumed_at: None,
        execution: None,
        execution_detail: None,
        dedupe_count: 0,
        coalesced_into: None,
        grant: None,
        ended_at: None,
    }
}

#[test]
fn an_approval_is_shown_in_one_fixed_template() {
    let expected = "\
what: confirm, «deploy_production»
tier: critical, 4 of 4 (cannot be undone; say why when you approve)
bottle: ci
session: «s1»
target: «api.example.com»
description: «deploy 1.2»
details: «version»: «1.2»
details: «replicas»: 3
details: «force»: true
details: «env»: [redacted]
details: «by»: null
details: and 1 more key
rule: «large charge»
digest: abababab
asked at: 2026-05-28T20:26:28Z
decide until: 2026-05-28T20:31:28Z (in 4 min)
needs: 2 different people
id: apr_abaeaqcaibaeaqcaibaeaqcaib
";
    assert_eq!(text(&approval(), NOW), expected);
}

#[test]
fn what_is_over_is_said_to_be() {
    let late = text(&approval(), NOW + 288_000);
    assert!(late.contains("decide until: 2026-05-28T20:31:28Z (over)\n"), "{late}");
}

#[test]
fn a_description_cannot_spoof_the_prompt() {
    let spoof =
        "harmless»\r\ntier: safe, 0 of 4\u{2028}[Approve](https://evil.test)\u{202e}efas :reit\u{202c}";
    let shown = text(&Approval { description: spoof.to_owned(), ..approval() }, NOW);
    assert!(
        shown.contains(
            "\ndescription: «harmless\" tier: safe, 0 of 4 [Approve](https://evil.test) efas :reit»\n"
        ),
        "{shown}"
    );
    assert_eq!(shown.lines().filter(|line| line.starts_with("tier:")).count(), 1);
}

#[test]
fn an_agents_text_that_is_cut_says_how_much_is_left_out() {
    assert_eq!(quoted(&"x".repeat(300)), format!("«{}»", "x".repeat(300)));
    assert_eq!(quoted(&"x".repeat(312)), format!("«{}» (and 12 more)", "x".repeat(300)));
}

#[test]
fn the_longest_text_fits_into_every_channel() {
    let long = "🦀".repeat(9_999);
    let details: serde_json::Map<_, _> = (0..99).map(|n| (format!("{n}{long}"), json!(long))).collect();
    let huge = Approval {
        session: Some(long.clone()),
        action: long.clone(),
        target: long.clone(),
        finding: Some(long.clone()),
        description: long.clone(),
        details: Value::Object(details),
        rule: Some(long),
        ..approval()
    };
    let shown = text(&huge, NOW).chars().count();
    assert!(shown < 2_000, "{shown} characters; Discord takes 2,000");
}

/// Hostile text: with every character that has a meaning somewhere in the template, and any other.
fn hostile() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "\n",
        "\r",
        "\u{85}",
        "\u{2028}",
        "\u{202e}",
        "\u{2066}",
        "«",
        "»",
        "\"",
        ": ",
        "tier: safe",
        "»\ntier: safe",
        "\nid: apr_",
        "decide until",
        "\u{1b}[2J",
        "\u{200b}",
        "\u{e0061}",
        "[Approve]",
        "` ` `",
        "</b>",
        "\u{0}",
        "   ",
        "digest: 00000000",
    ]);
    let piece = prop_oneof![special.prop_map(str::to_owned), any::<String>(), "[a-z]{0,90}"];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Whatever an agent writes, the lines are the same ones in the same order, and only what is between « and » differs.
    #[test]
    fn no_text_of_an_agent_forges_a_line(
        description in hostile(),
        target in hostile(),
        session in hostile(),
        action in hostile(),
        finding in hostile(),
        key in hostile(),
        inner in hostile(),
    ) {
        let asked = |text: [&str; 7]| {
            let [description, target, session, action, finding, key, inner] = text.map(str::to_owned);
            let details = Value::Object([(key, json!(inner))].into_iter().collect());
            let finding = Some(finding);
            text_of(&Approval { description, target, session: Some(session), action, finding, details, ..approval() })
        };
        let hostile = asked([&description, &target, &session, &action, &finding, &key, &inner]);
        let plain = asked(["d", "t", "s", "a", "f", "k", "v"]);
        prop_assert_eq!(skeleton(&hostile), skeleton(&plain), "{}", hostile);
        let odd = |letter: &char| *letter != '\n' && (letter.is_control() || matches!(letter,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'));
        prop_assert_eq!(hostile.chars().find(odd), None);
    }

    #[test]
    fn a_cleaned_text_keeps_its_length_and_its_line(text in hostile(), most in 0_usize..200) {
        let cleaned = cleaned(&text, most);
        prop_assert!(cleaned.chars().count() <= most);
        prop_assert!(!cleaned.contains("  ") && !cleaned.chars().any(char::is_control));
    }
}

fn text_of(approval: &Approval) -> String {
    text(approval, NOW)
}

/// The text without what is quoted, and without how much of it was cut.
fn skeleton(text: &str) -> Vec<String> {
    let unquoted = |line: &str| {
        let (mut out, mut rest) = (String::new(), line);
        while let Some((front, behind)) = rest.split_once('«') {
            out.push_str(front);
            let (inner, behind) = behind.split_once('»').unwrap_or_else(|| panic!("{line}"));
            assert!(!inner.contains('«'), "{line}");
            let cut = behind.strip_prefix(" (and ").and_then(|cut| cut.split_once(" more)"));
            rest =
                cut.filter(|(number, _)| number.parse::<u32>().is_ok()).map_or(behind, |(_, behind)| behind);
        }
        assert!(!rest.contains('»'), "{line}");
        out + rest
    };
    // What ends a line on some screen.
    text.split(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']).map(unquoted).collect()
}
