//! The client, `scalegate get`, `list`, `set` and so on, against a running gateway.

mod broken;
mod contexts;
mod plugin;
mod recorded;
mod sets;
mod shells;
mod watching;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context, Result};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::paths::binary;
use scalegate_tests::suite::{self, Shared};
use serde_json::Value;
use tokio::process::Command;

/// The client as `who`, who has no contexts.
fn client(suite: &Shared, who: &str) -> Result<Command> {
    Ok(client_at(&binary("scalegate")?, suite, who))
}

/// The same under another name of the program.
fn client_at(program: &Path, suite: &Shared, who: &str) -> Command {
    let certs = suite.certs();
    let file = |name: String| certs.join("clients").join(name);
    let mut command = Command::new(program);
    command
        .env("SCALEGATE_SERVER", format!("https://localhost:{}", suite.address().port()))
        .env("SCALEGATE_CA", certs.join("ca.pem"))
        .env("SCALEGATE_CERT", file(format!("{who}.pem")))
        .env("SCALEGATE_KEY", file(format!("{who}-key.pem")))
        .env("SCALEGATE_CONFIG", certs.join("no-contexts.yaml"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn scalegate<A: AsRef<OsStr>>(suite: &Shared, who: &str, arguments: &[A]) -> Result<Output> {
    client(suite, who)?.args(arguments).output().await.context("cannot start scalegate")
}

/// What a command printed, and its exit code.
#[derive(Debug, PartialEq, Eq)]
struct Printed {
    code: Option<i32>,
    out: String,
    err: String,
}

fn printed(output: Output) -> Result<Printed> {
    let Output { status, stdout, stderr } = output;
    Ok(Printed { code: status.code(), out: String::from_utf8(stdout)?, err: String::from_utf8(stderr)? })
}

/// Runs the client.
async fn run<A: AsRef<OsStr>>(suite: &Shared, who: &str, arguments: &[A]) -> Result<Printed> {
    printed(scalegate(suite, who, arguments).await?)
}

/// Runs the client, which succeeds and says nothing beside its output.
async fn done<A: AsRef<OsStr>>(suite: &Shared, who: &str, arguments: &[A]) -> Result<String> {
    let Printed { code, out, err } = run(suite, who, arguments).await?;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    Ok(out)
}

async fn json<A: AsRef<OsStr>>(suite: &Shared, who: &str, arguments: &[A]) -> Result<Value> {
    Ok(serde_json::from_str(&done(suite, who, arguments).await?)?)
}

/// A namespace with Deployments that are ready: `web` with 3 replicas and `api` with 1 in the tier `front`, and `job`.
async fn tiers(suite: &Shared) -> Result<String> {
    let namespace = suite.namespace("cli").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(3).label("tier", "front").create(&kube).await?;
    deployment(&namespace, "api").label("tier", "front").create(&kube).await?;
    deployment(&namespace, "job").label("tier", "back").create(&kube).await?;
    let viewer = suite.client("viewer")?;
    for (name, replicas) in [("web", 3), ("api", 1), ("job", 1)] {
        suite.wait_ready(&viewer, &namespace, name, replicas).await?;
    }
    Ok(namespace)
}

#[tokio::test]
async fn a_deployment_is_listed_shown_set_and_released() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let web = format!("{namespace}/web");

    let all = json(&suite, "viewer", &["list", "-n", &namespace, "-o", "json"]).await?;
    let names = |list: &Value| list["items"].as_array().map(|all| all.iter().map(|one| one["name"].clone()).collect());
    assert_eq!(names(&all), Some(vec!["api".into(), "job".into(), "web".into()]));
    let front = ["list", "-n", &namespace, "-l", "tier in (front)", "-o", "json"];
    assert_eq!(names(&json(&suite, "viewer", &front).await?), Some(vec!["api".into(), "web".into()]));

    let dry = json(&suite, "operator", &["set", &web, "2", "--dry-run", "-o", "json"]).await?;
    assert_eq!((&dry["target"]["replicas"], &dry["dryRun"]), (&2.into(), &true.into()), "{dry}");
    let set = json(&suite, "operator", &["set", &web, "2", "--reason", "launch", "-o", "json"]).await?;
    assert_eq!((&set["target"]["reason"], &set["progress"]["accepted"]), (&"launch".into(), &true.into()), "{set}");
    suite.wait_ready(&suite.client("viewer")?, &namespace, "web", 2).await?;
    let shown = json(&suite, "viewer", &["get", &web, "-o", "json"]).await?;
    assert_eq!(shown["spec"]["replicas"], 2, "{shown}");

    let list = done(&suite, "viewer", &["list", "-n", &namespace]).await?;
    insta::assert_snapshot!("list", list);
    assert_eq!(done(&suite, "viewer", &["get", "web", "-n", &namespace]).await?.lines().count(), 2);
    let would = done(&suite, "operator", &["release", "web", "-n", &namespace, "--dry-run"]).await?;
    insta::assert_snapshot!("release_dry_run", would.replace(&namespace, "NAMESPACE"));
    let released = done(&suite, "operator", &["release", "web", "-n", &namespace]).await?;
    insta::assert_snapshot!("release", released.replace(&namespace, "NAMESPACE"));
    Ok(())
}

#[tokio::test]
async fn options_may_stand_before_the_command() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let before = done(&suite, "viewer", &["-n", &namespace, "-o", "name", "get", "web"]).await?;
    assert_eq!(before, format!("{namespace}/web\n"));
    let unknown = run(&suite, "viewer", &["--nowhere", "get", "web"]).await?;
    assert!(unknown.code == Some(2) && unknown.err.contains("unexpected argument '--nowhere'"), "{unknown:?}");
    Ok(())
}

#[tokio::test]
async fn each_form_shows_the_same_deployments() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let of = |form: &'static str| ["list", "-n", &namespace, "-o", form].map(str::to_owned);
    let names = format!("{namespace}/api\n{namespace}/job\n{namespace}/web\n");
    assert_eq!(done(&suite, "viewer", &of("name")).await?, names);
    let yaml: Value = serde_saphyr::from_str(&done(&suite, "viewer", &of("yaml")).await?)?;
    assert_eq!(yaml["items"][2]["spec"]["replicas"], 3, "{yaml}");
    let wide = done(&suite, "viewer", &of("wide")).await?;
    let header: Vec<_> = wide.lines().next().unwrap_or_default().split_whitespace().collect();
    let columns = "NAME DESIRED CURRENT READY OWNER BY REASON VERSION ROLLOUT OBSTACLE CONFIRMED";
    assert_eq!(header.join(" "), columns);
    assert!(wide.contains("complete"), "{wide}");
    let everywhere = done(&suite, "viewer", &["list", "-A"]).await?;
    let row = |line: &&str| line.starts_with(&namespace);
    assert!(everywhere.starts_with("NAMESPACE ") && everywhere.lines().filter(row).count() == 3, "{everywhere}");
    let several = done(&suite, "viewer", &["get", "web", "api", "-n", &namespace]).await?;
    assert_eq!(several.lines().count(), 3, "{several}");
    assert!(!several.contains('\u{1b}'), "colours are for terminals: {several:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_said_beside_the_output() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let none = run(&suite, "viewer", &["list", "-n", &namespace, "-l", "tier=none"]).await?;
    let said = format!("no Deployments that you may see in namespace {namespace}\n");
    assert_eq!(none, Printed { code: Some(0), out: String::new(), err: said });
    let some = run(&suite, "operator", &["get", "web", "none", "-n", &namespace]).await?;
    assert_eq!((some.code, some.out.lines().count()), (Some(4), 2), "{some:?}");
    assert!(some.err.contains("404 deployment_not_found") && some.err.contains("next: check the name"), "{some:?}");
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reasons_and_what_to_do() -> Result<()> {
    let suite = suite::shared().await?;
    let refused = run(&suite, "stranger", &["get", "demo/web"]).await?;
    assert_eq!((refused.code, refused.out.as_str()), (Some(3), ""));
    let text = refused.err;
    assert!(text.contains("403 refused: no role of yours allows get") && text.contains("decisionId"), "{text}");
    assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("  next: ")), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_the_gateway_refuses_is_told_as_such() -> Result<()> {
    let suite = suite::shared().await?;
    for (who, alert, advice) in [
        ("expired", "CertificateExpired", "have the certificate renewed: it ended at 20"),
        ("revoked", "CertificateRevoked", "have a new one issued"),
        ("wrong-eku", "UnsupportedCertificate", "for client authentication"),
        ("other-ca", "UnknownCA", "does not trust the certificate's issuer"),
    ] {
        for arguments in [&["list"][..], &["version"], &["watch"], &["set", "demo/web", "2"]] {
            let refused = run(&suite, who, arguments).await?;
            assert_eq!(refused.code, Some(6), "{refused:?}");
            assert!(refused.err.contains(alert) && refused.err.contains(advice), "{arguments:?}: {refused:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_cannot_be_reached_or_trusted_is_told_as_such() -> Result<()> {
    let suite = suite::shared().await?;
    let other = suite.certs().join("other-ca.pem").display().to_string();
    let address = suite.address().port();
    for (arguments, said, next) in [
        (["--ca", &other], "invalid peer certificate: UnknownIssuer", "is --ca"),
        (["--server", "https://localhost:1"], "cannot connect to localhost:1: ", "is the gateway running"),
        (["--server", &format!("https://127.0.0.2:{address}")], "cannot connect", "is the gateway running"),
    ] {
        let failed = run(&suite, "viewer", &[&["list"][..], &arguments].concat()).await?;
        assert_eq!(failed.code, Some(6), "{failed:?}");
        assert!(failed.err.contains(said) && failed.err.contains(next), "{failed:?}");
    }
    Ok(())
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_usage_errors() -> Result<()> {
    let suite = suite::shared().await?;
    for arguments in [
        &["get", "web"][..],
        &["get"],
        &["get", "a/../b"],
        &["get", "demo/web", "-n", "shop"],
        &["get", "demo/web", "-o", "xml"],
        &["get", "demo/web", "--context", "none"],
        &["set", "demo/web", "-1"],
        &["set", "demo/web", "1.5"],
        &["set", "demo/web"],
        &["set", "demo/web", "5", "6"],
        &["set", "demo/web", "5", "-l", "tier=front"],
        &["set", "-l", "tier=front", "5"],
        &["set", "demo/web", "5", "--partial"],
        &["set", "demo/web", "5", "--wait=1d"],
        &["set", "demo/web", "5", "--wait", "--dry-run"],
        &["list", "-n", "demo", "-A"],
        &["watch", "demo/web", "-l", "tier=front"],
        &["list", "-l", "~"],
        &["list", "--cert", "/nowhere.pem"],
        &["list", "--cert", "/nowhere.pem", "--key", "/nowhere.pem"],
        &["config", "use-context", "none"],
    ] {
        let output = run(&suite, "operator", arguments).await?;
        assert_eq!((output.code, output.out.as_str()), (Some(2), ""), "{arguments:?}: {}", output.err);
    }
    let output = run(&suite, "operator", &["set", "demo/web", "5", "--wait", "30s"]).await?;
    assert!(output.err.contains("\"30s\" is one too many") && output.err.contains("--wait=30s"), "{output:?}");
    let output = run(&suite, "operator", &["set", "demo/web", "-3"]).await?;
    assert!(output.err.contains("a count is 0 or more"), "{output:?}");
    let output = run(&suite, "operator", &["list", "--cert", "/nowhere.pem"]).await?;
    assert!(output.err.contains("from --cert, and its key from SCALEGATE_KEY: give --key too"), "{output:?}");
    let output = run(&suite, "viewer", &["list", "--server", "http://localhost"]).await?;
    assert!(output.err.contains("https://HOST:PORT"), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn one_learns_who_one_is_and_what_decides() -> Result<()> {
    let suite = suite::shared().await?;
    let who = done(&suite, "operator", &["whoami"]).await?;
    for part in
        ["uri:spiffe://scalegate.test/operator\n", "groups:      operators\n", "left)\n", "accepts it (version "]
    {
        assert!(who.contains(part), "{who}");
    }
    let document = json(&suite, "operator", &["whoami", "-o", "json"]).await?;
    assert_eq!(document["client"]["id"], "uri:spiffe://scalegate.test/operator", "{document}");

    let expired = run(&suite, "expired", &["whoami"]).await?;
    assert!(expired.code == Some(6) && expired.out.contains("ago)\n"), "the certificate is shown first: {expired:?}");

    let version = env!("CARGO_PKG_VERSION");
    let both = format!("client: {version}\ngateway: {version}\n");
    assert_eq!(done(&suite, "stranger", &["version"]).await?, both);
    let unreachable = run(&suite, "viewer", &["version", "--server", "https://localhost:1"]).await?;
    assert_eq!((unreachable.code, unreachable.out), (Some(6), format!("client: {version}\n")));

    let policies = done(&suite, "operator", &["policies"]).await?;
    let mut lines = policies.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next(), Some(vec!["NAME", "MODE", "SHA256", "SET", "AGE"]));
    let module = lines.next().unwrap_or_default();
    assert_eq!((module.len(), module[0], module[1]), (5, "scalegate", "enforce"), "{policies}");
    assert_eq!(run(&suite, "viewer", &["policies"]).await?.code, Some(3));
    Ok(())
}

#[tokio::test]
async fn what_others_wrote_cannot_reach_a_terminal() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("hostile").await?;
    let hostile = format!("\u{1b}]0;x\u{7}\u{1b}[2K\u{9b}31m\u{202e}\n{}", "x".repeat(10_000));
    let web = deployment(&namespace, "web").annotation("scalegate.dev/max-replicas", &hostile);
    web.create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let web = format!("{namespace}/web");
    let text = run(&suite, "operator", &["set", &web, "3"]).await?.err;
    let (problem, advice) = text.split_once('\n').context("one line")?;
    assert!(problem.starts_with("scalegate: 403 refused: ") && problem.ends_with(')'), "{text}");
    assert!(problem.contains(r"\u{1b}]0;x\u{7}\u{1b}[2K\u{9b}31m\u{202e}\nxxx"), "{text}");
    assert!(problem.contains("xxx…"), "the gateway cuts reasons: {text}");
    assert!(text.len() < 3000 && advice.starts_with("  next: ") && advice.lines().count() == 1, "{text}");

    for form in ["table", "wide", "json", "yaml", "name"] {
        let shown = scalegate(&suite, "operator", &["get", &web, "-o", form]).await?;
        assert!(shown.status.success() && !shown.stdout.is_empty(), "{form}");
        assert!(shown.stdout.iter().all(|byte| *byte == b'\n' || (b' '..=b'~').contains(byte)), "{form}");
    }
    let log = std::fs::read_to_string(suite.gateway_log_path())?;
    let obeyed = |c: &char| *c != '\n' && scalegate::text::invisible(*c);
    assert_eq!(log.chars().find(obeyed), None, "of the log and the records");
    Ok(())
}
