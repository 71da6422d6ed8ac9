//! From the merged tree to a [`Config`], field by field.

mod audit;

use std::collections::BTreeSet;
use std::time::Duration;

use config::{Value, ValueKind};

use super::reader::Reader;
use super::{
    Admin, ClientCa, Config, Drain, Kubernetes, Lease, Listen, Log, LogFormat, Policies, Problem, Tls, Traces,
};
use crate::dns;
use crate::identity::{IdForm, Voucher};
use crate::ids;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
/// Repeats the whole object, with whatever secrets are in it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Three watches each are as many connections to the API server as one gateway should hold.
const MOST_NAMESPACES: usize = 100;
const COLLECTOR: &str = "must be the URL of an OTLP receiver for gRPC without TLS, such as http://localhost:4317";
const NAMESPACE: &str = "must be the name of a namespace: 1 to 63 lower-case letters, digits and inner dashes";

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What the process's surroundings tell about it.
pub(super) struct Host {
    /// The pod's namespace, or a conventional one.
    namespace: String,
    /// A name that no other gateway has.
    identity: String,
}

impl Host {
    pub(super) fn of(environment: &[(String, String)]) -> Self {
        let variable = |name: &str| {
            let found = environment.iter().find(|(key, value)| key == name && !value.is_empty());
            found.map(|(_, value)| value.clone())
        };
        // Two processes on one host must not take each other for themselves.
        let unique = || format!("{}_{}", variable("HOSTNAME").unwrap_or("scalegate".to_owned()), ids::new());
        Self {
            namespace: variable("POD_NAMESPACE").unwrap_or("scalegate".to_owned()),
            identity: variable("POD_NAME").unwrap_or_else(unique),
        }
    }
}

