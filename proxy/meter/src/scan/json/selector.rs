//! Which values are wanted: paths compiled to a tree, once per wire format.
//!
//! Most keys of an answer are on no path, so one word of each node says of most keys that they are none of its own,
//! before anything is compared.

use super::Take;
use std::str::Split;

/// Paths compiled to a tree; this is the node of the root value.
#[derive(Debug)]
pub(crate) struct Selector<F> {
    root: Node<F>,
}

/// One place in a JSON text.
#[derive(Debug)]
pub(super) struct Node<F> {
    keys: Vec<(&'static str, Self)>,
    /// A bit for each of the keys, by [`bit`].
    bits: u64,
    /// The child for each element of an array.
    each: Option<Box<Self>>,
    take: Option<(F, Take)>,
}

impl<F: Copy> Selector<F> {
    /// Compiles paths such as `choices.*.delta.content`, where `*` is each element of an array.
    pub(crate) fn new(paths: impl IntoIterator<Item = (&'static str, F, Take)>) -> Self {
        let mut root = Node::new();
        for (path, field, take) in paths {
            root.insert(path.split('.'), (field, take));
        }
        Self { root }
    }

    /// The node of the root value.
    pub(super) fn root(&self) -> &Node<F> {
        &self.root
    }
}

impl<F: Copy> Node<F> {
    fn new() -> Self {
        Self { keys: Vec::new(), bits: 0, each: None, take: None }
    }

    fn insert(&mut self, mut path: Split<'static, char>, take: (F, Take)) {
        match path.next() {
            None => self.take = Some(take),
            Some("*") => self.each.get_or_insert_with(|| Box::new(Self::new())).insert(path, take),
            Some(part) => {
                self.bits |= bit(part.as_bytes());
                if let Some((_, child)) = self.keys.iter_mut().find(|(name, _)| *name == part) {
                    return child.insert(path, take);
                }
                let mut child = Self::new();
                child.insert(path, take);
                self.keys.push((part, child));
            }
        }
    }

    /// The place of the value of this key.
    #[inline]
    pub(super) fn key(&self, key: &[u8]) -> Option<&Self> {
        if self.bits & bit(key) == 0 {
            return None;
        }
        self.keys.iter().find(|(name, _)| name.as_bytes() == key).map(|(_, child)| child)
    }

    /// The place of each element of an array.
    #[inline]
    pub(super) fn each(&self) -> Option<&Self> {
        self.each.as_deref()
    }

    /// What is wanted of the value at this place.
    #[inline]
    pub(super) fn take(&self) -> Option<(F, Take)> {
        self.take
    }

    /// Whether anything inside the value at this place is wanted.
    #[inline]
    pub(super) fn has_children(&self) -> bool {
        self.bits != 0 || self.each.is_some()
    }
}

/// One of 64 bits, by the length and the last byte: keys of one object seldom share both.
#[inline]
fn bit(key: &[u8]) -> u64 {
    let last = key.last().map_or(0, |last| usize::from(*last));
    1 << (key.len().wrapping_mul(7).wrapping_add(last) % 64)
}
