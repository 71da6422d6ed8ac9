//! Requests to the API server that name the trace that they are part of.

use kube::client::Body;
use tokio::task_local;
use tower::service_fn;

use crate::trace::{TRACEPARENT, TraceContext};

task_local! {
    static CONTEXT: Option<TraceContext>;
}

/// Runs `call`; what clients that [name traces](naming_traces) send meanwhile is caused by the span `context`.
pub fn traced<F: Future>(context: Option<TraceContext>, call: F) -> impl Future<Output = F::Output> {
    CONTEXT.scope(context, call)
}

/// `client`, whose requests name the span that they are [caused](traced) by.
pub fn naming_traces(client: &kube::Client) -> kube::Client {
    let (namespace, client) = (client.default_namespace().to_owned(), client.clone());
    let send = move |mut request: http::Request<Body>| {
        let client = client.clone();
        // The outer client calls this in a task of its buffer, but awaits what it returns in the caller's, which has the
        // context. The inner client's service is called in its buffer, so a layer of it would come too late.
        async move {
            if let Some(value) = CONTEXT.try_get().ok().flatten().and_then(|context| context.header()) {
                request.headers_mut().insert(TRACEPARENT, value);
            }
            client.send(request).await
        }
    };
    kube::Client::new(service_fn(send), namespace)
}
