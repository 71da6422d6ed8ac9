//! Reading the query, the headers and the body of a request.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};
use http::{HeaderMap, Version};
use hyper::body::Body;
use kube::core::Selector;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::body::RequestBody;
use crate::api::error::Error;
use crate::api::fields::{self, MAX_LIMIT, invalid_parameter};
use crate::api::operation::Precondition;
use crate::api::selector;
use crate::replicas;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What some editors and shells put in front of a text (U+FEFF).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The parameters of a query. Each is taken once; what is left at the end is refused, so that nothing that a client
/// says is ever ignored.
#[derive(Debug)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Error> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let name = name.into_owned();
            if parameters.contains_key(&name) {
                return Err(invalid_parameter(&name, "is given twice"));
            }
            parameters.insert(name, value.into_owned());
        }
        Ok(Self(parameters))
    }

    /// Refuses whatever was not taken.
    pub(super) fn nothing(self) -> Result<(), Error> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid_parameter(&name, "is not known here")),
        }
    }

    /// The flag `name` (`true` or `false`, by default false), and nothing beside it.
    pub(super) fn only_flag(mut self, name: &str) -> Result<bool, Error> {
        let flag = self.flag(name)?;
        self.nothing()?;
        Ok(flag)
    }

    /// The flag `name` (`true` or `false`, by default false).
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Error> {
        match self.0.remove(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid_parameter(name, "takes `true` or `false`")),
        }
    }

    /// How long to wait, such as `30s`, where a request may take `most`.
    pub(super) fn wait(&mut self, name: &str, most: Duration) -> Result<Option<Duration>, Error> {
        let Some(text) = self.0.remove(name) else { return Ok(None) };
        let wait =
            humantime::parse_duration(&text).map_err(|_| invalid_parameter(name, "takes a duration such as `30s`"))?;
        fields::wait(name, wait, most).map(Some)
    }

    pub(super) fn version(&mut self, name: &str) -> Result<Option<replicas::Version>, Error> {
        let Some(text) = self.0.remove(name) else { return Ok(None) };
        fields::version(name, &text).map(Some)
    }

    pub(super) fn limit(&mut self, name: &str) -> Result<usize, Error> {
        let Some(text) = self.0.remove(name) else { return Ok(MAX_LIMIT) };
        let number = text.parse::<usize>().ok().filter(|number| number.to_string() == text);
        fields::limit(name, number)
    }

    pub(super) fn selector(&mut self, name: &str) -> Result<Selector, Error> {
        let text = self.0.remove(name).unwrap_or_default();
        selector::parse(&text).map_err(|error| invalid_parameter(name, error))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }
}

/// What `If-Match` demands. `*` demands only that the Deployment exists, which every change does. Other conditions are
/// refused: to ignore one would be to do what was asked not to be done.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Precondition, Error> {
    if let Some(other) =
        [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE].iter().find(|name| headers.contains_key(*name))
    {
        return Err(Error::invalid("unsupported_condition", format!("{other} is not understood here; If-Match is")));
    }
    let mut values = headers.get_all(IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(Precondition::None) };
    let invalid =
        || Error::invalid("invalid_if_match", "If-Match takes one ETag as an earlier answer gave it, in quotes, or *");
    if values.next().is_some() {
        return Err(invalid());
    }
    let text = value.to_str().map_err(|_| invalid())?.trim();
    if text == "*" {
        return Ok(Precondition::None);
    }
    let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(invalid)?;
    Ok(Precondition::Version(tag.parse().map_err(|_| invalid())?))
}

/// The request's `Idempotency-Key`, a string in quotes (draft-ietf-httpapi-idempotency-key-header-07, section 2.1) or,
/// as most clients send it, without.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::invalid("invalid_idempotency_key", "there is more than one Idempotency-Key"));
    }
    // Text that is not ASCII is refused as such.
    let text = value.to_str().unwrap_or("\u{fffd}").trim();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    fields::idempotency_key(bare).map(Some)
}

/// A release under a key would be taken for one that is made once, and end what was set since.
pub(super) fn no_idempotency_key(headers: &HeaderMap) -> Result<(), Error> {
    if headers.contains_key(IDEMPOTENCY_KEY) {
        let detail = "a release takes no Idempotency-Key: send If-Match, so that it releases only what you mean";
        return Err(Error::invalid("invalid_idempotency_key", detail));
    }
    Ok(())
}

