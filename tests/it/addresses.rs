//! On which addresses the ports are: by default on all of IPv6 and IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::Command;

use anyhow::Result;
use scalegate_tests::client::Client;
use scalegate_tests::gateway::{Gateway, GatewayOptions, plain_get};
use scalegate_tests::paths::repository;
use scalegate_tests::poll;
use scalegate_tests::suite;

/// The default addresses, with free ports.
fn by_default(options: GatewayOptions) -> GatewayOptions {
    let every = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    GatewayOptions { listen: every, admin: every, ..options }
}

/// Asserts that both ports answer at `ip`, and that the client is recorded there.
async fn assert_answers(gateway: &Gateway, options: &GatewayOptions, ip: IpAddr) -> Result<()> {
    let at = |address: SocketAddr| SocketAddr::new(ip, address.port());
    assert_eq!(plain_get(at(gateway.admin), "/livez").await?.0, 200, "{ip}");
    let client = Client::with_certificate(at(gateway.address), &options.certs, "viewer")?;
    assert_eq!(client.get("/v1/deployments").await?.status, 200, "{ip}");
    let from = SocketAddr::new(ip, 0).to_string();
    let from = from.strip_suffix('0').unwrap_or(&from);
    poll::eventually(&format!("a record from {from}"), async || {
        let records = gateway.records();
        let peers: Vec<_> = records.iter().filter_map(|record| record["peer"].as_str()).collect();
        Ok(peers.iter().any(|peer| peer.starts_with(from)).then_some(()))
    })
    .await
}

#[tokio::test]
async fn both_ports_answer_over_ipv4_and_ipv6() -> Result<()> {
    let suite = suite::exclusive().await?;
    let options = by_default(suite.options("dual-stack"));
    let gateway = suite.start(&options).await?;
    assert_answers(&gateway, &options, Ipv4Addr::LOCALHOST.into()).await?;
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        assert_answers(&gateway, &options, Ipv6Addr::LOCALHOST.into()).await?;
    } else {
        println!("skipped, without ::1 on this machine: IPv6");
    }
    gateway.terminate().await
}

#[tokio::test]
async fn a_gateway_without_ipv6_starts_and_answers_over_ipv4() -> Result<()> {
    let suite = suite::exclusive().await?;
    let mut options = by_default(suite.options("without-ipv6"));
    let script = repository().join("tests/it/addresses/without_ipv6.py").display().to_string();
    options.under = ["python3", &script].map(str::to_owned).to_vec();
    if !Command::new("python3").arg(&script).arg("true").status().is_ok_and(|status| status.success()) {
        println!("skipped: there is no Python here, or no seccomp");
        return Ok(());
    }
    let gateway = suite.start(&options).await?;
    assert!(gateway.address.is_ipv4() && gateway.admin.is_ipv4(), "{} {}", gateway.address, gateway.admin);
    assert_answers(&gateway, &options, Ipv4Addr::LOCALHOST.into()).await?;
    let said = gateway.log().iter().filter(|line| line["message"].to_string().contains("has no IPv6")).count();
    assert_eq!(said, 2);
    gateway.terminate().await
}
