//! JSON Patch, RFC 6902, on Rego's values.
//!
//! The members of a set are their own keys, and a path may be an array of any values.

mod tree;

use self::tree::Node;
use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[("json.patch", patch)];

fn patch(context: &mut Context, arguments: &[Term]) -> Answer {
    let [document, Term::Array(operations)] = arguments else { return Err(Stop::Undefined) };
    let mut tree = Some(Node::of(document));
    let mut bytes = document.to_json().len();
    for operation in operations {
        context.deadline.check()?;
        let Term::Object(fields) = operation else { return Err(Stop::Undefined) };
        let field = |name: &str| Term::get(fields, &Term::from(name)).ok_or(Stop::Undefined);
        let path = steps(field("path")?)?;
        let Term::String(kind) = field("op")? else { return Err(Stop::Undefined) };
        match kind.as_str() {
            "add" => {
                let value = field("value")?;
                insert(&mut tree, &path, value, &mut bytes, context)?;
            }
            "remove" => tree::remove(&mut tree, &path)?,
            "replace" => {
                tree::remove(&mut tree, &path)?;
                insert(&mut tree, &path, field("value")?, &mut bytes, context)?;
            }
            "move" => {
                let from = steps(field("from")?)?;
                let value = tree::find(&mut tree, &from)?;
                tree::remove(&mut tree, &from)?;
                insert(&mut tree, &path, &value, &mut bytes, context)?;
            }
            "copy" => {
                let value = tree::find(&mut tree, &steps(field("from")?)?)?;
                insert(&mut tree, &path, &value, &mut bytes, context)?;
            }
            "test" => {
                let value = tree::find(&mut tree, &path)?;
                if !value.equals(field("value")?) {
                    return Err(Stop::Undefined);
                }
            }
            _ => return Err(Stop::Undefined),
        }
    }
    tree.map(Node::into_term).ok_or(Stop::Undefined)
}

/// Copies double a document each time, so what is put into it counts before it is there.
fn insert(
    tree: &mut Option<Node>,
    path: &[Term],
    value: &Term,
    bytes: &mut usize,
    context: &Context,
) -> Result<(), Stop> {
    *bytes = bytes.saturating_add(value.to_json().len());
    context.within(*bytes)?;
    tree::insert(tree, path, value)
}

/// A path's steps: of a JSON pointer, or of an array.
fn steps(path: &Term) -> Result<Vec<Term>, Stop> {
    match path {
        Term::Array(steps) => Ok(steps.clone()),
        Term::String(pointer) if pointer.is_empty() => Ok(Vec::new()),
        Term::String(pointer) => {
            let parts = pointer.trim_start_matches('/').split('/');
            Ok(parts.map(|part| Term::String(part.replace("~1", "/").replace("~0", "~"))).collect())
        }
        _ => Err(Stop::Undefined),
    }
}
