//! A running gateway: the real binary, in a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::client::Client;
use crate::paths::binary;
use crate::poll;
use crate::process::Process;
use crate::stack;

/// How long a gateway may take until it is ready.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// The same under another program.
const SLOWLY_READY_WITHIN: Duration = Duration::from_mins(5);

/// What a gateway is started with.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Names its files, and is its identity as a candidate for leadership.
    pub name: String,
    /// The cluster and the account to reach it with; `None` names none.
    pub kubeconfig: Option<PathBuf>,
    /// The namespaces to watch; none is the whole cluster.
    pub namespaces: Vec<String>,
    /// Certificates, as `make certs` lays them out.
    pub certs: PathBuf,
    /// More client CAs than those in `certs`: each one's file and trust domain.
    pub client_cas: Vec<(PathBuf, String)>,
    /// The directory with `policies.yaml`.
    pub policies: PathBuf,
    /// The namespace of the Lease.
    pub namespace: String,
    /// The name of the Lease: gateways of the same name elect one leader.
    pub lease: String,
    /// The address to serve on; port 0 chooses a free one.
    pub listen: SocketAddr,
    /// `listen.maxRequests`, of which one client may have half; `None` for the defaults.
    pub max_requests: Option<u32>,
    /// `policies.answerCacheBytes`; `None` for the default.
    pub answer_cache_bytes: Option<u32>,
    /// `listen.requestTimeout` in seconds; `None` for the default.
    pub request_timeout: Option<u32>,
    /// `listen.writeTimeout` in seconds; `None` for the default.
    pub write_timeout: Option<u32>,
    /// `listen.maxStreams`, of which one client may have half; `None` for the defaults.
    pub max_streams: Option<u32>,
    /// `listen.maxRequestsPerSecondPerClient`; 0, for any number, unless a test is about it.
    pub requests_per_second: u32,
    /// `listen.maxConnectionAge` in seconds; `None` for the default.
    pub max_connection_age: Option<u32>,
    /// `tls.denied`; `None` for no such list.
    pub denied: Option<PathBuf>,
    /// `traces.endpoint`; `None` for no spans.
    pub traces: Option<String>,
    /// The address of the admin port; port 0 chooses a free one.
    pub admin: SocketAddr,
    /// `audit.output`: a file, or `stdout`.
    pub audit: PathBuf,
    /// `audit.redact`; the key is that of the server's certificate, which is as good as any.
    pub redact: Vec<String>,
    /// The program and arguments to run it under; none by default.
    pub under: Vec<String>,
    /// A pipe in the place of the log file. The addresses must be given then, since nobody reads them in the log.
    pub stdout: Option<PathBuf>,
}

/// A gateway process. Dropping it ends it.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    certs: PathBuf,
    log: PathBuf,
    /// Where it serves.
    pub address: SocketAddr,
    /// Its admin port.
    pub admin: SocketAddr,
}

impl Gateway {
    /// Starts a gateway with its files under `work`, and waits until it is ready.
    pub async fn start(work: &Path, options: &GatewayOptions) -> Result<Self> {
        let gateway = Self::launch(work, options).await?;
        gateway.wait_ready(options.patience()).await?;
        Ok(gateway)
    }

    /// Starts a gateway and waits only until it serves.
    pub async fn launch(work: &Path, options: &GatewayOptions) -> Result<Self> {
        let directory = work.join(&options.name);
        std::fs::create_dir_all(&directory)?;
        let config = directory.join("scalegate.yaml");
        std::fs::write(&config, serde_json::to_string_pretty(&options.config())?)?;
        let command = ["serve", "--config", &config.display().to_string()].map(str::to_owned);
        let mut command = [&options.under[..], &[binary("scalegate")?.display().to_string()], &command].concat();
        let (program, arguments) = (PathBuf::from(command.remove(0)), command);
        let log = directory.join(format!("{}.log", options.name));
        // Else the addresses of an earlier gateway of this name would be read there.
        let _ = std::fs::remove_file(&log);
        let process = spawn(options, &program, &arguments, &directory).await?;
        let (address, admin) = match options.stdout {
            None => serving(&process, &log, options.patience()).await?,
            Some(_) => (options.listen, options.admin),
        };
        Ok(Self { process, certs: options.certs.clone(), log, address, admin })
    }

