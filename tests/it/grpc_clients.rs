//! What people use: grpcurl, ghz, and clients on grpc-go and grpcio.

use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::paths::{built, repository};
use scalegate_tests::suite::{self, Shared};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

const DESCRIPTORS: &str = "gateway/proto/baseline.binpb";

/// The program that `tests/grpc/build.sh` has built; `None`, after saying so, where this machine cannot.
pub(crate) async fn program(name: &str) -> Result<Option<PathBuf>> {
    static DIRECTORY: OnceCell<PathBuf> = OnceCell::const_new();
    let directory = DIRECTORY.get_or_try_init(async || {
        built("tests/grpc/build.sh").await?.context("tests/grpc/build.sh names no directory")
    });
    let program = directory.await?.join(name);
    if !program.exists() {
        ensure!(std::env::var_os("CI").is_none(), "there is no {name}");
        println!("skipped: there is no {name}");
        return Ok(None);
    }
    Ok(Some(program))
}

async fn with_web(suite: &Shared, prefix: &str) -> Result<String> {
    let namespace = suite.namespace(prefix).await?;
    let web = deployment(&namespace, "web").replicas(3).annotation("scalegate.dev/max-replicas", "10");
    web.create(&suite.kube().await?).await?;
    suite.wait_ready(&suite.client("viewer")?, &namespace, "web", 3).await?;
    Ok(namespace)
}

fn address(suite: &Shared) -> String {
    format!("localhost:{}", suite.address().port())
}

/// grpcurl as `who`, by reflection.
async fn grpcurl(suite: &Shared, grpcurl: &PathBuf, who: &str, method: &str, message: &Value) -> Result<Output> {
    let certs = suite.certs();
    let output = Command::new(grpcurl)
        .args(["-format-error", "-cacert"])
        .arg(certs.join("ca.pem"))
        .arg("-cert")
        .arg(certs.join(format!("clients/{who}.pem")))
        .arg("-key")
        .arg(certs.join(format!("clients/{who}-key.pem")))
        .args(["-d", &message.to_string(), &address(suite), method])
        .output();
    Ok(output.await?)
}

#[tokio::test]
async fn grpcurl_finds_its_way_by_reflection() -> Result<()> {
    let suite = suite::shared().await?;
    let Some(program) = program("grpcurl").await? else { return Ok(()) };
    let namespace = with_web(&suite, "grpcurl").await?;
    let set = "scalegate.v1.ReplicaService/SetReplicas";
    let web = json!({"namespace": namespace, "name": "web"});

    let wanted = json!({"workload": web, "replicas": 5, "reason": "launch"});
    let output = grpcurl(&suite, &program, "operator", set, &wanted).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(answer["replicas"]["target"]["replicas"], 5);
    assert_eq!(answer["replicas"]["target"]["requestedBy"], "uri:spiffe://scalegate.test/operator");

    let refused = grpcurl(&suite, &program, "operator", set, &json!({"workload": web, "replicas": 40})).await?;
    let error: Value = serde_json::from_slice(&refused.stderr).context("an error that is no JSON")?;
    assert_eq!((&error["code"], &error["details"][0]["reason"]), (&json!(7), &json!("refused")), "{error}");
    let violations = &error["details"][1]["violations"];
    assert!(violations[0]["description"].as_str().is_some_and(|reason| reason.contains("more than twice")), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_load_of_calls_meets_no_error() -> Result<()> {
    let suite = suite::shared().await?;
    let Some(ghz) = program("ghz").await? else { return Ok(()) };
    let namespace = with_web(&suite, "ghz").await?;
    let certs = suite.certs();
    let output = Command::new(ghz)
        .args(["--call", "scalegate.v1.ReplicaService.GetReplicas", "--protoset"])
        .arg(repository().join(DESCRIPTORS))
        .arg("--cacert")
        .arg(certs.join("ca.pem"))
        .arg("--cert")
        .arg(certs.join("clients/viewer.pem"))
        .arg("--key")
        .arg(certs.join("clients/viewer-key.pem"))
        .args(["--total", "500", "--concurrency", "10", "--connections", "2", "--format", "json"])
        .args(["--data", &json!({"workload": {"namespace": namespace, "name": "web"}}).to_string()])
        .arg(address(&suite))
        .output()
        .await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["statusCodeDistribution"], json!({"OK": 500}), "{}", report["errorDistribution"]);
    Ok(())
}

/// What every language prints.
const LINES: &str = "\
HealthCheck OK SERVING
ListReplicas OK 1
GetReplicas OK 3
SetReplicas OK 4
SetReplicas PERMISSION_DENIED refused
SetReplicas INVALID_ARGUMENT invalid_replicas
SetReplicas UNIMPLEMENTED not_implemented
GetReplicas NOT_FOUND deployment_not_found
ReleaseReplicas OK released
";

#[tokio::test]
async fn clients_in_go_and_python_understand_every_answer() -> Result<()> {
    let suite = suite::shared().await?;
    for name in ["go-client", "python-client"] {
        let Some(program) = program(name).await? else { continue };
        let namespace = with_web(&suite, name).await?;
        let output = Command::new(program)
            .args([&address(&suite), &suite.certs().display().to_string(), &namespace])
            .arg(repository().join(DESCRIPTORS))
            .output()
            .await?;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), LINES, "{name}: {told}");
    }
    Ok(())
}