pub(super) fn config(tree: Value, host: &Host) -> Result<Config, Vec<Problem>> {
    let mut reader = Reader::new(tree);
    let config = read(&mut reader, host);
    let problems = reader.finish();
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// The paths of all fields that there are.
pub(super) fn fields(host: &Host) -> Vec<String> {
    let mut reader = Reader::new(Value::default());
    read(&mut reader, host);
    reader.known()
}

fn read(reader: &mut Reader, host: &Host) -> Config {
    Config {
        listen: listen(reader),
        tls: tls(reader),
        admin: Admin { address: reader.address("admin.address") },
        policies: Policies {
            directory: reader.path("policies.directory"),
            reload_interval: reader.duration("policies.reloadInterval", &(ms(100)..=HOUR)),
            compiled_directory: reader.optional_path("policies.compiledDirectory"),
            answer_cache_bytes: reader.count("policies.answerCacheBytes", &(0..=1 << 30)),
        },
        kubernetes: kubernetes(reader),
        lease: lease(reader, host),
        audit: audit::audit(reader),
        log: log(reader),
        traces: traces(reader),
    }
}

fn traces(reader: &mut Reader) -> Traces {
    const FIELD: &str = "traces.endpoint";
    let endpoint = reader.optional_text(FIELD, COLLECTOR);
    if let Some(endpoint) = &endpoint
        && !endpoint.parse().is_ok_and(|uri: http::Uri| uri.scheme_str() == Some("http") && uri.host().is_some())
    {
        reader.reject(FIELD, format!("{endpoint:?}"), COLLECTOR);
    }
    Traces { endpoint, sample_ratio: reader.ratio("traces.sampleRatio") }
}

fn listen(reader: &mut Reader) -> Listen {
    Listen {
        address: reader.address("listen.address"),
        max_connections: reader.count("listen.maxConnections", &(1..=1_000_000)),
        max_connections_per_client: reader.count("listen.maxConnectionsPerClient", &(1..=1_000_000)),
        max_requests: reader.count("listen.maxRequests", &(64..=1_000_000)),
        max_requests_per_client: reader.count("listen.maxRequestsPerClient", &(16..=1_000_000)),
        max_requests_per_second_per_client: rate(reader),
        max_streams: reader.count("listen.maxStreams", &(1..=1_000_000)),
        max_streams_per_client: reader.count("listen.maxStreamsPerClient", &(1..=1_000_000)),
        handshake_timeout: reader.duration("listen.handshakeTimeout", &(ms(100)..=MINUTE)),
        header_timeout: reader.duration("listen.headerTimeout", &(ms(100)..=5 * MINUTE)),
        idle_timeout: reader.duration("listen.idleTimeout", &(ms(100)..=HOUR)),
        max_connection_age: reader.duration("listen.maxConnectionAge", &(ms(1000)..=7 * 24 * HOUR)),
        write_timeout: reader.duration("listen.writeTimeout", &(ms(1000)..=10 * MINUTE)),
        request_timeout: reader.duration("listen.requestTimeout", &(ms(1000)..=10 * MINUTE)),
        max_body_bytes: reader.count("listen.maxBodyBytes", &(256..=1_048_576)),
        drain: drain(reader),
    }
}

fn rate(reader: &mut Reader) -> usize {
    const FIELD: &str = "listen.maxRequestsPerSecondPerClient";
    let rate = reader.count(FIELD, &(0..=1_000_000));
    if (1..16).contains(&rate) {
        reader.reject(FIELD, rate, "must be 16 or more, which is what a list counts as, or 0 for no limit");
    }
    rate
}

fn drain(reader: &mut Reader) -> Drain {
    let drain = Drain {
        grace: reader.duration("listen.drain.grace", &(Duration::ZERO..=5 * MINUTE)),
        deadline: reader.duration("listen.drain.deadline", &(ms(1)..=HOUR)),
    };
    // A deadline of zero stands for one that was refused already.
    if !drain.deadline.is_zero() && drain.deadline <= drain.grace {
        reader.reject("listen.drain.deadline", text(drain.deadline), "must be longer than listen.drain.grace");
    }
    drain
}

fn tls(reader: &mut Reader) -> Tls {
    Tls {
        certificate: reader.path("tls.certificate"),
        key: reader.path("tls.key"),
        client_cas: client_cas(reader),
        crls: reader.list("tls.crls", "must be a list of files").into_iter().map(Into::into).collect(),
        denied: reader.optional_path("tls.denied"),
        reload_interval: reader.duration("tls.reloadInterval", &(ms(100)..=HOUR)),
    }
}

fn client_cas(reader: &mut Reader) -> Vec<ClientCa> {
    const ALLOWED: &str = "must be a list of CAs, each with `file` and `trustDomain` (or FILE=TRUST-DOMAIN)";
    let Some(values) = reader.values("tls.clientCas", ALLOWED) else { return Vec::new() };
    let mut cas = Vec::new();
    for (field, value) in &values {
        let Some(parts) = CaParts::of(value) else {
            let allowed = "must have `file` and `trustDomain`, optionally `identities`, and nothing else (or be FILE=TRUST-DOMAIN)";
            reader.wrong(field, value, allowed);
            continue;
        };
        let Some(forms) = parts.forms() else {
            let allowed = "must be a non-empty list of `uri`, `dns` and `cn`";
            reader.wrong(&format!("{field}.identities"), parts.identities.unwrap_or(value), allowed);
            continue;
        };
        match parts.trust_domain.parse() {
            Ok(trust_domain) => {
                cas.push(ClientCa { file: parts.file.into(), voucher: Voucher { trust_domain, forms } });
            }
            Err(error) => {
                reader.reject(&format!("{field}.trustDomain"), format!("{:?}", parts.trust_domain), format!("{error}"));
            }
        }
    }
    if values.is_empty() {
        reader.reject("tls.clientCas", "none", "must name one CA at least, or nobody could connect");
    }
    cas
}

/// The fields of one CA.
struct CaParts<'a> {
    file: &'a str,
    trust_domain: &'a str,
    identities: Option<&'a Value>,
}

impl<'a> CaParts<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        let parts = match &value.kind {
            ValueKind::String(text) => {
                let (file, trust_domain) = text.rsplit_once('=')?;
                Self { file, trust_domain, identities: None }
            }
            ValueKind::Table(fields) => {
                let text = |name: &str| text_of(fields.get(name)?);
                let (file, trust_domain, identities) = (text("file")?, text("trustDomain")?, fields.get("identities"));
                if fields.len() != 2 + usize::from(identities.is_some()) {
                    return None;
                }
                Self { file, trust_domain, identities }
            }
            _ => return None,
        };
        (!parts.file.is_empty()).then_some(parts)
    }

    /// The forms of ids that the CA may issue.
    fn forms(&self) -> Option<BTreeSet<IdForm>> {
        let Some(identities) = self.identities else { return Some(BTreeSet::from([IdForm::Uri, IdForm::Dns])) };
        let ValueKind::Array(names) = &identities.kind else { return None };
        let form = |name: &Value| {
            let name = text_of(name)?;
            [IdForm::Uri, IdForm::Dns, IdForm::Cn].into_iter().find(|form| form.as_str() == name)
        };
        let forms: Option<BTreeSet<_>> = names.iter().map(form).collect();
        forms.filter(|forms| !forms.is_empty())
    }
}

