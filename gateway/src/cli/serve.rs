//! `scalegate serve`: builds the parts, serves, drains.

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin::{Admin, Readiness, ReadyHandle, StatusPage};
use crate::api::{Api, ApiMetrics, Cursors, GrpcApi, HttpApi, Limits, Observer, Operations};
use crate::audit::{Audit, AuditMetrics, AuditSettings, RedactKey, Redaction};
use crate::clients::{Bound, Bounds, Clients, threads};
use crate::config::{Args, Config};
use crate::lines::LineWriter;
use crate::listener::{self, Listener, ListenerMetrics, LiveTls};
use crate::policy::{self, Engine, Policy, PolicyMetrics};
use crate::reconciler::{LeaseSettings, Reconciler, ReconcilerMetrics};
use crate::replicas::{Replicas, ReplicasMetrics, ReplicasSettings};
use crate::shutdown::{Shutdown, Signals};
use crate::targets::Targets;
use crate::trace::Spans;
use crate::{config, kubernetes, telemetry};

use super::Failure;

/// Files and connections that the gateway opens beside those of clients, and handshakes, generously.
const OTHER_FILES: u64 = 2048;
/// How long shutdown waits for writes in flight after the last connection closes: the deadline of one API server
/// request.
const WRITES_END: Duration = Duration::from_secs(10);

/// The changes under way: one client must not monopolize the API server.
const CHANGES: Bound = Bound { all: 256, of_client: 16 };
/// The refused requests that wait for the rest of their bodies.
const REFUSALS: Bound = Bound { all: 1000, of_client: 50 };
/// How long shutdown waits for tasks that are abandoned.
const TASKS_END: Duration = Duration::from_secs(1);
/// How long shutdown waits for audit records and log lines that are not written yet.
const LINES_END: Duration = Duration::from_secs(5);

/// Runs the gateway until a signal, and through its drain.
pub(super) fn serve(args: &Args) -> Result<(), Failure> {
    let config = Config::load(args)?;
    let mut registry = telemetry::registry();
    let log = telemetry::init_logging(&config.log, &mut registry).context("log")?;
    kubernetes::install_tls_provider();
    let (audit, records) = audit(&config, &mut registry)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads()).enable_all().build();
    let runtime = runtime.context("cannot start threads")?;
    let handshakes = listener::handshake_threads().context("cannot start threads")?;
    let ended = runtime.block_on(async {
        let signals = Signals::install().context("cannot take over signals")?;
        let (trigger, shutdown) = Shutdown::new();
        tokio::select! {
            ended = run(config, audit, registry, shutdown, handshakes.handle().clone()) => Ok(ended?),
            code = signals.watch(trigger) => Err(Failure::Aborted(code)),
        }
    });
    // Writes that are abandoned say so in their records, before the queue closes.
    runtime.shutdown_timeout(TASKS_END);
    handshakes.shutdown_background();
    if !records.close(LINES_END) {
        tracing::error!("stopping while audit records wait to be written: nobody reads their output");
    }
    log.close(LINES_END);
    ended
}

