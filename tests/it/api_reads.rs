//! What clients see.

use anyhow::Result;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::suite;

#[tokio::test]
async fn a_viewer_reads_the_replicas_of_a_deployment_with_its_age_and_version() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("reads").await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    let viewer = suite.client("viewer")?;
    suite.wait_ready(&viewer, &namespace, "web", 3).await?;

    let answer = viewer.get(&suite::replicas(&namespace, "web")).await?;
    assert_eq!(answer.status, 200);
    let view = answer.json();
    assert_eq!(view["spec"]["replicas"], 3);
    assert_eq!(view["status"]["readyReplicas"], 3);
    assert_eq!(view["status"]["rollout"], "complete");
    assert!(view["target"].is_null() && view["owner"].is_null(), "{view}");
    assert!(view["ageSeconds"].is_number());
    assert_eq!(answer.header("etag"), format!("\"{}\"", view["version"].as_str().unwrap_or_default()));
    assert!(!answer.header("x-request-id").is_empty());
    Ok(())
}

#[tokio::test]
async fn a_stranger_learns_nothing_not_even_which_names_exist() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("strangers").await?;
    deployment(&namespace, "web").create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let stranger = suite.client("stranger")?;

    let there = stranger.get(&suite::replicas(&namespace, "web")).await?;
    let not_there = stranger.get(&suite::replicas(&namespace, "nothing")).await?;
    assert_eq!((there.status, there.code().as_str()), (403, "refused"));
    let words = |answer: &scalegate_tests::client::Answer| {
        let mut problem = answer.json();
        problem["requestId"].take();
        problem["decisionId"].take();
        problem
    };
    assert_eq!(words(&there), words(&not_there));
    let list = stranger.get(&format!("/v1/namespaces/{namespace}/deployments")).await?;
    assert_eq!(list.json()["items"], serde_json::json!([]));
    Ok(())
}

#[tokio::test]
async fn a_list_shows_every_deployment_exactly_once_over_its_parts() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("lists").await?;
    let kube = suite.kube().await?;
    let names: Vec<String> = (0..7).map(|n| format!("app-{n}")).collect();
    for name in &names {
        deployment(&namespace, name)
            .replicas(0)
            .label("parity", if name.ends_with(['1', '3', '5']) { "odd" } else { "even" })
            .create(&kube)
            .await?;
        suite.wait_seen(&namespace, name).await?;
    }
    let viewer = suite.client("viewer")?;

    let mut seen = Vec::new();
    let mut path = format!("/v1/namespaces/{namespace}/deployments?limit=3");
    loop {
        let page = viewer.get(&path).await?.json();
        let items = page["items"].as_array().cloned().unwrap_or_default();
        assert!(items.len() <= 3);
        seen.extend(items.iter().filter_map(|item| item["name"].as_str().map(str::to_owned)));
        let Some(token) = page["continue"].as_str() else { break };
        assert!(!token.contains("app"), "a cursor shows no name, since it may be one that its caller may not see");
        path = format!("/v1/namespaces/{namespace}/deployments?limit=3&continue={token}");
    }
    assert_eq!(seen, names);

    let odd = viewer.get(&format!("/v1/namespaces/{namespace}/deployments?labelSelector=parity%3Dodd")).await?.json();
    assert_eq!(odd["items"].as_array().map(Vec::len), Some(3));
    let all = viewer.get("/v1/deployments").await?.json();
    let ours = all["items"].as_array().into_iter().flatten().filter(|item| item["namespace"] == namespace.as_str());
    assert_eq!(ours.count(), 7);
    Ok(())
}

#[tokio::test]
async fn http2_and_http1_give_the_same_answer() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("versions").await?;
    deployment(&namespace, "web").replicas(0).create(&suite.kube().await?).await?;
    let viewer = suite.client("viewer")?;
    suite.wait_ready(&viewer, &namespace, "web", 0).await?;
    let path = suite::replicas(&namespace, "web");

    let mut first = viewer.http1().await?.get(&path).await?.json();
    let mut second = viewer.http2().await?.get(&path).await?.json();
    first["ageSeconds"].take();
    second["ageSeconds"].take();
    assert_eq!(first, second);
    assert_eq!(first["name"], "web");
    Ok(())
}

#[tokio::test]
async fn health_tells_whether_the_watches_are_in_contact_and_since_when() -> Result<()> {
    let suite = suite::shared().await?;
    let answer = suite.client("stranger")?.get("/healthz").await?;
    assert_eq!(answer.status, 200);
    let health = answer.json();
    assert_eq!(health["kubernetes"]["connected"], true, "{health}");
    assert!(health["kubernetes"]["since"].is_string(), "{health}");
    Ok(())
}

#[tokio::test]
async fn each_request_leaves_one_audit_record_that_names_it() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("decisions").await?;
    let answer = suite.client("stranger")?.get(&suite::replicas(&namespace, "web")).await?;
    let decision = answer.json()["decisionId"].as_str().unwrap_or_default().to_owned();
    assert!(!decision.is_empty());

    let record = suite.record("decision", &decision).await?;
    assert_eq!(record["requestId"], answer.header("x-request-id"));
    assert_eq!(record["clientId"], "uri:spiffe://scalegate.test/stranger");
    assert_eq!((&record["action"], &record["outcome"]), (&"get".into(), &"refused".into()));
    assert!(record["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{record}");
    assert_eq!(record["input"]["target"]["name"], "web");
    Ok(())
}
