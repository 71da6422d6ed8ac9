//! `make demo`: walks through the main job, with what really happens.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use scalegate::proto::v1::{GetReplicasRequest, SetReplicasRequest, Workload};
use scalegate_tests::client::Client;
use scalegate_tests::paths::repository;
use scalegate_tests::poll;
use scalegate_tests::sandbox::{NAMESPACE, Sandbox, conclude};
use scalegate_tests::{policies, suite};
use serde_json::{Value, json};
use tonic::Code;

const WEB: &str = "/v1/namespaces/demo/deployments/web/replicas";

#[tokio::main]
async fn main() -> ExitCode {
    conclude(run().await)
}

async fn run() -> Result<()> {
    let work = repository().join("target/demo");
    let sandbox = tokio::select! {
        sandbox = Sandbox::start(&work, 0, 0, |step| println!("-- {step}")) => sandbox?,
        _ = tokio::signal::ctrl_c() => return Ok(()),
    };
    let done = tokio::select! {
        done = walk(&sandbox) => done,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    println!("\n-- stopping");
    sandbox.stop().await?;
    done
}

async fn walk(sandbox: &Sandbox) -> Result<()> {
    title("A viewer lists what it may see");
    let list = curl(sandbox, "viewer", "/v1/namespaces/demo/deployments", &[]).await?;
    for item in list["items"].as_array().into_iter().flatten() {
        println!(
            "   {:8} {} replicas, {} ready",
            text(&item["name"]),
            item["spec"]["replicas"],
            item["status"]["readyReplicas"]
        );
    }

    title("... and reads one Deployment");
    show(&curl(sandbox, "viewer", WEB, &[]).await?);

    title("An operator sets it from 3 to 5");
    let body = r#"{"replicas": 5, "reason": "launch at noon"}"#;
    let accepted = curl(sandbox, "operator", WEB, &["-X", "PUT", "--json", body]).await?;
    ensure!(accepted["target"]["replicas"] == 5, "the set was not accepted: {accepted}");
    show(&json!({"version": accepted["version"], "target": accepted["target"], "progress": accepted["progress"]}));
    suite::wait_ready(&sandbox.gateway.client("viewer")?, NAMESPACE, "web", 5).await?;
    println!("   it arrived: {}", deployment(sandbox).await?);

    title("A set that the rules refuse, with their reasons");
    let refused = curl(sandbox, "operator", WEB, &["-X", "PUT", "--json", r#"{"replicas": 12}"#]).await?;
    ensure!(refused["code"] == "refused", "the set was not refused: {refused}");
    show(&json!({"status": refused["status"], "code": refused["code"], "reasons": refused["reasons"]}));

    by_grpc(sandbox).await?;
    swap(sandbox).await?;
    drift(sandbox).await
}

/// The same by gRPC, on the same port; shown as grpcurl would be called.
async fn by_grpc(sandbox: &Sandbox) -> Result<()> {
    title("Another Deployment, read and set by gRPC");
    let mut service = sandbox.gateway.client("operator")?.replica_service().await?;
    let workload = Workload { kind: String::new(), namespace: NAMESPACE.into(), name: "api".into() };
    grpcurl(sandbox, "GetReplicas", r#"{"workload": {"namespace": "demo", "name": "api"}}"#);
    let get = GetReplicasRequest { workload: Some(workload.clone()), at_least_version: String::new() };
    let read = service.get_replicas(get).await?.into_inner().replicas.context("no replicas")?;
    let ready = read.status.map(|status| status.ready_replicas);
    show(
        &json!({"replicas": {"replicas": read.replicas, "version": read.version, "status": {"readyReplicas": ready}}}),
    );

    let asked = r#"{"workload": {"namespace": "demo", "name": "api"}, "replicas": 3, "reason": "launch at noon"}"#;
    grpcurl(sandbox, "SetReplicas", asked);
    let reason = "launch at noon".to_owned();
    let set = |replicas, reason| SetReplicasRequest {
        workload: Some(workload.clone()),
        replicas: Some(replicas),
        reason,
        ..SetReplicasRequest::default()
    };
    let accepted = service.set_replicas(set(3, reason)).await?.into_inner();
    let target = accepted.replicas.and_then(|replicas| replicas.target).context("the set was not accepted")?;
    let target = json!({"replicas": target.replicas, "requestedBy": target.requested_by, "reason": target.reason});
    show(&json!({"replicas": {"target": target}, "decisionId": accepted.decision_id}));
    suite::wait_ready(&sandbox.gateway.client("viewer")?, NAMESPACE, "api", 3).await?;

    grpcurl(sandbox, "SetReplicas", r#"{"workload": {"namespace": "demo", "name": "api"}, "replicas": 12}"#);
    let refused = service.set_replicas(set(12, String::new())).await.err().context("the set was not refused")?;
    println!("   Code: {:?}\n   Message: {}", refused.code(), refused.message());
    ensure!(refused.code() == Code::PermissionDenied, "refused otherwise: {refused}");
    Ok(())
}

/// Shows a call as a command.
fn grpcurl(sandbox: &Sandbox, method: &str, message: &str) {
    let address = format!("localhost:{}", sandbox.gateway.address.port());
    let files = "-cacert ca.pem -cert operator.pem -key operator-key.pem";
    println!("$ grpcurl {files} -d '{message}' {address} scalegate.v1.ReplicaService/{method}");
}

/// A policy swapped under load.
async fn swap(sandbox: &Sandbox) -> Result<()> {
    title("The policy is swapped for one with a release freeze, while clients keep reading");
    let operator = sandbox.gateway.client("operator")?;
    let load = Load::start(&sandbox.gateway.client("viewer")?);
    println!("$ cp target/policies/freeze/* $SCALEGATE_POLICIES/");
    policies::copy("freeze", &sandbox.policies)?;
    let path = format!("{WEB}?dryRun=true");
    let frozen = poll::eventually("the freeze", async || {
        let answer = operator.put(&path, &json!({"replicas": 6})).await?;
        Ok((answer.status == 403).then(|| answer.json()))
    })
    .await?;
    println!("   setting 6 is now refused: {}", frozen["reasons"]);
    println!("$ cp target/policies/normal/* $SCALEGATE_POLICIES/");
    policies::copy("normal", &sandbox.policies)?;
    poll::eventually("the end of the freeze", async || {
        Ok((operator.put(&path, &json!({"replicas": 6})).await?.status == 200).then_some(()))
    })
    .await?;
    let (answered, failed) = load.stop().await?;
    println!("   and allowed again; {answered} reads meanwhile, {failed} failed");
    ensure!(failed == 0, "{failed} reads failed during the swap");
    Ok(())
}

/// A change behind the gateway's back.
async fn drift(sandbox: &Sandbox) -> Result<()> {
    title("Someone scales the Deployment behind the gateway's back; the reconciler puts it back and says so");
    let client = sandbox.control_plane.client().await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    println!("$ kubectl -n demo scale deployment web --replicas=1");
    let by_hand = PatchParams { field_manager: Some("kubectl".into()), ..PatchParams::default() };
    deployments.patch("web", &by_hand, &Patch::Merge(json!({"spec": {"replicas": 1}}))).await?;
    let events: Api<Event> = Api::namespaced(client, NAMESPACE);
    let event = poll::eventually("the correction", async || {
        let all = events.list(&ListParams::default()).await?;
        Ok(all.into_iter().find(|event| event.reason.as_deref() == Some("DriftCorrected")))
    })
    .await?;
    println!("   event on deployment/web: {}", event.note.unwrap_or_default());
    suite::wait_ready(&sandbox.gateway.client("viewer")?, NAMESPACE, "web", 5).await?;
    println!("   {}", deployment(sandbox).await?);
    Ok(())
}

/// Clients that read until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<usize>>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = [false, true].map(|kept| {
            let (client, stop, answered) = (client.clone(), stop.clone(), answered.clone());
            tokio::spawn(async move {
                let mut failed = 0;
                let mut connection = client.http2().await;
                while !stop.load(Ordering::Relaxed) {
                    let answer = match (&mut connection, kept) {
                        (Ok(connection), true) => connection.get(WEB).await,
                        _ => client.get(WEB).await,
                    };
                    match answer {
                        Ok(answer) if answer.status == 200 => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => failed += 1,
                    }
                }
                failed
            })
        });
        Self { stop, answered, clients: clients.into() }
    }

    async fn stop(self) -> Result<(usize, usize)> {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = 0;
        for client in self.clients {
            failed += client.await?;
        }
        Ok((self.answered.load(Ordering::Relaxed), failed))
    }
}

/// Runs curl, after showing the command, and gives the JSON that it got.
async fn curl(sandbox: &Sandbox, who: &str, path: &str, more: &[&str]) -> Result<Value> {
    let quoted: Vec<_> =
        more.iter().map(|word| if word.contains(' ') { format!("'{word}'") } else { (*word).into() }).collect();
    println!(
        "$ curl --cacert ca.pem --cert {who}.pem --key {who}-key.pem {}{path} {}",
        sandbox.url(),
        quoted.join(" ")
    );
    let certs = &sandbox.certs;
    let output = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--cacert"])
        .arg(certs.join("ca.pem"))
        .arg("--cert")
        .arg(certs.join(format!("clients/{who}.pem")))
        .arg("--key")
        .arg(certs.join(format!("clients/{who}-key.pem")))
        .arg(format!("{}{path}", sandbox.url()))
        .args(more)
        .output()
        .await
        .context("the demo needs curl")?;
    ensure!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What the API server itself says, once there are as many ready pods as are wanted: the status of a Deployment that
/// was changed twice within a second may still speak of pods that are gone.
async fn deployment(sandbox: &Sandbox) -> Result<String> {
    let client = sandbox.control_plane.client().await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let wanted = deployments.get("web").await?.spec.and_then(|spec| spec.replicas).unwrap_or_default();
    let ready = poll::eventually("the pods", async || {
        let all = pods.list(&ListParams::default().labels("app=web")).await?;
        let ready = all.iter().filter(|pod| is_ready(pod)).count();
        Ok((usize::try_from(wanted) == Ok(ready)).then_some(ready))
    })
    .await?;
    Ok(format!("deployment/web in the API server has spec.replicas {wanted}, and {ready} ready pods"))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

fn title(text: &str) {
    println!("\n== {text}");
}

fn show(value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    for line in text.lines() {
        println!("   {line}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
