//! Every block of a file is read, or the file is refused by name and place.

use k8s_openapi::ByteString;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::super::Tls;
use super::pki::{Ca, Pki, limits};
use super::server::Server;

const CI: &[&str] = &["spiffe://example.org/ci"];
const REVOKED: u64 = 7;

/// Joins two blocks so that a parser that looks for blocks does not see the second.
type Join = fn(&str, &str) -> String;

/// Ways to hide the second block, and the expected error.
const HIDDEN: &[(&str, Join, &str)] = &[
    ("glued to the END before", |a, b| format!("{}{b}", a.trim_end()), "resembles a BEGIN or END line"),
    ("indented", |a, b| format!("{a}  {}", b.replace('\n', "\n  ")), "resembles a BEGIN or END line"),
    ("behind a tab", |a, b| format!("{a}\t{b}"), "resembles a BEGIN or END line"),
    ("behind a form feed", |a, b| format!("{a}\u{c}{b}"), "resembles a BEGIN or END line"),
    ("behind a byte order mark", |a, b| format!("{a}\u{feff}{b}"), "resembles a BEGIN or END line"),
    ("behind a blank of another kind", |a, b| format!("{a}\u{a0}{b}"), "resembles a BEGIN or END line"),
    ("quoted", |a, b| format!("{a}> {}", b.replace('\n', "\n> ")), "resembles a BEGIN or END line"),
    ("commented out", |a, b| format!("{a}# {}", b.replace('\n', "\n# ")), "resembles a BEGIN or END line"),
    ("on one line", |a, b| format!("{a}{}", b.replace('\n', "\\n")), "resembles a BEGIN or END line"),
    ("four dashes", |a, b| format!("{a}{}", b.replacen("-----BEGIN", "----BEGIN", 1)), "resembles a BEGIN or END line"),
    ("six dashes", |a, b| format!("{a}-{b}"), "resembles a BEGIN or END line"),
    ("four dashes at the end", |a, b| format!("{a}{}", b.replacen("-----\n", "----\n", 1)), "resembles a BEGIN or END"),
    ("four dashes of END", |a, b| format!("{a}{}", b.replace("-----END", "----END")), "resembles a BEGIN or END line"),
    ("a blank too many", |a, b| format!("{a}{}", b.replace("BEGIN ", "BEGIN  ")), "resembles a BEGIN or END line"),
    ("no blank", |a, b| format!("{a}{}", b.replace("BEGIN ", "BEGIN")), "resembles a BEGIN or END line"),
    ("two lines", |a, b| format!("{a}{}", b.replace("BEGIN ", "BEGIN\n")), "resembles a BEGIN or END line"),
    ("lower case", |a, b| format!("{a}{}", b.replacen("BEGIN", "begin", 1)), "resembles a BEGIN or END line"),
    ("text behind BEGIN", |a, b| format!("{a}{}", b.replacen("-----\n", "----- x\n", 1)), "resembles a BEGIN or END"),
    ("a tab behind END", |a, b| format!("{a}{}\t\n", b.trim_end()), "resembles a BEGIN or END line"),
    ("no BEGIN", |a, b| format!("{a}{}", &b[b.find('\n').unwrap() + 1..]), "base64 outside a block: no BEGIN line"),
    ("no dashes", |a, b| format!("{a}{}", b.replace("-----", "")), "base64 outside a block: no BEGIN line precedes it"),
    ("long dashes", |a, b| format!("{a}{}", b.replace("-----", "\u{2014}")), "base64 outside a block: no BEGIN line"),
    ("another word", |a, b| format!("{a}{}", b.replacen("BEGIN", "START", 1)), "base64 outside a block: no BEGIN line"),
    ("no END", |a, b| format!("{a}{}", &b[..b.find("-----END").unwrap()]), "-----` follows this BEGIN line"),
    ("no END before the next", |a, b| format!("{}{a}", &b[..b.find("-----END").unwrap()]), "follows this BEGIN line"),
    ("another END", |a, b| format!("{a}{}", b.replace("-----END ", "-----END X")), "-----` follows this BEGIN line"),
    ("two ENDs", |a, b| format!("{a}{b}{}", &b[b.find("-----END").unwrap()..]), "belongs to this END line"),
    ("UTF-16", |a, b| a.chars().chain(b.chars().flat_map(|c| [c, '\0'])).collect(), "it contains a NUL byte"),
];

