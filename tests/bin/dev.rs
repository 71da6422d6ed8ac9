//! `make dev`: the environment of the demo, staying up until Ctrl-C or SIGTERM, or until `make` is gone.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use rustix::process::getppid;
use scalegate_tests::paths::repository;
use scalegate_tests::sandbox::{Sandbox, conclude};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// How soon the end of `make` is noticed.
const LOOK: Duration = Duration::from_secs(1);

/// `dev [DIRECTORY]`: files go to DIRECTORY, by default `target/dev`; with a DIRECTORY, which is beside another, the ports
/// are any that are free.
#[tokio::main]
async fn main() -> ExitCode {
    conclude(run().await)
}

async fn run() -> Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    let (listen, admin) = if directory.is_none() { (8443, 8081) } else { (0, 0) };
    let work = directory.unwrap_or_else(|| repository().join("target/dev"));
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut ended = pin!(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = make_is_gone() => {}
        }
    });
    let sandbox = tokio::select! {
        sandbox = Sandbox::start(&work, listen, admin, |step| println!("-- {step}")) => sandbox?,
        () = &mut ended => return Ok(()),
    };
    let contexts = work.join("scalegate.yaml");
    sandbox.write_contexts(&contexts).await?;
    let env = work.join("env");
    std::fs::write(&env, variables(&sandbox, &contexts))?;
    print!("{}", guide(&sandbox, &env));
    ended.await;
    println!("\n-- stopping");
    sandbox.stop().await
}

/// Returns when `make`, whose recipe this program is, has ended and left it behind, as after SIGKILL.
async fn make_is_gone() {
    // make sets it for its recipes.
    if std::env::var_os("MAKELEVEL").is_none() {
        return std::future::pending().await;
    }
    let make = getppid();
    while getppid() == make {
        sleep(LOOK).await;
    }
}

/// Shell variables.
fn variables(sandbox: &Sandbox, contexts: &Path) -> String {
    let file = |name: &str| sandbox.certs.join(name).display().to_string();
    let lines = [
        ("KUBECONFIG", sandbox.control_plane.kubeconfig_admin().display().to_string()),
        ("SCALEGATE_URL", sandbox.url()),
        ("SCALEGATE_ADMIN_URL", format!("http://{}", sandbox.gateway.admin)),
        ("SCALEGATE_CERTS", sandbox.certs.display().to_string()),
        ("SCALEGATE_POLICIES", sandbox.policies.display().to_string()),
        // For the client, as the operator. `scalegate --context dev-viewer` is the viewer.
        ("SCALEGATE_CONFIG", contexts.display().to_string()),
        ("SCALEGATE_SERVER", sandbox.url()),
        ("SCALEGATE_CA", file("ca.pem")),
        ("SCALEGATE_CERT", file("clients/operator.pem")),
        ("SCALEGATE_KEY", file("clients/operator-key.pem")),
        ("SCALEGATE_LOG", sandbox.gateway.log_path().display().to_string()),
    ];
    lines.map(|(name, value)| format!("export {name}='{value}'\n")).concat()
}

fn guide(sandbox: &Sandbox, env: &Path) -> String {
    format!(
        r#"
The gateway serves on {url}, its admin port on http://{admin}; its log is {log}.
In another terminal:

  source {env}
  as() {{ local who=$1; shift; curl -sS --cacert $SCALEGATE_CERTS/ca.pem --cert $SCALEGATE_CERTS/clients/$who.pem --key $SCALEGATE_CERTS/clients/$who-key.pem "$@"; echo; }}

  target/debug/scalegate list
  target/debug/scalegate set web 5 --reason launch --wait
  target/debug/scalegate watch --context dev-viewer
  as viewer   $SCALEGATE_URL/v1/deployments
  as viewer   $SCALEGATE_URL/v1/namespaces/demo/deployments/web/replicas
  as operator $SCALEGATE_URL/v1/namespaces/demo/deployments/web/replicas -X PUT --json '{{"replicas": 5, "reason": "launch"}}'
  as operator $SCALEGATE_URL/v1/namespaces/demo/deployments/web/replicas -X PUT --json '{{"replicas": 40}}'
  as operator $SCALEGATE_URL/v1/namespaces/demo/deployments/web/replicas -X DELETE
  cp target/policies/freeze/* $SCALEGATE_POLICIES/        # a release freeze, live; target/policies/normal/* lifts it
  curl -s $SCALEGATE_ADMIN_URL/metrics | grep ^scalegate_

Ctrl-C ends everything.
"#,
        url = sandbox.url(),
        admin = sandbox.gateway.admin,
        log = sandbox.gateway.log_path().display(),
        env = env.display(),
    )
}
