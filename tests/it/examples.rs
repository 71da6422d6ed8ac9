//! The programs of `examples/`, run as their readers would run them.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::batch::v1::CronJob;
use scalegate_tests::console::blocks;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::paths::{binary, repository, scratch};
use scalegate_tests::suite::{self, Shared};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::grpc_clients;

/// How long an example may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// The Secret's mount in the `CronJob`.
const MOUNT: &str = "/etc/scalegate/client";

/// A new namespace with a Deployment `web` of 3 ready replicas.
async fn with_web(suite: &Shared, example: &str) -> Result<String> {
    let namespace = suite.namespace(&format!("example-{example}")).await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    suite.wait_ready(&suite.client("viewer")?, &namespace, "web", 3).await?;
    Ok(namespace)
}

fn server(suite: &Shared) -> String {
    format!("https://localhost:{}", suite.address().port())
}

/// What comes of setting `workload` to `count` with an example, as the operator.
async fn scale(suite: &Shared, example: &mut Command, workload: &str, count: &str) -> Result<Output> {
    let certs = suite.certs();
    example
        .args([workload, count])
        .env("SCALEGATE_SERVER", server(suite))
        .env("SCALEGATE_CA", certs.join("ca.pem"))
        .env("SCALEGATE_CERT", certs.join("clients/operator.pem"))
        .env("SCALEGATE_KEY", certs.join("clients/operator-key.pem"));
    finished(example).await
}

async fn finished(example: &mut Command) -> Result<Output> {
    let output = example.current_dir(repository()).kill_on_drop(true).output();
    timeout(PATIENCE, output).await.context("the example hangs")?.with_context(|| format!("cannot start {example:?}"))
}

