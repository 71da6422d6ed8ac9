//! Hexadecimal, base64 and the query part of a URL.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::answer::Text;
use super::json;
use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::hex;
use crate::policy::rego::EvalError;
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[
    ("base64url.encode_no_pad", base64url),
    ("hex.decode", hex_decode),
    ("hex.encode", hex_encode),
    ("urlquery.decode", query_decode),
    ("urlquery.decode_object", query_decode_object),
    ("urlquery.encode", query_encode),
    ("urlquery.encode_object", query_encode_object),
];

/// How many parameters Go reads.
const MOST_PARAMETERS: usize = 10_000;

/// The text of some bytes. Rego's strings may be any bytes; the gateway's are UTF-8.
pub(super) fn utf8(bytes: Vec<u8>, builtin: &str) -> Result<String, Stop> {
    String::from_utf8(bytes).map_err(|_| Stop::unsupported(format!("{builtin} of what is not UTF-8")))
}

fn base64url(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    context.within(text.len().div_ceil(3) * 4)?;
    Ok(Term::String(URL_SAFE_NO_PAD.encode(text)))
}

fn hex_encode(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    context.within(2 * text.len())?;
    Ok(Term::String(hex::encode(text)))
}

fn hex_decode(_: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    let bytes = hex::decode(text).ok_or(Stop::Undefined)?;
    Ok(Term::String(utf8(bytes, "hex.decode")?))
}

fn query_encode(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    Ok(Term::String(escaped(text, context)?))
}

fn query_decode(_: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    Ok(Term::String(unescaped(text, "urlquery.decode")?))
}

/// `key=value&…` by key; a key with several values, in an array or a set, stands there with each.
fn query_encode_object(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::Object(pairs)] = arguments else { return Err(Stop::Undefined) };
    let mut written = BTreeMap::new();
    for (key, value) in pairs {
        written.insert(json::key(key, context)?, value);
    }
    let mut query = Text::new(context);
    let mut separator = "";
    for (key, value) in written {
        let values = value.members().unwrap_or(std::slice::from_ref(value));
        for value in values {
            let Term::String(value) = value else { return Err(Stop::Undefined) };
            for part in [separator, &escaped(&key, context)?, "=", &escaped(value, context)?] {
                query.push(part)?;
            }
            separator = "&";
        }
    }
    Ok(query.term())
}

/// Each key with the array of its values.
fn query_decode_object(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(query)] = arguments else { return Err(Stop::Undefined) };
    let mut keys: BTreeMap<String, Vec<Term>> = BTreeMap::new();
    if query.matches('&').count() >= MOST_PARAMETERS {
        return Err(Stop::Undefined);
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        context.deadline.check()?;
        if pair.contains(';') {
            return Err(Stop::Undefined);
        }
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = unescaped(key, "urlquery.decode_object")?;
        let value = unescaped(value, "urlquery.decode_object")?;
        keys.entry(key).or_default().push(Term::String(value));
    }
    Ok(Term::Object(keys.into_iter().map(|(key, values)| (Term::String(key), Term::Array(values))).collect()))
}

fn escaped(text: &str, context: &Context) -> Result<String, EvalError> {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let long: usize = text.bytes().filter(|byte| !kept(*byte) && *byte != b' ').count();
    context.within(text.len() + 2 * long)?;
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            _ if kept(byte) => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").unwrap_or_default(),
        }
    }
    Ok(out)
}

fn unescaped(text: &str, builtin: &str) -> Result<String, Stop> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = rest.get(..2).and_then(|digits| str::from_utf8(digits).ok()).ok_or(Stop::Undefined)?;
                bytes.extend(hex::decode(digits).ok_or(Stop::Undefined)?);
                rest = &rest[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    utf8(bytes, builtin)
}
