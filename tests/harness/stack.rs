//! The whole product on a control plane: what the integration tests and the demo stand on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fixtures::wait_for;

/// The namespace that the gateways live in, and their account.
pub const SYSTEM: &str = "scalegate";
/// The roles that the chart ships; the tests run under exactly these.
const RBAC: &str = include_str!("../../charts/scalegate/files/rbac.yaml");

/// Installs the CRD, the account and its roles, as the chart does.
pub async fn install(client: &Client) -> Result<()> {
    create(&Api::all(client.clone()), &scalegate::targets::crd()).await?;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    wait_for(&crds, "replicatargets.scalegate.dev", "the CRD to be established", |crd| {
        let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Established" && one.status == "True"))
    })
    .await?;
    create(&Api::all(client.clone()), &Namespace { metadata: named(SYSTEM), ..Namespace::default() }).await?;
    let account = ServiceAccount { metadata: named(SYSTEM), ..ServiceAccount::default() };
    create(&Api::namespaced(client.clone(), SYSTEM), &account).await?;

    let (cluster_role, role) = roles()?;
    create(&Api::all(client.clone()), &cluster_role).await?;
    create(&Api::namespaced(client.clone(), SYSTEM), &role).await?;
    let binding = ClusterRoleBinding {
        metadata: named(SYSTEM),
        role_ref: role_ref("ClusterRole"),
        subjects: Some(vec![subject()]),
    };
    create(&Api::all(client.clone()), &binding).await?;
    let binding = RoleBinding { metadata: named(SYSTEM), role_ref: role_ref("Role"), subjects: Some(vec![subject()]) };
    create(&Api::namespaced(client.clone(), SYSTEM), &binding).await
}

fn roles() -> Result<(ClusterRole, Role)> {
    let (cluster_role, role) = RBAC.split_once("\n---\n").context("two documents of roles")?;
    Ok((serde_saphyr::from_str(cluster_role)?, serde_saphyr::from_str(role)?))
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

fn role_ref(kind: &str) -> RoleRef {
    RoleRef { api_group: Some("rbac.authorization.k8s.io".into()), kind: kind.into(), name: SYSTEM.into() }
}

fn subject() -> Subject {
    Subject { kind: "ServiceAccount".into(), name: SYSTEM.into(), namespace: Some(SYSTEM.into()), ..Subject::default() }
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
