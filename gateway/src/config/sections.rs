//! What can be configured: one type a section of the file, ready to use.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::audit::{RedactedField, WhenFull};
use crate::identity::Voucher;
use crate::lines::Output;

/// Everything that can be configured, validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `listen`: the port for clients.
    pub listen: Listen,
    /// `tls`: who the gateway is, and whose clients may connect.
    pub tls: Tls,
    /// `admin`: the port for probes and metrics.
    pub admin: Admin,
    /// `policies`: where the rules are.
    pub policies: Policies,
    /// `kubernetes`: the cluster.
    pub kubernetes: Kubernetes,
    /// `lease`: how gateways agree on a leader.
    pub lease: Lease,
    /// `audit`: where decisions are recorded.
    pub audit: Audit,
    /// `log`: what is logged, and how.
    pub log: Log,
    /// `traces`: where spans are sent.
    pub traces: Traces,
}

/// The port for clients and the limits on their connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// `address`: IP address and port. `[::]` is every address of the machine, of IPv6 and IPv4, and of IPv4 alone on a machine
    /// without IPv6; 0.0.0.0 is every one of IPv4. Default `[::]:8443`; port 0 takes a free one.
    pub address: SocketAddr,
    /// `maxConnections`: connections of clients with a verified certificate. Half of them are kept for the trust domains
    /// in equal parts; connections beyond the limit are closed. Default 2000, 1 to 1000000.
    pub max_connections: usize,
    /// `maxConnectionsPerClient`: connections of one client. Default 200, 1 to 1000000.
    pub max_connections_per_client: usize,
    /// `maxRequests`: requests under way, until their answers were sent; a list counts as 16. Half of them are kept for the
    /// trust domains in equal parts; requests beyond the limit are answered with 503 `busy`. Default 2000, 64 to 1000000.
    pub max_requests: usize,
    /// `maxRequestsPerClient`: requests of one client; those beyond it are answered with 429. Default 250, 16 to 1000000.
    pub max_requests_per_client: usize,
    /// `maxRequestsPerSecondPerClient`: requests of one client in a second, and at once after a pause; a list counts as 16.
    /// Those beyond it are answered with 429 `rate_limited`. Default 1000, 16 to 1000000; 0 for any number.
    pub max_requests_per_second_per_client: usize,
    /// `maxStreams`: streams of changes. Half of them are kept for the trust domains in equal parts; streams beyond the limit
    /// are answered with 503 `busy`. Default 2000, 1 to 1000000.
    pub max_streams: usize,
    /// `maxStreamsPerClient`: streams of one client; those beyond it are answered with 429. Default 100, 1 to 1000000.
    pub max_streams_per_client: usize,
    /// `handshakeTimeout`: the longest TLS handshake. Default 10 s, 100 ms to 1 min.
    pub handshake_timeout: Duration,
    /// `headerTimeout`: the longest time from the first byte of a request's head to its last, on HTTP/1.1.
    /// Default 10 s, 100 ms to 5 min.
    pub header_timeout: Duration,
    /// `idleTimeout`: how long a connection may stay without a request. Default 2 min, 100 ms to 1 h.
    pub idle_timeout: Duration,
    /// `maxConnectionAge`: how long a connection is kept, give or take a tenth, so that clients spread across all gateways.
    /// The next answer then announces its end; open streams continue. Default 1 h, 1 s to 7 d.
    pub max_connection_age: Duration,
    /// `writeTimeout`: how long a client may leave a part of an answer unread before its connection is closed. Default 30 s,
    /// 1 s to 10 min.
    pub write_timeout: Duration,
    /// `requestTimeout`: the longest time from a request's head to its answer, its body and a wait for `atLeastVersion` included.
    /// Default 1 min, 1 s to 10 min.
    pub request_timeout: Duration,
    /// `maxBodyBytes`: the largest request body in bytes. Default 8192, 256 to 1048576.
    pub max_body_bytes: usize,
    /// `drain`: how the gateway stops.
    pub drain: Drain,
}

/// How the gateway stops. The pod's termination grace period must be longer than `deadline`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// `grace`: how long new connections are still served after the signal, until load balancers have noticed.
    /// Default 5 s, 0 s to 5 min.
    pub grace: Duration,
    /// `deadline`: how long after the signal connections are cut. Default 30 s, longer than `grace`, to 1 h.
    pub deadline: Duration,
}

/// Who the gateway is, and whose clients may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `certificate`: the server's certificate chain in PEM, its own certificate first. Required.
    pub certificate: PathBuf,
    /// `key`: its private key in PEM, not encrypted. Required.
    pub key: PathBuf,
    /// `clientCas`: the CAs of the clients. Required, one at least.
    pub client_cas: Vec<ClientCa>,
    /// `crls`: certificate revocation lists in PEM. A CA that one of them belongs to must have one that is not
    /// expired. Default none.
    pub crls: Vec<PathBuf>,
    /// `denied`: a YAML file of clients to refuse even though their certificates are valid: `identities`, a list of ids
    /// such as `uri:spiffe://example.org/ci`, and `serials`, a list of serial numbers in hexadecimal. Default none.
    pub denied: Option<PathBuf>,
    /// `reloadInterval`: how often all these files are looked at for changes. Default 1 s, 100 ms to 1 h.
    pub reload_interval: Duration,
}

