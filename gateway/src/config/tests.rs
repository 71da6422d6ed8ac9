#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Write;
use std::time::Duration;

use super::*;
use crate::identity::IdForm;

const REQUIRED: &str = "
tls:
  certificate: server.pem
  key: server-key.pem
  clientCas:
    - file: ca.pem
      trustDomain: example.org
";

/// Loads `file` with `environment` and the flags in `args`.
fn load_all(file: &str, environment: &[(&str, &str)], mut args: Args) -> Result<Config, ConfigErrors> {
    let mut on_disk = tempfile::NamedTempFile::new().unwrap();
    on_disk.write_all(file.as_bytes()).unwrap();
    args.config = Some(on_disk.path().to_owned());
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Config::from_sources(&args, environment)
}

fn load(file: &str) -> Result<Config, ConfigErrors> {
    load_all(file, &[], Args::default())
}

/// The errors, without the origins, which hold the name of a temporary file.
fn errors(result: Result<Config, ConfigErrors>) -> Vec<String> {
    result.unwrap_err().0.into_iter().map(|problem| Problem { origin: None, ..problem }.to_string()).collect()
}

#[test]
fn a_file_with_only_the_required_fields_gives_the_defaults() {
    let config = load(REQUIRED).unwrap();
    assert_eq!(config.listen.address.to_string(), "[::]:8443");
    assert_eq!(config.admin.address.to_string(), "[::]:8081");
    assert_eq!(config.listen.max_body_bytes, 8192);
    assert_eq!(config.listen.drain, Drain { grace: Duration::from_secs(5), deadline: Duration::from_secs(30) });
    assert_eq!(config.tls.client_cas[0].voucher.forms, [IdForm::Uri, IdForm::Dns].into());
    assert_eq!(config.tls.reload_interval, Duration::from_secs(1));
    assert_eq!(config.tls.client_cas[0].voucher.trust_domain.as_str(), "example.org");
    assert_eq!(config.kubernetes.annotations, ["scalegate.dev/*"]);
    assert_eq!(config.kubernetes.namespaces, Vec::<String>::new());
    assert_eq!(config.lease.namespace, "scalegate");
    assert_eq!(config.log, Log { format: LogFormat::Json, filter: "info".to_owned() });
}

#[test]
fn every_field_is_documented_with_its_name() {
    let documented = include_str!("sections.rs");
    let host = validate::Host::of(&[]);
    for field in validate::fields(&host) {
        let name = field.rsplit('.').next().unwrap();
        assert!(documented.contains(&format!("`{name}`: ")), "sections.rs does not document {field}");
    }
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let file = format!("{REQUIRED}\nlog: {{filter: warn, format: json}}\nlisten: {{maxConnections: 1}}\n");
    let environment =
        [("SCALEGATE__LOG__FILTER", "error"), ("SCALEGATE__LOG__FORMAT", "human"), ("OTHER__LOG__FILTER", "x")];
    let args = Args { log_filter: Some("debug".to_owned()), ..Args::default() };
    let config = load_all(&file, &environment, args).unwrap();
    assert_eq!(config.log, Log { format: LogFormat::Human, filter: "debug".to_owned() });
    assert_eq!(config.listen.max_connections, 1);
}

