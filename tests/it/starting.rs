//! What a gateway does before its policies are ready.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use scalegate_tests::gateway::plain_get;
use scalegate_tests::poll;
use scalegate_tests::ports::ReservedPort;
use scalegate_tests::suite;
use serde_json::{Value, json};

use crate::modules::{entry, handmade_with, write_set};

/// So many functions take the compiler seconds, and cost less than a module may.
const FUNCTIONS: usize = 30_000;

#[tokio::test]
async fn probes_are_answered_while_the_policies_compile() -> Result<()> {
    let suite = suite::exclusive().await?;
    let mut options = suite.options("compiling");
    options.policies = suite.directory("compiling-policies")?;
    let module = handmade_with("(i32.const 4096)", &"(func)".repeat(FUNCTIONS))?;
    let manifest = json!({"modules": [entry("slow", &module)]}).to_string();
    write_set(&options.policies, &manifest, &[("slow.wasm".to_owned(), module)])?;
    let admin = ReservedPort::reserve()?;
    options.admin = SocketAddr::from((Ipv4Addr::LOCALHOST, admin.release()));
    let answers = async {
        let live = async || Ok(plain_get(options.admin, "/livez").await.ok());
        let (live, _) = poll::eventually("the admin port", live).await?;
        let ready = plain_get(options.admin, "/readyz").await?;
        let status: Value = serde_json::from_str(&plain_get(options.admin, "/status").await?.1).context("a status")?;
        Ok((live, ready, status))
    };
    let (gateway, (live, (ready, why), status)) = tokio::try_join!(suite.launch(&options), answers)?;
    assert_eq!((live, ready, &status["policies"]), (200, 503, &Value::Null), "{why} {status}");
    assert!(why.contains("policies: not ok"), "{why}");
    poll::eventually("the gateway to be ready", async || Ok((gateway.admin("/readyz").await?.0 == 200).then_some(())))
        .await?;
    gateway.terminate().await
}
