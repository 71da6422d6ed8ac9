//! The deprecated casts, which OPA keeps for old policies: a value of the right type, or nothing.

use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[
    ("cast_array", array),
    ("cast_boolean", |_, arguments| only(arguments, |value| matches!(value, Term::Bool(_)))),
    ("cast_null", |_, arguments| only(arguments, |value| matches!(value, Term::Null))),
    ("cast_object", |_, arguments| only(arguments, |value| matches!(value, Term::Object(_)))),
    ("cast_set", set),
    ("cast_string", |_, arguments| only(arguments, |value| matches!(value, Term::String(_)))),
];

fn only(arguments: &[Term], fits: fn(&Term) -> bool) -> Answer {
    match arguments {
        [value] if fits(value) => Ok(value.clone()),
        _ => Err(Stop::Undefined),
    }
}

fn array(_: &mut Context, arguments: &[Term]) -> Answer {
    let [value] = arguments else { return Err(Stop::Undefined) };
    value.members().map(|members| Term::Array(members.to_vec())).ok_or(Stop::Undefined)
}

fn set(_: &mut Context, arguments: &[Term]) -> Answer {
    let [value] = arguments else { return Err(Stop::Undefined) };
    value.members().map(|members| Term::Set(members.to_vec())).ok_or(Stop::Undefined)
}
