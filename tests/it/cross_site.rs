//! Requests that a page of another site makes a browser send: browsers send the client's certificate with them.

use anyhow::Result;
use http::Method;
use scalegate::proto::v1::ListReplicasRequest;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::suite::{self, replicas};
use tonic::{Code, Request};

#[tokio::test]
async fn what_another_site_makes_a_browser_send_is_refused_on_every_method_and_route() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("cross-site").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let operator = suite.client("operator")?;
    let path = replicas(&namespace, "web");
    // What was answered before is asked again, and has another way through the gateway.
    for _ in 0..2 {
        assert_eq!(operator.get(&path).await?.status, 200);
    }
    let json = ("content-type", "application/json");
    let list = "/v1/deployments?watch=true";
    for other in [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://evil.example")]
    {
        for (method, path, headers, body) in [
            (Method::GET, path.as_str(), vec![other], ""),
            (Method::HEAD, &path, vec![other], ""),
            (Method::PUT, &path, vec![other, json], r#"{"replicas": 4}"#),
            (Method::DELETE, &path, vec![other], ""),
            (Method::GET, list, vec![other], ""),
            (Method::GET, "/v1/version", vec![other], ""),
            (Method::GET, "/healthz", vec![other], ""),
        ] {
            let answer = operator.request(method.clone(), path, &headers, body.into()).await?;
            assert_eq!(answer.status, 403, "{method} {path} {other:?}");
            assert!(method == Method::HEAD || answer.code() == "cross_site", "{method} {path}");
        }
    }
    assert_eq!(operator.get(&path).await?.json()["target"], serde_json::Value::Null);
    for own in [("sec-fetch-site", "none"), ("sec-fetch-site", "same-origin"), ("origin", "https://localhost")] {
        let answer = operator.request(Method::GET, &path, &[own], Vec::new()).await?;
        assert_eq!(answer.status, 200, "{own:?}");
    }

    let mut service = operator.replica_service().await?;
    let mut request = Request::new(ListReplicasRequest::default());
    request.metadata_mut().insert("sec-fetch-site", "cross-site".parse()?);
    assert_eq!(
        service.list_replicas(request).await.map_err(|status| status.code()).err(),
        Some(Code::PermissionDenied)
    );
    Ok(())
}

#[tokio::test]
async fn the_version_is_for_everyone_with_a_certificate() -> Result<()> {
    let suite = suite::shared().await?;
    let answer = suite.client("stranger")?.get("/v1/version").await?;
    assert_eq!((answer.status, &answer.json()["apiVersions"][0]), (200, &"v1".into()));
    assert!(answer.json()["version"].as_str().is_some_and(|version| version.split('.').count() == 3));
    assert_eq!(suite.client("viewer")?.get("/v1/version?x=1").await?.status, 400);
    Ok(())
}