/// RFC 9112, section 3.2: a request of HTTP/1.1 names its host exactly once.
pub(super) fn host(version: Version, headers: &HeaderMap) -> Result<(), Error> {
    if version == Version::HTTP_11 && headers.get_all(HOST).iter().count() != 1 {
        return Err(Error::invalid("invalid_host", "a request of HTTP/1.1 has one Host header"));
    }
    Ok(())
}

/// The body of a set.
#[derive(Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename = "Set", deny_unknown_fields)]
pub(super) struct SetBody {
    /// The count, 0 or more.
    #[schemars(range(min = 0))]
    pub(super) replicas: i32,
    /// Why; 512 bytes at most.
    #[schemars(default)]
    pub(super) reason: Option<String>,
}

/// Fields are values first, so that each fault gets its own words, and an absent field is told from a null.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSetBody {
    #[serde(default, deserialize_with = "present")]
    replicas: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    reason: Option<Value>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

pub(super) async fn set_body<B>(headers: &HeaderMap, body: &mut RequestBody<B>, limit: usize) -> Result<SetBody, Error>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Error::UnsupportedMediaType);
    }
    // Read as it came, a compressed body would be told to be no JSON.
    if headers.get_all(CONTENT_ENCODING).iter().any(|encoding| encoding != "identity") {
        return Err(Error::UnsupportedMediaType);
    }
    parse_set(&body.read(limit).await?)
}

fn parse_set(bytes: &[u8]) -> Result<SetBody, Error> {
    let wrong = |why: &dyn std::fmt::Display| {
        Error::invalid("invalid_body", format!("the body is not `{{\"replicas\": 3, \"reason\": \"…\"}}`: {why}"))
    };
    // RFC 8259, section 8.1: a parser may ignore a byte order mark.
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    // serde takes an array for a struct, its elements for the fields in order, and names ours for any other value.
    match bytes.trim_ascii_start().first() {
        None => return Err(wrong(&"it is empty")),
        Some(b'{') => {}
        Some(_) => return Err(wrong(&"it is not a JSON object")),
    }
    let raw: RawSetBody = serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
    Ok(SetBody { replicas: replicas(raw.replicas.as_ref())?, reason: reason(raw.reason)? })
}

/// Omitted is never zero.
fn replicas(value: Option<&Value>) -> Result<i32, Error> {
    let wrong = match value {
        None => "is missing".to_owned(),
        Some(Value::Number(number)) => {
            if let Some(replicas) = number.as_i64().and_then(|n| i32::try_from(n).ok()).filter(|n| *n >= 0) {
                return Ok(replicas);
            }
            format!("is {number}")
        }
        Some(Value::Null) => "is null".to_owned(),
        Some(Value::Bool(_)) => "is a boolean".to_owned(),
        Some(Value::String(_)) => "is a string".to_owned(),
        Some(Value::Array(_)) => "is an array".to_owned(),
        Some(Value::Object(_)) => "is an object".to_owned(),
    };
    let detail = format!("`replicas` {wrong}: it takes a whole number from 0 to {}", i32::MAX);
    Err(Error::invalid("invalid_replicas", detail))
}