    /// A caller with the development certificate `name`.
    pub fn client(&self, name: &str) -> Result<Client> {
        Client::with_certificate(self.address, &self.certs, name)
    }

    /// The status and the body of an admin path.
    pub async fn admin(&self, path: &str) -> Result<(u16, String)> {
        plain_get(self.admin, path).await
    }

    /// The value of the metric whose line begins with `line`.
    pub async fn metric(&self, line: &str) -> Result<f64> {
        let (_, text) = self.admin("/metrics").await?;
        let found =
            text.lines().find(|candidate| candidate.starts_with(line)).with_context(|| format!("no metric {line}"))?;
        Ok(found.rsplit(' ').next().unwrap_or_default().parse()?)
    }

    /// Its log so far, one JSON document a line.
    pub fn log(&self) -> Vec<Value> {
        read_log(&self.log)
    }

    /// Its audit records so far, which share the file of its log.
    pub fn records(&self) -> Vec<Value> {
        read_records(&self.log)
    }

    /// The file of its log.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether the process runs.
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Ends it as Kubernetes does, with SIGTERM, and waits for the end.
    pub async fn terminate(self) -> Result<()> {
        let status = self.process.terminate().await?;
        ensure!(status.success(), "the gateway ended with {status}");
        Ok(())
    }

    /// Ends it as a crash does, with SIGKILL.
    pub async fn kill(self) -> Result<()> {
        self.process.kill().await?;
        Ok(())
    }

    async fn wait_ready(&self, patience: Duration) -> Result<()> {
        poll::until("the gateway to be ready", patience, async || {
            let last = self.admin("/readyz").await;
            if matches!(last, Ok((200, _))) {
                return Ok(ControlFlow::Break(()));
            }
            self.process.check()?;
            Ok(ControlFlow::Continue(format!("{last:?}\n{}", self.process.log_tail())))
        })
        .await
    }
}