/// In which ways a second block may follow.
const VISIBLE: &[(&str, Join)] = &[
    ("plainly", |a, b| format!("{a}{b}")),
    ("with DOS's line ends", |a, b| format!("{a}{b}").replace('\n', "\r\n")),
    ("with carriage returns alone", |a, b| format!("{a}{b}").replace('\n', "\r")),
    ("with blanks at the lines' ends", |a, b| format!("{a}{b}").replace('\n', "  \n")),
    ("behind a byte order mark of the file", |a, b| format!("\u{feff}{a}{b}")),
    ("without an end of the last line", |a, b| format!("{a}{}", b.trim_end())),
    ("behind what OpenSSL prints of it", |a, b| {
        format!(
            "Certificate:\n    Data:\n        Version: 3 (0x2)\n        Issuer: CN=back-end, OU=A--END\n\
             {:16}04:b5:3c:7d:ff\n{a}---\nServer certificate\n---\nNo client certificate CA names sent\n\
             Bag Attributes\n    localKeyID: 54 69 6D 65 20 31\nsubject=/CN=END\n\n# ----------------\n{b}---\nDONE\n",
            ""
        )
    }),
];

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    ClientCas,
    Chain,
    Lists,
}

impl Role {
    const ALL: [Self; 3] = [Self::ClientCas, Self::Chain, Self::Lists];

    /// Two blocks for such a file; of two lists, the second revokes.
    fn blocks(self, pki: &Pki, other: &Ca) -> (String, String) {
        match self {
            Self::ClientCas => (pki.ca.pem(), other.pem()),
            Self::Chain => (std::fs::read_to_string(&pki.settings.certificate).unwrap(), pki.ca.pem()),
            Self::Lists => (other.revocation_list(&[], 2090), pki.ca.revocation_list(&[REVOKED], 2090)),
        }
    }

    fn put(self, pki: &mut Pki, content: &str) {
        match self {
            Self::ClientCas => pki.settings.client_cas[0].file = pki.write("both.pem", content),
            Self::Chain => pki.settings.certificate = pki.write("both.pem", content),
            Self::Lists => pki.revoke("both.pem", content),
        }
    }
}

/// The error of loading the files.
fn refused(pki: &Pki, what: &str) -> String {
    match Tls::load(&pki.settings) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{what}: it is taken"),
    }
}

#[test]
fn a_file_with_a_block_that_would_not_be_read_is_refused_by_name_and_line() {
    let other = Ca::new("other CA");
    for (manner, join, cause) in HIDDEN {
        for role in Role::ALL {
            let mut pki = Pki::new();
            let (first, second) = role.blocks(&pki, &other);
            role.put(&mut pki, &join(&first, &second));
            let told = refused(&pki, manner);
            assert!(told.contains("both.pem: is not valid PEM: line "), "{role:?}, {manner}: {told}");
            assert!(told.contains(cause), "{role:?}, {manner}: {told}");
        }
    }
}

#[tokio::test]
async fn every_block_is_read_with_whatever_text_is_around_it() {
    let other = Ca::new("other CA");
    for (manner, join) in VISIBLE {
        for role in Role::ALL {
            let mut pki = Pki::new();
            let (first, second) = role.blocks(&pki, &other);
            role.put(&mut pki, &join(&first, &second));
            let server = Server::start(&pki, &limits());
            match role {
                Role::ClientCas => assert!(server.ask(&pki, &other.client(CI, |_| {})).await.is_ok(), "{manner}"),
                Role::Chain => {
                    let connection = server.connect(&pki, Some(&pki.ci())).await.unwrap();
                    assert_eq!(connection.server_chain().len(), 2, "{manner}");
                }
                Role::Lists => {
                    let revoked = pki.ca.client(CI, |params| params.serial_number = Some(REVOKED.into()));
                    assert!(server.ask(&pki, &revoked).await.is_err(), "{manner}");
                }
            }
            assert!(server.ask(&pki, &pki.ci()).await.is_ok(), "{role:?}, {manner}");
        }
    }
}

#[test]
fn a_block_of_another_kind_is_refused_by_its_label() {
    let relabel = |pem: &str, label: &str| pem.replace("CERTIFICATE", label);
    let ca = Ca::new("other CA");
    let (pem, list, key) = (ca.pem(), ca.revocation_list(&[], 2090), ca.server().key);
    for (role, block, label) in [
        (Role::ClientCas, relabel(&pem, "X509 CERTIFICATE"), "X509 CERTIFICATE"),
        (Role::ClientCas, relabel(&pem, "TRUSTED CERTIFICATE"), "TRUSTED CERTIFICATE"),
        (Role::ClientCas, list.clone(), "X509 CRL"),
        (Role::ClientCas, key.clone(), "PRIVATE KEY"),
        (Role::Chain, key, "PRIVATE KEY"),
        (Role::Chain, relabel(&pem, "CERTIFICATE REQUEST"), "CERTIFICATE REQUEST"),
        (Role::Lists, pem, "CERTIFICATE"),
        (Role::Lists, list.replace("X509 CRL", "CRL"), "CRL"),
    ] {
        let mut pki = Pki::new();
        let (first, _) = role.blocks(&pki, &ca);
        role.put(&mut pki, &format!("{first}{block}"));
        let told = refused(&pki, label);
        assert!(told.contains("both.pem: block 2 (line "), "{told}");
        assert!(told.contains(&format!("): is a `{label}` block, but this file may only contain")), "{told}");
    }
}

