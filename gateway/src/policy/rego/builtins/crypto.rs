//! Digests, as hexadecimal text.

use aws_lc_rs::{constant_time, digest, hmac};
use md5::{Digest, Md5};

use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::hex;
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[
    ("crypto.hmac.equal", equal),
    ("crypto.hmac.md5", hmac_md5),
    ("crypto.hmac.sha1", |_, arguments| keyed(arguments, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY)),
    ("crypto.hmac.sha256", |_, arguments| keyed(arguments, hmac::HMAC_SHA256)),
    ("crypto.hmac.sha512", |_, arguments| keyed(arguments, hmac::HMAC_SHA512)),
    ("crypto.md5", md5),
    ("crypto.sha1", |_, arguments| hashed(arguments, &digest::SHA1_FOR_LEGACY_USE_ONLY)),
    ("crypto.sha256", |_, arguments| hashed(arguments, &digest::SHA256)),
];

/// How many bytes MD5 takes at a time.
const BLOCK: usize = 64;

fn hashed(arguments: &[Term], algorithm: &'static digest::Algorithm) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    Ok(Term::String(hex::encode(digest::digest(algorithm, text.as_bytes()))))
}

fn keyed(arguments: &[Term], algorithm: hmac::Algorithm) -> Answer {
    let [Term::String(text), Term::String(key)] = arguments else { return Err(Stop::Undefined) };
    let key = hmac::Key::new(algorithm, key.as_bytes());
    Ok(Term::String(hex::encode(hmac::sign(&key, text.as_bytes()))))
}

fn equal(_: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(a), Term::String(b)] = arguments else { return Err(Stop::Undefined) };
    Ok(constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok().into())
}

fn md5(_: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    Ok(Term::String(hex::encode(Md5::digest(text.as_bytes()))))
}

/// RFC 2104, for MD5, which aws-lc-rs leaves out.
fn hmac_md5(_: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text), Term::String(key)] = arguments else { return Err(Stop::Undefined) };
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..16].copy_from_slice(&Md5::digest(key.as_bytes()));
    } else {
        block[..key.len()].copy_from_slice(key.as_bytes());
    }
    let inner = Md5::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text.as_bytes()).finalize();
    let outer = Md5::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize();
    Ok(Term::String(hex::encode(outer)))
}
