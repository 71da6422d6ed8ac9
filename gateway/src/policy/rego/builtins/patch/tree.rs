//! A document that is being changed. Only what a path has passed is taken apart.

use super::Stop;
use crate::policy::rego::term::{MOST_LEVELS, Term, integer};

pub(super) enum Node {
    Whole(Term),
    Object(Vec<(Term, Node)>),
    Set(Vec<Node>),
    Array {
        /// The array as it was.
        before: Vec<Term>,
        items: Vec<Item>,
    },
}

/// An item of an array.
pub(super) enum Item {
    /// As it was before, at this index.
    Before(usize),
    Changed(Node),
}

impl Node {
    pub(super) fn of(term: &Term) -> Self {
        Self::Whole(term.clone())
    }

    pub(super) fn into_term(self) -> Term {
        match self {
            Self::Whole(term) => term,
            Self::Object(pairs) => Term::Object(pairs.into_iter().map(|(key, node)| (key, node.into_term())).collect()),
            Self::Set(members) => Term::Set(members.into_iter().map(Self::into_term).collect()),
            Self::Array { before, items } => {
                Term::Array(items.into_iter().map(|item| item.into_term(&before)).collect())
            }
        }
    }

    fn to_term(&self) -> Term {
        match self {
            Self::Whole(term) => term.clone(),
            Self::Object(pairs) => {
                let mut pairs: Vec<_> = pairs.iter().map(|(key, node)| (key.clone(), node.to_term())).collect();
                pairs.sort_by(|(a, _), (b, _)| a.order(b));
                Term::Object(pairs)
            }
            Self::Set(members) => {
                let mut members: Vec<_> = members.iter().map(Self::to_term).collect();
                members.sort_by(Term::order);
                members.dedup_by(|a, b| a.equals(b));
                Term::Set(members)
            }
            Self::Array { before, items } => Term::Array(items.iter().map(|item| item.to_term(before)).collect()),
        }
    }

    /// Takes one level apart.
    fn open(&mut self) -> &mut Self {
        if let Self::Whole(term) = self {
            match std::mem::replace(term, Term::Null) {
                Term::Object(pairs) => {
                    *self = Self::Object(pairs.into_iter().map(|(key, value)| (key, Self::Whole(value))).collect());
                }
                Term::Set(members) => *self = Self::Set(members.into_iter().map(Self::Whole).collect()),
                Term::Array(before) => {
                    let items = (0..before.len()).map(Item::Before).collect();
                    *self = Self::Array { before, items };
                }
                scalar => *term = scalar,
            }
        }
        self
    }

    /// What a step leads to.
    fn child(&mut self, step: &Term) -> Result<&mut Self, Stop> {
        match self.open() {
            Self::Object(pairs) => {
                let found = pairs.iter_mut().find(|(key, _)| key.equals(step));
                found.map(|(_, node)| node).ok_or(Stop::Undefined)
            }
            Self::Set(members) => {
                members.iter_mut().find(|member| member.to_term().equals(step)).ok_or(Stop::Undefined)
            }
            Self::Array { before, items } => {
                let index = index(step, items.len()).ok_or(Stop::Undefined)?;
                let item = items.get_mut(index).ok_or(Stop::Undefined)?;
                if matches!(item, Item::Before(_)) {
                    // OPA looks an item up by where it is now in the array as it was before.
                    *item = Item::Changed(Self::Whole(before.get(index).ok_or(Stop::Undefined)?.clone()));
                }
                match item {
                    Item::Changed(node) => Ok(node),
                    Item::Before(_) => Err(Stop::Undefined),
                }
            }
            Self::Whole(_) => Err(Stop::Undefined),
        }
    }

    fn insert(&mut self, key: &Term, value: &Term) -> Result<(), Stop> {
        match self.open() {
            Self::Object(pairs) => {
                pairs.retain(|(known, _)| !known.equals(key));
                pairs.push((key.clone(), Self::of(value)));
            }
            Self::Set(members) => {
                if !key.equals(value) {
                    return Err(Stop::Undefined);
                }
                members.push(Self::of(value));
            }
            Self::Array { items, .. } => {
                let index = index(key, items.len()).filter(|index| *index <= items.len()).ok_or(Stop::Undefined)?;
                items.insert(index, Item::Changed(Self::of(value)));
            }
            Self::Whole(_) => return Err(Stop::Undefined),
        }
        Ok(())
    }

    fn remove(&mut self, key: &Term) -> Result<(), Stop> {
        match self.open() {
            Self::Object(pairs) => {
                let at = pairs.iter().position(|(known, _)| known.equals(key)).ok_or(Stop::Undefined)?;
                pairs.remove(at);
            }
            Self::Set(members) => {
                let before = members.len();
                members.retain(|member| !member.to_term().equals(key));
                if members.len() == before {
                    return Err(Stop::Undefined);
                }
            }
            Self::Array { items, .. } => {
                let index = index(key, items.len()).filter(|index| *index < items.len()).ok_or(Stop::Undefined)?;
                items.remove(index);
            }
            Self::Whole(_) => return Err(Stop::Undefined),
        }
        Ok(())
    }
}

impl Item {
    fn into_term(self, before: &[Term]) -> Term {
        match self {
            Self::Before(index) => before.get(index).cloned().unwrap_or(Term::Null),
            Self::Changed(node) => node.into_term(),
        }
    }

    fn to_term(&self, before: &[Term]) -> Term {
        match self {
            Self::Before(index) => before.get(*index).cloned().unwrap_or(Term::Null),
            Self::Changed(node) => node.to_term(),
        }
    }
}

/// A place in an array of this length; `-` is behind its end.
fn index(step: &Term, length: usize) -> Option<usize> {
    let index = match step {
        Term::String(text) if text == "-" => return Some(length),
        Term::String(text) if text != "0" && text.starts_with('0') => return None,
        Term::String(text) => integer(text)?,
        number => number.as_integer()?,
    };
    usize::try_from(index).ok()
}

fn at<'a>(tree: &'a mut Option<Node>, path: &[Term]) -> Result<&'a mut Node, Stop> {
    let mut node = tree.as_mut().ok_or(Stop::Undefined)?;
    for step in path {
        node = node.child(step)?;
    }
    Ok(node)
}

pub(super) fn find(tree: &mut Option<Node>, path: &[Term]) -> Result<Term, Stop> {
    Ok(at(tree, path)?.to_term())
}

/// Puts a value at a path, or in place of the whole document.
pub(super) fn insert(tree: &mut Option<Node>, path: &[Term], value: &Term) -> Result<(), Stop> {
    let Some((last, path)) = path.split_last() else {
        *tree = Some(Node::of(value));
        return Ok(());
    };
    let node = at(tree, path)?;
    // Copies double the depth each time, so it is bounded before they are there.
    let within = MOST_LEVELS.saturating_sub(path.len() + 1);
    if !value.has_at_most(within) || !last.has_at_most(within) {
        return Err(Stop::nested_too_deeply());
    }
    node.insert(last, value)
}

pub(super) fn remove(tree: &mut Option<Node>, path: &[Term]) -> Result<(), Stop> {
    let Some((last, path)) = path.split_last() else {
        return tree.take().map(drop).ok_or(Stop::Undefined);
    };
    at(tree, path)?.remove(last)
}
