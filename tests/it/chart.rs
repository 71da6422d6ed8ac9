//! The chart makes valid objects of each value that its schema takes, and in each release. The API server is asked, which
//! stores nothing.

mod values;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};
use scalegate_tests::paths::repository;
use scalegate_tests::poll::eventually;
use scalegate_tests::suite;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

use values::{Place, definition_takes, filled, places};

/// Helm asks the chart whether it supports this one.
const KUBERNETES: &str = "1.36.3";
/// The tools of `make lint` that are not needed here.
const OTHER_TOOLS: &str = "kubeconform helm-docs actionlint buf yamllint hadolint shellcheck";
/// What operators define, as far as metadata goes.
const FOREIGN: [(&str, &str, &str); 3] = [
    ("cert-manager.io", "v1", "Certificate"),
    ("monitoring.coreos.com", "v1", "ServiceMonitor"),
    ("monitoring.coreos.com", "v1", "PrometheusRule"),
];

static HELM: OnceCell<PathBuf> = OnceCell::const_new();

async fn build_helm() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("SCALEGATE_HELM") {
        return Ok(named.into());
    }
    let script = repository().join("charts/tools/install.sh");
    let output =
        Command::new(&script).env("SCALEGATE_LINT_SKIP", OTHER_TOOLS).stderr(Stdio::inherit()).output().await?;
    ensure!(output.status.success(), "{} ended with {}", script.display(), output.status);
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()).join("helm"))
}

/// The documents of a release, as Helm would send them.
async fn render(release: &str, namespace: &str, values: &Value) -> Result<Vec<String>> {
    let file = tempfile::NamedTempFile::new()?;
    serde_json::to_writer(&file, values)?;
    let output = Command::new(HELM.get_or_try_init(build_helm).await?)
        .args(["template", release])
        .arg(repository().join("charts/scalegate"))
        .args(["--namespace", namespace, "--kube-version", KUBERNETES, "--values"])
        .arg(file.path())
        .output()
        .await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split("\n---\n").map(|document| document.trim_start_matches("---\n").to_owned()).collect())
}

/// Asks the API server about documents, each once.
struct Server {
    client: Client,
    asked: HashSet<String>,
    refused: Vec<String>,
}

impl Server {
    async fn new(client: Client) -> Result<Self> {
        for (group, version, kind) in FOREIGN {
            define(&client, group, version, kind).await?;
        }
        Ok(Self { client, asked: HashSet::new(), refused: Vec::new() })
    }

    /// Renders the chart and notes what is wrong with it.
    async fn check(&mut self, what: &str, release: &str, namespace: &str, values: &Value) {
        match render(release, namespace, values).await {
            Err(error) => self.refused.push(format!("{what}: {error:#}")),
            Ok(documents) => {
                for document in documents {
                    if let Err(error) = self.ask(&document).await {
                        self.refused.push(format!("{what}: {error:#}"));
                    }
                }
            }
        }
    }

    /// Applies a document, as its YAML stands: the server's own parser decides what is a text and what a number.
    async fn ask(&mut self, document: &str) -> Result<()> {
        if !self.asked.insert(document.to_owned()) {
            return Ok(());
        }
        let object: Value = serde_saphyr::from_str(document)?;
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let (kind, version) = (text("/kind").context("a kind")?, text("/apiVersion").context("a version")?);
        let name = text("/metadata/name").with_context(|| format!("the name of a {kind} is no text: {document}"))?;
        let root = if version.contains('/') { "apis" } else { "api" };
        let within = text("/metadata/namespace").map(|name| format!("namespaces/{name}/")).unwrap_or_default();
        let path = format!("/{root}/{version}/{within}{}/{name}", plural(kind));
        let query = "dryRun=All&fieldManager=chart&force=true&fieldValidation=Strict";
        let request = http::Request::patch(format!("{path}?{query}"))
            .header("content-type", "application/apply-patch+yaml")
            .body(document.as_bytes().to_vec())?;
        self.client.request_text(request).await.with_context(|| format!("{kind} {name}"))?;
        Ok(())
    }

    fn assert_accepted(self) {
        assert!(self.asked.len() > 50, "only {} objects were asked about", self.asked.len());
        let count = self.refused.len();
        assert!(count == 0, "{count} are refused:\n{}", self.refused.join("\n"));
    }
}

/// The name of a kind in paths.
fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    }
}

