//! `make terminal-docs`: records a session with the client in the environment of `make dev`, into `docs/terminal.svg`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use scalegate_tests::paths::{built, repository};
use scalegate_tests::recording;
use scalegate_tests::sandbox::{NAMESPACE, Sandbox, conclude};

#[tokio::main]
async fn main() -> ExitCode {
    conclude(run().await)
}

async fn run() -> Result<()> {
    let kubectl = built("tests/plugin/build.sh").await?.context("kubectl is built with Go")?.join("kubectl");
    let work = repository().join("target/terminal");
    let sandbox = tokio::select! {
        sandbox = Sandbox::start(&work, 0, 0, |step| println!("-- {step}")) => sandbox?,
        _ = tokio::signal::ctrl_c() => return Ok(()),
    };
    let contexts = work.join("scalegate.yaml");
    sandbox.write_contexts(&contexts).await?;
    println!("-- recording");
    let operator = sandbox.gateway.client("operator")?;
    let recorded = recording::record(&contexts, &operator, NAMESPACE, &kubectl).await;
    sandbox.stop().await?;
    std::fs::write(repository().join("docs/terminal.svg"), recorded?)?;
    println!("docs/terminal.svg is written: look at it before you commit it");
    Ok(())
}
