//! The argument lists of the five programs, and the files that they name.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::kubeconfig;
use crate::pki::{self, Authority, KeyedCertificate};

const STAGES: &str = include_str!("stages.yaml");

/// The controllers that Deployments, their pods, namespaces, service accounts and owner references need. The autoscaler
/// is left out: nothing here provides the metrics that it would read.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,namespace-controller,\
    serviceaccount-controller,serviceaccount-token-controller,garbage-collector-controller,node-lifecycle-controller,\
    clusterrole-aggregation-controller,root-ca-certificate-publisher-controller";

/// Every file that the programs read, under one working directory.
pub(super) struct Files {
    authority: Authority,
    etcd_data: PathBuf,
    etcd_server: KeyedCertificate,
    etcd_client: KeyedCertificate,
    api_server: KeyedCertificate,
    service_account_keys: (PathBuf, PathBuf),
    users: [(&'static str, KeyedCertificate); 4],
    stages: PathBuf,
    kubeconfigs: PathBuf,
}

impl Files {
    pub(super) fn write(work: &Path) -> Result<Self> {
        let keys = work.join("pki");
        let authority = Authority::create(&keys)?;
        let loopback = ["127.0.0.1", "localhost"];
        let user =
            |name: &'static str, user, group| Ok::<_, anyhow::Error>((name, authority.client(name, user, group)?));
        let files = Self {
            etcd_data: work.join("etcd"),
            etcd_server: authority.server("etcd", &loopback)?,
            etcd_client: authority.client("etcd-client", "kube-apiserver", None)?,
            api_server: authority.server("kube-apiserver", &[&loopback[..], &["kubernetes.default.svc"]].concat())?,
            service_account_keys: pki::service_account_keys(&keys)?,
            users: [
                user("admin", "admin", Some("system:masters"))?,
                user("controller-manager", "system:kube-controller-manager", None)?,
                user("scheduler", "system:kube-scheduler", None)?,
                // KWOK ships no role that a plain binary could be bound to.
                user("kwok", "kwok", Some("system:masters"))?,
            ],
            authority,
            stages: work.join("stages.yaml"),
            kubeconfigs: work.join("kubeconfig"),
        };
        std::fs::write(&files.stages, STAGES).context("write the stages for KWOK")?;
        std::fs::create_dir_all(&files.kubeconfigs).context("create the directory of kubeconfigs")?;
        Ok(files)
    }

    pub(super) fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    pub(super) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.kubeconfigs.join(user)
    }

    /// Written anew for each choice of ports.
    pub(super) fn write_kubeconfigs(&self, api_url: &str) -> Result<()> {
        for (name, user) in &self.users {
            kubeconfig::write(&self.kubeconfig(name), api_url, &self.authority.certificate(), user)?;
        }
        Ok(())
    }

    pub(super) fn etcd(&self, port: u16) -> Vec<String> {
        let url = format!("https://127.0.0.1:{port}");
        vec![
            flag("data-dir", self.etcd_data.display()),
            flag("listen-client-urls", &url),
            flag("advertise-client-urls", &url),
            // It has no peers; the kernel chooses the port that none will ask for.
            flag("listen-peer-urls", "http://127.0.0.1:0"),
            flag("client-cert-auth", true),
            flag("trusted-ca-file", self.authority.certificate().display()),
            flag("cert-file", self.etcd_server.certificate.display()),
            flag("key-file", self.etcd_server.key.display()),
            // The data does not outlive the harness, so nothing is lost with the machine's power.
            flag("unsafe-no-fsync", true),
            flag("log-level", "warn"),
        ]
    }

    pub(super) fn api_server(&self, port: u16, etcd_port: u16) -> Vec<String> {
        let authority = self.authority.certificate();
        let (signing_key, verifying_key) = &self.service_account_keys;
        vec![
            flag("etcd-servers", format_args!("https://127.0.0.1:{etcd_port}")),
            flag("etcd-cafile", authority.display()),
            flag("etcd-certfile", self.etcd_client.certificate.display()),
            flag("etcd-keyfile", self.etcd_client.key.display()),
            flag("bind-address", "127.0.0.1"),
            flag("secure-port", port),
            flag("tls-cert-file", self.api_server.certificate.display()),
            flag("tls-private-key-file", self.api_server.key.display()),
            flag("client-ca-file", authority.display()),
            flag("authorization-mode", "RBAC"),
            flag("service-account-issuer", "https://kubernetes.default.svc"),
            flag("service-account-signing-key-file", signing_key.display()),
            flag("service-account-key-file", verifying_key.display()),
            flag("service-cluster-ip-range", "10.0.0.0/24"),
            // A loopback address cannot be an endpoint of the `kubernetes` Service, and no pod would dial it.
            flag("endpoint-reconciler-type", "none"),
            flag("enable-priority-and-fairness", false),
            flag("event-ttl", "15m"),
            // Without it a stopping server waits a minute for the watches of its clients to end by themselves.
            flag("shutdown-watch-termination-grace-period", "1s"),
            flag("profiling", false),
        ]
    }

    pub(super) fn controller_manager(&self) -> Vec<String> {
        vec![
            flag("kubeconfig", self.kubeconfig("controller-manager").display()),
            flag("controllers", CONTROLLERS),
            flag("use-service-account-credentials", true),
            flag("service-account-private-key-file", self.service_account_keys.0.display()),
            flag("root-ca-file", self.authority.certificate().display()),
            flag("leader-elect", false),
            flag("secure-port", 0),
            flag("kube-api-qps", 500),
            flag("kube-api-burst", 1000),
            flag("profiling", false),
        ]
    }

    pub(super) fn scheduler(&self) -> Vec<String> {
        vec![
            flag("kubeconfig", self.kubeconfig("scheduler").display()),
            flag("leader-elect", false),
            flag("secure-port", 0),
            flag("kube-api-qps", 500),
            flag("kube-api-burst", 1000),
            flag("profiling", false),
        ]
    }

    pub(super) fn kwok(&self) -> Vec<String> {
        vec![
            flag("kubeconfig", self.kubeconfig("kwok").display()),
            flag("config", self.stages.display()),
            flag("manage-all-nodes", true),
            // Else the node counts as lost after a while without a heartbeat.
            flag("node-lease-duration-seconds", 40),
        ]
    }
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}