/// A CA of clients: `file`, `trustDomain` and `identities`; in flags and the environment `FILE=TRUST-DOMAIN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCa {
    /// `file`: its certificates in PEM, several while it is being replaced.
    pub file: PathBuf,
    /// `trustDomain`: the only trust domain that it speaks for. `identities`: the forms of client ids that it may issue, out
    /// of `uri`, `dns` and `cn`; the last is for certificates that have neither a URI nor a DNS name. Default
    /// `[uri, dns]`.
    pub voucher: Voucher,
}

/// The port for probes and metrics. It is plaintext: keep it inside the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// `address`: IP address and port, as in `listen`. Default `[::]:8081`; port 0 takes a free one.
    pub address: SocketAddr,
}

/// Where the rules are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// `directory`: holds `policies.yaml` and the modules and data files that it names. Default /etc/scalegate/policies.
    pub directory: PathBuf,
    /// `reloadInterval`: how often it is looked at for changes. Default 1 s, 100 ms to 1 h.
    pub reload_interval: Duration,
    /// `compiledDirectory`: keeps compiled modules, so that a gateway that starts again, or another one, need not compile
    /// them. The gateway runs these files: only it may be able to write to the directory. Default none: each start compiles.
    pub compiled_directory: Option<PathBuf>,
    /// `answerCacheBytes`: the memory for answers to reads, which are given again while nothing that they were made from
    /// has changed. Default 33554432; at most 1073741824; 0 keeps none.
    pub answer_cache_bytes: usize,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubernetes {
    /// `kubeconfig`: a kubeconfig file. Default: the pod's service account, whatever `KUBECONFIG` says; where there is none,
    /// `KUBECONFIG` or ~/.kube/config.
    pub kubeconfig: Option<PathBuf>,
    /// `context`: the context in it; without `kubeconfig`, one in `KUBECONFIG` or ~/.kube/config, also in a pod. Default: its
    /// current one.
    pub context: Option<String>,
    /// `namespaces`: the namespaces whose Deployments clients see and set; 100 at most, since each takes three watches. What
    /// lies elsewhere does not exist for the gateway, which then needs roles in these namespaces alone; policies do not see the
    /// labels of namespaces. Default none, which is the whole cluster.
    pub namespaces: Vec<String>,
    /// `annotations`: the annotations of Deployments that are kept and shown to policies: keys, or prefixes that end
    /// in `*`. One that covers `kubectl.kubernetes.io/last-applied-configuration`, which repeats the whole object and
    /// its secrets, is refused. Default `scalegate.dev/*`.
    pub annotations: Vec<String>,
}

/// How gateways agree on a leader. `duration` > `renewDeadline` > `retryPeriod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// `namespace`: where the Lease lives. Default: the pod's (`POD_NAMESPACE`), else `scalegate`.
    pub namespace: String,
    /// `name`: its name. Default `scalegate`.
    pub name: String,
    /// `identity`: this gateway's name in it, different from every other's. Default: the pod's name (`POD_NAME`), else
    /// the host's with a random part.
    pub identity: String,
    /// `duration`: how long the others wait after the leader's last renewal. Default 15 s, 1 s to 10 min.
    pub duration: Duration,
    /// `renewDeadline`: how long the leader tries to renew before it steps down. Default 10 s, 500 ms to 10 min.
    pub renew_deadline: Duration,
    /// `retryPeriod`: how often it tries. Default 2 s, 100 ms to 10 min.
    pub retry_period: Duration,
}

/// Where decisions are recorded, and what happens while they cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// `output`: `stdout`, or the absolute path of a file that is appended to and created with mode 0600; no symbolic
    /// link. Once it was moved, it is reopened before the next record, a second later at the latest, and at SIGHUP at
    /// once. Default `stdout`.
    pub output: Output,
    /// `queueBytes`: the bytes of records that may wait to be written. Default 8388608, 1048576 to 1073741824.
    pub queue_bytes: usize,
    /// `whenFull`: `refuse` or `allow`; what happens to changes while their records cannot be written. Reads go on.
    /// Default `refuse`.
    pub when_full: WhenFull,
    /// `redact`: any of `reason`, `annotations`, `groups` and `peer`, which records have as keyed hashes alone. Default
    /// none.
    pub redact: Vec<RedactedField>,
    /// `redactKeyFile`: the file with the key of the hashes, 16 to 4096 bytes, read at the start. Required with `redact`.
    pub redact_key_file: Option<PathBuf>,
}

/// Where spans are sent, and of which requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// `endpoint`: an OpenTelemetry collector that takes OTLP over gRPC, such as `http://localhost:4317`. Default none: no
    /// spans are made.
    pub endpoint: Option<String>,
    /// `sampleRatio`: the share of requests without a `traceparent` that a trace is begun for; the others follow the flag in
    /// theirs. Default 1, 0 to 1.
    pub sample_ratio: f64,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `format`: `json` or `human`. Default `json`.
    pub format: LogFormat,
    /// `filter`: a level, or levels by module, such as `scalegate=debug,info`. Default `info`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Text for a terminal.
    Human,
}