#[test]
fn a_key_may_follow_the_name_of_its_curve_and_nothing_else() {
    let curve = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let mut pki = Pki::new();
    let key = std::fs::read_to_string(&pki.settings.key).unwrap();
    pki.settings.key = pki.write("key.pem", &format!("{curve}{key}"));
    assert!(Tls::load(&pki.settings).is_ok());
    for (content, cause) in [
        (format!("{key}{curve}"), "key.pem: block 2 (line 6): is a `EC PARAMETERS` block"),
        (format!("{key}{}", pki.ca.pem()), "key.pem: block 2 (line 6): is a `CERTIFICATE` block"),
        (curve.to_owned(), "key.pem: contains no private key"),
        (format!("{} {key}", key.trim_end()), "key.pem: is not valid PEM: line 5: it resembles"),
        (key.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY"), "is a `OPENSSH PRIVATE KEY` block"),
    ] {
        pki.write("key.pem", &content);
        let told = refused(&pki, &content);
        assert!(told.contains(cause), "{cause}: {told}");
        assert!(!told.contains(key.lines().nth(1).unwrap()), "the key is told");
    }
}

#[test]
fn a_broken_certificate_is_told_by_its_block_and_its_subject() {
    let mut pki = Pki::new();
    let bundle: String = (1..=6).map(|number| Ca::new(&format!("CA {number}")).pem()).collect();
    let der = CertificateDer::from_pem_slice(Ca::new("CA 7").pem().as_bytes()).unwrap();
    let mut wrong_tag = der.to_vec();
    wrong_tag[4] = 0x31;
    let whole = encode(&der);
    let no_base64 = whole.replacen("\nMI", "\nM!", 1);
    let line = bundle.lines().count() + 1;
    let wrong_byte = format!("line {}: '!' is not base64", line + 1);
    let place = format!("both.pem: block 7 (line {line}");
    for (broken, named, cause) in [
        (encode(&wrong_tag), ", \"CN=CA 7\")", "its structure is wrong"),
        (encode(&der[..der.len() - 3]), ", \"CN=CA 7\")", "it is cut short"),
        (encode(&[&der, b"x".as_slice()].concat()), ", \"CN=CA 7\")", "bytes follow its end"),
        (no_base64, ")", &wrong_byte),
        (encode(b""), ")", "it is cut short"),
    ] {
        for role in [Role::ClientCas, Role::Chain] {
            let mut pki = Pki::new();
            role.put(&mut pki, &format!("{bundle}{broken}"));
            let told = refused(&pki, cause);
            assert!(told.starts_with(pki.path("both.pem").to_str().unwrap()), "{told}");
            assert!(told.contains(&format!("{place}{named}: is not ")) && told.contains(cause), "{told}");
        }
    }
    pki.settings.client_cas[0].file = pki.write("both.pem", &format!("{bundle}{whole}"));
    assert!(Tls::load(&pki.settings).is_ok());
}

#[test]
fn a_list_that_cannot_be_used_is_told_by_its_own_place() {
    let mut pki = Pki::new();
    let other = Ca::new("other CA").revocation_list(&[], 2090);
    let list = pki.ca.revocation_list(&[], 2090);
    let der = CertificateRevocationListDer::from_pem_slice(list.as_bytes()).unwrap();
    let broken = encode(&der[..der.len() - 3]).replace("CERTIFICATE", "X509 CRL");
    // Of a time that the verifier does not read.
    let early = pki.ca.numbered_list(1, 1960..2090, &[]);
    pki.revoke("lists.pem", "");
    for unusable in [broken, early] {
        pki.write("lists.pem", &format!("{other}{unusable}"));
        let told = refused(&pki, &unusable);
        let place = format!("lists.pem: block 2 (line {}, \"CN=test CA\"): is not a valid", other.lines().count() + 1);
        assert!(told.contains(&place), "{told}");
    }
}

/// A certificate of these bytes, in PEM.
fn encode(der: &[u8]) -> String {
    let base64 = serde_json::to_value(ByteString(der.to_vec())).unwrap();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64.as_str().unwrap())
}
