//! Actions that pass because a person may be in need. Off unless the operator has it on.

use crate::config::CrisisBypass;
use unicode_normalization::UnicodeNormalization;

/// Actions that look for a crisis, tell of one, or send a message.
const ACTIONS: [&str; 3] = ["check_crisis", "notify_crisis", "send_message"];
/// Words that speak of one.
const WORDS: [&str; 5] = ["988", "crisis", "lifeline", "self-harm", "suicide"];

/// Whether this is one, as the operator has it.
pub(super) fn is_one(mode: CrisisBypass, action: &str, context: &str) -> bool {
    match mode {
        CrisisBypass::Off => false,
        CrisisBypass::Actions => ACTIONS.contains(&action),
        CrisisBypass::ActionsAndContext => ACTIONS.contains(&action) || speaks_of_one(context),
    }
}

/// Whole words only: `988` in a price or a number is none.
fn speaks_of_one(context: &str) -> bool {
    let context: String = context.nfkc().flat_map(char::to_lowercase).collect();
    let around = |letter: char| matches!(letter, '.' | ',' | ';' | ':' | '!' | '?' | '(' | ')' | '"' | '\'');
    context.split_whitespace().any(|word| WORDS.contains(&word.trim_matches(around)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_speak_of_a_crisis() {
        for context in ["call 988 now", "Suicide risk", "(self-harm)", "the LIFELINE.", "a crisis!"] {
            assert!(speaks_of_one(context), "{context}");
        }
        for context in
            ["", "order 19880", "$988", "988.50", "crisisless", "suicidesquad", "a-988-b", "self harm"]
        {
            assert!(!speaks_of_one(context), "{context}");
        }
    }
}