impl GatewayOptions {
    /// A gateway with the system's Lease, for the whole cluster, on ports of its own, and with its records in its log.
    #[must_use]
    pub fn new(name: &str, kubeconfig: PathBuf, certs: PathBuf, policies: PathBuf) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            name: name.to_owned(),
            kubeconfig: Some(kubeconfig),
            namespaces: Vec::new(),
            certs,
            client_cas: Vec::new(),
            policies,
            namespace: stack::SYSTEM.to_owned(),
            lease: stack::LEASE.to_owned(),
            listen: any,
            max_requests: None,
            answer_cache_bytes: None,
            request_timeout: None,
            write_timeout: None,
            max_streams: None,
            requests_per_second: 0,
            max_connection_age: None,
            denied: None,
            traces: None,
            admin: any,
            audit: "stdout".into(),
            redact: Vec::new(),
            under: Vec::new(),
            stdout: None,
        }
    }

    /// How long the gateway may take until it is ready.
    fn patience(&self) -> Duration {
        if self.under.is_empty() { READY_WITHIN } else { SLOWLY_READY_WITHIN }
    }

    /// The configuration file, as JSON, which is YAML too.
    fn config(&self) -> Value {
        let mut listen = json!({
            "address": self.listen,
            "maxRequestsPerSecondPerClient": self.requests_per_second,
            "drain": { "grace": "500ms", "deadline": "10s" },
        });
        if let Some(max_requests) = self.max_requests {
            listen["maxRequests"] = max_requests.into();
            listen["maxRequestsPerClient"] = (max_requests / 2).into();
        }
        let mut policies = json!({ "directory": self.policies, "reloadInterval": "200ms" });
        if let Some(bytes) = self.answer_cache_bytes {
            policies["answerCacheBytes"] = bytes.into();
        }
        if let Some(seconds) = self.request_timeout {
            listen["requestTimeout"] = format!("{seconds}s").into();
        }
        if let Some(seconds) = self.write_timeout {
            listen["writeTimeout"] = format!("{seconds}s").into();
        }
        if let Some(max_streams) = self.max_streams {
            listen["maxStreams"] = max_streams.into();
            listen["maxStreamsPerClient"] = (max_streams / 2).into();
        }
        if let Some(seconds) = self.max_connection_age {
            listen["maxConnectionAge"] = format!("{seconds}s").into();
        }
        let mut client_cas = vec![json!({ "file": self.certs.join("ca.pem"), "trustDomain": "scalegate.test" })];
        client_cas.extend(self.client_cas.iter().map(|(file, domain)| json!({ "file": file, "trustDomain": domain })));
        let mut tls = json!({
            "certificate": self.certs.join("server.pem"),
            "key": self.certs.join("server-key.pem"),
            "clientCas": client_cas,
            "crls": [self.certs.join("crl.pem")],
            "reloadInterval": "200ms",
        });
        if let Some(denied) = &self.denied {
            tls["denied"] = json!(denied);
        }
        let traces = self.traces.as_ref().map_or_else(|| json!({}), |endpoint| json!({ "endpoint": endpoint }));
        json!({
            "listen": listen,
            "admin": { "address": self.admin },
            "tls": tls,
            "policies": policies,
            "kubernetes": { "kubeconfig": self.kubeconfig, "namespaces": self.namespaces },
            "lease": { "namespace": self.namespace, "name": self.lease, "identity": self.name },
            "audit": {
                "output": self.audit,
                "redact": self.redact,
                "redactKeyFile": self.certs.join("server-key.pem"),
            },
            "log": { "format": "json" },
            "traces": traces,
        })
    }
}

async fn spawn(options: &GatewayOptions, program: &Path, arguments: &[String], logs: &Path) -> Result<Process> {
    let Some(pipe) = &options.stdout else {
        return Process::spawn(&options.name, program, arguments, &[], logs).await;
    };
    let shell = ["-c".to_owned(), "exec \"$0\" \"$@\" >\"$PIPE\"".to_owned(), program.display().to_string()];
    let pipe = pipe.display().to_string();
    Process::spawn(&options.name, Path::new("/bin/sh"), &[&shell, arguments].concat(), &[("PIPE", &pipe)], logs).await
}

/// The lines of a gateway's log.
pub fn read_log(path: &Path) -> Vec<Value> {
    let mut lines = read_lines(path);
    lines.retain(|line| line["schema"].is_null());
    lines
}

/// The audit records in a gateway's log, or in a file of their own.
pub fn read_records(path: &Path) -> Vec<Value> {
    let mut lines = read_lines(path);
    lines.retain(|line| !line["schema"].is_null());
    lines
}

fn read_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The addresses that the gateway's log says it serves on.
async fn serving(process: &Process, log: &Path, patience: Duration) -> Result<(SocketAddr, SocketAddr)> {
    poll::until("the gateway to serve", patience, async || {
        if let Some(line) = read_log(log).into_iter().find(|line| line["message"] == "serving") {
            let address =
                |field: &str| line[field].as_str().unwrap_or_default().parse().context("an address in the log");
            return Ok(ControlFlow::Break((address("address")?, address("admin")?)));
        }
        process.check()?;
        Ok(ControlFlow::Continue(process.log_tail()))
    })
    .await
}

/// The status and the body of a path of a server without TLS.
pub async fn plain_get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    use http_body_util::BodyExt;

    let tcp = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(tcp)).await?;
    tokio::spawn(connection);
    let request =
        http::Request::get(path).header("host", "localhost").body(http_body_util::Empty::<bytes::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