#[test]
fn the_environment_alone_can_configure_everything() {
    let environment = [
        ("SCALEGATE__TLS__CERTIFICATE", "server.pem"),
        ("SCALEGATE__TLS__KEY", "key.pem"),
        ("SCALEGATE__TLS__CLIENT_CAS", "a.pem=a.example, b=c.pem=b.example"),
        ("SCALEGATE__TLS__CRLS", "a.crl,b.crl"),
        ("SCALEGATE__LISTEN__MAX_CONNECTIONS", "7"),
        ("SCALEGATE__KUBERNETES__NAMESPACES", "team-a, team-b"),
        ("SCALEGATE__LISTEN__DRAIN__GRACE", "0s"),
        ("POD_NAME", "gateway-0"),
        ("POD_NAMESPACE", "platform"),
    ];
    let environment = environment.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
    let config = Config::from_sources(&Args::default(), environment).unwrap();
    let cas: Vec<_> =
        config.tls.client_cas.iter().map(|ca| (ca.file.to_str().unwrap(), ca.voucher.trust_domain.as_str())).collect();
    assert_eq!(cas, [("a.pem", "a.example"), ("b=c.pem", "b.example")]);
    assert_eq!(config.tls.crls, [std::path::PathBuf::from("a.crl"), "b.crl".into()]);
    assert_eq!(config.listen.max_connections, 7);
    assert_eq!(config.kubernetes.namespaces, ["team-a", "team-b"]);
    assert_eq!(config.listen.drain.grace, Duration::ZERO);
    assert_eq!((config.lease.identity.as_str(), config.lease.namespace.as_str()), ("gateway-0", "platform"));
}

#[test]
fn three_mistakes_are_three_errors_in_one_message() {
    let file = format!("{REQUIRED}\nlisten: {{maxConnections: 0, idleTimeout: 10}}\nadmin: {{adress: 'x'}}\n");
    let message = load(&file).unwrap_err().to_string();
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 3, "{message}");
    assert!(lines[0].starts_with("listen.maxConnections: 0 (from /"), "{message}");
    assert!(lines[0].ends_with("): must be a whole number from 1 to 1000000"), "{message}");
    assert!(
        lines[1].ends_with("must be a duration with its unit from 100ms to 1h, such as 500ms, 10s or 2m"),
        "{message}"
    );
    assert!(lines[2].starts_with("admin.adress: \"x\" (from /"), "{message}");
    assert!(lines[2].ends_with("is no field of the configuration"), "{message}");
}

#[test]
fn what_is_required_and_absent_is_told() {
    assert_eq!(
        errors(load("")),
        [
            "tls.certificate: is required and must be the path of a file or directory",
            "tls.key: is required and must be the path of a file or directory",
            "tls.clientCas: is required and must be a list of CAs, each with `file` and `trustDomain` \
             (or FILE=TRUST-DOMAIN)",
        ]
    );
}

#[test]
fn each_wrong_value_is_told_with_what_is_allowed() {
    for (section, error) in [
        ("listen: {address: 'localhost'}", "listen.address: \"localhost\": must be an IP address and a port"),
        ("listen: {maxConnections: 1.5}", "listen.maxConnections: 1.5: must be a whole number"),
        ("listen: {maxConnections: true}", "listen.maxConnections: true: must be a whole number"),
        ("listen: {maxConnections: [1]}", "listen.maxConnections: a list: must be a whole number"),
        ("listen: {maxBodyBytes: -1}", "listen.maxBodyBytes: -1: must be a whole number from 256 to 1048576"),
        ("listen: {drain: {grace: 30s}}", "listen.drain.deadline: 30s: must be longer than listen.drain.grace"),
        ("log: {format: xml}", "log.format: \"xml\": must be json or human"),
        ("log: {filter: 'a=b=c'}", "log.filter: \"a=b=c\": must be a level or levels by module"),
        ("lease: {duration: 5s}", "lease.duration: 5s: must be longer than lease.renewDeadline"),
        ("lease: {duration: 15s 1ms}", "lease.duration: 15s 1ms: must be whole seconds"),
        ("lease: {renewDeadline: 1s}", "lease.renewDeadline: 1s: must be longer than lease.retryPeriod"),
        ("lease: {namespace: 'a.b'}", "lease.namespace: \"a.b\": must be 1 to 63"),
        ("kubernetes: {annotations: ['*']}", "kubernetes.annotations: \"*\": must not cover kubectl"),
        ("kubernetes: {annotations: ['a*b']}", "kubernetes.annotations: \"a*b\": must have its only * at the end"),
        (
            "kubernetes: {namespaces: [Demo]}",
            "kubernetes.namespaces[0]: \"Demo\": must be the name of a namespace: 1 to",
        ),
        ("kubernetes: {namespaces: [a, a.b]}", "kubernetes.namespaces[1]: \"a.b\": must be the name of a namespace"),
        ("kubernetes: {namespaces: [a, '']}", "kubernetes.namespaces[1]: \"\": must be a list of names of namespaces"),
        ("kubernetes: {namespaces: [~]}", "kubernetes.namespaces[0]: null: must be a list of names of namespaces"),
        ("kubernetes: {namespaces: ['*']}", "kubernetes.namespaces[0]: \"*\": must be the name of a namespace"),
        ("kubernetes: {namespaces: [a, b, a]}", "kubernetes.namespaces[2]: \"a\": is there twice"),
        ("kubernetes: {namespaces: 7}", "kubernetes.namespaces: 7: must be a list of names"),
        (
            "policies: {reloadInterval: 0s}",
            "policies.reloadInterval: \"0s\": must be a duration with its unit from 100ms",
        ),
        ("policies: {directory: ''}", "policies.directory: \"\": must be the path"),
        ("policies: rules", "policies: \"rules\": must be a mapping of fields"),
        ("nonsense: {a: {b: 1}}", "nonsense.a.b: 1: is no field of the configuration"),
    ] {
        let told = errors(load(&format!("{REQUIRED}\n{section}\n")));
        assert!(told.iter().any(|line| line.starts_with(error)), "{section}: {told:?}");
    }
}

