//! One request, written as JSON over HTTP or as a message of gRPC.

use anyhow::{Context, Result};
use http::Method;
use scalegate::proto::Message;
use scalegate::proto::v1::{GetReplicasRequest, SetReplicasRequest, Workload};

use crate::client::{Answer, Connection, Sent};
use crate::suite::replicas;

/// How a request and its answer are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// JSON over HTTP.
    Json,
    /// A message of gRPC over HTTP/2.
    Grpc,
}

/// A request that is sent again and again, in JSON or as a message of gRPC.
#[derive(Debug, Clone)]
pub struct Template {
    method: Method,
    path: String,
    /// A JSON body, or nothing.
    body: String,
    /// The status that counts as success.
    wanted: u16,
    /// The method of `ReplicaService`, and its message.
    call: Option<(&'static str, Vec<u8>)>,
}

impl Template {
    /// A read of one Deployment.
    pub fn get(namespace: &str, name: &str) -> Self {
        let message = GetReplicasRequest { workload: Some(workload(namespace, name)), ..GetReplicasRequest::default() };
        Self {
            method: Method::GET,
            path: replicas(namespace, name),
            body: String::new(),
            wanted: 200,
            call: Some(("GetReplicas", framed(&message))),
        }
    }

    /// A set of one Deployment's count.
    pub fn set(namespace: &str, name: &str, count: i32) -> Self {
        let workload = Some(workload(namespace, name));
        let message = SetReplicasRequest { workload, replicas: Some(count), ..SetReplicasRequest::default() };
        Self {
            method: Method::PUT,
            path: replicas(namespace, name),
            body: format!(r#"{{"replicas": {count}}}"#),
            wanted: 202,
            call: Some(("SetReplicas", framed(&message))),
        }
    }

    /// Another request over HTTP, whose answer is 200; `body` is JSON or empty.
    pub fn plain(method: Method, path: &str, body: &str) -> Self {
        Self { method, path: path.to_owned(), body: body.to_owned(), wanted: 200, call: None }
    }

    /// Sends it over a kept connection, which for gRPC is one of HTTP/2.
    pub async fn send(&self, codec: Codec, connection: &mut Connection) -> Result<Sent> {
        if codec == Codec::Grpc {
            let (method, message) = self.call.as_ref().context("the request has no message of gRPC")?;
            let path = format!("/scalegate.v1.ReplicaService/{method}");
            let headers = [("content-type", "application/grpc"), ("te", "trailers")];
            return connection.try_request(Method::POST, &path, &headers, message.clone()).await;
        }
        let headers: &[_] = if self.body.is_empty() { &[] } else { &[("content-type", "application/json")] };
        connection.try_request(self.method.clone(), &self.path, headers, self.body.clone().into_bytes()).await
    }

    /// What is wrong with an answer; `None` for the wanted one.
    pub fn fault(&self, codec: Codec, answer: &Answer) -> Option<String> {
        if codec == Codec::Grpc {
            let told = |name| answer.trailers.get(name).or(answer.headers.get(name)).and_then(|it| it.to_str().ok());
            let status = told("grpc-status");
            return (status != Some("0")).then(|| format!("{status:?} {}", told("grpc-message").unwrap_or_default()));
        }
        (answer.status != self.wanted).then(|| format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)))
    }
}

fn workload(namespace: &str, name: &str) -> Workload {
    Workload { kind: String::new(), namespace: namespace.to_owned(), name: name.to_owned() }
}

/// A message as gRPC sends it: not compressed, its length, itself.
fn framed(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], &message].concat()
}
