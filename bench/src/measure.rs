//! One case: requests over a kept mTLS connection, each sent when the one before was answered.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use scalegate_tests::client::{Answer, Client, Connection, Sent};
use scalegate_tests::gateway::Gateway;
use scalegate_tests::load::percentile;
use scalegate_tests::template::{Codec, Template};

use crate::cluster::{NAME, NAMESPACE};
use crate::machine;
use crate::nginx::Nginx;

/// The certificate of the client.
const CLIENT: &str = "viewer";
/// How many requests a new connection answers before it is measured.
const FIRST: u32 = 200;
/// By how many bytes the gateway's bodies may differ: they say how old their facts are.
const AGE_BYTES: usize = 9;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Case {
    NginxHttp1,
    NginxHttp2,
    ReadHttp1,
    ReadHttp2,
    ReadGrpc,
}

impl Case {
    /// In the order of the table. The two whose difference is of interest follow on each other.
    pub(crate) const ALL: [Self; 5] =
        [Self::NginxHttp1, Self::NginxHttp2, Self::ReadHttp1, Self::ReadHttp2, Self::ReadGrpc];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NginxHttp1 => "nginx, static file, HTTP/1.1",
            Self::NginxHttp2 => "nginx, static file, HTTP/2",
            Self::ReadHttp1 => "gateway, authorised read, HTTP/1.1",
            Self::ReadHttp2 => "gateway, authorised read, HTTP/2",
            Self::ReadGrpc => "gateway, authorised read, gRPC",
        }
    }

    pub(crate) fn is_nginx(self) -> bool {
        matches!(self, Self::NginxHttp1 | Self::NginxHttp2)
    }

    fn codec(self) -> Codec {
        if self == Self::ReadGrpc { Codec::Grpc } else { Codec::Json }
    }

    async fn connect(self, client: &Client) -> Result<Connection> {
        match self {
            Self::NginxHttp1 | Self::ReadHttp1 => client.http1().await,
            Self::NginxHttp2 | Self::ReadHttp2 | Self::ReadGrpc => client.http2().await,
        }
    }
}

/// What one case took in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// The server's processor time for a request.
    pub(crate) cpu: Duration,
    /// Requests a second.
    pub(crate) rate: f64,
    /// The time of an answer at the median.
    pub(crate) p50: Duration,
    /// The time that 99 of 100 answers are below.
    pub(crate) p99: Duration,
}

/// A server that is measured.
pub(crate) struct Server {
    /// A caller with a certificate.
    pub(crate) client: Client,
    processes: Vec<u32>,
    request: Template,
    /// By how many bytes two bodies may differ.
    slack: usize,
    /// A log that grows with each request.
    log: Option<PathBuf>,
}

impl Server {
    /// The gateway.
    pub(crate) fn gateway(gateway: &Gateway) -> Result<Self> {
        Ok(Self {
            client: gateway.client(CLIENT)?,
            processes: vec![gateway.pid()],
            request: Template::get(NAMESPACE, NAME),
            slack: AGE_BYTES,
            log: Some(gateway.log_path().to_owned()),
        })
    }

    /// nginx, which is asked for the same path with the same certificate.
    pub(crate) fn nginx(nginx: &Nginx, certs: &Path) -> Result<Self> {
        Ok(Self {
            client: Client::with_certificate(nginx.address, certs, CLIENT)?,
            processes: nginx.processes()?,
            request: Template::get(NAMESPACE, NAME),
            slack: 0,
            log: None,
        })
    }

    /// What it answers over HTTP.
    pub(crate) async fn body(&self) -> Result<Vec<u8>> {
        let case = Case::ReadHttp1;
        let answer = self.ask(case, &mut case.connect(&self.client).await?).await?;
        Ok(answer.body.to_vec())
    }

    /// Asks it for as long as `time` over a new connection; an error if one answer is not as it should be.
    pub(crate) async fn measure(&self, case: Case, time: Duration) -> Result<Sample> {
        let sample = self.sample(case, time).await.with_context(|| case.name())?;
        if let Some(log) = &self.log {
            File::options().write(true).truncate(true).open(log).context("shorten the log")?;
        }
        Ok(sample)
    }

    async fn sample(&self, case: Case, time: Duration) -> Result<Sample> {
        let mut connection = case.connect(&self.client).await?;
        let size = self.ask(case, &mut connection).await?.body.len();
        for _ in 0..FIRST {
            self.ask(case, &mut connection).await?;
        }
        let mut times = Vec::new();
        let (used, start) = (machine::processor_time(&self.processes)?, Instant::now());
        while start.elapsed() < time {
            let began = Instant::now();
            let answer = self.ask(case, &mut connection).await?;
            times.push(began.elapsed());
            let length = answer.body.len();
            ensure!(length.abs_diff(size) <= self.slack, "a body has {length} bytes, the first had {size}");
        }
        let took = start.elapsed();
        let used = machine::processor_time(&self.processes)?.saturating_sub(used);
        times.sort();
        let requests = u32::try_from(times.len()).context("too many requests")?;
        Ok(Sample {
            cpu: used / requests,
            rate: f64::from(requests) / took.as_secs_f64(),
            p50: percentile(&times, 50),
            p99: percentile(&times, 99),
        })
    }

    async fn ask(&self, case: Case, connection: &mut Connection) -> Result<Answer> {
        let Sent::Answered(answer) = self.request.send(case.codec(), connection).await? else {
            bail!("the server closed the connection");
        };
        if let Some(fault) = self.request.fault(case.codec(), &answer) {
            bail!("a wrong answer: {fault}");
        }
        Ok(*answer)
    }
}
