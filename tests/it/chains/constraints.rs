//! Name constraints (RFC 5280, section 4.2.1.10), on client CAs and on intermediates.

use rcgen::{CustomExtension, SanType};

use super::der::{self, sequence, tagged};
use super::faults::{Opinion, Verdict};

/// A constraint, and the names of a client below it.
#[derive(Clone)]
pub(super) struct Constraint {
    pub(super) what: &'static str,
    permitted: Option<Vec<u8>>,
    excluded: Option<Vec<u8>>,
    names: Vec<SanType>,
    pub(super) verdict: Verdict,
    pub(super) openssl: Opinion,
}

const NO_URIS: &str =
    "webpki compares no URIs: below any constraint on them it refuses every URI, and so every SPIFFE id";
const NO_EMAIL: &str = "webpki compares no email addresses, and refuses those below a constraint on them";
const NO_DIRECTORY: &str = "webpki compares no directory names, and refuses every subject below a constraint on them";

fn dns(name: &str) -> Vec<u8> {
    sequence(&[&tagged(0x82, name.as_bytes())])
}

fn uri(host: &str) -> Vec<u8> {
    sequence(&[&tagged(0x86, host.as_bytes())])
}

fn email(host: &str) -> Vec<u8> {
    sequence(&[&tagged(0x81, host.as_bytes())])
}

fn ip(network: [u8; 3]) -> Vec<u8> {
    sequence(&[&tagged(0x87, &[&network[..], &[0, 255, 255, 255, 0]].concat())])
}

fn organization(name: &str) -> Vec<u8> {
    sequence(&[&tagged(0xa4, &der::organization(name))])
}

fn text(text: &str) -> rcgen::string::Ia5String {
    text.try_into().expect("an ASCII text")
}

impl Constraint {
    /// What the extension is in a certificate.
    pub(super) fn extension(&self) -> CustomExtension {
        let part = |tag, part: &Option<Vec<u8>>| part.as_ref().map(|part| tagged(tag, part)).unwrap_or_default();
        let content = sequence(&[&part(0xa0, &self.permitted), &part(0xa1, &self.excluded)]);
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], content);
        extension.set_criticality(true);
        extension
    }

    /// The world whose client CA has it.
    pub(super) fn world(&self) -> String {
        format!("root that {}", self.what)
    }

    /// The names of the client.
    pub(super) fn names(&self, id: &SanType) -> Vec<SanType> {
        if self.names.iter().any(|name| matches!(name, SanType::DnsName(_))) {
            return self.names.clone();
        }
        [std::slice::from_ref(id), &self.names].concat()
    }

    fn permits(what: &'static str, subtree: Vec<u8>) -> Self {
        Self {
            what,
            permitted: Some(subtree),
            excluded: None,
            names: Vec::new(),
            verdict: Verdict::Served,
            openssl: Opinion::Same,
        }
    }

    fn excludes(what: &'static str, subtree: Vec<u8>) -> Self {
        Self { permitted: None, excluded: Some(subtree), ..Self::permits(what, Vec::new()) }
    }

    fn of(self, name: SanType) -> Self {
        Self { names: vec![name], ..self }
    }

    fn refused(self) -> Self {
        Self { verdict: Verdict::UNKNOWN, ..self }
    }

    fn refused_here(self, why: &'static str) -> Self {
        Self { openssl: Opinion::Other(why), ..self.refused() }
    }
}

/// All of them. A constraint that refuses has a twin on the same names that does not.
pub(super) fn all() -> Vec<Constraint> {
    let host = || SanType::DnsName(text("host.chains.test"));
    let near = || SanType::IpAddress([192, 0, 2, 7].into());
    let far = || SanType::IpAddress([198, 51, 100, 7].into());
    let mail = || SanType::Rfc822Name(text("client@chains.test"));
    vec![
        Constraint::permits("permits the host's domain", dns("chains.test")).of(host()),
        Constraint::permits("permits the host alone", dns("host.chains.test")).of(host()),
        Constraint::permits("permits subdomains", dns(".chains.test")).of(host()),
        Constraint::permits("permits another domain", dns("elsewhere.test")).of(host()).refused(),
        Constraint::permits("permits part of a label", dns("hains.test")).of(host()).refused(),
        Constraint::excludes("excludes the host's domain", dns("chains.test")).of(host()).refused(),
        Constraint::excludes("excludes the host alone", dns("host.chains.test")).of(host()).refused(),
        Constraint::excludes("excludes every host", dns("")).of(host()).refused(),
        Constraint::excludes("excludes another domain", dns("elsewhere.test")).of(host()),
        Constraint::permits("permits hosts of a client without one", dns("chains.test")),
        Constraint::permits("permits the URI's host", uri("scalegate.test")).refused_here(NO_URIS),
        Constraint::permits("permits the URI's domain", uri(".test")).refused_here(NO_URIS),
        Constraint::permits("permits another URI", uri("elsewhere.test")).refused(),
        Constraint::excludes("excludes the URI's host", uri("scalegate.test")).refused(),
        Constraint::excludes("excludes another URI", uri("elsewhere.test")).refused_here(NO_URIS),
        Constraint::permits("permits URIs of a client without one", uri("elsewhere.test")).of(host()),
        Constraint::permits("permits the address", ip([192, 0, 2])).of(near()),
        Constraint::permits("permits another address", ip([192, 0, 2])).of(far()).refused(),
        Constraint::excludes("excludes the address", ip([192, 0, 2])).of(near()).refused(),
        Constraint::excludes("excludes another address", ip([192, 0, 2])).of(far()),
        Constraint::permits("permits the mail address", email("chains.test")).of(mail()).refused_here(NO_EMAIL),
        Constraint::permits("permits another mail address", email("elsewhere.test")).of(mail()).refused(),
        Constraint::permits("permits mail of a client without it", email("elsewhere.test")),
        Constraint::permits("permits the organization", organization("Chains")).refused_here(NO_DIRECTORY),
        Constraint::permits("permits another organization", organization("Elsewhere")).refused(),
        Constraint::excludes("excludes the organization", organization("Chains")).refused(),
        Constraint::excludes("excludes another organization", organization("Elsewhere")).refused_here(NO_DIRECTORY),
    ]
}
