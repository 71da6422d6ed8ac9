//! The functions of Rego that compiled modules leave to their host.
//!
//! `registry` says of each of OPA's builtins where it is: in the module, here, or nowhere. A builtin whose
//! arguments make no sense is undefined, as in OPA, and does not end the evaluation. One that would exceed the budget,
//! or that asks for what only OPA in Go can do, ends it.

mod answer;
mod capabilities;
mod casts;
mod cidr;
mod crypto;
mod encoding;
mod graph;
mod json;
mod jwt;
mod numbers;
mod object;
mod page;
mod patch;
mod print;
mod regex;
mod registry;
mod semver;
mod strings;
#[cfg(test)]
mod tests;
mod time;
mod units;
mod uri;
mod uuid;

use wasmtime::{AsContextMut, Caller};

pub(super) use self::answer::{Answer, Context, Stop};
pub use self::capabilities::capabilities;
pub use self::page::page;
pub(super) use self::registry::{Builtin, resolve};
pub use self::registry::{Unavailable, in_host};
use super::EvalError;
use super::host::Host;
use super::term::Term;

/// Calls a builtin for the guest: addresses of values in, the address of a value out, or 0 for undefined.
pub(super) fn call(mut caller: Caller<'_, Host>, id: i32, arguments: &[i32]) -> wasmtime::Result<i32> {
    let host = caller.data();
    let deadline = host.context.deadline;
    deadline.check()?;
    let Some(builtin) = host.builtins.get(&id).copied() else {
        return Err(EvalError::Abi(format!("it calls a builtin {id} that it did not list")).into());
    };
    let Some(exports) = host.exports.clone() else {
        return Err(EvalError::Abi("it calls a builtin before it has started".to_owned()).into());
    };
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let text = exports.dump(caller.as_context_mut(), *argument)?;
        values.push(Term::parse(&text, &deadline)?);
    }
    let answer = builtin.apply(&mut caller.data_mut().context, &values);
    deadline.check()?;
    let result = match answer {
        Ok(result) => result,
        Err(Stop::Undefined) => return Ok(0),
        Err(Stop::Error(error)) => return Err(error.into()),
    };
    let text = result.to_json();
    caller.data().context.within(text.len())?;
    Ok(exports.parse(caller.as_context_mut(), text.as_bytes())?)
}
