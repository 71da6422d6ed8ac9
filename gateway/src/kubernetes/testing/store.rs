//! An API server that keeps objects by path, with resourceVersions and faults on demand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use kube::client::Body;
use serde_json::{Value, json};

use super::refusal;

/// What happens to a request instead of being served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered with this status code.
    Answer(u16),
    /// It is never answered, and does nothing.
    Hang,
    /// It is never answered, but does what it asks for.
    LoseAnswer,
}

type Faults = Box<dyn FnMut(&Method, &str) -> Option<Fault> + Send>;

/// A request that changed, or tried to change, something.
#[derive(Debug, Clone)]
pub(crate) struct RecordedWrite {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
    pub(crate) code: u16,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    writes: Vec<RecordedWrite>,
    faults: Option<Faults>,
}

/// A handle on the API server. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct FakeApi(Arc<Mutex<State>>);

impl FakeApi {
    /// A client of this API server.
    pub(crate) fn client(&self) -> kube::Client {
        self.client_with(|_, _| None)
    }

    /// A client whose requests alone meet `faults`.
    pub(crate) fn client_with(
        &self,
        faults: impl Fn(&Method, &str) -> Option<Fault> + Clone + Send + 'static,
    ) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (api, faults) = (api.clone(), faults.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let path = parts.uri.path().to_owned();
                let fault = faults(&parts.method, &path).or_else(|| api.fault(&parts.method, &path));
                let (code, answer) = match fault {
                    Some(Fault::Hang) => std::future::pending().await,
                    Some(Fault::Answer(code)) => api.0.lock().unwrap().answer(&parts.method, &path, &body, Err(code)),
                    Some(Fault::LoseAnswer) => {
                        api.serve(&parts.method, &path, &body);
                        std::future::pending().await
                    }
                    None => api.serve(&parts.method, &path, &body),
                };
                let answer = Full::new(Bytes::from(answer.to_string()));
                Ok::<_, Infallible>(Response::builder().status(code).body(answer).unwrap())
            }
        });
        kube::Client::new(service, "default")
    }

    /// All requests meet `faults` from now on.
    pub(crate) fn set_faults(&self, faults: impl FnMut(&Method, &str) -> Option<Fault> + Send + 'static) {
        self.0.lock().unwrap().faults = Some(Box::new(faults));
    }

    /// Stores `object` under a new version, as if somebody else had written it.
    pub(crate) fn store(&self, path: &str, object: &impl serde::Serialize) -> Value {
        let mut state = self.0.lock().unwrap();
        state.put(path, serde_json::to_value(object).unwrap())
    }

    pub(crate) fn delete(&self, path: &str) {
        self.0.lock().unwrap().objects.remove(path);
    }

    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    /// The writes so far, failed ones too, in order.
    pub(crate) fn writes(&self) -> Vec<RecordedWrite> {
        self.0.lock().unwrap().writes.clone()
    }

    fn fault(&self, method: &Method, path: &str) -> Option<Fault> {
        self.0.lock().unwrap().faults.as_mut().and_then(|faults| faults(method, path))
    }

    fn serve(&self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        let mut state = self.0.lock().unwrap();
        let outcome = state.serve(method, path, body);
        state.answer(method, path, body, outcome)
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8], outcome: Result<Value, u16>) -> (u16, Value) {
        let (code, answer) = match outcome {
            Ok(object) => (200, object),
            Err(code) => {
                let reason = match code {
                    404 => "NotFound",
                    409 => "Conflict",
                    _ => "InternalError",
                };
                (code, refusal(code, reason, "faked"))
            }
        };
        if method != Method::GET {
            let body = serde_json::from_slice(body).unwrap();
            self.writes.push(RecordedWrite { method: method.clone(), path: path.to_owned(), body, code });
        }
        (code, answer)
    }

    fn serve(&mut self, method: &Method, path: &str, body: &[u8]) -> Result<Value, u16> {
        if *method == Method::GET {
            return self.objects.get(path).cloned().ok_or(404);
        }
        let body: Value = serde_json::from_slice(body).unwrap();
        if *method == Method::POST {
            let name = body["metadata"]["name"].as_str().map(|name| format!("{path}/{name}"));
            let path = name.unwrap_or_else(|| format!("{path}/generated-{}", self.version));
            return if self.objects.contains_key(&path) { Err(409) } else { Ok(self.put(&path, body)) };
        }
        let (of, part) = match path.rsplit_once('/') {
            Some((of, part @ ("scale" | "status"))) => (of, Some(part)),
            _ => (path, None),
        };
        let mut object = self.objects.get(of).cloned().ok_or(404_u16)?;
        for field in ["resourceVersion", "uid"] {
            let wanted = &body["metadata"][field];
            if !wanted.is_null() && *wanted != object["metadata"][field] {
                return Err(409);
            }
        }
        match part {
            Some("scale") => object["spec"]["replicas"] = body["spec"]["replicas"].clone(),
            Some(_) => merge(&mut object["status"], &body["status"]),
            None => object = body,
        }
        Ok(self.put(of, object))
    }

    fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

/// RFC 7396.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (field, value) in patch {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(field);
        } else {
            merge(&mut object[field], value);
        }
    }
}
