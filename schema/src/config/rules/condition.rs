//! One condition on a request: where it looks, how it compares, and with what.
//!
//! Invariant: a condition of a file that was checked is compiled: numbers are exact, expressions run in linear time.

use super::number::Number;
use super::subject::Subject;
use crate::config::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One condition on a request.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(from = "ConditionFile")]
pub struct Condition {
    path: String,
    op: Operator,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip)]
    compiled: Result<Compiled, Fault>,
}

/// What is wrong with a condition: the key to point at and the message.
type Fault = (&'static str, String);

/// A condition as it is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// What is looked at.
    pub subject: Subject,
    /// How it is compared.
    pub test: Test,
}

/// A comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// It is there, or is not.
    Exists(bool),
    /// It is one of these.
    OneOf(Vec<Literal>),
    /// It is none of these.
    NoneOf(Vec<Literal>),
    /// Less than this.
    Below(Number),
    /// This or less.
    AtMost(Number),
    /// More than this.
    Above(Number),
    /// This or more.
    AtLeast(Number),
    /// The whole text matches.
    Matches(Pattern),
    /// It is a part of the text, or an element of the list.
    Contains(Literal),
}

/// A value to compare with. A number and a text are never equal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Literal {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
    /// One of a list.
    In,
    /// None of a list.
    NotIn,
    /// Less than.
    Lt,
    /// Less than or equal.
    Lte,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Gte,
    /// A regular expression that matches the whole text.
    Regex,
    /// A part of the text or an element of the list.
    Contains,
    /// There at all; `value: false` for not there.
    Exists,
}

/// One condition on a request.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Condition")]
struct ConditionFile {
    /// What is looked at: `method`, `host`, `path`, `query.NAME`, `header.NAME`, `body.a.b`, `args.a.b` (MCP),
    /// `state.SCOPE.COUNTER`, `bottle.name` or `bottle.agent`.
    path: String,
    /// How it is compared.
    op: Operator,
    /// With what; not with `exists`.
    #[serde(default)]
    value: Option<Value>,
}

impl From<ConditionFile> for Condition {
    fn from(ConditionFile { path, op, value }: ConditionFile) -> Self {
        Self::new(path, op, value)
    }
}

impl Condition {
    /// A condition; what is wrong with it is found when it is checked.
    pub fn new(path: impl Into<String>, op: Operator, value: Option<Value>) -> Self {
        let path = path.into();
        let compiled = compile(&path, op, value.as_ref());
        Self { path, op, value, compiled }
    }

    /// Where it looks, as written.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How it compares.
    pub fn op(&self) -> Operator {
        self.op
    }

    /// What it asks; `None` for one that is wrong, which no file that was read has.
    pub fn compiled(&self) -> Option<&Compiled> {
        self.compiled.as_ref().ok()
    }

    /// What is wrong with it.
    pub(in crate::config) fn fault(&self) -> Option<&Fault> {
        self.compiled.as_ref().err()
    }

    /// The place where it looks, to be completed.
    pub(in crate::config) fn subject_mut(&mut self) -> Option<&mut Subject> {
        self.compiled.as_mut().ok().map(|compiled| &mut compiled.subject)
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.op == other.op && self.value == other.value
    }
}

fn compile(path: &str, op: Operator, value: Option<&Value>) -> Result<Compiled, Fault> {
    let subject: Subject = path.parse().map_err(|message| ("path", message))?;
    let mut test = self::test(op, value)?;
    if subject == Subject::Method {
        test.upper_case();
    }
    if matches!(subject, Subject::State { .. }) && !test.is_of_numbers() {
        return Err(("op", "a counter is compared with numbers".to_owned()));
    }
    Ok(Compiled { subject, test })
}

fn test(op: Operator, value: Option<&Value>) -> Result<Test, Fault> {
    let needs = |expected: &str| match value {
        None => ("op", format!("this comparison needs value: {expected}")),
        Some(_) => ("value", format!("this comparison needs {expected}")),
    };
    let scalar = || {
        let expected = "a number, a text, true or false";
        literal(value.ok_or_else(|| needs(expected))?)?.ok_or_else(|| needs(expected))
    };
    let list = || {
        let expected = "a list of numbers, texts, true or false";
        let items = value.and_then(Value::as_array).filter(|items| !items.is_empty());
        let items = items.ok_or_else(|| needs(expected))?;
        items.iter().map(|item| literal(item)?.ok_or_else(|| needs(expected))).collect::<Result<Vec<_>, _>>()
    };
    let number = || match value.map(literal).transpose()?.flatten() {
        Some(Literal::Number(number)) => Ok(number),
        _ => Err(needs("a number")),
    };
    Ok(match op {
        Operator::Exists => match value {
            None => Test::Exists(true),
            Some(Value::Bool(there)) => Test::Exists(*there),
            Some(_) => return Err(needs("no value, or true or false")),
        },
        Operator::Eq => Test::OneOf(vec![scalar()?]),
        Operator::Neq => Test::NoneOf(vec![scalar()?]),
        Operator::In => Test::OneOf(list()?),
        Operator::NotIn => Test::NoneOf(list()?),
        Operator::Lt => Test::Below(number()?),
        Operator::Lte => Test::AtMost(number()?),
        Operator::Gt => Test::Above(number()?),
        Operator::Gte => Test::AtLeast(number()?),
        Operator::Contains => Test::Contains(scalar()?),
        Operator::Regex => match value {
            Some(Value::String(source)) => Test::Matches(
                Pattern::new(source)
                    .map_err(|error| ("value", format!("not a regular expression: {error}")))?,
            ),
            _ => return Err(needs("a regular expression")),
        },
    })
}

