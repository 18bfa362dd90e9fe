//! Where every value of a YAML file stands. Checks that need more than one value name the value they are about by
//! its way through the file, and this tree turns the way into a line and a column.

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;
use std::fmt;

/// A place in a file, 1-based; line 0 when it is not known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl From<serde_saphyr::Location> for Place {
    fn from(location: serde_saphyr::Location) -> Self {
        let number = |number: u64| usize::try_from(number).unwrap_or(0);
        Self { line: number(location.line()), column: number(location.column()) }
    }
}

/// The way from the top of a file to a value.
#[derive(Clone, Debug, Default)]
pub struct Trail(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

impl Trail {
    /// One step further, to the value of a key.
    pub fn key(&self, key: &str) -> Self {
        self.and(Step::Key(key.to_owned()))
    }

    /// One step further, to an element of a list.
    pub fn index(&self, index: usize) -> Self {
        self.and(Step::Index(index))
    }

    fn and(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

/// The places of all values of a file.
#[derive(Debug)]
pub(super) struct Tree {
    place: Place,
    node: Node,
}

#[derive(Debug)]
enum Node {
    Scalar,
    List(Vec<Tree>),
    Map(Vec<(String, Place, Tree)>),
}

impl Tree {
    /// Where a value stands; its nearest ancestor that is there when it is not.
    pub(super) fn value(&self, trail: &Trail) -> Place {
        self.find(trail).1
    }

    /// Where a value's key stands, or the value itself when it has none.
    pub(super) fn key(&self, trail: &Trail) -> Place {
        self.find(trail).0
    }

    fn find(&self, trail: &Trail) -> (Place, Place) {
        let mut tree = self;
        let mut key = self.place;
        for step in &trail.0 {
            let next = match (step, &tree.node) {
                (Step::Index(index), Node::List(items)) => items.get(*index).map(|item| (item.place, item)),
                (Step::Key(name), Node::Map(entries)) => {
                    entries.iter().find(|(key, ..)| key == name).map(|(_, place, value)| (*place, value))
                }
                _ => None,
            };
            match next {
                Some(found) => (key, tree) = found,
                None => return (key, tree.place),
            }
        }
        (key, tree.place)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Node>::deserialize(deserializer)?;
        Ok(Self { place: spanned.referenced.into(), node: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodeVisitor;

        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_str<E>(self, _: &str) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_bytes<E>(self, _: &[u8]) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Scalar)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
                Node::deserialize(deserializer)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Spanned<String>, Tree>()? {
                    entries.push((key.value, key.referenced.into(), value));
                }
                Ok(Node::Map(entries))
            }
        }

        deserializer.deserialize_any(NodeVisitor)
    }
}
