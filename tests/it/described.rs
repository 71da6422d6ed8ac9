//! The API's description, and a client that believes it: schemathesis asks the gateway whatever the description allows,
//! and much that it does not, and every answer must be one that it names.
//!
//! A run of the tests tries a few hundred requests, `make soak PART=api` ten thousand.

use std::fs;

use anyhow::{Context, Result, ensure};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::paths::{built, repository};
use scalegate_tests::suite::{self, replicas};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::soak;

/// What is asked of each answer. That what is allowed is accepted is not: most names do not exist.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection,unsupported_method";

#[tokio::test]
async fn every_answer_is_one_that_the_description_names() -> Result<()> {
    // It sets whatever a list shows, also what other tests have made.
    let suite = suite::exclusive().await?;
    let Some(program) = built("tests/api/build.sh").await? else {
        println!("skipped: there is no schemathesis");
        return Ok(());
    };
    // Names that the description has as its examples.
    let namespace = suite.namespace("described").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let gateway = suite.start(&suite.options("described")).await?;
    let operator = gateway.client("operator")?;
    suite::wait_seen(&operator, &namespace, "web").await?;
    let described = operator.get("/openapi.json").await?;
    ensure!(described.status == 200, "{}", described.status);
    let mut document = described.json();
    for path in document["paths"].as_object_mut().context("no paths")?.values_mut() {
        for operation in path.as_object_mut().context("no operations")?.values_mut() {
            let parameters = operation["parameters"].as_array_mut().context("no parameters")?;
            // Streams do not end.
            parameters.retain(|parameter| parameter["name"] != "watch");
            for parameter in parameters.iter_mut().filter(|parameter| parameter["name"] == "namespace") {
                parameter["schema"]["examples"] = json!([namespace]);
            }
        }
    }
    let work = tempfile::tempdir()?;
    let file = work.path().join("openapi.json");
    fs::write(&file, document.to_string())?;
    let certs = &suite.options("described").certs;
    let examples = soak::or(60, 2_600).to_string();
    let output = Command::new(program)
        .args(["run", "--url", &format!("https://localhost:{}", gateway.address.port()), "--checks", CHECKS])
        .args([
            "--max-examples",
            &examples,
            "--seed",
            "7",
            "--request-timeout",
            "60",
            "--continue-on-failure",
            "--no-color",
        ])
        .arg("--tls-verify")
        .arg(certs.join("ca.pem"))
        .arg("--request-cert")
        .arg(certs.join("clients/operator.pem"))
        .arg("--request-cert-key")
        .arg(certs.join("clients/operator-key.pem"))
        .arg(&file)
        .current_dir(&work)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("{}", said.lines().filter(|line| line.contains("generated")).collect::<Vec<_>>().join("\n"));
    gateway.terminate().await
}

#[tokio::test]
async fn the_description_is_served_as_it_is_committed_and_its_examples_work() -> Result<()> {
    let suite = suite::shared().await?;
    let served = suite.client("stranger")?.get("/openapi.json").await?;
    assert_eq!(served.header("content-type"), "application/json");
    assert!(served.body == fs::read(repository().join("gateway/openapi.json"))?, "run `make schema`");

    let namespace = suite.namespace("described").await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let body = &served.json()["paths"]["/v1/namespaces/{namespace}/deployments/{name}/replicas"]["put"]["requestBody"];
    let example: &Value = &body["content"]["application/json"]["examples"]["launch"]["value"];
    let answer = suite.client("operator")?.put(&replicas(&namespace, "web"), example).await?;
    assert_eq!(answer.status, 202, "{}", answer.json());
    Ok(())
}
