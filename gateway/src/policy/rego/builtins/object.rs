//! `object.subset`.

use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::EvalError;
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[("object.subset", subset)];

fn subset(context: &mut Context, arguments: &[Term]) -> Answer {
    let [whole, part] = arguments else { return Err(Stop::Undefined) };
    let found = match (whole, part) {
        (Term::Object(whole), Term::Object(part)) => object(context, whole, part)?,
        (Term::Set(whole), Term::Set(part)) => all_within(context, whole, part)?,
        (Term::Array(whole), Term::Array(part)) => array(context, whole, part)?,
        (Term::Array(whole), Term::Set(part)) => counted(context, whole, part)?,
        _ => return Err(Stop::Undefined),
    };
    Ok(found.into())
}

/// Whether each key is there with the same value, or with one of which its value is a part.
fn object(context: &Context, whole: &[(Term, Term)], part: &[(Term, Term)]) -> Result<bool, EvalError> {
    for (key, wanted) in part {
        context.deadline.check()?;
        let Some(value) = Term::get(whole, key) else { return Ok(false) };
        let found = match (value, wanted) {
            (Term::Object(value), Term::Object(wanted)) => object(context, value, wanted)?,
            (Term::Set(value), Term::Set(wanted)) => all_within(context, value, wanted)?,
            (Term::Array(value), Term::Array(wanted)) => array(context, value, wanted)?,
            _ => value.equals(wanted),
        };
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

fn all_within(context: &Context, whole: &[Term], part: &[Term]) -> Result<bool, EvalError> {
    for wanted in part {
        context.deadline.check()?;
        if !whole.iter().any(|member| member.equals(wanted)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether as many of the array's items are in the set as the set has members. As OPA counts, an item that is there twice
/// stands for two of them, and an empty set is in no array that is empty too.
fn counted(context: &Context, whole: &[Term], part: &[Term]) -> Result<bool, EvalError> {
    let mut found = 0;
    for item in whole {
        context.deadline.check()?;
        found += usize::from(part.iter().any(|member| member.equals(item)));
    }
    Ok(!whole.is_empty() && found >= part.len())
}

/// Whether the part is there without a gap. After a mismatch OPA goes on one further from where it began.
fn array(context: &Context, whole: &[Term], part: &[Term]) -> Result<bool, EvalError> {
    if part.is_empty() {
        return Ok(true);
    }
    for window in whole.windows(part.len()) {
        context.deadline.check()?;
        if window.iter().zip(part).all(|(member, wanted)| member.equals(wanted)) {
            return Ok(true);
        }
    }
    Ok(false)
}