/// A value to compare with; `None` for one that is none.
fn literal(value: &Value) -> Result<Option<Literal>, Fault> {
    Ok(match value {
        Value::Bool(value) => Some(Literal::Bool(*value)),
        Value::String(text) => Some(Literal::Text(text.clone())),
        Value::Number(number) => {
            let text = number.to_string();
            let exact = number.is_i64() || number.is_u64() || is_exact(&text);
            match Number::parse(&text).filter(|_| exact) {
                Some(number) => Some(Literal::Number(number)),
                None => {
                    let message = "a number with more digits than are kept exactly; write at most fifteen";
                    return Err(("value", message.to_owned()));
                }
            }
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    })
}

/// Whether a number that came by a float is the one that was written: fifteen digits always come through.
fn is_exact(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').len() <= 15
}

impl Test {
    /// The values that it compares with.
    pub fn literals(&self) -> impl Iterator<Item = &Literal> {
        let literals: &[Literal] = match self {
            Self::OneOf(literals) | Self::NoneOf(literals) => literals,
            Self::Contains(literal) => std::slice::from_ref(literal),
            _ => &[],
        };
        literals.iter()
    }

    /// The numbers that it compares with.
    pub fn numbers(&self) -> impl Iterator<Item = &Number> {
        let bound = match self {
            Self::Below(number) | Self::AtMost(number) | Self::Above(number) | Self::AtLeast(number) => {
                Some(number)
            }
            _ => None,
        };
        let literals = self.literals().filter_map(|literal| match literal {
            Literal::Number(number) => Some(number),
            _ => None,
        });
        literals.chain(bound)
    }

    fn is_of_numbers(&self) -> bool {
        match self {
            Self::Matches(_) | Self::Contains(_) => false,
            _ => self.literals().all(|literal| matches!(literal, Literal::Number(_))),
        }
    }

    /// Methods are compared in upper case.
    fn upper_case(&mut self) {
        let literals: &mut [Literal] = match self {
            Self::OneOf(literals) | Self::NoneOf(literals) => literals,
            Self::Contains(literal) => std::slice::from_mut(literal),
            _ => &mut [],
        };
        for literal in literals {
            if let Literal::Text(text) = literal {
                text.make_ascii_uppercase();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(path: &str, op: Operator, value: Option<Value>) -> Option<&'static str> {
        Condition::new(path, op, value).fault().map(|(key, _)| *key)
    }

    #[test]
    fn a_comparison_needs_a_value_of_its_kind() {
        use Operator::*;
        for (op, value) in [
            (Eq, json!(5)),
            (Neq, json!("5")),
            (In, json!([1, "a", true])),
            (Lt, json!(0.5)),
            (Regex, json!("a+")),
            (Contains, json!("x")),
            (Exists, json!(false)),
        ] {
            assert_eq!(fault("body.a", op, Some(value)), None, "{op:?}");
        }
        for (op, value) in [
            (Eq, json!([1])),
            (Eq, json!({})),
            (Eq, json!(null)),
            (In, json!([])),
            (In, json!(5)),
            (In, json!([null])),
            (Gt, json!("5")),
            (Gt, json!(1.234_567_890_123_456_7)),
            (Regex, json!("(")),
            (Regex, json!("a{1000}{1000}")),
            (Regex, json!(5)),
            (Exists, json!("yes")),
        ] {
            assert_eq!(fault("body.a", op, Some(value.clone())), Some("value"), "{op:?} {value}");
        }
        assert_eq!(fault("body.a", Gt, None), Some("op"));
        assert_eq!(fault("body.a", Exists, None), None);
        assert_eq!(fault("state.bottle.x", Regex, Some(json!("a"))), Some("op"));
        assert_eq!(fault("state.bottle.x", Gt, Some(json!(5))), None);
    }
}
