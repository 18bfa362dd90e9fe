//! What holds whatever an agent writes.

use super::commands::COMMANDS;
use super::*;
use proptest::prelude::*;

/// Text with everything that means something to a shell, and any other.
fn noise() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "'", "\"", "\\", "`", "$", "${", "}", "$(", ")", "#", "<<EOF", "\n", ";", "&", "|", ">", "/*", "*/",
        "[", "]", "\\x7", "\\", "${IFS", "$IFS", "\u{0}", "\u{200b}", "\u{301}", "%", "!", "--", "-", ":",
        ":-", "=", ",", "echo ", "rm", " ", "r", "é", "\u{202e}",
    ]);
    let piece = prop_oneof![special.prop_map(str::to_owned), any::<String>(), "[a-z /.-]{0,12}"];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn part() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["\n", " ; ", " && ", " | ", "\r\n", "\n\n"])
}

fn harmful() -> impl Strategy<Value = &'static str> {
    prop::sample::select(COMMANDS.iter().map(|(_, _, text)| *text).collect::<Vec<_>>())
}

fn any_tier() -> impl Strategy<Value = Tier> {
    prop::sample::select(Tier::ALL)
}

fn any_action() -> impl Strategy<Value = String> {
    let known =
        prop::sample::select(vec!["read_file", "terminal", "send_message", "payment", "deploy_production"]);
    prop_oneof![known.prop_map(str::to_owned), any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn text_around_a_command_lowers_nothing(
        front in noise(), behind in noise(), command in harmful(), before in part(), after in part(),
    ) {
        let alone = super::command(command);
        let text = format!("{front}{before}{command}{after}{behind}");
        let judged = super::command(&text);
        prop_assert!(judged.tier >= alone.tier, "{:?}: {:?}", text, judged);
        for pattern in alone.patterns {
            prop_assert!(judged.patterns.contains(&pattern), "{:?} has no {}", text, pattern);
        }
    }

    #[test]
    fn two_commands_are_no_less_than_each(first in noise(), second in noise(), between in part()) {
        let both = tier(&format!("{first}{between}{second}"));
        prop_assert!(both >= tier(&first).max(tier(&second)), "{:?} {:?}", first, second);
    }

    #[test]
    fn a_wish_lowers_nothing(name in any_action(), text in noise(), wish in any_tier()) {
        let rules = reviewed("crisis_bypass: actions");
        let plain = judge(&rules, &asked(&name, Some(&text)));
        let wished = judge(&rules, &Asked { tier: Some(wish), ..asked(&name, Some(&text)) });
        prop_assert_eq!(wished.tier, plain.tier.max(wish));
        prop_assert!(wished.approver >= plain.approver);
        prop_assert!(wished.bypassable <= plain.bypassable && wished.crisis <= plain.crisis);
        prop_assert_eq!(wished.rate_key, plain.rate_key);
    }

    #[test]
    fn a_command_lowers_nothing(name in any_action(), text in noise()) {
        let rules = rules("crisis_bypass: actions_and_context");
        let [without, with] = [None, Some(text.as_str())].map(|command| judge(&rules, &asked(&name, command)));
        prop_assert!(with.tier >= without.tier && with.approver >= without.approver);
        prop_assert!(with.bypassable <= without.bypassable);
    }

    /// Nobody is asked about nothing but what is safe, or a crisis where the operator has it so.
    #[test]
    fn only_what_is_safe_goes_on_by_itself(name in any_action(), text in noise(), context in noise(), wish in any_tier()) {
        let judged = judge(&rules(""), &Asked { action: &name, command: Some(&text), tier: Some(wish), context: &context });
        prop_assert_eq!(judged.approver == hudson_schema::action::Approver::Nobody, judged.tier == Tier::Safe);
        prop_assert!(judged.known || judged.tier >= Tier::Medium);
        prop_assert!(judged.known || judged.rate_key == "unknown");
    }
}
