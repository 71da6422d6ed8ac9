//! JSON Web Tokens, read and not believed; those with a shared secret may be verified.

use aws_lc_rs::hmac;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};

use super::encoding::utf8;
use super::json::read;
use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::hex;
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[
    ("io.jwt.decode", decode),
    ("io.jwt.verify_hs256", |context, arguments| verify(context, arguments, hmac::HMAC_SHA256)),
    ("io.jwt.verify_hs384", |context, arguments| verify(context, arguments, hmac::HMAC_SHA384)),
    ("io.jwt.verify_hs512", |context, arguments| verify(context, arguments, hmac::HMAC_SHA512)),
];

/// Base64 for URLs as Go reads it: bits that belong to no byte may be any.
const PADDED: GeneralPurpose = decoder(DecodePaddingMode::RequireCanonical);
const UNPADDED: GeneralPurpose = decoder(DecodePaddingMode::RequireNone);

const fn decoder(padding: DecodePaddingMode) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&alphabet::URL_SAFE, config.with_decode_padding_mode(padding))
}

/// How many tokens may be within each other.
const DEPTH: usize = 64;

/// `[header, payload, signature]`, the last in hexadecimal.
fn decode(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(token)] = arguments else { return Err(Stop::Undefined) };
    let mut token = token.clone();
    for _ in 0..DEPTH {
        let [header, payload, signature] = sections(&token)?;
        let header = text(header)?;
        let Term::Object(header) = read(context, &header)? else { return Err(Stop::Undefined) };
        // An encrypted token is another thing.
        if Term::get(&header, &"enc".into()).is_some() {
            return Err(Stop::Undefined);
        }
        let payload = text(payload)?;
        match Term::get(&header, &"cty".into()) {
            Some(Term::String(kind)) if kind == "JWT" => payload.trim_matches(['"', '\'']).clone_into(&mut token),
            Some(kind) if !matches!(kind, Term::String(_)) => {
                return Err(Stop::unsupported("io.jwt.decode of a header whose cty is no text"));
            }
            _ => {
                let payload @ Term::Object(_) = read(context, &payload)? else { return Err(Stop::Undefined) };
                let signature = Term::String(hex::encode(bytes(signature)?));
                return Ok(Term::Array(vec![Term::Object(header), payload, signature]));
            }
        }
    }
    Err(Stop::unsupported(format!("io.jwt.decode of more than {DEPTH} tokens within each other")))
}

fn verify(_: &Context, arguments: &[Term], algorithm: hmac::Algorithm) -> Answer {
    let [Term::String(token), Term::String(secret)] = arguments else { return Err(Stop::Undefined) };
    let [header, payload, signature] = sections(token)?;
    let key = hmac::Key::new(algorithm, secret.as_bytes());
    let signed = format!("{header}.{payload}");
    Ok(hmac::verify(&key, signed.as_bytes(), &bytes(signature)?).is_ok().into())
}

fn sections(token: &str) -> Result<[&str; 3], Stop> {
    let sections: Vec<_> = token.splitn(4, '.').collect();
    sections.try_into().map_err(|_| Stop::Undefined)
}

fn text(section: &str) -> Result<String, Stop> {
    utf8(bytes(section)?, "io.jwt.decode")
}

/// With or without padding. Go's decoder passes over line breaks.
fn bytes(section: &str) -> Result<Vec<u8>, Stop> {
    // Whether padding is missing is seen before they are taken out.
    let padded = section.ends_with('=') || section.len().is_multiple_of(4);
    let plain: String = section.chars().filter(|character| !matches!(character, '\r' | '\n')).collect();
    let decoded = if padded { PADDED.decode(&plain) } else { UNPADDED.decode(&plain) };
    decoded.map_err(|_| Stop::Undefined)
}