/// Defines a kind that takes any fields.
async fn define(client: &Client, group: &str, version: &str, kind: &str) -> Result<()> {
    let (singular, plural) = (kind.to_lowercase(), plural(kind));
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let definition = serde_json::from_value(json!({
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": { "api-approved.kubernetes.io": "unapproved, for tests" },
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": { "kind": kind, "singular": singular, "plural": plural },
            "versions": [
                { "name": version, "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } },
            ],
        },
    }))?;
    create(&Api::<CustomResourceDefinition>::all(client.clone()), &definition).await?;
    let list = format!("/apis/{group}/{version}/{plural}");
    eventually(&format!("{kind} to be served"), async || {
        client.request_text(http::Request::get(&list).body(Vec::new())?).await?;
        Ok(Some(()))
    })
    .await
}

/// Creates what an earlier test may have created.
async fn create<K>(api: &Api<K>, object: &K) -> Result<()>
where
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(()),
        Err(Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Creates a namespace, and waits for the account that its pods have.
async fn namespace(client: &Client, name: &str) -> Result<()> {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    create(&Api::all(client.clone()), &Namespace { metadata, ..Namespace::default() }).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name);
    eventually("the default account", async || Ok(accounts.get_opt("default").await?.map(drop))).await
}

/// Texts at the edges of what labels, names and keys may be, and what YAML takes for something else than a text.
fn texts() -> Vec<String> {
    let long = |length: usize| "z".repeat(length);
    let mut texts: Vec<String> = [
        "true",
        "null",
        "yes",
        "off",
        "y",
        "123",
        "0123",
        "1e3",
        "0x1f",
        "1_000",
        "1.5",
        ".5",
        "2001-01-01",
        "12:30",
        "-",
        "a",
        "Z",
        "a.b",
        "a..b",
        "a.-b",
        "a-.b",
        "a-",
        "-a",
        ".a",
        "a.",
        "_a",
        "a_",
        "a_b",
        "_",
        "___",
        "a--b",
        "..",
        "...",
        ".",
        "..data",
        "a b",
        "a/b",
        "/a",
        "a/",
        "a:b",
        "#a",
        "a\nb",
        "a\"b",
        "\u{e4}",
        "_pr.7",
        "pr-7-",
        "system-a",
        "{{a}}",
        "a,b",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.extend([49, 50, 51, 63, 64, 127, 128, 129, 253, 254].map(long));
    // What is cut at 50 or 63 ends with a dash then.
    texts.extend([49, 50, 62, 63].map(|length| format!("{}-bc", long(length))));
    texts.extend([49, 62].map(|length| format!("{}--.__bc", long(length))));
    texts
}

/// Values that have all places between them: some exclude each other.
fn bases() -> BTreeMap<&'static str, Value> {
    let ca = |source: &str| json!({ source: "clients", "key": "ca.crt", "trustDomain": "example.org" });
    let list = |source: &str, key: &str| json!({ source: "lists", "key": key });
    let everything = json!({
        "nameOverride": "", "fullnameOverride": "", "commonLabels": {}, "clusterDomain": "cluster.local",
        "image": { "repository": "scalegate", "tag": "" },
        "imagePullSecrets": [{ "name": "pull" }],
        "audit": { "redact": ["peer"], "redactKey": { "secretName": "audit", "key": "redact.key" } },
        "policies": { "existingConfigMap": "policies" },
        "tls": {
            "development": { "enabled": true, "trustDomain": "example.org" },
            "clientCas": [ca("configMapName")],
            "crls": [list("configMapName", "crl.pem")],
            "denied": list("configMapName", "denied.yaml"),
        },
        "serviceAccount": { "name": "", "annotations": {} },
        "crds": { "install": false },
        "service": { "type": "LoadBalancer", "appProtocol": "https", "loadBalancerClass": "", "annotations": {} },
        "priorityClass": { "create": true, "name": "" },
        "podDisruptionBudget": { "enabled": true },
        "autoscaling": { "enabled": true },
        "networkPolicy": { "enabled": true, "egress": { "enabled": true } },
        "nodeSelector": {},
        "metrics": {
            "service": { "annotations": {} },
            "serviceMonitor": { "enabled": true, "labels": {} },
            "prometheusRule": { "enabled": true, "labels": {}, "alertLabels": {} },
            "dashboard": { "enabled": true, "labels": {}, "annotations": {} },
        },
        "tests": {
            "clientSecret": { "name": "reader", "caKey": "a", "certificateKey": "b", "privateKeyKey": "c" },
        },
        "podLabels": {}, "podAnnotations": {},
    });
    let secrets = json!({
        "namespaces": ["default"],
        "policies": { "existingConfigMap": "policies" },
        "tls": {
            "server": { "secretName": "server", "certificateKey": "a", "privateKeyKey": "b" },
            "clientCas": [ca("secretName")],
            "crls": [list("secretName", "crl.pem")],
            "denied": list("secretName", "denied.yaml"),
        },
        "crds": { "install": false },
    });
    let cert_manager = json!({
        "policies": { "existingConfigMap": "policies" },
        "tls": {
            "certManager": { "enabled": true, "issuerRef": { "name": "internal" }, "secretName": "" },
            "clientCas": [ca("secretName")],
        },
        "crds": { "install": false },
    });
    BTreeMap::from([("everything", everything), ("secrets", secrets), ("cert-manager", cert_manager)])
}