/// What an example that succeeded has printed.
fn printed(output: &Output) -> Result<String> {
    ensure!(output.status.success(), "{}: {}", output.status, complaint(output));
    Ok(String::from_utf8(output.stdout.clone())?)
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn the_example_for_curl_waits_until_the_replicas_are_ready() -> Result<()> {
    let suite = suite::shared().await?;
    let workload = format!("{}/web", with_web(&suite, "curl").await?);
    let curl = || Command::new(repository().join("examples/curl.sh"));
    let printed = printed(&scale(&suite, &mut curl(), &workload, "4").await?)?;
    let answers: Vec<Value> = printed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(answers.len(), 2, "{printed}");
    assert_eq!((&answers[0]["spec"]["replicas"], &answers[1]["spec"]["replicas"]), (&3.into(), &4.into()));
    assert_eq!(answers[1]["progress"]["ready"], true, "{printed}");

    let refused = scale(&suite, &mut curl(), &workload, "40").await?;
    assert_eq!(refused.status.code(), Some(22), "{}", complaint(&refused));
    let problem = String::from_utf8(refused.stdout)?;
    let problem: Value = serde_json::from_str(problem.lines().last().unwrap_or_default())?;
    assert_eq!(problem["code"], "refused", "{problem}");
    Ok(())
}

/// What examples/README.md types for Python, where the packages of the virtual environment are in `$PACKAGES` already.
fn python_commands(workload: &str, stubs: &Path) -> Result<String> {
    let blocks = blocks(&std::fs::read_to_string(repository().join("examples/README.md"))?)?;
    let block = blocks.into_iter().find(|block| block.commands.contains("scale.py")).context("no commands")?;
    let (made, rest): (Vec<_>, Vec<_>) =
        block.commands.lines().partition(|line| line.contains("-m venv") || line.contains("-m pip install"));
    ensure!(made.len() == 2, "{made:?}");
    let typed = rest.join("\n").replace("target/stubs", &stubs.display().to_string()).replace("demo/web", workload);
    let typed = typed.replace("target/venv/bin/python", "venv_python");
    let packages = r#"venv_python() { PYTHONPATH="$PACKAGES:${PYTHONPATH:-}" python3 "$@"; }"#;
    Ok(format!("set -euo pipefail\n{packages}\n{typed}"))
}

#[tokio::test]
async fn the_example_in_python_follows_the_change_until_it_is_done() -> Result<()> {
    let pins = std::fs::read_to_string(repository().join("examples/python/requirements.txt"))?;
    let tested = std::fs::read_to_string(repository().join("tests/grpc/requirements.txt"))?;
    for pin in pins.lines().filter(|line| !line.starts_with('#')) {
        assert!(
            tested.lines().any(|line| line.starts_with(&format!("{pin} "))),
            "the tests run another version: {pin}"
        );
    }
    let suite = suite::shared().await?;
    let Some(program) = grpc_clients::program("python-client").await? else { return Ok(()) };
    let packages = program.with_file_name("python");
    let workload = format!("{}/web", with_web(&suite, "python").await?);
    let stubs = tempfile::tempdir()?;
    let script = python_commands(&workload, stubs.path())?;
    let mut typed = Command::new("bash");
    typed.args(["-c", &script]).env("PACKAGES", &packages).env("PYTHONDONTWRITEBYTECODE", "1");
    let printed = printed(&scale(&suite, &mut typed, &workload, "4").await?)?;
    assert!(printed.starts_with("stored as version "), "{printed}");
    assert_eq!(printed.lines().last(), Some("4 of 4 replicas are ready"), "{printed}");

    let mut python = Command::new("python3");
    python.arg(repository().join("examples/python/scale.py"));
    python.env("PYTHONPATH", &packages).env("PYTHONDONTWRITEBYTECODE", "1");
    let refused = scale(&suite, &mut python, &workload, "40").await?;
    assert_eq!(refused.status.code(), Some(1));
    let complaint = complaint(&refused);
    assert!(complaint.starts_with("refused: 40 is more than twice the current 4"), "{complaint}");
    Ok(())
}

#[tokio::test]
async fn the_example_in_go_stores_a_set_and_says_why_one_is_refused() -> Result<()> {
    let suite = suite::shared().await?;
    let program = scratch("examples")?.join("go");
    let built = Command::new("go")
        .args(["build", "-C", "examples/go", "-o"])
        .arg(&program)
        .arg(".")
        .env("CGO_ENABLED", "0")
        .current_dir(repository())
        .output()
        .await;
    let Ok(built) = built else {
        println!("skipped: there is no Go");
        return Ok(());
    };
    ensure!(built.status.success(), "{}", complaint(&built));
    let workload = format!("{}/web", with_web(&suite, "go").await?);
    let printed = printed(&scale(&suite, &mut Command::new(&program), &workload, "4").await?)?;
    assert!(printed.contains("stored as version ") && printed.contains("{Accepted:true "), "{printed}");

    let refused = scale(&suite, &mut Command::new(&program), &workload, "40").await?;
    assert_eq!(refused.status.code(), Some(1));
    let complaint = complaint(&refused);
    assert!(complaint.starts_with("refused: 40 is more than twice"), "{complaint}");
    Ok(())
}

#[tokio::test]
async fn the_cron_job_is_valid_and_its_command_scales() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = with_web(&suite, "cron").await?;
    let manifest = std::fs::read_to_string(repository().join("examples/cronjob.yaml"))?.replace("demo", &namespace);
    let object: Value = serde_saphyr::from_str(&manifest)?;

    let path = format!("/apis/batch/v1/namespaces/{namespace}/cronjobs?dryRun=All&fieldValidation=Strict");
    let create = http::Request::post(path).header("content-type", "application/json");
    let create = create.body(object.to_string().into_bytes())?;
    let created: CronJob = suite.kube().await?.request(create).await.context("the API server refuses it")?;

    let pod = created.spec.job_template.spec.and_then(|job| job.template.spec).context("no pod")?;
    let [container] = &pod.containers[..] else { anyhow::bail!("{} containers", pod.containers.len()) };
    assert_eq!(container.volume_mounts.iter().flatten().map(|mount| mount.mount_path.as_str()).next(), Some(MOUNT));
    let secret = tempfile::tempdir()?;
    let certs = suite.certs();
    for (key, file) in
        [("ca.crt", "ca.pem"), ("tls.crt", "clients/operator.pem"), ("tls.key", "clients/operator-key.pem")]
    {
        std::fs::copy(certs.join(file), secret.path().join(key))?;
    }
    // What the image runs.
    let dockerfile = std::fs::read_to_string(repository().join("deploy/image/Dockerfile"))?;
    assert!(dockerfile.contains("ENTRYPOINT [\"/usr/local/bin/scalegate\"]"));
    let mut command = Command::new(binary("scalegate")?);
    command.args(container.args.iter().flatten()).env_clear();
    for variable in container.env.iter().flatten() {
        let value = variable.value.as_deref().unwrap_or_default();
        command.env(&variable.name, mounted(value, secret.path()));
    }
    command.env("SCALEGATE_SERVER", server(&suite));
    printed(&finished(&mut command).await?)?;
    suite.wait_ready(&suite.client("viewer")?, &namespace, "web", 2).await?;
    Ok(())
}

/// A value of the container's environment, with the Secret in another place.
fn mounted(value: &str, secret: &Path) -> String {
    value.replace(MOUNT, &secret.display().to_string())
}
