//! Every handshake is a full one: a session that went on would go on without a look at the client's certificate.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore, ServerConfig, ServerConnection, Stream,
};
use scalegate_tests::client::Client;
use scalegate_tests::suite;

/// The settings of a viewer that has this cryptography.
pub(super) fn settings(certs: &Path, provider: CryptoProvider) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(certs.join("ca.pem"))? {
        roots.add(certificate?)?;
    }
    let (chain, key) = keyed(&certs.join("clients"), "viewer")?;
    Ok(ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?)
}

fn keyed(directory: &Path, name: &str) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = CertificateDer::pem_file_iter(directory.join(format!("{name}.pem")))?.collect::<Result<_, _>>()?;
    Ok((chain, PrivateKeyDer::from_pem_file(directory.join(format!("{name}-key.pem")))?))
}

/// What a client keeps of its sessions, and how many tickets it was given and has used.
#[derive(Debug)]
struct Tickets {
    kept: ClientSessionMemoryCache,
    given: AtomicUsize,
    used: AtomicUsize,
}

impl Tickets {
    fn none() -> Arc<Self> {
        Arc::new(Self { kept: ClientSessionMemoryCache::new(8), given: AtomicUsize::new(0), used: AtomicUsize::new(0) })
    }

    /// How many were given, and how many used.
    fn counts(&self) -> (usize, usize) {
        (self.given.load(Ordering::Relaxed), self.used.load(Ordering::Relaxed))
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(server)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.given.fetch_add(1, Ordering::Relaxed);
        self.kept.insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let ticket = self.kept.take_tls13_ticket(server);
        self.used.fetch_add(ticket.iter().count(), Ordering::Relaxed);
        ticket
    }
}

/// A client that resumes sessions, and sends early data, wherever it can.
fn resuming(certs: &Path) -> Result<(Arc<ClientConfig>, Arc<Tickets>)> {
    let tickets = Tickets::none();
    let mut config = settings(certs, default_provider())?;
    config.resumption = Resumption::store(tickets.clone());
    config.enable_early_data = true;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), tickets))
}

/// What became of a request that was early data, as far as the client may send any.
#[derive(Debug, PartialEq)]
struct Done {
    /// How the handshake went.
    handshake: Option<HandshakeKind>,
    /// Whether the server took the early data; `None` where none could be sent.
    early_data: Option<bool>,
    /// How many tickets came.
    tickets: u32,
    /// The status line of the answer.
    status: String,
}

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const FULL: Option<HandshakeKind> = Some(HandshakeKind::Full);

/// Sends [`REQUEST`] over a new connection: at once if the client has a ticket for that, and again if it was not taken.
fn request(config: &Arc<ClientConfig>, address: SocketAddr) -> Result<Done> {
    let mut session = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
    let mut socket = TcpStream::connect(address)?;
    let is_early = session.early_data().map(|mut early| early.write_all(REQUEST)).transpose()?.is_some();
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    let early_data = is_early.then(|| session.is_early_data_accepted());
    let mut stream = Stream::new(&mut session, &mut socket);
    if early_data != Some(true) {
        stream.write_all(REQUEST)?;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let status = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    Ok(Done { handshake: session.handshake_kind(), early_data, tickets: session.tls13_tickets_received(), status })
}

#[tokio::test]
async fn a_client_that_would_resume_gets_no_ticket_and_a_full_handshake_each_time() -> Result<()> {
    let suite = suite::shared().await?;
    let (config, tickets) = resuming(suite.certs())?;
    let full = Done { handshake: FULL, early_data: None, tickets: 0, status: "HTTP/1.1 200 OK".to_owned() };
    for _ in 0..3 {
        let (config, address) = (config.clone(), suite.address());
        assert_eq!(tokio::task::spawn_blocking(move || request(&config, address)).await??, full);
    }
    // Over HTTP/2, whose connections live longer, none comes later either.
    let mut connection = Client::configured(suite.address(), config).http2().await?;
    for _ in 0..3 {
        assert_eq!(connection.get("/healthz").await?.status, 200);
    }
    assert_eq!(tickets.counts(), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_ticket_is_worth_nothing_and_early_data_is_not_taken() -> Result<()> {
    let suite = suite::shared().await?;
    let (config, tickets) = resuming(suite.certs())?;
    let requested = |address| {
        let config = config.clone();
        tokio::task::spawn_blocking(move || request(&config, address))
    };

    // The tickets come from a server with the gateway's name and key, which lets the client resume and takes its early
    // data.
    let elsewhere = TcpListener::bind(("127.0.0.1", 0))?;
    let address = elsewhere.local_addr()?;
    let issuer = issuer(suite.certs())?;
    let server = thread::spawn(move || serve_twice(&elsewhere, &issuer));
    let first = requested(address).await??;
    assert_eq!((first.handshake, first.early_data), (FULL, None));
    let second = requested(address).await??;
    assert_eq!((second.handshake, second.early_data), (Some(HandshakeKind::Resumed), Some(true)));
    assert!(server.join().is_ok_and(|served| served.is_ok()));

    let (given, used) = tickets.counts();
    assert!(given > used, "the client has no ticket left");
    let status = "HTTP/1.1 200 OK".to_owned();
    let full = Done { handshake: FULL, early_data: Some(false), tickets: 0, status };
    assert_eq!(requested(suite.address()).await??, full);
    assert_eq!(tickets.counts(), (given, used + 1), "the client has shown no ticket, or got one");
    Ok(())
}

/// A server with the gateway's key that issues tickets, with which its clients may send early data.
fn issuer(certs: &Path) -> Result<Arc<ServerConfig>> {
    let (chain, key) = keyed(certs, "server")?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.max_early_data_size = 16 * 1024;
    Ok(Arc::new(config))
}

/// Answers one request on each of two connections.
fn serve_twice(listener: &TcpListener, config: &Arc<ServerConfig>) -> Result<()> {
    for _ in 0..2 {
        let mut session = ServerConnection::new(config.clone())?;
        let mut socket = listener.accept()?.0;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        let mut request = [0; 1024];
        let early = session.early_data().map_or(Ok(0), |mut early| early.read(&mut request))?;
        let mut stream = Stream::new(&mut session, &mut socket);
        if early == 0 {
            let _ = stream.read(&mut request)?;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        stream.conn.send_close_notify();
        stream.conn.complete_io(stream.sock)?;
    }
    Ok(())
}
