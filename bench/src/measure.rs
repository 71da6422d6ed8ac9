//! One case: requests one after the other, each sent when the one before was answered.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use scalegate_tests::client::{self, Answer, Client, Connection, Sent};
use scalegate_tests::load::percentile;
use scalegate_tests::template::Template;

use crate::case::{Case, Connections};
use crate::machine;

/// How many requests a kept connection answers before it is measured.
const FIRST: u32 = 200;

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

/// How a server is reached.
pub(crate) enum Reached {
    /// With a client certificate.
    Tls(Client),
    /// Without TLS.
    Plain(SocketAddr),
}

/// A server that is measured.
pub(crate) struct Server {
    /// How it is reached.
    pub(crate) reached: Reached,
    /// Its processes.
    pub(crate) processes: Vec<u32>,
    /// The body for a server that takes one.
    pub(crate) question: String,
    /// A log that grows with each request.
    pub(crate) log: Option<PathBuf>,
}

impl Server {
    /// What it answers.
    pub(crate) async fn body(&self, case: Case) -> Result<Vec<u8>> {
        let answer = self.ask(case, &case.request(&self.question), &mut self.connect(case).await?).await?;
        Ok(answer.body.to_vec())
    }

    /// Asks it for as long as `time`; an error if one answer is not as it should be.
    pub(crate) async fn measure(&self, case: Case, time: Duration) -> Result<Sample> {
        let sample = self.sample(case, time).await.with_context(|| case.name())?;
        if let Some(log) = &self.log {
            File::options().write(true).truncate(true).open(log).context("shorten the log")?;
        }
        Ok(sample)
    }

    async fn sample(&self, case: Case, time: Duration) -> Result<Sample> {
        let request = case.request(&self.question);
        let mut connection = self.connect(case).await?;
        let size = self.ask(case, &request, &mut connection).await?.body.len();
        // A handshake or a long list is the same from the first time on.
        let first = Instant::now();
        for _ in 0..FIRST {
            if first.elapsed() > time / 4 {
                break;
            }
            self.ask(case, &request, &mut connection).await?;
        }
        let mut times = Vec::new();
        let (used, start) = (machine::processor_time(&self.processes)?, Instant::now());
        while start.elapsed() < time {
            let began = Instant::now();
            if case.connections() == Connections::New {
                connection = self.connect(case).await?;
            }
            let answer = self.ask(case, &request, &mut connection).await?;
            times.push(began.elapsed());
            let length = answer.body.len();
            ensure!(length.abs_diff(size) <= case.slack(), "a body has {length} bytes, the first had {size}");
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

    /// A connection for `case`.
    pub(crate) async fn connect(&self, case: Case) -> Result<Connection> {
        match (&self.reached, case.connections()) {
            (Reached::Tls(client), Connections::Http2) => client.http2().await,
            (Reached::Tls(client), Connections::Http1 | Connections::New) => client.http1().await,
            (Reached::Plain(address), _) => client::plain_http1(*address).await,
        }
    }

    /// Sends one request, and checks its answer.
    pub(crate) async fn ask(&self, case: Case, request: &Template, connection: &mut Connection) -> Result<Answer> {
        let Sent::Answered(answer) = request.send(case.codec(), connection).await? else {
            bail!("the server closed the connection");
        };
        if let Some(fault) = request.fault(case.codec(), &answer) {
            bail!("a wrong answer: {fault}");
        }
        Ok(*answer)
    }
}
