//! Starts a control plane and stays up until Ctrl-C.
use scalegate_tests::controlplane::{ControlPlane, binaries};
use std::path::Path;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let work = std::env::args().nth(1).unwrap_or_else(|| "target/cluster".into());
    let started = std::time::Instant::now();
    let plane = ControlPlane::start(&binaries()?, Path::new(&work)).await?;
    println!("KUBECONFIG={} after {:?}", plane.admin_kubeconfig().display(), started.elapsed());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
