//! The handshake.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::Uri;
use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::extensions::GeneralName;

use super::certificates::Files;
use super::{PATIENCE, Report, host_and_port};
use crate::cli::client::advice;
use crate::identity::der;

const STEP: &str = "handshake";

/// Verifies as webpki does, and keeps what the server presented.
#[derive(Debug)]
struct Noting {
    inner: Arc<WebPkiServerVerifier>,
    presented: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.clone().into_owned());
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl Noting {
    /// What the server's certificate says of itself.
    fn presented(&self) -> String {
        let presented = self.presented.lock().unwrap_or_else(PoisonError::into_inner);
        let certificate = presented.as_ref().and_then(|der| der::certificate(der).ok());
        certificate.map_or_else(
            || "no certificate".to_owned(),
            |certificate| {
                let names = certificate.subject_alternative_name().ok().flatten();
                let names = names.map(|names| names.value.general_names.iter().map(shown).collect());
                let names: Vec<String> = names.unwrap_or_default();
                format!("one for {} that {} issued", names.join(", "), certificate.issuer())
            },
        )
    }
}

/// A name as people write it.
fn shown(name: &GeneralName<'_>) -> String {
    match *name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => name.to_owned(),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
            (Ok(bytes), _) => IpAddr::from(bytes).to_string(),
            (_, Ok(bytes)) => IpAddr::from(bytes).to_string(),
            _ => "an address of another length".to_owned(),
        },
        ref other => other.to_string(),
    }
}

/// Does the handshake of TLS 1.3. That it succeeds says nothing about the client's certificate yet: the first answer does.
pub(super) async fn handshake(
    server: &Uri,
    stream: TcpStream,
    files: &Files,
    report: &mut Report,
) -> Option<TlsStream<TcpStream>> {
    let (host, _) = host_and_port(server);
    let prepared = prepare(files).and_then(|(config, noting)| {
        let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
        Ok((config, noting, name))
    });
    let (config, noting, name) = match prepared {
        Ok(prepared) => prepared,
        Err(cause) => {
            report.fail(STEP, cause, "check --server, --ca, --cert and --key");
            return None;
        }
    };
    match timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await {
        Ok(Ok(stream)) => {
            report.ok(STEP, format!("TLS 1.3; the gateway's certificate is {}", noting.presented()));
            Some(stream)
        }
        Ok(Err(error)) => {
            let (detail, remedy) = explain(&error, &host, &noting);
            report.fail(STEP, detail, remedy);
            None
        }
        Err(_) => {
            let remedy = "what listens there does not speak TLS, or is overloaded: check --server";
            report.fail(STEP, format!("no handshake within {PATIENCE:?}"), remedy);
            None
        }
    }
}

fn prepare(files: &Files) -> Result<(ClientConfig, Arc<Noting>), String> {
    let roots = Arc::new(files.roots.clone());
    let inner = WebPkiServerVerifier::builder_with_provider(roots, files.provider.clone()).build();
    let noting = Arc::new(Noting { inner: inner.map_err(|error| error.to_string())?, presented: Mutex::default() });
    let config = ClientConfig::builder_with_provider(files.provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(noting.clone())
        .with_client_auth_cert(files.chain.clone(), files.key.clone_key())
        .map_err(|error| error.to_string())?;
    Ok((config, noting))
}

/// Why a handshake failed, and what to do.
fn explain(error: &io::Error, host: &str, noting: &Noting) -> (String, String) {
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) else {
        let remedy = "the other end closed the connection: a load balancer without a gateway behind it, or a gateway at its \
                      limit of connections";
        return (error.to_string(), remedy.to_owned());
    };
    let presented = noting.presented();
    let detail = match cause {
        rustls::Error::AlertReceived(alert) => return refused(*alert),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            format!("--ca does not contain the CA of the gateway's certificate, which is {presented}")
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("the gateway's certificate is not for {host}: it is {presented}"),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => format!("the gateway's certificate is not valid at {}: {cause}", Timestamp::now()),
        rustls::Error::InvalidMessage(_) => format!("what listens there does not speak TLS ({cause})"),
        other => other.to_string(),
    };
    (detail, advice::of_tls(cause).to_owned())
}

/// What an alert of the gateway means, and what to do.
pub(super) fn refused(alert: AlertDescription) -> (String, String) {
    let detail = format!("the gateway refuses the certificate (alert {alert:?})");
    match advice::of_alert(alert, None) {
        advice if advice.is_empty() => (detail, "its log has the cause, under `handshake failed`".to_owned()),
        advice => (detail, advice),
    }
}