fn text_of(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

fn kubernetes(reader: &mut Reader) -> Kubernetes {
    const FIELD: &str = "kubernetes.annotations";
    let annotations = reader.list(FIELD, "must be a list of annotation keys, or of prefixes that end in *");
    for pattern in &annotations {
        let prefix = pattern.strip_suffix('*');
        if prefix.unwrap_or(pattern).contains('*') {
            reader.reject(FIELD, format!("{pattern:?}"), "must have its only * at the end");
        } else if prefix.map_or(LAST_APPLIED == pattern, |prefix| LAST_APPLIED.starts_with(prefix)) {
            reader.reject(
                FIELD,
                format!("{pattern:?}"),
                format!("must not cover {LAST_APPLIED}, which may hold secrets"),
            );
        }
    }
    Kubernetes {
        kubeconfig: reader.optional_path("kubernetes.kubeconfig"),
        context: reader.optional_text("kubernetes.context", "must be the name of a context"),
        namespaces: namespaces(reader),
        annotations,
    }
}

fn namespaces(reader: &mut Reader) -> Vec<String> {
    const FIELD: &str = "kubernetes.namespaces";
    let namespaces = reader.list(FIELD, "must be a list of names of namespaces");
    for (index, name) in namespaces.iter().enumerate() {
        if !dns::is_label(name) {
            reader.reject(&format!("{FIELD}[{index}]"), format!("{name:?}"), NAMESPACE);
        } else if namespaces[..index].contains(name) {
            reader.reject(&format!("{FIELD}[{index}]"), format!("{name:?}"), "is there twice");
        }
    }
    if namespaces.len() > MOST_NAMESPACES {
        let allowed = format!("must be {MOST_NAMESPACES} namespaces at most; to watch the whole cluster, name none");
        reader.reject(FIELD, namespaces.len(), allowed);
    }
    namespaces
}

fn lease(reader: &mut Reader, host: &Host) -> Lease {
    let lease = Lease {
        namespace: if reader.is_set("lease.namespace") {
            name(reader, "lease.namespace", 63, dns::is_label)
        } else {
            host.namespace.clone()
        },
        name: name(reader, "lease.name", 253, dns::is_subdomain),
        identity: reader
            .optional_text("lease.identity", "must be a name that no other gateway has")
            .unwrap_or_else(|| host.identity.clone()),
        duration: reader.duration("lease.duration", &(ms(1000)..=10 * MINUTE)),
        renew_deadline: reader.duration("lease.renewDeadline", &(ms(500)..=10 * MINUTE)),
        retry_period: reader.duration("lease.retryPeriod", &(ms(100)..=10 * MINUTE)),
    };
    if lease.duration.subsec_nanos() != 0 {
        reader.reject("lease.duration", text(lease.duration), "must be whole seconds, as a Lease counts them");
    }
    let ordered = |longer: Duration, shorter: Duration| longer.is_zero() || shorter.is_zero() || longer > shorter;
    if !ordered(lease.duration, lease.renew_deadline) {
        reader.reject("lease.duration", text(lease.duration), "must be longer than lease.renewDeadline");
    }
    if !ordered(lease.renew_deadline, lease.retry_period) {
        reader.reject("lease.renewDeadline", text(lease.renew_deadline), "must be longer than lease.retryPeriod");
    }
    lease
}

/// A name that `is_name` accepts, which has `max` characters at most.
fn name(reader: &mut Reader, field: &str, max: usize, is_name: fn(&str) -> bool) -> String {
    let allowed = format!("must be 1 to {max} lower-case letters, digits and inner dashes");
    let name = reader.text(field, &allowed).unwrap_or_default();
    if !name.is_empty() && !is_name(&name) {
        reader.reject(field, format!("{name:?}"), allowed);
    }
    name
}

fn log(reader: &mut Reader) -> Log {
    let format = reader.choice("log.format", &[("json", LogFormat::Json), ("human", LogFormat::Human)]);
    let filter = reader.text("log.filter", "must be a level or levels by module").unwrap_or_default();
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
        let allowed = format!("must be a level or levels by module, such as scalegate=debug,info: {error}");
        reader.reject("log.filter", format!("{filter:?}"), allowed);
    }
    Log { format, filter }
}

fn text(duration: Duration) -> impl std::fmt::Display {
    humantime::format_duration(duration)
}
