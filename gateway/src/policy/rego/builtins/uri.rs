//! URLs, taken apart as Go's `net/url` does.

use std::net::Ipv6Addr;

use super::encoding::utf8;
use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::hex;
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[("uri.is_valid", is_valid), ("uri.parse", parse)];

fn is_valid(_: &mut Context, arguments: &[Term]) -> Answer {
    let [uri] = arguments else { return Err(Stop::Undefined) };
    let Term::String(text) = uri else { return Ok(Term::Bool(false)) };
    Ok((!text.is_empty() && Parts::of(text).is_some()).into())
}

/// The parts that are there.
fn parse(_: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    let parts = Parts::of(text).ok_or(Stop::Undefined)?;
    let text = |bytes: Vec<u8>| utf8(bytes, "uri.parse");
    let (host, port) = host_and_port(&text(parts.host)?);
    let path = text(parts.path)?;
    let fields = [
        ("fragment", text(parts.fragment)?),
        ("hostname", host),
        ("path", path),
        ("port", port),
        ("raw_path", parts.raw_path),
        ("raw_query", parts.query),
        ("scheme", parts.scheme),
    ];
    let present = fields.into_iter().filter(|(_, value)| !value.is_empty());
    Ok(Term::Object(present.map(|(name, value)| (Term::from(name), Term::String(value))).collect()))
}

#[derive(Default)]
struct Parts {
    scheme: String,
    host: Vec<u8>,
    path: Vec<u8>,
    raw_path: String,
    query: String,
    fragment: Vec<u8>,
}

impl Parts {
    fn of(text: &str) -> Option<Self> {
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return None;
        }
        let fragment = unescape(fragment, |_| true)?;
        let (scheme, rest) = scheme(text)?;
        let scheme = scheme.to_ascii_lowercase();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let parts = Self { scheme, query: query.to_owned(), fragment, ..Self::default() };
        if !rest.starts_with('/') {
            // What follows a scheme and is no path has no parts; a relative path has no colon in its first segment.
            let first = rest.split('/').next().unwrap_or_default();
            return match (parts.scheme.is_empty(), first.contains(':')) {
                (false, _) => Some(parts),
                (true, true) => None,
                (true, false) => parts.with_path(rest),
            };
        }
        let has_host = rest.starts_with("//") && (!parts.scheme.is_empty() || !rest.starts_with("///"));
        if !has_host {
            return parts.with_path(rest);
        }
        let authority = &rest[2..];
        let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
        let host = authority_host(&parts.scheme, authority)?;
        Self { host, ..parts }.with_path(path)
    }

    /// Beside the path stands how it is written, unless that is how it would be written anyway.
    fn with_path(self, written: &str) -> Option<Self> {
        let path = unescape(written, |_| true)?;
        let raw_path =
            if escape(&path) == written { String::from_utf8_lossy(&path).into_owned() } else { written.to_owned() };
        Some(Self { path, raw_path, ..self })
    }
}

/// The scheme and what follows it. A colon needs one before it.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)));
    match end {
        Some(0) if text.starts_with(':') => None,
        Some(end) if text[end..].starts_with(':') && text.as_bytes()[0].is_ascii_alphabetic() => {
            Some((&text[..end], &text[end + 1..]))
        }
        _ => Some(("", text)),
    }
}

fn authority_host(scheme: &str, authority: &str) -> Option<Vec<u8>> {
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if let Some(user) = user {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
        if !user.bytes().all(allowed) {
            return None;
        }
        unescape(user, |_| true)?;
    }
    read_host(scheme, host)
}

fn read_host(scheme: &str, host: &str) -> Option<Vec<u8>> {
    match host.rfind('[') {
        Some(0) => return literal(host),
        Some(_) => return None,
        None => {}
    }
    if let (Some(first), Some(last)) = (host.find(':'), host.rfind(':')) {
        let strict = matches!(scheme, "http" | "https");
        if !is_port(&host[if strict { first } else { last }..]) {
            return None;
        }
    }
    host_bytes(host)
}

/// An IPv6 address in brackets, with a zone after `%25`.
fn literal(host: &str) -> Option<Vec<u8>> {
    let end = host.rfind(']')?;
    let (address, port) = (&host[1..end], &host[end + 1..]);
    if !is_port(port) {
        return None;
    }
    let (address, zone) = address.split_at(address.find("%25").unwrap_or(address.len()));
    let address = host_bytes(address)?;
    if !zone.bytes().all(|byte| byte == b'%' || byte >= 0x80 || is_host(byte)) {
        return None;
    }
    let zone = unescape(zone, |byte| byte == b' ' || byte == b'%' || is_host(byte))?;
    let text = str::from_utf8(&address).ok()?;
    let named = zone.is_empty() || zone.len() > 1;
    (named && text.parse::<Ipv6Addr>().is_ok()).then(|| [b"[", &address[..], &zone, b"]", port.as_bytes()].concat())
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').map_or(text.is_empty(), |digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A host: in ASCII only what may stand there, and of escapes those of other bytes, and `%25`.
fn host_bytes(host: &str) -> Option<Vec<u8>> {
    if !host.bytes().all(|byte| byte == b'%' || byte >= 0x80 || is_host(byte)) {
        return None;
    }
    unescape(host, |byte| byte >= 0x80 || byte == b'%')
}

fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!\"$&'()*+,-.:;<=>[]_~".contains(&byte)
}

/// A path, written as it would be anyway.
fn escape(path: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"$&+,-./:;=@_~".contains(&byte);
    let written = |byte: &u8| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    path.iter().map(written).collect()
}

/// Without percent signs, each of which must stand for a byte that `may` be escaped.
fn unescape(text: &str, may: impl Fn(u8) -> bool) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| str::from_utf8(digits).ok())?;
        let byte = *hex::decode(digits)?.first()?;
        if !may(byte) {
            return None;
        }
        bytes.push(byte);
        rest = &rest[2..];
    }
    Some(bytes)
}

fn host_and_port(host: &str) -> (String, String) {
    let split = host.rfind(':').filter(|colon| is_port(&host[*colon..]));
    let (name, port) = split.map_or((host, ""), |colon| (&host[..colon], &host[colon + 1..]));
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    (bare.to_owned(), port.to_owned())
}
