//! Faults of who signed what, and of what the client sends.

use rcgen::{BasicConstraints, IsCa};

use super::super::draft::{Revoker, Sent, Signer, Spoilt};
use super::{ANY, Fault, INTERMEDIATES, LEAF, Verdict, Worlds};

const TOO_MANY: &str = "the gateway takes four intermediates: to find a path among more costs too much";
const ROOTS_ARE_KEYS: &str =
    "a client CA is a name and a key (RFC 5280, section 6.1.1 (d)); what else its certificate says is not read";
const FUTURE_LISTS: &str = "webpki does not read when a list was issued";
const PLAIN: &str = "plain P-256";
const LISTED: &str = "listed P-256";

/// Whether an issuer may be one.
pub(super) fn issuers() -> Vec<Fault> {
    let too_long = |draft: &mut super::Draft, at: usize| {
        let below = u8::try_from(at - 2).unwrap_or_default();
        draft.params(at).is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    };
    let just_long_enough = |draft: &mut super::Draft, at: usize| {
        let below = u8::try_from(at - 1).unwrap_or_default();
        draft.params(at).is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    };
    vec![
        Fault::says("an intermediate that says nothing of a CA", INTERMEDIATES, Verdict::UNKNOWN, |params| {
            params.is_ca = IsCa::NoCa;
        }),
        Fault::says("an intermediate that is no CA", INTERMEDIATES, Verdict::UNKNOWN, |params| {
            params.is_ca = IsCa::ExplicitNoCa;
        }),
        Fault::new("a path that is too long by one", (2, usize::MAX), Verdict::UNKNOWN, too_long).deep(2, 4),
        Fault::new("a path of the greatest length", INTERMEDIATES, Verdict::Served, just_long_enough),
    ]
}

/// Who signed a certificate.
pub(super) fn signatures() -> Vec<Fault> {
    let signer = |what: &str, signer| Fault::made(what, ANY, Verdict::NO_CA, signer, Spoilt::No);
    vec![
        signer("signed by a namesake of its issuer", Signer::Namesake),
        signer("signed by a stranger", Signer::Other),
        signer("signed by itself", Signer::Itself),
        signer("its issuer's name in capitals", Signer::InCapitals)
            .but_openssl("names are compared byte for byte, which RFC 5280, section 7.1 allows less than it should"),
        Fault::made("a changed bit in its signature", ANY, Verdict::NO_CA, Signer::Issuer, Spoilt::Signature),
        Fault::made("a changed bit in its content", ANY, Verdict::NO_CA, Signer::Issuer, Spoilt::Content),
        Fault::new(
            "a client with another key",
            LEAF,
            Verdict::Alert(rustls::AlertDescription::DecryptError),
            |draft, _| {
                draft.wrong_key = true;
            },
        )
        .but_openssl("it sees certificates, and no handshake"),
    ]
}

/// What the client sends.
pub(super) fn sent() -> Vec<Fault> {
    vec![
        Fault::new("a missing intermediate", INTERMEDIATES, Verdict::NO_CA, |draft, at| draft.sent = Sent::Without(at)),
        Fault::sends("the intermediates from the CA down", Verdict::Served, |_| Sent::Reversed).deep(2, 4),
        Fault::sends("the client CA too", Verdict::Served, |_| Sent::WithRoot).deep(0, 3),
        Fault::sends("the client CA as the fifth", Verdict::NO_CA, |_| Sent::WithRoot).deep(4, 4).but_openssl(TOO_MANY),
        Fault::sends("an intermediate twice", Verdict::Served, Sent::Twice).at(INTERMEDIATES).deep(1, 3),
        Fault::sends("the client's certificate twice", Verdict::Served, |_| Sent::LeafAgain).deep(0, 3),
        Fault::sends("another CA's certificate behind", Verdict::Served, |_| Sent::With(1)).deep(0, 3),
        Fault::sends("two of another CA in front", Verdict::Served, |_| Sent::Behind(2)).deep(0, 2),
        Fault::sends("five of another CA", Verdict::NO_CA, |_| Sent::With(5)).but_openssl(TOO_MANY),
        Fault::new("five intermediates", LEAF, Verdict::NO_CA, |_, _| {})
            .deep(5, 5)
            .in_worlds(Worlds::Only(PLAIN))
            .but_openssl(TOO_MANY),
    ]
}

/// What a client CA's certificate says.
pub(super) fn roots() -> Vec<Fault> {
    let root = |world: &str, verdict| {
        Fault::new(world, LEAF, verdict, |_, _| {}).in_worlds(Worlds::Faulty(world.to_owned(), PLAIN))
    };
    let mut roots = vec![
        root("ended root", Verdict::EXPIRED),
        root("future root", Verdict::EXPIRED),
        root("root of 1950", Verdict::Served),
        root("root of 9999", Verdict::Served),
        root("root of length 0", Verdict::Served).deep(0, 0),
        root("root of length 0", Verdict::Served).deep(1, 4).but_openssl(ROOTS_ARE_KEYS),
        root("root of length 1", Verdict::Served).deep(0, 1),
        root("root of length 1", Verdict::Served).deep(2, 4).but_openssl(ROOTS_ARE_KEYS),
        root("root for servers", Verdict::Served).but_openssl(ROOTS_ARE_KEYS),
        root("root without keyCertSign", Verdict::Served).but_openssl(ROOTS_ARE_KEYS),
        root("critical root", Verdict::Served).but_openssl(ROOTS_ARE_KEYS),
    ];
    let foreign = |draft: &mut super::Draft, _: usize| {
        draft.leaf().subject_alt_names = vec![super::super::draft::spiffe("spiffe://scalegate.test/chain")];
    };
    roots.push(
        Fault::new("an id of another CA's trust domain", LEAF, Verdict::Nobody, foreign)
            .in_worlds(Worlds::Only("other domain")),
    );
    roots
}

/// Revocation, and lists that say nothing.
pub(super) fn lists() -> Vec<Fault> {
    let revoked = |what: &str, places, worlds| {
        Fault::new(what, places, Verdict::REVOKED, |draft, at| draft.revoke(at, Revoker::Own)).in_worlds(worlds)
    };
    let mut lists = vec![
        revoked("revoked", ANY, Worlds::Listed),
        revoked("revoked by an intermediate alone", LEAF, Worlds::Only("listed below")).deep(1, 4),
        revoked("revoked by one of two namesakes", LEAF, Worlds::Only("listed namesake")).deep(0, 0),
        Fault::new("revoked by its CA's namesake", LEAF, Verdict::Served, |draft, at| {
            draft.revoke(at, Revoker::World("listed namesake"));
        })
        .in_worlds(Worlds::Only("unlisted namesake"))
        .deep(0, 0),
    ];
    for level in 0..5 {
        let world = |name: &str| Worlds::Faulty(format!("{name} list {level}"), LISTED);
        let with = |name: &str, verdict| {
            Fault::new(&format!("{name} list of issuer {level}"), LEAF, verdict, |_, _| {}).in_worlds(world(name))
        };
        lists.push(with("ended", Verdict::NO_CA).deep(level, 4));
        lists.push(with("future", Verdict::Served).deep(level, 4).but_openssl(FUTURE_LISTS));
        if level > 0 {
            lists.push(with("missing", Verdict::NO_CA).deep(level, 4));
            for name in ["ended", "missing"] {
                let what = format!("{name} list of issuer {level}, who is not in the chain");
                let fault = Fault::new(&what, LEAF, Verdict::Served, |_, _| {});
                lists.push(fault.in_worlds(world(name)).deep(0, level - 1));
            }
        }
    }
    lists
}