fn reason(value: Option<Value>) -> Result<Option<String>, Error> {
    let wrong = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => return fields::reason(text).map(Some),
        Some(Value::Bool(_)) => "is a boolean: it takes a string".to_owned(),
        Some(Value::Number(_)) => "is a number: it takes a string".to_owned(),
        Some(Value::Array(_)) => "is an array: it takes a string".to_owned(),
        Some(Value::Object(_)) => "is an object: it takes a string".to_owned(),
    };
    Err(Error::invalid("invalid_reason", format!("`reason` {wrong}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn code(result: Result<SetBody, Error>) -> &'static str {
        result.map_or_else(|error| error.kind().code, |_| "ok")
    }

    #[test]
    fn replicas_that_are_no_count_are_never_taken_for_one() {
        for body in [
            r"{}",
            r#"{"reason":"x"}"#,
            r#"{"replicas":null}"#,
            r#"{"replicas":-1}"#,
            r#"{"replicas":1.5}"#,
            r#"{"replicas":3.0}"#,
            r#"{"replicas":"3"}"#,
            r#"{"replicas":true}"#,
            r#"{"replicas":[3]}"#,
            r#"{"replicas":2147483648}"#,
            r#"{"replicas":99999999999999999999}"#,
        ] {
            assert_eq!(code(parse_set(body.as_bytes())), "invalid_replicas", "{body}");
        }
        assert_eq!(parse_set(br#"{"replicas":0}"#).ok(), Some(SetBody { replicas: 0, reason: None }));
    }

    #[test]
    fn bodies_of_another_shape_are_refused() {
        for body in [
            "",
            "3",
            "[]",
            "[3]",
            " [3, null]",
            "{",
            r#"{"replicas":3,"for":"2h"}"#,
            r#"{"replicas":3,"replicas":4}"#,
            "{\"replicas\":3}x",
        ] {
            assert_eq!(code(parse_set(body.as_bytes())), "invalid_body", "{body}");
        }
    }

    #[test]
    fn a_reason_is_a_short_printable_text() {
        for body in [r#"{"replicas":3,"reason":null}"#, "\u{feff}{\"replicas\":3}", "\u{feff} {\"replicas\":3}"] {
            assert_eq!(parse_set(body.as_bytes()).ok(), Some(SetBody { replicas: 3, reason: None }), "{body}");
        }
        for reason in ["7", "true", "[]", "{}", "\"a\\nb\"", &format!("{:?}", "x".repeat(513))] {
            let body = format!(r#"{{"replicas":3,"reason":{reason}}}"#);
            assert_eq!(code(parse_set(body.as_bytes())), "invalid_reason", "{body}");
        }
    }

    #[test]
    fn parameters_that_nobody_reads_are_refused() {
        assert!(Query::parse(Some("wait=30s")).and_then(Query::nothing).is_err());
        assert!(Query::parse(Some("limit=1&limit=2")).is_err());
        assert!(Query::parse(None).and_then(Query::nothing).is_ok());
        for limit in ["0", "501", "-1", "%2B1", "01", "x", ""] {
            let limit = Query::parse(Some(&format!("limit={limit}"))).and_then(|mut query| query.limit("limit"));
            assert!(limit.is_err());
        }
    }

    #[test]
    fn an_idempotency_key_is_one_short_text_in_quotes_or_without() {
        let key = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IDEMPOTENCY_KEY, http::HeaderValue::from_bytes(value).unwrap());
            }
            idempotency_key(&headers).map_err(|error| error.kind().code)
        };
        assert_eq!(key(&[]), Ok(None));
        let long = "x".repeat(255);
        for (given, read) in [("8e03 978e", "8e03 978e"), ("\"8e03\"", "8e03"), (&long, &long)] {
            assert_eq!(key(&[given.as_bytes()]), Ok(Some(read.to_owned())), "{given}");
        }
        let longer = "x".repeat(256);
        for wrong in [
            &[b"".as_slice()][..],
            &[b"\"\""],
            &[b"a", b"a"],
            &[b"a\"b"],
            &[b"\""],
            &[b"\xc3\xa9"],
            &[longer.as_bytes()],
        ] {
            assert_eq!(key(wrong), Err("invalid_idempotency_key"), "{wrong:?}");
        }
    }

    #[test]
    fn if_match_takes_one_quoted_version() {
        let precondition = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IF_MATCH, value.parse().unwrap_or_else(|_| http::HeaderValue::from_static("")));
            }
            precondition(&headers).ok()
        };
        let tag = "\"none:5f0f5c6e-5c7a-4a39-9b0c-3d1f0b1a2c3d\"";
        assert!(matches!(precondition(&[tag]), Some(Precondition::Version(_))));
        assert_eq!(precondition(&["*"]), Some(Precondition::None));
        assert_eq!(precondition(&[]), Some(Precondition::None));
        for wrong in [&["W/\"x\""][..], &["x"], &[""], &[tag, tag], &["\"a\", \"b\""]] {
            assert_eq!(precondition(wrong), None, "{wrong:?}");
        }
    }
}
