//! What is in a UUID.

use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::hex;
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[("uuid.parse", parse)];

/// How many times 100 ns lie between 1582-10-15, with which the calendar of UUIDs begins, and 1970.
const GREGORIAN: i64 = 122_192_928_000_000_000;

fn parse(_: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    let bytes = read(text.as_bytes()).ok_or(Stop::Undefined)?;
    let version = bytes[6] >> 4;
    let mut fields = vec![("variant", Term::from(variant(bytes[8]))), ("version", number(version))];
    if matches!(version, 1 | 2) {
        let sequence = u16::from_be_bytes([bytes[8], bytes[9]]) & 0x3fff;
        fields.extend([
            ("clocksequence", number(sequence)),
            ("macvariables", Term::from(reach(bytes[10]))),
            ("nodeid", Term::String(bytes[10..].iter().map(|byte| hex::encode([*byte])).collect::<Vec<_>>().join("-"))),
            ("time", number(nanoseconds(&bytes))),
        ]);
    }
    if version == 2 {
        let id = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        fields.extend([("domain", Term::String(domain(bytes[9]))), ("id", number(id))]);
    }
    Ok(Term::Object(fields.into_iter().map(|(name, value)| (Term::from(name), value)).collect()))
}

fn number(value: impl Into<i128>) -> Term {
    value.into().into()
}

/// With dashes, after `urn:uuid:`, between any two bytes; or 32 digits alone.
fn read(text: &[u8]) -> Option<[u8; 16]> {
    let dashed = match text.len() {
        32 => return digits(text),
        36 => text,
        38 => &text[1..37],
        45 if text[..9].eq_ignore_ascii_case(b"urn:uuid:") => &text[9..],
        _ => return None,
    };
    let places = [8, 13, 18, 23];
    let rest = dashed.iter().enumerate().filter(|(at, _)| !places.contains(at)).map(|(_, byte)| *byte);
    let rest: Vec<u8> = rest.collect();
    if places.iter().all(|at| dashed[*at] == b'-') { digits(&rest) } else { None }
}

fn digits(text: &[u8]) -> Option<[u8; 16]> {
    hex::decode(str::from_utf8(text).ok()?)?.try_into().ok()
}

fn variant(byte: u8) -> &'static str {
    match byte >> 5 {
        0b100 | 0b101 => "RFC4122",
        0b110 => "Microsoft",
        0b111 => "Future",
        _ => "Reserved",
    }
}

/// Whether a MAC address is of one interface, and whether it is the manufacturer's.
fn reach(byte: u8) -> &'static str {
    match byte & 0b11 {
        0b11 => "local:multicast",
        0b01 => "global:multicast",
        0b10 => "local:unicast",
        _ => "global:unicast",
    }
}

fn domain(byte: u8) -> String {
    match byte {
        0 => "Person".to_owned(),
        1 => "Group".to_owned(),
        2 => "Org".to_owned(),
        other => format!("Domain{other}"),
    }
}

/// Since 1970. Go's arithmetic, which wraps, on whole seconds and the rest.
fn nanoseconds(bytes: &[u8; 16]) -> i64 {
    let low = i64::from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let middle = i64::from(u16::from_be_bytes([bytes[4], bytes[5]]));
    let high = i64::from(u16::from_be_bytes([bytes[6], bytes[7]]) & 0xfff);
    let ticks = (low | middle << 32 | high << 48) - GREGORIAN;
    (ticks / 10_000_000).wrapping_mul(1_000_000_000).wrapping_add(ticks % 10_000_000 * 100)
}
