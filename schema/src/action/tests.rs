use super::*;
use crate::config::Period;

fn asked(action: &str) -> Asked<'_> {
    Asked { action, command: None, tier: None, context: "" }
}

#[test]
fn two_spellings_of_an_action_are_one_with_the_higher_tier() {
    let tiers = [("brew_coffee".to_owned(), Tier::Safe), ("Brew-Coffee".to_owned(), Tier::High)];
    let rules = ActionRules::of(&ApprovalSettings { tiers: tiers.into(), ..ApprovalSettings::default() });
    let judged = judge(&rules, &asked("brewCoffee"));
    assert_eq!((judged.tier, judged.known, judged.rate_key.as_str()), (Tier::High, true, "brew_coffee"));
}

#[test]
fn a_level_of_risk_is_read_in_the_words_of_any_ancestor() {
    for (level, tier) in [
        ("low", Tier::Low),
        (" HIGH ", Tier::High),
        ("critical", Tier::Critical),
        ("safe", Tier::Safe),
        ("3", Tier::High),
        ("TIER_2", Tier::Medium),
        ("tier 4", Tier::Critical),
    ] {
        assert_eq!(tier_of_risk_level(level), Some(tier), "{level}");
    }
    for level in ["", "5", "none", "-1", "tier", "lowest"] {
        assert_eq!(tier_of_risk_level(level), None, "{level}");
    }
}

#[test]
fn the_operators_time_is_everybodys_outside_of_the_profile() {
    let settings = ApprovalSettings { decision_ttl: Period::seconds(77), ..ApprovalSettings::default() };
    for action in ["write_file", "send_message", "key_rotation", "shutdown"] {
        assert_eq!(judge(&ActionRules::of(&settings), &asked(action)).decision_ttl.as_secs(), 77);
    }
}