async fn run(
    config: Config,
    audit: Audit,
    mut registry: Registry,
    shutdown: Shutdown,
    handshakes: Handle,
) -> Result<()> {
    let readiness = Readiness::default();
    let mut background = Background::default();
    allow_open_files(config.listen.max_connections);

    let listening = ListenerMetrics::register(&mut registry);
    let (deciding, answering) = (PolicyMetrics::register(&mut registry), ApiMetrics::register(&mut registry));
    let tls = certificates(&config.tls, listening.clone(), &mut background)?;
    let spans = spans(&config)?;
    let (kubeconfig, context) = (config.kubernetes.kubeconfig.as_deref(), config.kubernetes.context.as_deref());
    let client = kubernetes::client(kubeconfig, context).await.context("kubernetes")?;
    let replicas = watch(&config.kubernetes, &client, &mut registry, readiness.condition("cache"), &mut background);
    reopen_at_hangup(audit.clone(), &mut background)?;
    let reconciler = Reconciler::new(
        lease(&config.lease),
        client.clone(),
        replicas.clone(),
        ReconcilerMetrics::register(&mut registry),
    )?;

    // Probes are asked from before the policies compile, which may take a while, until the very end: so the admin port
    // has a shutdown of its own.
    let serving = readiness.condition("policies");
    let loaded = Arc::new(OnceLock::new());
    let status = status(&tls, &reconciler, audit.clone(), loaded.clone());
    let admin = Admin::bind(&config.admin, readiness.clone(), registry, status)?;
    let admin_address = admin.local_addr();
    let (_end, never) = Shutdown::new();
    background.spawn("the admin port", admin.serve(never));

    let (policy, monitor) = policies(&config.policies, &replicas, audit, deciding, &mut background).await?;
    // This is the only place that sets it.
    let _ = loaded.set(monitor);
    let listener = Listener::bind(&config.listen, tls.clone(), clients(&config), listening, handshakes)?;
    let targets = Targets::new(&client, spans.clone());
    let operations = Arc::new(Operations::new(
        policy,
        targets.clone(),
        cursors(&tls, &mut background)?,
        shutdown.clone(),
        answering.clone(),
    ));
    let limits =
        Limits { max_body_bytes: config.listen.max_body_bytes, request_timeout: config.listen.request_timeout };
    let observer = Observer { metrics: answering, spans: spans.clone() };
    let http = HttpApi::new(operations.clone(), replicas.monitor(), limits, observer.clone());
    let grpc = GrpcApi::new(operations, replicas.monitor(), shutdown.clone(), limits, observer)
        .context("the descriptors of gRPC cannot be read")?;
    tracing::info!(address = %listener.local_addr(), admin = %admin_address, "serving");
    serving.set(true);
    let announce = async {
        shutdown.recv().await;
        readiness.drain();
        Ok(())
    };
    // On a thread that serves connections: another one would have to be woken for each new connection, and wake one in turn.
    let listening = tokio::spawn(listener.serve(Arc::new(Api::new(http, grpc)), shutdown.clone()));
    let serve = async { listening.await.context("the listener failed") };
    // Without the reconciler nothing that is accepted would ever arrive: its failure ends the process.
    let reconcile = async { reconciler.run(shutdown.recv()).await.context("the reconciler failed") };
    tokio::select! {
        served = async { tokio::try_join!(serve, reconcile, announce) } => drop(served?),
        ended = background.ended() => return ended,
    }
    if timeout(WRITES_END, targets.ended()).await.is_err() {
        tracing::warn!("stopping while writes are under way: the API server has not answered them");
    }
    // It blocks.
    let _ = tokio::task::spawn_blocking(move || spans.close()).await;
    tracing::info!("stopped");
    Ok(())
}

/// What `/status` shows.
fn status(
    tls: &LiveTls,
    reconciler: &Reconciler,
    audit: Audit,
    policies: Arc<OnceLock<policy::Monitor>>,
) -> StatusPage {
    let (tls, leadership) = (tls.clone(), reconciler.leadership());
    StatusPage::default()
        .with("policies", move || policies.get().map(policy::Monitor::status))
        .with("tls", move || tls.status())
        .with("audit", move || audit.status())
        .with("leader", move || leadership.borrow().is_leader())
}

/// What each client may hold.
fn clients(config: &Config) -> Clients {
    let listen = &config.listen;
    let bounds = Bounds {
        connections: Bound { all: listen.max_connections, of_client: listen.max_connections_per_client },
        requests: Bound { all: listen.max_requests, of_client: listen.max_requests_per_client },
        changes: CHANGES,
        streams: Bound { all: listen.max_streams, of_client: listen.max_streams_per_client },
        refusals: REFUSALS,
        rate: u32::try_from(listen.max_requests_per_second_per_client).ok().and_then(NonZeroU32::new),
    };
    Clients::new(&bounds, config.tls.client_cas.iter().map(|ca| ca.voucher.trust_domain.as_str()))
}

/// Where spans go, if anywhere.
fn spans(config: &Config) -> Result<Spans> {
    let Some(endpoint) = &config.traces.endpoint else { return Ok(Spans::default()) };
    let spans = Spans::start(endpoint, config.traces.sample_ratio, &config.lease.identity)?;
    tracing::info!(endpoint, "spans are exported");
    Ok(spans)
}

/// Opens the output of the audit records.
fn audit(config: &Config, registry: &mut Registry) -> Result<(Audit, LineWriter)> {
    let settings = AuditSettings {
        output: config.audit.output.clone(),
        queue_bytes: config.audit.queue_bytes,
        when_full: config.audit.when_full,
        gateway: config.lease.identity.clone(),
        redaction: redaction(&config.audit)?,
    };
    let output = settings.output.to_string();
    let started = Audit::start(settings, AuditMetrics::register(registry));
    let started = started.with_context(|| format!("audit.output: cannot open {output}"))?;
    tracing::info!(output, "audit records are written");
    Ok(started)
}

/// What is redacted in audit records.
fn redaction(settings: &config::Audit) -> Result<Option<Redaction>> {
    match &settings.redact_key_file {
        Some(file) if !settings.redact.is_empty() => {
            Ok(Some(Redaction::new(settings.redact.clone(), RedactKey::read(file)?)))
        }
        _ => Ok(None),
    }
}

