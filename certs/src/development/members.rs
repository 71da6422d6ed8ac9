//! Who is in the development set.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use time::{Duration, OffsetDateTime};

use crate::validity::CLOCK_SKEW;
use crate::{LeafSpec, Purpose, Validity};

/// What is special about a client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Usable,
    /// It is past its end.
    Expired,
    /// The revocation list names it.
    Revoked,
    /// It is a server's.
    WrongEku,
    /// Another authority signed it.
    OtherCa,
}

/// A client of the development set.
pub(super) struct Client {
    /// Its common name and the last part of its SPIFFE id.
    pub(super) name: &'static str,
    group: Option<&'static str>,
    pub(super) kind: Kind,
    pub(super) note: &'static str,
}

const fn usable(name: &'static str, group: Option<&'static str>, note: &'static str) -> Client {
    Client { name, group, kind: Kind::Usable, note }
}

const fn unusable(name: &'static str, kind: Kind, note: &'static str) -> Client {
    Client { name, group: None, kind, note }
}

pub(super) const CLIENTS: [Client; 8] = [
    usable("viewer", Some("viewers"), "may see every Deployment"),
    usable("operator", Some("operators"), "may see, set and release every Deployment"),
    usable("ci", Some("ci"), "may see and set Deployments of namespace demo"),
    usable("stranger", None, "has a certificate but no role: refused by policy"),
    unusable("expired", Kind::Expired, "past its end: refused in the handshake"),
    unusable("revoked", Kind::Revoked, "named by crl.pem: refused in the handshake"),
    unusable("wrong-eku", Kind::WrongEku, "for servers only: refused in the handshake"),
    unusable("other-ca", Kind::OtherCa, "signed by other-ca.pem: refused in the handshake"),
];

impl Client {
    pub(super) fn spec(&self, trust_domain: &str) -> LeafSpec {
        let mut spec = LeafSpec::client(self.name).uri(format!("spiffe://{trust_domain}/{}", self.name));
        if let Some(group) = self.group {
            spec = spec.organization(group);
        }
        match self.kind {
            Kind::Usable | Kind::Revoked | Kind::OtherCa => spec,
            Kind::WrongEku => spec.purposes([Purpose::ServerAuth]),
            Kind::Expired => spec.validity(last_week()),
        }
    }
}

/// Over for a day, and so for every clock within the skew.
fn last_week() -> Validity {
    let now = OffsetDateTime::now_utc();
    Validity::between(now - Duration::days(8) - CLOCK_SKEW, now - Duration::days(1))
}

/// The names under which a development gateway is reached, and more.
pub(super) fn server(more: &[String]) -> LeafSpec {
    let spec = LeafSpec::server("scalegate")
        .dns("localhost")
        .dns("scalegate")
        .dns("scalegate.scalegate.svc")
        .ip(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .ip(IpAddr::V6(Ipv6Addr::LOCALHOST));
    more.iter().fold(spec, |spec, name| match name.parse() {
        Ok(address) => spec.ip(address),
        Err(_) => spec.dns(name),
    })
}
