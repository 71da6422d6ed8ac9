//! `scalegate doctor`: goes the way of a request step by step, and says what to do where it ends.

mod certificates;
mod requests;
mod tls;

use std::fmt::Write;
use std::time::Duration;

use http::Uri;
use serde::Serialize;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::connect::ConnectArgs;
use super::connection::Gateway;
use super::error::ClientError;
use crate::cli::output;
use crate::text::escaped;
use certificates::Files;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Examines what a request needs, and shows what was found. A step that failed is an error.
pub(super) async fn doctor(args: &DoctorArgs) -> Result<(), ClientError> {
    let report = examine(&args.connect.choice()?.gateway).await;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.text())?;
    }
    let failed = report.steps.iter().filter(|finding| finding.state == State::Failed).count();
    if failed == 0 { Ok(()) } else { Err(ClientError::Unhealthy(failed)) }
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Requests work, but not for long or not as they should.
    Warning,
    Failed,
}

/// What was found at one step.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    step: &'static str,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// All findings, in the order of the steps. A step is missing where one that failed keeps it from being tried.
#[derive(Debug, Default, Serialize)]
struct Report {
    steps: Vec<Finding>,
}

impl Report {
    fn ok(&mut self, step: &'static str, detail: impl Into<String>) {
        self.steps.push(Finding { step, state: State::Ok, detail: detail.into(), remedy: None });
    }

    fn warn(&mut self, step: &'static str, detail: impl Into<String>, remedy: impl Into<String>) {
        let (detail, remedy) = (detail.into(), Some(remedy.into()));
        self.steps.push(Finding { step, state: State::Warning, detail, remedy });
    }

    fn fail(&mut self, step: &'static str, detail: impl Into<String>, remedy: impl Into<String>) {
        let (detail, remedy) = (detail.into(), Some(remedy.into()));
        self.steps.push(Finding { step, state: State::Failed, detail, remedy });
    }

    /// One line a step, and what to do below.
    fn text(&self) -> String {
        let width = self.steps.iter().map(|finding| finding.step.len()).max().unwrap_or_default();
        let mut text = String::new();
        for Finding { step, state, detail, remedy } in &self.steps {
            let mark = match state {
                State::Ok => "ok  ",
                State::Warning => "warn",
                State::Failed => "FAIL",
            };
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{mark}  {step:width$}  {}", escaped(detail));
            if let Some(remedy) = remedy {
                let _ = writeln!(text, "      {:width$}  → {}", "", escaped(remedy));
            }
        }
        text
    }
}

/// Examines everything that a request to `gateway` needs.
async fn examine(gateway: &Gateway) -> Report {
    let mut report = Report::default();
    let files = Files::read(gateway, &mut report);
    let Some(stream) = connect(&gateway.server, &mut report).await else { return report };
    let Some(files) = files else { return report };
    let Some(connection) = tls::handshake(&gateway.server, stream, &files, &mut report).await else { return report };
    requests::ask(&gateway.server, connection, &mut report).await;
    report
}

/// Host, without the brackets of an IPv6 address, and port.
fn host_and_port(server: &Uri) -> (String, u16) {
    let host = server.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    (host, server.port_u16().unwrap_or(443))
}

/// Looks the name up, and connects to the first address that accepts.
async fn connect(server: &Uri, report: &mut Report) -> Option<TcpStream> {
    let (host, port) = host_and_port(server);
    let remedy = "check --server; from outside of the cluster use the address of its load balancer or node, or \
                  `kubectl port-forward`";
    let addresses: Vec<_> = match timeout(PATIENCE, lookup_host((host.as_str(), port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            report.fail("name", format!("{host} has no address: {error}"), remedy);
            return None;
        }
        Err(_) => {
            report.fail("name", format!("no answer about {host} within {PATIENCE:?}"), "check the DNS server");
            return None;
        }
    };
    let shown: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
    report.ok("name", format!("{host} is {}", shown.join(", ")));
    let mut causes = Vec::new();
    for address in &addresses {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                report.ok("port", format!("{address} accepts connections"));
                return Some(stream);
            }
            Ok(Err(error)) => causes.push(format!("{address}: {error}")),
            Err(_) => causes.push(format!("{address}: no answer within {PATIENCE:?}")),
        }
    }
    let remedy = "is the gateway running (`kubectl get pods`), is the port that of its Service (8443 unless changed), and \
                  does a NetworkPolicy or firewall allow the way?";
    report.fail("port", causes.join("; "), remedy);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_table_with_remedies_below_what_failed() {
        let mut report = Report::default();
        report.ok("name", "localhost is 127.0.0.1");
        report.warn("certificate", "ends in 2 days", "renew it");
        report.fail("port", "connection refused", "start it");
        let expected = "ok    name         localhost is 127.0.0.1\n\
                        warn  certificate  ends in 2 days\n                   → renew it\n\
                        FAIL  port         connection refused\n                   → start it\n";
        assert_eq!(report.text(), expected);
    }
}