#[test]
fn a_wrong_client_ca_is_told() {
    for (cas, error) in [
        ("[]", "tls.clientCas: none: must name one CA at least"),
        ("ca.pem", "tls.clientCas[0]: \"ca.pem\": must have `file` and `trustDomain`, optionally"),
        ("[{file: ca.pem}]", "tls.clientCas[0]: a mapping: must have `file` and `trustDomain`, optionally"),
        (
            "[{file: a, trustDomain: b, x: 1}]",
            "tls.clientCas[0]: a mapping: must have `file` and `trustDomain`, optionally",
        ),
        ("['ca.pem=Example.org']", "tls.clientCas[0].trustDomain: \"Example.org\": a trust domain has"),
        (
            "[{file: a, trustDomain: b, identities: []}]",
            "tls.clientCas[0].identities: a list: must be a non-empty list of `uri`",
        ),
        (
            "[{file: a, trustDomain: b, identities: [uri, ip]}]",
            "tls.clientCas[0].identities: a list: must be a non-empty list of",
        ),
        (
            "[{file: a, trustDomain: b, identities: uri}]",
            "tls.clientCas[0].identities: \"uri\": must be a non-empty list of",
        ),
        ("7", "tls.clientCas: 7: must be a list of CAs"),
    ] {
        let told = errors(load(&format!("tls: {{certificate: a, key: b, clientCas: {cas}}}")));
        assert_eq!(told.len(), 1, "{cas}: {told:?}");
        assert!(told[0].starts_with(error), "{cas}: {told:?}");
    }
}

