//! Updates of a directory of policies that are seen while they are half done: the last good set serves on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use scalegate_tests::gateway::Gateway;
use scalegate_tests::policies::copy;
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::json;

use super::policies;
use crate::modules::{entry, handmade};

/// Waits until the gateway says `told` of the files, and sees that the set from before decides: it lets the viewer look,
/// and refuses a stranger, whom the new one would let look too.
async fn serves_on(gateway: &Gateway, told: &str) -> Result<()> {
    poll::eventually(told, async || {
        let error = policies(gateway).await?["lastError"]["message"].clone();
        Ok(error.as_str().is_some_and(|error| error.contains(told)).then_some(()))
    })
    .await?;
    ensure!(looks(gateway).await? == [404, 403], "another set decides: {told}");
    Ok(())
}

/// The answers to the viewer and to a stranger, about what is not there.
async fn looks(gateway: &Gateway) -> Result<[u16; 2]> {
    let path = suite::replicas("default", "web");
    let [viewer, stranger] = ["viewer", "stranger"].map(|name| gateway.client(name));
    Ok([viewer?.get(&path).await?.status, stranger?.get(&path).await?.status])
}

/// Writes a file in place, byte after byte as far as others can see, up to `end`.
fn write(directory: &Path, name: &str, content: &[u8], end: usize) -> Result<()> {
    fs::write(directory.join(name), content.get(..end).context("a longer file")?)?;
    Ok(())
}

#[tokio::test]
async fn the_last_good_set_serves_while_an_update_is_half_copied() -> Result<()> {
    let suite = suite::exclusive().await?;
    let directory = suite.directory("half-copied-policies")?;
    copy("normal", &directory)?;
    let mut options = suite.options("half-copied");
    options.policies.clone_from(&directory);
    let gateway = suite.start(&options).await?;

    let module = handmade("(i32.const 4096)")?;
    let manifest = json!({ "modules": [entry("scalegate", &module)] }).to_string().into_bytes();
    for end in [0, 1, 8, module.len() / 2, module.len() - 1, module.len()] {
        write(&directory, "scalegate.wasm", &module, end)?;
        serves_on(&gateway, &format!("its sha256 is {}", crate::modules::sha256(&module[..end]))).await?;
    }
    for (end, told) in [(0, "policies.yaml"), (1, "policies.yaml"), (manifest.len() - 1, "policies.yaml")] {
        write(&directory, "policies.yaml", &manifest, end)?;
        serves_on(&gateway, told).await?;
    }
    write(&directory, "scalegate.wasm", &module, module.len() - 1)?;
    write(&directory, "policies.yaml", &manifest, manifest.len())?;
    serves_on(&gateway, "its sha256 is").await?;
    write(&directory, "scalegate.wasm", &module, module.len())?;
    poll::eventually("the update to serve", async || Ok((looks(&gateway).await? == [404, 404]).then_some(()))).await?;
    ensure!(policies(&gateway).await?["lastError"].is_null(), "the update serves, and an error is told");
    gateway.terminate().await
}
