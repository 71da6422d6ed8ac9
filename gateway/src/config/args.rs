//! The flags of `scalegate serve`. Each mirrors a field of the configuration and wins over file and environment.

use std::path::PathBuf;

use serde_json::Value;

/// Flags, as they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// The configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The mTLS address, as listen.address
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen_address: Option<String>,
    /// The server certificate chain (PEM), as tls.certificate
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Option<String>,
    /// The server's private key (PEM), as tls.key
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<String>,
    /// A CA whose clients may connect and the trust domain it speaks for, as tls.clientCas; repeatable
    #[arg(long, value_name = "FILE=TRUST-DOMAIN")]
    pub tls_client_ca: Vec<String>,
    /// A certificate revocation list (PEM), as tls.crls; repeatable
    #[arg(long, value_name = "FILE")]
    pub tls_crl: Vec<String>,
    /// The address of probes and metrics, as admin.address
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub admin_address: Option<String>,
    /// The directory of policies.yaml, as policies.directory
    #[arg(long, value_name = "DIRECTORY")]
    pub policies: Option<String>,
    /// The kubeconfig, as kubernetes.kubeconfig
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<String>,
    /// The context in the kubeconfig, as kubernetes.context
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// What audit records have as keyed hashes alone (reason, annotations, groups or peer), as audit.redact; repeatable
    #[arg(long, value_name = "FIELD")]
    pub audit_redact: Vec<String>,
    /// The key of these hashes, as audit.redactKeyFile
    #[arg(long, value_name = "FILE")]
    pub audit_redact_key_file: Option<String>,
    /// json or human, as log.format
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// What to log, such as info or scalegate=debug,info, as log.filter
    #[arg(long, value_name = "FILTER")]
    pub log_filter: Option<String>,
}

impl Args {
    /// The fields that flags set: path, value, and the flag's name.
    pub(super) fn overrides(&self) -> Vec<(&'static str, Value, &'static str)> {
        let one = |path, value: &Option<String>, flag| Some((path, Value::from(value.clone()?), flag));
        let many = |path, values: &[String], flag| (!values.is_empty()).then(|| (path, Value::from(values), flag));
        let all: [Option<(&'static str, Value, &'static str)>; 13] = [
            one("listen.address", &self.listen_address, "--listen-address"),
            one("tls.certificate", &self.tls_certificate, "--tls-certificate"),
            one("tls.key", &self.tls_key, "--tls-key"),
            many("tls.clientCas", &self.tls_client_ca, "--tls-client-ca"),
            many("tls.crls", &self.tls_crl, "--tls-crl"),
            one("admin.address", &self.admin_address, "--admin-address"),
            one("policies.directory", &self.policies, "--policies"),
            one("kubernetes.kubeconfig", &self.kubeconfig, "--kubeconfig"),
            one("kubernetes.context", &self.context, "--context"),
            many("audit.redact", &self.audit_redact, "--audit-redact"),
            one("audit.redactKeyFile", &self.audit_redact_key_file, "--audit-redact-key-file"),
            one("log.format", &self.log_format, "--log-format"),
            one("log.filter", &self.log_filter, "--log-filter"),
        ];
        all.into_iter().flatten().collect()
    }
}
