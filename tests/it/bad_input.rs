//! What clients get wrong, through the real door.

use anyhow::Result;
use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::ListParams;
use scalegate::resource::ReplicaTarget;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::suite;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn bodies_that_are_wrong_are_400_and_nothing_is_written() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("bodies").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(3).create(&kube).await?;
    suite.wait_seen(&namespace, "web").await?;
    let operator = suite.client("operator")?;
    let path = suite::replicas(&namespace, "web");

    let mut told = String::new();
    for (body, code) in [
        (r"{}", "invalid_replicas"),
        (r#"{"replicas":null}"#, "invalid_replicas"),
        (r#"{"replicas":-1}"#, "invalid_replicas"),
        (r#"{"replicas":1.5}"#, "invalid_replicas"),
        (r#"{"replicas":"3"}"#, "invalid_replicas"),
        (r#"{"replicas":2147483648}"#, "invalid_replicas"),
        (r#"{"replicas":4,"replica":5}"#, "invalid_body"),
        (r#"{"replicas":"#, "invalid_body"),
        ("", "invalid_body"),
        ("\u{0}\u{1}", "invalid_body"),
        (r#"{"replicas":4,"reason":7}"#, "invalid_reason"),
    ] {
        let answer = operator.request(Method::PUT, &path, &JSON, body.into()).await?;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{body}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(answer.json()["requestId"].is_string());
        told.extend([body.escape_default().to_string(), format!("\n   {}\n", answer.json()["detail"])]);
    }
    insta::assert_snapshot!("wrong_bodies", told);
    let form = operator.request(Method::PUT, &path, &[], br#"{"replicas":4}"#.to_vec()).await?;
    assert_eq!((form.status, form.code().as_str()), (415, "unsupported_media_type"));
    let encoded = [JSON[0], ("content-encoding", "gzip")];
    let encoded = operator.request(Method::PUT, &path, &encoded, br#"{"replicas":4}"#.to_vec()).await?;
    assert_eq!((encoded.status, encoded.code().as_str()), (415, "unsupported_media_type"));

    let targets: Api<ReplicaTarget> = Api::namespaced(kube.clone(), &namespace);
    assert_eq!(targets.list(&ListParams::default()).await?.items.len(), 0);
    let deployments: Api<Deployment> = Api::namespaced(kube, &namespace);
    assert_eq!(deployments.get("web").await?.spec.and_then(|spec| spec.replicas), Some(3));
    Ok(())
}

#[tokio::test]
async fn a_body_of_more_than_8_kib_is_refused_over_both_protocols() -> Result<()> {
    let suite = suite::shared().await?;
    let operator = suite.client("operator")?;
    let path = suite::replicas("default", "web");
    for (bytes, refused) in [(8 << 10, false), ((8 << 10) + 1, true), (1 << 20, true)] {
        let mut body = br#"{"replicas":-1}"#.to_vec();
        body.resize(bytes, b' ');
        let over_http2 = operator.http2().await?.request(Method::PUT, &path, &JSON, body.clone()).await?;
        let over_http1 = operator.request(Method::PUT, &path, &JSON, body).await?;
        for answer in [over_http2, over_http1] {
            let is_refused = (answer.status, answer.code().as_str()) == (413, "body_too_large");
            assert_eq!(is_refused, refused, "{bytes} bytes: {}", answer.json());
        }
    }
    assert_eq!(operator.get("/healthz").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_body_whose_framing_is_broken_ends_its_connection_and_says_so() -> Result<()> {
    let suite = suite::shared().await?;
    let path = suite::replicas("demo", "web");
    for chunks in ["zz\r\n", "2\r\n{}zz\r\n", "fffffffffffffffff\r\n"] {
        let request = format!(
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{chunks}"
        );
        let answer = suite.client("operator")?.raw(request.as_bytes(), std::time::Duration::from_secs(20)).await?;
        let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 400 ") && answer.contains("connection: close"), "{chunks:?}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn names_that_do_not_exist_are_404_for_those_who_may_and_403_for_others() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("unknown").await?;
    let operator = suite.client("operator")?;
    for path in [suite::replicas(&namespace, "nothing"), suite::replicas("no-such-namespace", "web")] {
        let get = operator.get(&path).await?;
        assert_eq!((get.status, get.code().as_str()), (404, "deployment_not_found"), "{path}");
        let set = operator.put(&path, &serde_json::json!({"replicas": 1})).await?;
        assert_eq!((set.status, set.code().as_str()), (404, "deployment_not_found"), "{path}");
        assert_eq!(operator.delete(&path).await?.status, 404, "{path}");
        assert_eq!(suite.client("stranger")?.get(&path).await?.status, 403, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn paths_that_spell_no_name_are_refused() -> Result<()> {
    let suite = suite::shared().await?;
    let operator = suite.client("operator")?;
    for (path, status) in [
        ("/v1/namespaces/Demo/deployments/web/replicas", 400),
        ("/v1/namespaces/demo/deployments/we_b/replicas", 400),
        ("/v1/namespaces/../deployments/web/replicas", 400),
        ("/v1/namespaces/%2e%2e/deployments/web/replicas", 400),
        ("/v1/namespaces/demo%2Fkube-system/deployments/web/replicas", 400),
        ("/v1/namespaces/demo/deployments/web%2Freplicas", 404),
        ("/v1/namespaces/demo/deployments/web%00/replicas", 400),
        ("/v1/namespaces/demo/deployments/-web/replicas", 400),
        ("/v1/namespaces/demo/deployments//replicas", 404),
        ("/v1/namespaces/demo/deployments/web/replicas/", 404),
        ("/v1/namespaces/demo/deployments/web/scale", 404),
        ("/v2/deployments", 404),
        ("/", 404),
        ("/v1/deployments?limit=0", 400),
        ("/v1/deployments?watch=yes", 400),
        ("/v1/deployments?labelSelector=a+b", 400),
        ("/v1/deployments?labelSelector=a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", 400),
        ("/v1/deployments?continue=x", 400),
        ("/v1/deployments?continue=demo/web", 400),
        ("/v1/namespaces/demo/deployments/web/replicas?wait=30s", 400),
        ("/v1/namespaces/demo/deployments/web/replicas?atLeastVersion=7", 400),
    ] {
        let answer = operator.get(path).await?;
        assert_eq!(answer.status, status, "{path}: {}", answer.json());
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
    let wrong = operator.request(Method::POST, "/v1/deployments", &[], Vec::new()).await?;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET, HEAD"));
    Ok(())
}

#[tokio::test]
async fn what_would_be_ignored_is_refused() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("ignored").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(3).create(&kube).await?;
    suite.wait_seen(&namespace, "web").await?;
    let operator = suite.client("operator")?;
    let path = suite::replicas(&namespace, "web");
    let set = br#"{"replicas":4}"#;

    let mut told = String::new();
    for (method, headers, body, code) in [
        (Method::PUT, vec![JSON[0], ("if-none-match", "*")], &set[..], "unsupported_condition"),
        (
            Method::PUT,
            vec![JSON[0], ("if-unmodified-since", "Mon, 01 Jan 2001 00:00:00 GMT")],
            set,
            "unsupported_condition",
        ),
        (Method::PUT, vec![JSON[0], ("host", "elsewhere")], set, "invalid_host"),
        (Method::PUT, vec![JSON[0]], b"[4]", "invalid_body"),
        (Method::DELETE, vec![JSON[0]], set, "unexpected_body"),
        (Method::GET, vec![JSON[0]], set, "unexpected_body"),
    ] {
        let answer = operator.request(method.clone(), &path, &headers, body.to_vec()).await?;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{method} {headers:?}");
        told.extend([format!("{method} {code}\n   {}\n", answer.json()["detail"])]);
    }
    insta::assert_snapshot!("what_would_be_ignored", told);
    let targets: Api<ReplicaTarget> = Api::namespaced(kube, &namespace);
    assert_eq!(targets.list(&ListParams::default()).await?.items.len(), 0);
    Ok(())
}

#[tokio::test]
async fn curl_is_told_what_was_wrong_with_a_request_whose_body_nobody_read() -> Result<()> {
    let suite = suite::shared().await?;
    let file = |name: &str| suite.certs().join(name).display().to_string();
    for (method, path, status) in [
        ("PUT", "/v1/namespaces/demo/deployment/web/replicas", "404"),
        ("PUT", "/v1/namespaces/demo/deployments/web/replicas?dryRun=yes", "400"),
        ("POST", "/v1/namespaces/demo/deployments/web/replicas", "405"),
        ("DELETE", "/v1/namespaces/demo/deployments/web/replicas", "400"),
    ] {
        // Whether curl sees the answer or a reset before it is chance.
        for _ in 0..10 {
            let output = tokio::process::Command::new("curl")
                .args(["--silent", "--show-error", "--http2", "--output", "/dev/null", "--write-out", "%{http_code}"])
                .args(["--cacert", &file("ca.pem")])
                .args(["--cert", &file("clients/operator.pem"), "--key", &file("clients/operator-key.pem")])
                .args(["--request", method, "--json", r#"{"replicas": 4}"#])
                .arg(format!("https://localhost:{}{path}", suite.address().port()))
                .output()
                .await?;
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(String::from_utf8_lossy(&output.stdout), status, "{method} {path}: {told}");
        }
    }
    Ok(())
}
