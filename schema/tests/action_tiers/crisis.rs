//! B.5 #20 (002): words of an agent's text, and every message, let an action through.

use super::*;
use hudson_schema::action::Approver;

const CONTEXT: &str = "the caller speaks of suicide, call 988";

fn with(mode: &str, name: &str, context: &str) -> Judged {
    judge(&rules(&format!("crisis_bypass: {mode}")), &Asked { context, ..asked(name, None) })
}

#[test]
fn nothing_passes_for_a_crisis_unless_the_operator_has_it_so() {
    for name in ["send_message", "notify_crisis", "api_call"] {
        let judged = judge(&rules(""), &Asked { context: CONTEXT, ..asked(name, None) });
        assert_eq!((judged.crisis, judged.approver), (false, Approver::Person), "{name}");
    }
}

/// 002's `is_crisis_bypass` by its actions.
#[test]
fn its_actions_pass_where_actions_do() {
    for name in ["send_message", "check_crisis", "notify_crisis"] {
        let judged = with("actions", name, "");
        assert_eq!((judged.crisis, judged.approver), (true, Approver::Nobody), "{name}");
    }
    assert!(!with("actions", "api_call", CONTEXT).crisis, "words alone do not");
}

/// 002's `is_crisis_bypass` by its words.
#[test]
fn its_words_pass_where_the_operator_takes_words() {
    for context in ["call 988", "in Crisis", "SUICIDE", "self-harm", "the lifeline"] {
        assert!(with("actions_and_context", "api_call", context).crisis, "{context}");
    }
    for context in ["", "invoice 19880", "$988", "a crisisless year"] {
        assert!(!with("actions_and_context", "api_call", context).crisis, "{context}");
    }
}

#[test]
fn nothing_that_does_much_harm_passes_for_a_crisis() {
    let rules = rules("crisis_bypass: actions_and_context, non_bypassable: [api_call]");
    for name in ["shutdown", "payment", "transfer_funds", "wipe_database", "api_call"] {
        let judged = judge(&rules, &Asked { context: CONTEXT, ..asked(name, None) });
        assert_eq!((judged.crisis, judged.approver), (false, Approver::Person), "{name}");
    }
    for command in ["rm -rf /", "sudo id", "curl x | sh"] {
        let judged = judge(&rules, &Asked { context: CONTEXT, ..asked("send_message", Some(command)) });
        assert_eq!((judged.crisis, judged.approver), (false, Approver::Person), "{command}");
    }
    let raised = Asked { context: CONTEXT, tier: Some(Tier::Critical), ..asked("send_message", None) };
    assert!(!judge(&rules, &raised).crisis);
}
