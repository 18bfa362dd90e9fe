//! Rules files: our own YAML, and the TOML of gitleaks and betterleaks as it is.

use hudson_dlp::{RuleError, RuleSet, import};
use hudson_schema::config::{ConfigError, Problem};
use std::path::Path;

/// The rules of a file, and what of it could not be taken.
pub(crate) fn read(path: &Path) -> Result<(RuleSet, Vec<String>), ConfigError> {
    let place = path.display().to_string();
    let wrong = |what: String| ConfigError::one(Problem::in_file(path, 0, what));
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let toml = match extension.to_ascii_lowercase().as_str() {
        "toml" => true,
        "yaml" | "yml" => false,
        _ => return Err(wrong("a rules file is called .toml (gitleaks) or .yaml (ours)".to_owned())),
    };
    let text =
        std::fs::read_to_string(path).map_err(|error| wrong(format!("the rules cannot be read: {error}")))?;
    if !toml {
        return Ok((RuleSet::parse(&place, &text).map_err(|error| refused(path, error))?, Vec::new()));
    }
    let imported = import::gitleaks(&place, &text).map_err(|error| refused(path, error))?;
    Ok((imported.rules, imported.unsupported))
}

/// Adds a file to the rules that come with Hudson. A rule of a name that they have too gets the file's name in front.
pub(super) fn merge(rules: &mut RuleSet, path: &Path, notices: &mut Vec<String>) -> Result<(), ConfigError> {
    let (own, unsupported) = read(path)?;
    notices.extend(summed_up(unsupported));
    let prefix = format!("{}:", path.file_stem().unwrap_or_default().to_string_lossy());
    let renamed = rules.merge_beside(own, &prefix).map_err(|error| refused(path, error))?;
    let renamed = renamed.iter().map(|id| {
        format!(
            "{}: rule {id:?} has {prefix:?} in front of its name: Hudson has one of that name",
            path.display()
        )
    });
    notices.extend(summed_up(renamed));
    Ok(())
}

/// What is said of many rules in the same words is said once: a file of others has hundreds of rules.
fn summed_up(notices: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut groups: Vec<((String, String), Vec<String>)> = Vec::new();
    for notice in notices {
        let (front, rest) = notice.split_once(RULE).unwrap_or((&notice, ""));
        let (id, rest) = rest.split_once('"').unwrap_or(("", rest));
        let words = (front.to_owned(), rest.to_owned());
        match groups.iter_mut().find(|(known, _)| *known == words) {
            Some((_, ids)) => ids.push(id.to_owned()),
            None => groups.push((words, vec![id.to_owned()])),
        }
    }
    let said = |((front, rest), ids): ((String, String), Vec<String>)| match ids.as_slice() {
        [id] if id.is_empty() => vec![front],
        [first, second, third, _, ..] => {
            let rest = rest.trim_start_matches([':', ' ']);
            vec![format!("{front}: {} rules, {first}, {second}, {third} and others: {rest}", ids.len())]
        }
        few => few.iter().map(|id| format!("{front}{RULE}{id}\"{rest}")).collect(),
    };
    groups.into_iter().flat_map(said).collect()
}

/// How a notice about a rule begins behind its file.
const RULE: &str = ": rule \"";

/// What is wrong with a rule, where it stands.
fn refused(path: &Path, RuleError { line, rule, message, .. }: RuleError) -> ConfigError {
    let rule = rule.map(|rule| format!("rule {rule:?}: ")).unwrap_or_default();
    let line = usize::try_from(line).unwrap_or_default();
    ConfigError::one(Problem::in_file(path, line, format!("{rule}{message}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_many_rules_is_said_once() {
        let of = |id: &str| format!("team.toml: rule {id:?}: `filter` is not supported");
        let notices = ["a", "b", "c", "d"].map(of).into_iter();
        let notices =
            notices.chain(["team.toml: the file".to_owned(), "team.toml: rule \"a\" is slow".to_owned()]);
        assert_eq!(
            summed_up(notices),
            [
                "team.toml: 4 rules, a, b, c and others: `filter` is not supported",
                "team.toml: the file",
                "team.toml: rule \"a\" is slow",
            ]
        );
    }
}
