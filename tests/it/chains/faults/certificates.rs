//! Faults of what a certificate says of itself.

use rcgen::ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, EmailProtection, ServerAuth};
use rcgen::{CustomExtension, IsCa, KeyUsagePurpose, SerialNumber, date_time_ymd};
use time::{Duration, OffsetDateTime};

use super::super::draft::{Signer, Spoilt, unknown_extension};
use super::{ANY, Fault, INTERMEDIATES, LEAF, Verdict};

const BEFORE_1970: &str = "webpki reads no time before 1970";
const NO_KEY_USAGE: &str = "webpki does not read the key usage of certificates (RFC 5280, section 4.2.1.3)";

/// When it is valid.
pub(super) fn times() -> Vec<Fault> {
    let now = OffsetDateTime::now_utc();
    let day = Duration::days(1);
    vec![
        Fault::says("expired yesterday", ANY, Verdict::EXPIRED, move |params| {
            (params.not_before, params.not_after) = (now - 9 * day, now - day);
        }),
        Fault::says("expired a minute ago", ANY, Verdict::EXPIRED, move |params| {
            params.not_before = now - day;
            params.not_after = now - Duration::MINUTE;
        }),
        Fault::says("expired in 1999", ANY, Verdict::EXPIRED, |params| {
            (params.not_before, params.not_after) = (date_time_ymd(1998, 1, 1), date_time_ymd(1999, 1, 1));
        }),
        Fault::says("valid from tomorrow", ANY, Verdict::EXPIRED, move |params| {
            (params.not_before, params.not_after) = (now + day, now + 9 * day);
        }),
        Fault::says("valid from 2060", ANY, Verdict::EXPIRED, |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2060, 1, 1), date_time_ymd(2061, 1, 1));
        }),
        Fault::says("its end before its beginning", ANY, Verdict::EXPIRED, move |params| {
            (params.not_before, params.not_after) = (now - day, now - 2 * day);
        }),
        Fault::says("valid from 1950", ANY, Verdict::BAD, |params| params.not_before = date_time_ymd(1950, 1, 1))
            .but_openssl(BEFORE_1970),
        Fault::says("valid from 1970", ANY, Verdict::Served, |params| params.not_before = date_time_ymd(1970, 1, 1)),
        Fault::says("valid until 2049", ANY, Verdict::Served, |params| {
            params.not_after = date_time_ymd(2049, 12, 31);
        }),
        Fault::says("valid until 2050", ANY, Verdict::Served, |params| params.not_after = date_time_ymd(2050, 1, 1)),
        Fault::says("valid until 9999", ANY, Verdict::Served, |params| {
            params.not_after = date_time_ymd(9999, 12, 31);
        }),
    ]
}

/// What it is for.
pub(super) fn purposes() -> Vec<Fault> {
    let usage = |what: &str, places, verdict, usages: Vec<_>| {
        Fault::says(what, places, verdict, move |params| params.extended_key_usages.clone_from(&usages))
    };
    let key_usage = |what: &str, places, usages: Vec<_>| {
        Fault::says(what, places, Verdict::Served, move |params| params.key_usages.clone_from(&usages))
    };
    vec![
        usage("for servers", ANY, Verdict::PURPOSE, vec![ServerAuth]),
        usage("for any purpose alone", ANY, Verdict::PURPOSE, vec![Any]),
        usage("for code and email", ANY, Verdict::PURPOSE, vec![CodeSigning, EmailProtection]),
        usage("for no purpose that it names", LEAF, Verdict::Nobody, Vec::new()),
        usage("an intermediate for all purposes", INTERMEDIATES, Verdict::Served, Vec::new()),
        usage("for clients and code", ANY, Verdict::Served, vec![CodeSigning, ClientAuth]),
        Fault::says("an empty list of purposes", ANY, Verdict::UNKNOWN, |params| {
            params.extended_key_usages.clear();
            params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0]));
        }),
        key_usage("a key that may only encipher", LEAF, vec![KeyUsagePurpose::KeyEncipherment])
            .but_openssl(NO_KEY_USAGE),
        key_usage(
            "a key that may sign and encipher",
            LEAF,
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment],
        ),
        key_usage(
            "an intermediate without keyCertSign",
            INTERMEDIATES,
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign],
        )
        .but_openssl(NO_KEY_USAGE),
        key_usage("an intermediate without key usages", INTERMEDIATES, Vec::new()),
        Fault::says("a CA as a client", LEAF, Verdict::UNKNOWN, |params| {
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        })
        .but_openssl("RFC 5280 does not forbid it; webpki refuses the certificate of a CA as a client's"),
    ]
}

/// Its serial number.
pub(super) fn serials() -> Vec<Fault> {
    let serial = |what: &str, places, verdict, bytes: Vec<u8>| {
        Fault::says(what, places, verdict, move |params| params.serial_number = Some(SerialNumber::from(bytes.clone())))
    };
    vec![
        serial("the serial number 0", ANY, Verdict::Served, vec![0]),
        serial("the serial number 1", ANY, Verdict::Served, vec![1]),
        serial("a serial number of 20 bytes", ANY, Verdict::Served, vec![0x7f; 20]),
        serial("a serial number of 20 bytes whose first bit is set", ANY, Verdict::Served, vec![0xff; 20]),
        // The connection is the same; nobody is named.
        serial("a serial number of 21 bytes", LEAF, Verdict::Nobody, vec![0x7f; 21]),
        serial("an issuer's serial number of 21 bytes", INTERMEDIATES, Verdict::Served, vec![0x7f; 21]),
        Fault::made("a negative serial number", ANY, Verdict::Served, Signer::Issuer, Spoilt::NegativeSerial),
    ]
}

/// Its form.
pub(super) fn forms() -> Vec<Fault> {
    let doubled = || CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 0]);
    vec![
        Fault::says("an unknown critical extension", ANY, Verdict::UNKNOWN, |params| {
            params.custom_extensions.push(unknown_extension(true));
        }),
        Fault::says("an unknown extension", ANY, Verdict::Served, |params| {
            params.custom_extensions = vec![unknown_extension(false)];
        }),
        Fault::says("basic constraints twice", ANY, Verdict::UNKNOWN, move |params| {
            if params.is_ca == IsCa::NoCa {
                params.is_ca = IsCa::ExplicitNoCa;
            }
            params.custom_extensions.push(doubled());
        }),
        Fault::made("version 2", ANY, Verdict::UNKNOWN, Signer::Issuer, Spoilt::Version2).but_openssl(
            "extensions take version 3 (RFC 5280, section 4.1.2.1), which OpenSSL checks only when strict",
        ),
        Fault::made("a byte too many", ANY, Verdict::BAD, Signer::Issuer, Spoilt::Longer)
            .but_openssl("it reads a certificate from a file up to its end, and not what follows"),
        Fault::made("a byte too few", ANY, Verdict::BAD, Signer::Issuer, Spoilt::Shorter),
    ]
}
