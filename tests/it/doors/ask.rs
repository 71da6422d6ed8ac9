//! A question, in the words of each door.

use http::Method;
use prost::Message;
use scalegate::proto::v1::{
    GetReplicasRequest, ListChangesRequest, ListPoliciesRequest, ListReplicasRequest, ReleaseReplicasRequest,
    SetReplicasRequest, Workload,
};
use serde_json::json;

/// Longer than a name may be, and than a reason.
pub(super) const LONG: &str = concat!(
    "a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-",
    "a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-",
    "a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-",
    "a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-",
    "a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-a-very-long-text-",
);

/// A Deployment's name. `{namespace}` is the door's own namespace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    pub(super) namespace: &'static str,
    pub(super) name: &'static str,
}

impl Name {
    pub(super) const fn here(name: &'static str) -> Self {
        Self { namespace: "{namespace}", name }
    }
}

/// What is asked. An empty text is an absent one. `{version}` is that of the answer before, `{stale}` the one before
/// that, `{cursor}` that of the list before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask {
    Get {
        workload: Name,
        at_least: &'static str,
    },
    List {
        namespace: &'static str,
        selector: &'static str,
        limit: &'static str,
        cursor: &'static str,
    },
    Set {
        workload: Name,
        replicas: Option<i32>,
        reason: &'static str,
        if_version: &'static str,
        dry_run: bool,
    },
    Release {
        workload: Name,
        if_version: &'static str,
        dry_run: bool,
    },
    History {
        workload: Name,
    },
    Policies,
    /// A set whose body, or framed message, cannot be read.
    Unreadable {
        body: &'static str,
        message: &'static [u8],
    },
    /// A set of a mebibyte.
    TooLarge,
}

/// What the texts in braces stand for at one door.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) namespace: String,
    pub(super) version: String,
    pub(super) stale: String,
    pub(super) cursor: String,
}

impl Known {
    fn fill(&self, text: &str) -> String {
        text.replace("{namespace}", &self.namespace)
            .replace("{version}", &self.version)
            .replace("{stale}", &self.stale)
            .replace("{cursor}", &self.cursor)
    }
}

/// A request over HTTP.
#[derive(Debug)]
pub(super) struct HttpRequest {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl HttpRequest {
    fn new(method: Method, path: String) -> Self {
        Self { method, path, headers: Vec::new(), body: Vec::new() }
    }

    fn json(mut self, body: Vec<u8>) -> Self {
        self.headers.push(("content-type", "application/json".to_owned()));
        self.body = body;
        self
    }

    fn if_match(mut self, version: &str) -> Self {
        if !version.is_empty() {
            self.headers.push(("if-match", format!("\"{version}\"")));
        }
        self
    }
}

/// A method of `ReplicaService` and its framed message.
#[derive(Debug)]
pub(super) struct GrpcRequest {
    pub(super) method: &'static str,
    pub(super) message: Vec<u8>,
}

impl GrpcRequest {
    pub(super) fn new(method: &'static str, message: &impl Message) -> Self {
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
        Self { method, message: [&[0][..], &length, &message].concat() }
    }
}

const MEBIBYTE: usize = 1 << 20;

impl Ask {
    pub(super) fn as_http(&self, known: &Known) -> HttpRequest {
        let web = Name::here("web");
        match *self {
            Self::Get { workload, at_least } => {
                let at_least = query(&[("atLeastVersion", &known.fill(at_least))]);
                HttpRequest::new(Method::GET, path(workload, known) + &at_least)
            }
            Self::List { namespace, selector, limit, cursor } => {
                let (namespace, cursor) = (encoded(&known.fill(namespace)), known.fill(cursor));
                let query = query(&[("labelSelector", selector), ("limit", limit), ("continue", &cursor)]);
                HttpRequest::new(Method::GET, format!("/v1/namespaces/{namespace}/deployments{query}"))
            }
            Self::Set { workload, replicas, reason, if_version, dry_run } => {
                let mut body = json!({});
                if let Some(replicas) = replicas {
                    body["replicas"] = replicas.into();
                }
                if !reason.is_empty() {
                    body["reason"] = reason.into();
                }
                HttpRequest::new(Method::PUT, path(workload, known) + dry(dry_run))
                    .json(body.to_string().into_bytes())
                    .if_match(&known.fill(if_version))
            }
            Self::Release { workload, if_version, dry_run } => {
                HttpRequest::new(Method::DELETE, path(workload, known) + dry(dry_run)).if_match(&known.fill(if_version))
            }
            Self::History { workload } => HttpRequest::new(Method::GET, path(workload, known) + "/history"),
            Self::Policies => HttpRequest::new(Method::GET, "/v1/policies".to_owned()),
            Self::Unreadable { body, .. } => HttpRequest::new(Method::PUT, path(web, known)).json(body.into()),
            Self::TooLarge => {
                let body = json!({"replicas": 4, "reason": "x".repeat(MEBIBYTE)});
                HttpRequest::new(Method::PUT, path(web, known)).json(body.to_string().into_bytes())
            }
        }
    }

