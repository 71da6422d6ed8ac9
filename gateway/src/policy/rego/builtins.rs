//! The functions of Rego that compiled modules leave to their host.
//!
//! A builtin whose arguments make no sense is undefined, as in OPA, and does not end the evaluation.

use wasmtime::{AsContextMut, Caller};

use super::EvalError;
use super::host::Host;
use super::sprintf::sprintf;
use super::term::Term;
use super::time;

/// A function that the host offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builtin {
    Sprintf,
    TimeNowNs,
    TimeParseRfc3339Ns,
    TimeDate,
    TimeClock,
    TimeWeekday,
    /// One with a bug.
    #[cfg(test)]
    Panic,
}

impl Builtin {
    /// By the name that Rego calls it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "sprintf" => Self::Sprintf,
            "time.now_ns" => Self::TimeNowNs,
            "time.parse_rfc3339_ns" => Self::TimeParseRfc3339Ns,
            "time.date" => Self::TimeDate,
            "time.clock" => Self::TimeClock,
            "time.weekday" => Self::TimeWeekday,
            #[cfg(test)]
            "test.panic" => Self::Panic,
            _ => return None,
        })
    }

    /// `None` is undefined.
    fn apply(self, host: &mut Host, arguments: &[Term]) -> Result<Option<Term>, EvalError> {
        Ok(match (self, arguments) {
            (Self::Sprintf, [Term::String(format), Term::Array(values)]) => {
                Some(Term::String(sprintf(format, values, host.budget.output_bytes, &host.deadline)?))
            }
            (Self::TimeNowNs, []) => {
                host.asked_time = true;
                Some(host.now.as_nanosecond().into())
            }
            (Self::TimeParseRfc3339Ns, [Term::String(text)]) => time::parse_rfc3339_ns(text),
            (Self::TimeDate, [moment]) => time::date(moment),
            (Self::TimeClock, [moment]) => time::clock(moment),
            (Self::TimeWeekday, [moment]) => time::weekday(moment),
            #[cfg(test)]
            #[expect(clippy::panic, reason = "that is what it is for")]
            (Self::Panic, []) => panic!("a bug in a builtin"),
            _ => None,
        })
    }
}

/// Calls a builtin for the guest: addresses of values in, the address of a value out, or 0 for undefined.
pub(super) fn call(mut caller: Caller<'_, Host>, id: i32, arguments: &[i32]) -> wasmtime::Result<i32> {
    let host = caller.data();
    let deadline = host.deadline;
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
    let result = builtin.apply(caller.data_mut(), &values)?;
    deadline.check()?;
    let Some(result) = result else { return Ok(0) };
    let text = result.to_json();
    if text.len() > caller.data().budget.output_bytes {
        return Err(EvalError::Output(caller.data().budget.output_bytes).into());
    }
    Ok(exports.parse(caller.as_context_mut(), text.as_bytes())?)
}