fn schema() -> Result<Value> {
    let file = repository().join("charts/scalegate/values.schema.json");
    Ok(serde_json::from_str(&std::fs::read_to_string(file)?)?)
}

#[tokio::test]
async fn each_value_that_the_schema_takes_makes_valid_objects() -> Result<()> {
    let suite = suite::shared().await?;
    let client = suite.kube().await?;
    let home = suite.namespace("chart").await?;
    namespace(&client, &home).await?;
    let mut server = Server::new(client.clone()).await?;
    let places = places(&schema()?)?;
    let watched = places.iter().find(|place| place.pointer == "/namespaces/0").context("no namespaces")?;
    let mut tried = BTreeSet::new();
    for text in texts() {
        if watched.takes(&text) {
            namespace(&client, &text).await?;
        }
        for (name, base) in bases() {
            let (mut values, set) = filled(&base, &places, &text);
            if text.starts_with("system-") && values["priorityClass"].is_object() {
                // The chart says that Kubernetes reserves such a class: `refusals/reserved-priority.yaml`.
                values["priorityClass"]["create"] = json!(false);
            }
            if !set.is_empty() {
                server.check(&format!("{text:?} in {name}"), "scalegate", &home, &values).await;
            }
            tried.extend(set);
        }
        if let Some(values) = with_files(&bases()["secrets"], &text)? {
            server.check(&format!("{text:?} as a file"), "scalegate", &home, &values).await;
        }
    }
    assert_all_tried(&places, &tried);
    server.assert_accepted();
    Ok(())
}

/// `values` with policies whose files are called `text`, where the schema takes such keys.
fn with_files(values: &Value, text: &str) -> Result<Option<Value>> {
    // SHA-256 of the module's bytes and of `{}`.
    const MODULE: &str = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476";
    const DATA: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let (schema, data) = (schema()?, format!("{text}.json"));
    if !definition_takes(&schema, "key", text)? || !definition_takes(&schema, "key", &data)? {
        return Ok(None);
    }
    let mut values = values.clone();
    let module = json!({
        "name": "m", "module": text, "sha256": MODULE, "mode": "enforce", "data": data, "dataSha256": DATA,
    });
    values["policies"] = json!({
        "manifest": { "modules": [module] }, "modules": { text: "AGFzbQEAAAA=" }, "data": { data: "{}" },
    });
    Ok(Some(values))
}

/// A value that comes later is to be tried too.
fn assert_all_tried(places: &[Place], tried: &BTreeSet<String>) {
    let takes_some = |place: &&Place| texts().iter().any(|text| place.takes(text));
    let missing: Vec<_> =
        places.iter().filter(takes_some).map(|place| &place.pointer).filter(|place| !tried.contains(*place)).collect();
    assert!(missing.is_empty(), "add them to the values that are tried: {missing:?}");
}

#[tokio::test]
async fn each_name_of_a_release_and_a_namespace_makes_valid_objects() -> Result<()> {
    let suite = suite::shared().await?;
    let client = suite.kube().await?;
    let mut server = Server::new(client.clone()).await?;
    let home = suite.namespace("chart").await?;
    namespace(&client, &home).await?;
    let (full, almost) = ("z".repeat(53), "z".repeat(50));
    let (dash, dot) = (format!("{}-bc", "z".repeat(49)), format!("{}.bc", "z".repeat(49)));
    let releases = [
        "a",
        "true",
        "null",
        "yes",
        "0",
        "123",
        "1e3",
        "1.5",
        "a.b",
        "scalegate.blue",
        "0-scalegate",
        "2001-01-01",
        &full,
        &almost,
        &dash,
        &dot,
    ];
    let mut base = bases()["everything"].clone();
    for name_override in ["", "true", &"z".repeat(63)] {
        base["nameOverride"] = json!(name_override);
        for release in releases {
            let what = format!("release {release:?} of {name_override:?}");
            server.check(&what, release, &home, &base).await;
        }
    }
    base["nameOverride"] = json!("");
    for name in ["true", "null", "123", "1e3", "system-chart", &"z".repeat(63)] {
        namespace(&client, name).await?;
        server.check(&format!("namespace {name:?}"), &full, name, &base).await;
    }
    server.assert_accepted();
    Ok(())
}
