//! Sets of policies that cannot answer: none of them replaces one that can, and each is told what is wrong with it, by
//! `policy check` and by a gateway alike.

mod table;

use std::process::Command;

use anyhow::{Context, Result};
use scalegate_tests::gateway::Gateway;
use scalegate_tests::paths::binary;
use scalegate_tests::policies::copy;
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::Value;

use self::table::{Wrong, wrong};
use crate::modules::write_set;

/// Whether `text` says what is wrong with the set `name`. A file that nobody names is nobody's fault.
fn told(text: &str, name: &str, wrong: &Wrong) -> bool {
    let of_the_module = text.contains(&format!("module \"{name}\""));
    text.contains(wrong.told) && (of_the_module || text.contains("does not name it"))
}

#[test]
fn policy_check_names_the_module_the_question_and_what_came_instead_of_a_verdict() -> Result<()> {
    let all = wrong();
    assert!(all.len() >= 20);
    for (name, wrong) in all {
        let directory = tempfile::tempdir()?;
        let (manifest, files) = wrong.files(&name)?;
        write_set(directory.path(), &manifest, &files)?;
        let output = Command::new(binary("scalegate")?).args(["policy", "check"]).arg(directory.path()).output()?;
        let text = String::from_utf8(output.stderr)?;
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{}: {text}", wrong.what);
        assert!(told(&text, &name, &wrong), "{}: {text}", wrong.what);
    }
    Ok(())
}

#[test]
fn an_answer_of_another_shape_is_shown_to_its_author() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let wrong = Wrong::rules("", r#"verdict := {"allow": true}"#, "");
    let (manifest, files) = wrong.files("mine")?;
    write_set(directory.path(), &manifest, &files)?;
    let output = Command::new(binary("scalegate")?).args(["policy", "check"]).arg(directory.path()).output()?;
    let text = String::from_utf8(output.stderr)?;
    assert!(text.contains("module \"mine\" answered get with: {\"allow\":true}"), "{text}");
    Ok(())
}

async fn last_error(gateway: &Gateway) -> Result<Value> {
    let (_, status) = gateway.admin("/status").await?;
    Ok(serde_json::from_str::<Value>(&status)?["policies"]["lastError"].clone())
}

#[tokio::test]
async fn a_set_that_cannot_answer_never_replaces_one_that_can() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("wrong-sets").await?;
    let policies = suite.directory("wrong-policies")?;
    copy("normal", &policies)?;
    let mut options = suite.options("wrong-sets");
    options.policies.clone_from(&policies);
    let gateway = suite.start(&options).await?;
    let viewer = gateway.client("viewer")?;
    let failures = "scalegate_policy_reloads_total{outcome=\"failure\"}";
    for (name, wrong) in wrong() {
        let before = gateway.metric(failures).await.unwrap_or(0.0);
        let (manifest, files) = wrong.files(&name)?;
        write_set(&policies, &manifest, &files)?;
        poll::eventually(wrong.what, async || {
            let error = last_error(&gateway).await?;
            let text = error["message"].as_str().context("no error yet")?;
            Ok(told(text, &name, &wrong).then_some(()))
        })
        .await
        .with_context(|| format!("{}: {:?}", wrong.what, wrong.told))?;
        assert!(gateway.metric(failures).await? > before, "{}", wrong.what);
        assert!(gateway.metric("scalegate_policy_reload_failing").await? > 0.0, "{}", wrong.what);
        let answer = viewer.get(&suite::replicas(&namespace, "web")).await?;
        assert_eq!(answer.status, 404, "{}: the last good set lets the viewer look: {}", wrong.what, answer.json());
        let logged =
            |line: &Value| line["level"] == "WARN" && told(&line.to_string().replace("\\\"", "\""), &name, &wrong);
        poll::eventually(wrong.what, async || Ok(gateway.log().iter().any(logged).then_some(()))).await?;
    }
    write_set(&policies, "modules: []", &[])?;
    copy("normal", &policies)?;
    poll::eventually("the good set", async || Ok(last_error(&gateway).await?.is_null().then_some(()))).await?;
    assert!(gateway.metric("scalegate_policy_reload_failing").await? == 0.0);
    gateway.terminate().await
}
