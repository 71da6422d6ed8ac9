//! Whom a certificate names, and who may be named.

use std::sync::Arc;

use rcgen::SanType;

use super::super::constraints;
use super::super::draft::spiffe;
use super::{Fault, INTERMEDIATES, LEAF, Verdict, Worlds};

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("an ASCII name"))
}

/// The client's names.
pub(super) fn identities() -> Vec<Fault> {
    let id = || spiffe("spiffe://scalegate.test/client");
    let nobody = |what: &str, names: &[SanType]| Fault::named(what, Verdict::Nobody, names);
    let served = |what: &str, names: &[SanType]| Fault::named(what, Verdict::Served, names);
    let address = || SanType::IpAddress([192, 0, 2, 1].into());
    let mail = || SanType::Rfc822Name("client@chains.test".try_into().expect("an ASCII address"));
    let long = format!("spiffe://scalegate.test/{}", "a".repeat(2048 - 23));
    vec![
        served("one URI", &[id()]),
        served("a URI of the greatest length", &[spiffe(&long[..2048])]),
        served("one DNS name", &[dns("client.chains.test")]),
        served("one DNS name in capitals", &[dns("CLIENT.CHAINS.TEST")]),
        served("a URI and two DNS names", &[id(), dns("a.chains.test"), dns("b.chains.test")]),
        served("a DNS name, an address and a mail address", &[dns("client.chains.test"), address(), mail()]),
        nobody("two URIs", &[id(), spiffe("spiffe://scalegate.test/other")]),
        nobody("the same URI twice", &[id(), id()]),
        nobody("two URIs and a DNS name", &[id(), spiffe("https://scalegate.test/"), dns("client.chains.test")]),
        nobody("two DNS names", &[dns("a.chains.test"), dns("b.chains.test")]),
        nobody("no name", &[]),
        nobody("an address alone", &[address()]),
        nobody("a mail address alone", &[mail()]),
        nobody("another trust domain", &[spiffe("spiffe://elsewhere.test/client")]),
        nobody("a trust domain that begins as ours", &[spiffe("spiffe://scalegate.test.evil/client")]),
        nobody("a trust domain in capitals", &[spiffe("spiffe://SCALEGATE.test/client")]),
        nobody("a trust domain with a port", &[spiffe("spiffe://scalegate.test:443/client")]),
        nobody("a trust domain with a user", &[spiffe("spiffe://scalegate.test@elsewhere.test/client")]),
        nobody("a trust domain alone", &[spiffe("spiffe://scalegate.test")]),
        nobody("a SPIFFE id that ends with a slash", &[spiffe("spiffe://scalegate.test/client/")]),
        nobody("a SPIFFE id with dots", &[spiffe("spiffe://scalegate.test/a/../client")]),
        nobody("a SPIFFE id with an escape", &[spiffe("spiffe://scalegate.test/%63lient")]),
        nobody("a SPIFFE id with a query", &[spiffe("spiffe://scalegate.test/client?a")]),
        nobody("a SPIFFE id with a fragment", &[spiffe("spiffe://scalegate.test/client#a")]),
        nobody("a SPIFFE id that is too long", &[spiffe(&long)]),
        nobody("a web address", &[spiffe("https://scalegate.test/client")]),
        nobody("an empty URI", &[spiffe("")]),
        nobody("a wildcard", &[dns("*.chains.test")]),
        nobody("an underscore", &[dns("client_1.chains.test")]),
        nobody("an empty DNS name", &[dns("")]),
        nobody("a DNS name that ends with a dot", &[dns("client.chains.test.")]),
    ]
}

/// Below name constraints.
pub(super) fn constrained() -> Vec<Fault> {
    let mut faults = Vec::new();
    for constraint in constraints::all().into_iter().map(Arc::new) {
        let renamed = |constraint: &Arc<constraints::Constraint>| {
            let constraint = constraint.clone();
            move |draft: &mut super::Draft, _: usize| {
                let id = draft.leaf().subject_alt_names[0].clone();
                draft.leaf().subject_alt_names = constraint.names(&id);
            }
        };
        let above = Fault::new(&constraint.world(), LEAF, constraint.verdict, |_, _| {})
            .in_worlds(Worlds::Faulty(constraint.world(), "plain P-256"))
            .prepared(renamed(&constraint));
        faults.push(Fault { openssl: constraint.openssl, ..above });
        let extension = constraint.extension();
        let between = Fault::says(
            &format!("an intermediate that {}", constraint.what),
            INTERMEDIATES,
            constraint.verdict,
            move |params| params.custom_extensions.push(extension.clone()),
        )
        .prepared(renamed(&constraint));
        faults.push(Fault { openssl: constraint.openssl, ..between });
    }
    faults
}
