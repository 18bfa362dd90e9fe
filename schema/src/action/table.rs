//! The actions that Hudson knows: those of the tier system, the categories of the confirmation daemon and the
//! high-risk actions of the confirmation server. Where two of them know an action, the higher tier stands.

use crate::Tier;
use crate::ledger::HIGH_RISK_ACTIONS;

/// The five tiers' actions.
const ACTIONS: [(&str, Tier); 36] = [
    ("get_file_content", Tier::Safe),
    ("list_files", Tier::Safe),
    ("memory_search", Tier::Safe),
    ("read_file", Tier::Safe),
    ("search_files", Tier::Safe),
    ("session_search", Tier::Safe),
    ("skills_list", Tier::Safe),
    ("skills_search", Tier::Safe),
    ("web_search", Tier::Safe),
    ("create_file", Tier::Low),
    ("delete_file", Tier::Medium),
    ("execute_code", Tier::Low),
    ("patch_file", Tier::Low),
    ("run_script", Tier::Low),
    ("skill_install", Tier::Low),
    ("terminal", Tier::Low),
    ("write_file", Tier::Low),
    ("api_call", Tier::Medium),
    ("browser_navigate", Tier::Medium),
    ("deploy", Tier::Medium),
    ("git_push", Tier::Medium),
    ("gitea_create_issue", Tier::Medium),
    ("gitea_create_pr", Tier::Medium),
    ("send_message", Tier::Medium),
    ("web_fetch", Tier::Medium),
    ("access_grant", Tier::High),
    ("backup_restore", Tier::High),
    ("config_change", Tier::High),
    ("env_change", Tier::High),
    ("key_rotation", Tier::High),
    ("permission_change", Tier::High),
    ("crisis_override", Tier::Critical),
    ("format_disk", Tier::Critical),
    ("kill_process", Tier::Critical),
    ("rm_rf", Tier::Critical),
    ("shutdown", Tier::Critical),
];

/// The daemon's categories. What it calls low is low here: a model's or a person's, and nobody's word alone.
const CATEGORIES: [(&str, Tier); 19] = [
    ("calendar_read", Tier::Low),
    ("email_read", Tier::Low),
    ("file_read", Tier::Low),
    ("http_get", Tier::Low),
    ("calendar_event", Tier::Medium),
    ("code_execution", Tier::Medium),
    ("file_write", Tier::Medium),
    ("http_post", Tier::Medium),
    ("send_email", Tier::Medium),
    ("cron_change", Tier::High),
    ("file_delete", Tier::High),
    ("install_package", Tier::High),
    ("send_sms", Tier::High),
    ("social_post", Tier::High),
    ("ssh_command", Tier::High),
    ("credential_access", Tier::Critical),
    ("crypto_transaction", Tier::Critical),
    ("database_drop", Tier::Critical),
    ("payment", Tier::Critical),
];

/// Actions of Hudson's own, and what looks for a crisis or tells of one.
const OWN: [(&str, Tier); 4] = [
    ("check_crisis", Tier::Safe),
    ("notify_crisis", Tier::Medium),
    ("extend_budget", Tier::High),
    ("open_route", Tier::High),
];

/// The tier of an action, by its canonical name.
pub(super) fn tier(name: &str) -> Option<Tier> {
    // Their own server approves them without a reason; that none can be let through by a grant is what sets them apart.
    let risky = HIGH_RISK_ACTIONS.contains(&name).then_some(Tier::High);
    let lists = [&ACTIONS[..], &CATEGORIES, &OWN];
    lists
        .into_iter()
        .flatten()
        .filter(|(action, _)| *action == name)
        .map(|(_, tier)| *tier)
        .chain(risky)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_list_names_an_action_once_and_in_its_canonical_form() {
        for list in [&ACTIONS[..], &CATEGORIES, &OWN] {
            let names: BTreeSet<_> = list.iter().map(|(name, _)| *name).collect();
            assert_eq!(names.len(), list.len());
            for name in names {
                assert_eq!(super::super::name::canonical(name), name);
            }
        }
    }

    #[test]
    fn each_high_risk_action_is_at_least_high() {
        for action in HIGH_RISK_ACTIONS {
            assert!(tier(action) >= Some(Tier::High), "{action}");
        }
        assert_eq!(tier("make_coffee"), None);
    }
}