/// Reopens the audit output at SIGHUP, after the file was rotated.
fn reopen_at_hangup(audit: Audit, background: &mut Background) -> Result<()> {
    let mut hangups = signal(SignalKind::hangup()).context("cannot take over SIGHUP")?;
    background.spawn("the watch for SIGHUP", async move {
        while hangups.recv().await.is_some() {
            audit.reopen();
        }
    });
    Ok(())
}

/// Raises the limit of open files to what the system allows, since most systems start processes with few.
fn allow_open_files(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let limit = getrlimit(Resource::Nofile).current;
    if limit.is_some_and(|limit| limit < connections as u64 + OTHER_FILES) {
        tracing::warn!(limit, connections, "listen.maxConnections is more than the limit of open files allows");
    }
}

/// Starts the watches; `ready` holds once each has listed.
fn watch(
    settings: &config::Kubernetes,
    client: &kube::Client,
    registry: &mut Registry,
    ready: ReadyHandle,
    background: &mut Background,
) -> Replicas {
    let settings = ReplicasSettings {
        namespaces: settings.namespaces.clone(),
        annotations: settings.annotations.clone(),
        ..ReplicasSettings::default()
    };
    let (replicas, watches) = Replicas::new(settings, client.clone(), &ReplicasMetrics::register(registry));
    background.spawn("the watches", async move {
        let error = watches.await;
        tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "the watches ended");
    });
    let synced = replicas.clone();
    background.spawn("readiness", async move {
        synced.synced().await;
        ready.set(true);
        std::future::pending::<()>().await;
    });
    replicas
}

/// Loads the policies, which must be good at the start, and keeps looking for new ones.
async fn policies(
    settings: &config::Policies,
    replicas: &Replicas,
    audit: Audit,
    metrics: PolicyMetrics,
    background: &mut Background,
) -> Result<(Arc<Policy>, policy::Monitor)> {
    let engine = match &settings.compiled_directory {
        Some(directory) => Engine::keeping_compiled(directory)?,
        None => Engine::new()?,
    };
    let (directory, bytes) = (settings.directory.clone(), settings.answer_cache_bytes);
    let (policy, monitor, reloader) = Policy::open(engine, directory, bytes, replicas.clone(), metrics, audit).await?;
    background.spawn("the reloading of policies", reloader.run(settings.reload_interval, std::future::pending()));
    Ok((Arc::new(policy), monitor))
}

/// Loads certificates and keys, which must be good at the start, and keeps looking for new ones.
fn certificates(settings: &config::Tls, metrics: ListenerMetrics, background: &mut Background) -> Result<LiveTls> {
    let (reloader, live) = listener::TlsReloader::start(settings, metrics)?;
    background.spawn("the reloading of certificates", reloader.run(std::future::pending()));
    Ok(live)
}

/// Cursors under the server's key, whichever it is: all gateways of one installation have it, and so understand each
/// other's.
fn cursors(tls: &LiveTls, background: &mut Background) -> Result<Arc<Cursors>> {
    let mut secret = tls.secret();
    let first = secret.borrow_and_update().clone();
    let cursors = Arc::new(Cursors::new(first.as_bytes()).context("the cursors' key cannot be derived")?);
    let rotated = cursors.clone();
    background.spawn("the rotation of the cursors' key", async move {
        while secret.changed().await.is_ok() {
            let next = secret.borrow_and_update().clone();
            if rotated.rotate(next.as_bytes()).is_err() {
                tracing::error!(
                    "the cursors' key cannot be derived from the server's new key: the one before serves on"
                );
            }
        }
    });
    Ok(cursors)
}

fn lease(settings: &config::Lease) -> LeaseSettings {
    LeaseSettings {
        namespace: settings.namespace.clone(),
        name: settings.name.clone(),
        identity: settings.identity.clone(),
        lease_duration: settings.duration,
        renew_deadline: settings.renew_deadline,
        retry_period: settings.retry_period,
    }
}

/// Tasks that go on as long as the process: if one ends, so does the process, rather than limp on without it.
#[derive(Default)]
struct Background(JoinSet<&'static str>);

impl Background {
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(async move {
            task.await;
            name
        });
    }

    async fn ended(&mut self) -> Result<()> {
        match self.0.join_next().await {
            Some(Ok(name)) => bail!("{name} ended"),
            Some(Err(error)) => Err(error).context("a background task failed"),
            None => std::future::pending().await,
        }
    }
}
