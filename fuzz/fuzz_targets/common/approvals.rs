//! What holds of what an agent asks for, whatever it writes.

use hudson_schema::Tier;
use hudson_schema::action::{ActionRules, Approver, Asked, judge};
use hudson_schema::config::ApprovalSettings;
use hudson_schema::prompt::{cleaned, quoted};

/// Two commands on lines of their own are no less than each of them, and a shown text stays between its marks.
pub fn command(text: &str) {
    let rules = ActionRules::of(&ApprovalSettings::default());
    let tier = |command: &str| {
        let asked = Asked { action: "terminal", command: Some(command), tier: None, context: command };
        let judged = judge(&rules, &asked);
        assert!(judged.approver == Approver::Person && !judged.crisis && judged.tier >= Tier::Low);
        judged.tier
    };
    let whole = tier(text);
    let (first, second) = text.split_once("\n\n").unwrap_or((text, ""));
    assert!(whole >= tier(first).max(tier(second)), "{text:?}");

    let shown = quoted(text);
    assert!(shown.starts_with('«') && shown.matches(['«', '»']).count() == 2, "{shown}");
    assert!(!shown.chars().any(char::is_control) && cleaned(text, 80).chars().count() <= 80, "{shown}");
}
