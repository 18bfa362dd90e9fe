//! Whether people can decide over HTTP: the tokens that the settings name.

use super::Finding;
use crate::approvals;
use hudson_schema::config::load_settings;
use hudson_schema::home::Home;

const CHECK: &str = "tokens";

/// Looks at them; nothing where there are none.
pub(super) fn look(home: &Home) -> Vec<Finding> {
    // What is wrong with the file itself is found elsewhere.
    let Ok(settings) = load_settings(&home.settings()) else { return Vec::new() };
    let named = settings.approvals.approvers.tokens.len();
    if named == 0 {
        return Vec::new();
    }
    let faults = approvals::token_faults(&settings);
    if faults.is_empty() {
        let found = format!("{named} of the settings decide over HTTP");
        return vec![Finding::ok(CHECK, found)];
    }
    let fix = "mend the token's source in settings.yml; until then nobody decides with it";
    faults.into_iter().map(|fault| Finding::failed(CHECK, fault, fix)).collect()
}