#[test]
fn an_unknown_variable_is_told_by_its_name() {
    let told = load_all(REQUIRED, &[("SCALEGATE__LISTEN__PROT", "1")], Args::default()).unwrap_err().to_string();
    assert_eq!(told, "SCALEGATE__LISTEN__PROT: \"1\": names no field of the configuration");
    let told = load_all(REQUIRED, &[("SCALEGATE__LISTEN__IDLETIMEOUT", "1s")], Args::default()).unwrap_err();
    assert!(told.to_string().ends_with("; SCALEGATE__LISTEN__IDLE_TIMEOUT sets listen.idleTimeout"), "{told}");
    for (name, meant) in [
        ("SCALEGATE__AUDIT", "names a section; name a field in it, such as SCALEGATE__AUDIT__"),
        ("SCALEGATE__LISTEN__DRAIN", "names a section; name a field in it, such as SCALEGATE__LISTEN__DRAIN__GRACE"),
        ("SCALEGATE__AUDIT_OUTPUT", "; SCALEGATE__AUDIT__OUTPUT sets audit.output"),
        ("SCALEGATE__AUDIT__WHENFULL", "; SCALEGATE__AUDIT__WHEN_FULL sets audit.whenFull"),
        ("SCALEGATE__AUDIT__OUTPUT__X", "names no field of the configuration"),
        ("SCALEGATE__", "names no field of the configuration"),
    ] {
        let told = load_all(REQUIRED, &[(name, "/x")], Args::default()).unwrap_err().to_string();
        assert!(told.starts_with(&format!("{name}: \"/x\": names ")) && told.contains(meant), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn a_named_file_that_is_missing_or_no_yaml_is_an_error() {
    let args = Args { config: Some("/nonexistent/scalegate.yaml".into()), ..Args::default() };
    let told = Config::from_sources(&args, Vec::new()).unwrap_err().to_string();
    assert!(told.starts_with("/nonexistent/scalegate.yaml: the configuration file cannot be read"), "{told}");
    for file in ["a: [", "- a", "a: 1\na: 2", "just text"] {
        let told = load(file).unwrap_err().to_string();
        assert!(told.contains("the configuration"), "{file}: {told}");
    }
    let told = load("a: [\nMIIsecret\n").unwrap_err().to_string();
    assert!(told.contains("line ") && !told.contains("MIIsecret"), "{told}");
}

#[test]
fn a_hundred_namespaces_can_be_listed_and_no_more() {
    let file = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!("team-{n}")).collect();
        format!("{REQUIRED}\nkubernetes: {{namespaces: [{}]}}\n", names.join(", "))
    };
    assert_eq!(load(&file(100)).unwrap().kubernetes.namespaces.len(), 100);
    let told = errors(load(&file(101)));
    assert_eq!(
        told,
        ["kubernetes.namespaces: 101: must be 100 namespaces at most; to watch the whole cluster, name none"]
    );
}

#[test]
fn an_empty_section_leaves_the_defaults() {
    assert_eq!(load(&format!("{REQUIRED}\nlisten:\nlog: {{filter: }}\n")).unwrap().log.filter, "info");
}

#[test]
fn a_section_that_is_no_mapping_is_one_error() {
    assert_eq!(errors(load(&format!("{REQUIRED}\naudit: /x\n"))), ["audit: \"/x\": must be a mapping of fields"]);
}

#[test]
fn what_is_redacted_is_listed_and_needs_a_key() {
    use crate::audit::RedactedField::{Groups, Peer, Reason};

    let environment = [("SCALEGATE__AUDIT__REDACT", "reason, peer"), ("SCALEGATE__AUDIT__REDACT_KEY_FILE", "/key")];
    let audit = load_all(REQUIRED, &environment, Args::default()).unwrap().audit;
    assert_eq!((audit.redact, audit.redact_key_file), (vec![Reason, Peer], Some("/key".into())));
    let args = Args { audit_redact: vec!["groups".to_owned()], ..Args::default() };
    assert_eq!(load_all(REQUIRED, &environment, args).unwrap().audit.redact, [Groups]);
    for (audit, error) in [
        ("redact: [name], redactKeyFile: /k", "audit.redact[0]: \"name\": must be reason, annotations, groups or peer"),
        ("redact: [peer, peer], redactKeyFile: /k", "audit.redact[1]: \"peer\": is there twice"),
        ("redact: 7, redactKeyFile: /k", "audit.redact: 7: must be a list of reason, annotations, groups and peer"),
        (
            "redact: [peer]",
            "audit.redactKeyFile: is required and must be the path of the key of what audit.redact names",
        ),
    ] {
        assert_eq!(errors(load(&format!("{REQUIRED}\naudit: {{{audit}}}\n"))), [error]);
    }
}
