//! Which versions of TLS, cipher suites and key exchange groups are spoken, and that there are no others.

use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup};
use rustls::{
    CipherSuite, CipherSuiteCommon, Error, HandshakeKind, NamedGroup, SupportedCipherSuite, Tls13CipherSuite,
};
use scalegate_tests::client::Client;
use scalegate_tests::suite::{self, Shared};
use tokio_rustls::client::TlsStream;

use super::resumption::settings;

/// The gateway's own, in the order of its preference.
const SUITES: [SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];
const GROUPS: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// Every other group that a client could have, with the length of its public key.
const OTHER_GROUPS: [ForeignGroup; 9] = [
    ForeignGroup(NamedGroup::secp521r1, 133),
    ForeignGroup(NamedGroup::X448, 56),
    ForeignGroup(NamedGroup::FFDHE2048, 256),
    ForeignGroup(NamedGroup::MLKEM512, 800),
    ForeignGroup(NamedGroup::MLKEM768, 1184),
    ForeignGroup(NamedGroup::MLKEM1024, 1568),
    ForeignGroup(NamedGroup::secp256r1MLKEM768, 1249),
    // SecP384r1MLKEM1024 and a name that nobody has given.
    ForeignGroup(NamedGroup::Unknown(0x11ed), 1665),
    ForeignGroup(NamedGroup::Unknown(0x4242), 32),
];

/// A group that the gateway does not have. A client that offers it never gets as far as to use its key.
#[derive(Debug, Clone, Copy)]
struct ForeignGroup(NamedGroup, usize);

#[derive(Debug)]
struct ForeignKey(NamedGroup, Vec<u8>);

impl SupportedKxGroup for ForeignGroup {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(ForeignKey(self.0, vec![4; self.1])))
    }

    fn name(&self) -> NamedGroup {
        self.0
    }
}

impl ActiveKeyExchange for ForeignKey {
    fn complete(self: Box<Self>, _peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        Err(Error::General("the gateway took a group that it must not have".to_owned()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.1
    }

    fn group(&self) -> NamedGroup {
        self.0
    }
}

/// A suite that the gateway does not have, by the name alone: what is in it is never used.
fn foreign(suite: CipherSuite) -> Result<SupportedCipherSuite> {
    let like = cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().context("a suite of TLS 1.3")?;
    let common = CipherSuiteCommon {
        suite,
        hash_provider: like.common.hash_provider,
        confidentiality_limit: like.common.confidentiality_limit,
    };
    let suite = Tls13CipherSuite { common, hkdf_provider: like.hkdf_provider, aead_alg: like.aead_alg, quic: None };
    Ok(SupportedCipherSuite::Tls13(Box::leak(Box::new(suite))))
}

/// A handshake by a client that has these suites and groups alone, in its order of preference.
async fn handshake(
    suite: &Shared,
    suites: &[SupportedCipherSuite],
    groups: &[&'static dyn SupportedKxGroup],
) -> Result<TlsStream<tokio::net::TcpStream>> {
    let provider = CryptoProvider { cipher_suites: suites.to_vec(), kx_groups: groups.to_vec(), ..default_provider() };
    let client = Client::configured(suite.address(), Arc::new(settings(suite.certs(), provider)?));
    client.tls(b"http/1.1").await
}

/// Whether the gateway ended the handshake because the client had nothing that it has.
fn is_refused(result: &Result<TlsStream<tokio::net::TcpStream>>) -> bool {
    result.as_ref().err().is_some_and(|error| format!("{error:#}").contains("fatal alert: HandshakeFailure"))
}

#[tokio::test]
async fn three_suites_are_spoken_and_no_other() -> Result<()> {
    let suite = suite::shared().await?;
    for only in SUITES {
        let stream = handshake(&suite, &[only], &GROUPS).await.with_context(|| format!("{:?}", only.suite()))?;
        let used = stream.get_ref().1.negotiated_cipher_suite().map(|suite| suite.suite());
        assert_eq!(used, Some(only.suite()));
    }
    for other in [CipherSuite::TLS13_AES_128_CCM_SHA256, CipherSuite::TLS13_AES_128_CCM_8_SHA256] {
        let result = handshake(&suite, &[foreign(other)?], &GROUPS).await;
        assert!(is_refused(&result), "{other:?}: {:?}", result.err());
    }
    Ok(())
}

#[tokio::test]
async fn four_groups_are_spoken_and_no_other() -> Result<()> {
    let suite = suite::shared().await?;
    let used = |stream: &TlsStream<tokio::net::TcpStream>| {
        stream.get_ref().1.negotiated_key_exchange_group().map(SupportedKxGroup::name)
    };
    for only in GROUPS {
        let stream = handshake(&suite, &SUITES, &[only]).await.with_context(|| format!("{only:?}"))?;
        assert_eq!(used(&stream), Some(only.name()));
    }
    // A client that has all of them gets the hybrid one.
    assert_eq!(used(&handshake(&suite, &SUITES, &GROUPS).await?), Some(NamedGroup::X25519MLKEM768));

    for other in &OTHER_GROUPS {
        let result = handshake(&suite, &SUITES, &[other]).await;
        assert!(is_refused(&result), "{other:?}: {:?}", result.err());
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_guesses_another_group_first_is_asked_again() -> Result<()> {
    let suite = suite::shared().await?;
    for first in &OTHER_GROUPS {
        let stream = handshake(&suite, &SUITES, &[first, kx_group::X25519]).await?;
        let session = stream.get_ref().1;
        assert_eq!(session.handshake_kind(), Some(HandshakeKind::FullWithHelloRetryRequest), "{first:?}");
        assert_eq!(session.negotiated_key_exchange_group().map(SupportedKxGroup::name), Some(NamedGroup::X25519));
    }
    Ok(())
}

#[tokio::test]
async fn earlier_versions_of_tls_are_refused() -> Result<()> {
    let suite = suite::shared().await?;
    let file = |name: &str| suite.certs().join(name).display().to_string();
    for (most, exit) in [("1.2", 35), ("1.3", 0)] {
        let output = tokio::process::Command::new("curl")
            .args(["--silent", "--show-error", "--tls-max", most, "--cacert", &file("ca.pem")])
            .args(["--cert", &file("clients/operator.pem"), "--key", &file("clients/operator-key.pem")])
            .arg(format!("https://localhost:{}/healthz", suite.address().port()))
            .output()
            .await?;
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "TLS {most}: {printed}");
        assert_eq!(printed.to_lowercase().contains("protocol version"), exit != 0, "TLS {most}: {printed}");
    }
    Ok(())
}
