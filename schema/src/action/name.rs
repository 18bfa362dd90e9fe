//! One spelling for each action's name, so that `Deploy-Production`, `deployProduction` and `deploy production` are what
//! the tables say about `deploy_production`.

use super::fold;

/// The name in small letters and underscores.
pub(super) fn canonical(action: &str) -> String {
    let mut name = String::with_capacity(action.len());
    let mut small = false;
    for letter in fold::letters(action).filter(|letter| *letter != fold::HIDDEN) {
        if letter.is_uppercase() && small {
            name.push('_');
        }
        small = letter.is_lowercase() || letter.is_ascii_digit();
        match letter.is_alphanumeric() {
            true => name.extend(letter.to_lowercase()),
            false if name.ends_with('_') => {}
            false => name.push('_'),
        }
    }
    name.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_one_name() {
        for spelling in [
            "deploy_production",
            " Deploy-Production ",
            "deployProduction",
            "DEPLOY PRODUCTION",
            "deploy.production",
            "deploy__production",
            "ｄｅｐｌｏｙ_production",
            "depl\u{43e}y_pr\u{43e}duction",
            "deploy\u{200b}_production",
        ] {
            assert_eq!(canonical(spelling), "deploy_production", "{spelling:?}");
        }
        assert_eq!(canonical("deploy_productions"), "deploy_productions");
        assert_eq!((canonical(""), canonical("!?")), (String::new(), String::new()));
    }
}
