//! The commands by which bottles are acted on that another tool holds.

use super::Period;
use crate::config::tree::Trail;
use crate::config::yaml::Document;
use schemars::JsonSchema;
use serde::Deserialize;

/// What stands for something of the run in an argument.
const WORDS: [&str; 4] = ["{bottle}", "{run}", "{agent}", "{action}"];

/// How a freeze, a kill and a resume are carried out where Hudson holds neither a process nor a container.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnforcementSettings {
    /// The commands of the tool that holds the bottles.
    pub command: Option<EnforcementCommands>,
}

/// Commands, each the program and its arguments. No shell reads them; `{bottle}`, `{run}`, `{agent}` and `{action}` stand for
/// the names of what is acted on.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnforcementCommands {
    /// Beside the cutoff itself, which is Hudson's own.
    pub cutoff: Option<Vec<String>>,
    /// Saves the bottle and stops it.
    pub freeze: Option<Vec<String>>,
    /// Ends the bottle.
    pub kill: Option<Vec<String>>,
    /// Brings a frozen bottle back.
    pub resume: Option<Vec<String>>,
    /// How long each may take before it is killed, and tried again.
    pub timeout: Period,
}

impl Default for EnforcementCommands {
    fn default() -> Self {
        Self { cutoff: None, freeze: None, kill: None, resume: None, timeout: Period::seconds(60) }
    }
}

pub(super) fn check(document: &mut Document<'_>, trail: &Trail, settings: &EnforcementSettings) {
    let Some(commands) = &settings.command else { return };
    let trail = trail.key("command");
    let named = [
        ("cutoff", &commands.cutoff),
        ("freeze", &commands.freeze),
        ("kill", &commands.kill),
        ("resume", &commands.resume),
    ];
    for (key, command) in named {
        let Some(command) = command else { continue };
        let trail = trail.key(key);
        if command.first().is_none_or(String::is_empty) {
            document.value(&trail, "a command begins with the program that is started");
        }
        for (index, part) in command.iter().enumerate() {
            if let Some(word) = unknown(part) {
                let message = format!("{word:?} stands for nothing; expected {}", WORDS.join(", "));
                document.value(&trail.index(index), message);
            }
        }
    }
    if commands.timeout.0.is_zero() {
        document.value(&trail.key("timeout"), "a command that has no time cannot end well");
    }
}

/// What looks as if it stood for something, and does not.
fn unknown(part: &str) -> Option<&str> {
    let mut rest = part;
    while let Some((_, from)) = rest.split_once('{') {
        let (name, after) = from.split_once('}')?;
        if !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            && !WORDS.iter().any(|word| word.get(1..word.len() - 1) == Some(name))
        {
            return Some(name);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::config::parse_settings;
    use std::path::Path;

    fn parse(text: &str) -> Result<crate::config::Settings, String> {
        parse_settings(Path::new("settings.yml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn commands_are_read_with_what_stands_for_the_bottle() {
        let settings = parse(
            "enforcement:\n  command:\n    freeze: [bot-bottle, freeze, \"{bottle}\"]\n    timeout: 5s\n",
        )
        .unwrap();
        let commands = settings.enforcement.command.unwrap();
        assert_eq!(commands.freeze.unwrap(), ["bot-bottle", "freeze", "{bottle}"]);
        assert_eq!((commands.kill, commands.timeout.0.as_secs()), (None, 5));
    }

    #[test]
    fn a_command_that_cannot_work_is_refused_with_its_place() {
        for (text, said) in [
            ("freeze: []", "begins with the program"),
            ("kill: [\"\"]", "begins with the program"),
            ("kill: [tool, \"{botle}\"]", "\"botle\" stands for nothing"),
            ("resume: tool resume", "expected a list"),
            ("timeout: 0s", "no time"),
            ("stop: [tool]", "stop"),
        ] {
            let error = parse(&format!("enforcement:\n  command:\n    {text}\n")).unwrap_err();
            assert!(error.contains(said) && error.contains("settings.yml:3"), "{text}: {error}");
        }
        // Braces of another tool's own are none of ours.
        parse("enforcement: {command: {kill: [sh, -c, \"echo ${HOME} {} {A}\"]}}\n").unwrap();
    }
}
