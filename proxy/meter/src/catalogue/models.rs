//! What the operator says of a provider's models (`providers.NAME.models` in settings.yml).
//!
//! Invariant: of several that fit a name, the exact one decides, then the one with the longest beginning.

use crate::request::bare_model;
use hudson_schema::OutputField;

/// What holds for the models of a name, before what Hudson knows of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Model {
    /// The name, or its beginning and a `*`; case does not matter.
    pub pattern: String,
    /// The most output tokens of one answer, thinking included.
    pub output_maximum: Option<u64>,
    /// The name under which chat/completions takes the output cap.
    pub output_field: Option<OutputField>,
    /// The most input tokens of one request.
    pub input_maximum: Option<u64>,
}

impl Model {
    /// The one of these that decides for a model. `vendor/name` is found by either, and so is a Bedrock id with what
    /// says where it runs.
    pub fn find<'a>(models: &'a [Self], name: &str) -> Option<&'a Self> {
        let fitting = models.iter().filter_map(|model| Some((model.fits(name)?, model)));
        fitting.max_by_key(|(fit, _)| *fit).map(|(_, model)| model)
    }

    /// How well it fits: whether exactly, and over how many bytes.
    fn fits(&self, name: &str) -> Option<(bool, usize)> {
        let one = |name: &str| match self.pattern.strip_suffix('*') {
            None => name.eq_ignore_ascii_case(&self.pattern).then_some((true, name.len())),
            Some(beginning) => {
                let same = name.get(..beginning.len())?.eq_ignore_ascii_case(beginning);
                same.then_some((false, beginning.len()))
            }
        };
        one(name).or_else(|| one(bare_model(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_decides_before_a_beginning_and_a_longer_beginning_before_a_shorter() {
        let models: Vec<Model> = ["claude-*", "claude-next*", "claude-next-2", "lab/x*"]
            .map(|pattern| Model { pattern: pattern.to_owned(), ..Model::default() })
            .into();
        for (name, expected) in [
            ("claude-next-2", Some("claude-next-2")),
            ("CLAUDE-Next-2", Some("claude-next-2")),
            ("claude-next-2-2027", Some("claude-next*")),
            ("claude-next", Some("claude-next*")),
            ("claude-nex", Some("claude-*")),
            ("anthropic/claude-next-2", Some("claude-next-2")),
            ("us.claude-next-2", Some("claude-next-2")),
            ("lab/x1", Some("lab/x*")),
            ("x1", None),
            ("claud", None),
            ("", None),
            ("clàude-next", None),
        ] {
            let found = Model::find(&models, name).map(|model| model.pattern.as_str());
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(Model::find(&[], "claude-next"), None);
    }
}