    pub(super) fn as_grpc(&self, known: &Known) -> GrpcRequest {
        let named = |workload: Name| {
            Some(Workload {
                kind: String::new(),
                namespace: known.fill(workload.namespace),
                name: workload.name.to_owned(),
            })
        };
        let web = Name::here("web");
        match *self {
            Self::Get { workload, at_least } => {
                let at_least_version = known.fill(at_least);
                GrpcRequest::new("GetReplicas", &GetReplicasRequest { workload: named(workload), at_least_version })
            }
            Self::List { namespace, selector, limit, cursor } => {
                let message = ListReplicasRequest {
                    kind: String::new(),
                    namespace: known.fill(namespace),
                    label_selector: selector.to_owned(),
                    page_size: if limit.is_empty() { 0 } else { limit.parse().unwrap() },
                    page_token: known.fill(cursor),
                };
                GrpcRequest::new("ListReplicas", &message)
            }
            Self::Set { workload, replicas, reason, if_version, dry_run } => {
                let message = SetReplicasRequest {
                    workload: named(workload),
                    replicas,
                    reason: reason.to_owned(),
                    dry_run,
                    if_version: known.fill(if_version),
                    ..SetReplicasRequest::default()
                };
                GrpcRequest::new("SetReplicas", &message)
            }
            Self::Release { workload, if_version, dry_run } => {
                let message = ReleaseReplicasRequest {
                    workload: named(workload),
                    dry_run,
                    if_version: known.fill(if_version),
                    idempotency_key: String::new(),
                };
                GrpcRequest::new("ReleaseReplicas", &message)
            }
            Self::History { workload } => {
                GrpcRequest::new("ListChanges", &ListChangesRequest { workload: named(workload) })
            }
            Self::Policies => GrpcRequest::new("ListPolicies", &ListPoliciesRequest {}),
            Self::Unreadable { message, .. } => GrpcRequest { method: "SetReplicas", message: message.to_vec() },
            Self::TooLarge => {
                let reason = "x".repeat(MEBIBYTE);
                let message = SetReplicasRequest {
                    workload: named(web),
                    replicas: Some(4),
                    reason,
                    ..SetReplicasRequest::default()
                };
                GrpcRequest::new("SetReplicas", &message)
            }
        }
    }
}

fn path(workload: Name, known: &Known) -> String {
    let Name { namespace, name } = workload;
    format!("/v1/namespaces/{}/deployments/{}/replicas", encoded(&known.fill(namespace)), encoded(name))
}

fn dry(dry_run: bool) -> &'static str {
    if dry_run { "?dryRun=true" } else { "" }
}

/// The parameters that are given.
fn query(parameters: &[(&str, &str)]) -> String {
    let given = parameters.iter().filter(|(_, value)| !value.is_empty());
    let given: Vec<_> = given.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if given.is_empty() { String::new() } else { format!("?{}", given.join("&")) }
}

/// Percent-encoded.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
