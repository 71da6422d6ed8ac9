//! The whole product on a control plane: what the integration tests and the demo stand on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec,
};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fixtures::wait_for;

/// The namespace that the gateways live in, and their account.
pub const SYSTEM: &str = "scalegate";
/// The rules that the chart ships; the tests run under exactly these.
const CLUSTER_RULES: &str = include_str!("../../charts/scalegate/files/rules/cluster.yaml");
const WORKLOADS_RULES: &str = include_str!("../../charts/scalegate/files/rules/workloads.yaml");
const LEASE_RULES: &str = include_str!("../../charts/scalegate/files/rules/lease.yaml");
/// The Lease of the gateways in [`SYSTEM`].
pub const LEASE: &str = "scalegate";
/// The chart's admission policy, under which the tests run too.
const ADMISSION_POLICY: &str = include_str!("../../charts/scalegate/files/admission-policy.yaml");

/// Installs the CRD, the account with its roles, and the admission policy, as the chart does.
pub async fn install(client: &Client) -> Result<()> {
    create(&Api::all(client.clone()), &scalegate::resource::crd()).await?;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    wait_for(&crds, "replicatargets.scalegate.dev", "the CRD to be established", |crd| {
        let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Established" && one.status == "True"))
    })
    .await?;
    create(&Api::all(client.clone()), &Namespace { metadata: named(SYSTEM), ..Namespace::default() }).await?;
    account(client, SYSTEM).await?;
    cluster_role(client, SYSTEM, [rules(CLUSTER_RULES)?, rules(WORKLOADS_RULES)?].concat()).await?;
    role(client, SYSTEM, "scalegate-lease", SYSTEM, &lease_rules(LEASE)).await?;
    admission_policy(client).await
}

/// The API server obeys it a moment later.
async fn admission_policy(client: &Client) -> Result<()> {
    let spec = serde_saphyr::from_str(ADMISSION_POLICY).context("the spec of the admission policy")?;
    let policy = ValidatingAdmissionPolicy { metadata: named(SYSTEM), spec, status: None };
    create(&Api::all(client.clone()), &policy).await?;
    let spec = ValidatingAdmissionPolicyBindingSpec {
        policy_name: SYSTEM.into(),
        validation_actions: vec!["Deny".into()],
        ..ValidatingAdmissionPolicyBindingSpec::default()
    };
    create(&Api::all(client.clone()), &ValidatingAdmissionPolicyBinding { metadata: named(SYSTEM), spec }).await
}

/// A second account `name` in [`SYSTEM`], with the roles that the chart gives where namespaces are listed and no others:
/// one in each of `namespaces`, and the one for the Lease `name`.
pub async fn install_for_namespaces(client: &Client, name: &str, namespaces: &[&str]) -> Result<()> {
    account(client, name).await?;
    for namespace in namespaces {
        role(client, namespace, name, name, WORKLOADS_RULES).await?;
    }
    role(client, SYSTEM, &format!("{name}-lease"), name, &lease_rules(name)).await
}

fn lease_rules(lease: &str) -> String {
    LEASE_RULES.replace("LEASE", lease)
}

async fn account(client: &Client, name: &str) -> Result<()> {
    let account = ServiceAccount { metadata: named(name), ..ServiceAccount::default() };
    create(&Api::namespaced(client.clone(), SYSTEM), &account).await
}

/// The cluster role `name` for the account of that name.
async fn cluster_role(client: &Client, name: &str, rules: Vec<PolicyRule>) -> Result<()> {
    let role = ClusterRole { metadata: named(name), rules: Some(rules), ..ClusterRole::default() };
    create(&Api::all(client.clone()), &role).await?;
    let subjects = Some(vec![subject(name)]);
    let binding = ClusterRoleBinding { metadata: named(name), role_ref: role_ref("ClusterRole", name), subjects };
    create(&Api::all(client.clone()), &binding).await
}

/// The Role `name` in `namespace` with the rules of a file, for `account`.
async fn role(client: &Client, namespace: &str, name: &str, account: &str, file: &str) -> Result<()> {
    let role = Role { metadata: named(name), rules: Some(rules(file)?) };
    create(&Api::namespaced(client.clone(), namespace), &role).await?;
    let subjects = Some(vec![subject(account)]);
    let binding = RoleBinding { metadata: named(name), role_ref: role_ref("Role", name), subjects };
    create(&Api::namespaced(client.clone(), namespace), &binding).await
}

fn rules(file: &str) -> Result<Vec<PolicyRule>> {
    serde_saphyr::from_str(file).context("a file of rules")
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: Some("rbac.authorization.k8s.io".into()), kind: kind.into(), name: name.into() }
}

fn subject(account: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".into(),
        name: account.into(),
        namespace: Some(SYSTEM.into()),
        ..Subject::default()
    }
}

/// Creates `object`; one that is there already, from an earlier run on the same cluster, is left as it is.
async fn create<K>(api: &Api<K>, object: &K) -> Result<()>
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot create {:?}", object.meta().name)),
    }
}

/// Mints development certificates under `directory`, as `make certs` does.
pub fn certificates(directory: &Path) -> Result<PathBuf> {
    scalegate_certs::refresh(&scalegate_certs::Options::new(directory))?;
    Ok(directory.to_owned())
}
