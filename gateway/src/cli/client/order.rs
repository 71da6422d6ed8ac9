//! Requests to the gateway's API.

use form_urlencoded::Serializer;
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::arguments::WorkloadName;

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) method: Method,
    /// The path, with its query.
    pub(super) path: String,
    pub(super) body: Option<Value>,
    pub(super) idempotency_key: Option<Uuid>,
}

/// Which Deployments of those that the caller may see.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    /// All without one.
    pub(super) namespace: Option<String>,
    /// A label selector.
    pub(super) selector: Option<String>,
}

/// What a set asks for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) replicas: u32,
    pub(super) reason: Option<String>,
}

impl Order {
    fn new(method: Method, path: String) -> Self {
        Self { method, path, body: None, idempotency_key: None }
    }

    /// Reads `path`.
    pub(super) fn read(path: &str) -> Self {
        Self::new(Method::GET, path.to_owned())
    }

    /// Reads one Deployment.
    pub(super) fn get(name: &WorkloadName) -> Self {
        Self::new(Method::GET, replicas(name))
    }

    /// Reads the changes of one Deployment's count.
    pub(super) fn history(name: &WorkloadName) -> Self {
        Self::new(Method::GET, format!("{}/history", replicas(name)))
    }

    /// Lists the next page after `next`, or the first one.
    pub(super) fn list(selection: &Selection, next: Option<&str>) -> Self {
        Self::new(Method::GET, selection.path(&[("continue", next)]))
    }

    /// Follows one Deployment.
    pub(super) fn follow(name: &WorkloadName) -> Self {
        Self::new(Method::GET, format!("{}?watch=true", replicas(name)))
    }

    /// Follows several.
    pub(super) fn follow_all(selection: &Selection) -> Self {
        Self::new(Method::GET, selection.path(&[("watch", Some("true"))]))
    }

    /// Decides whether one Deployment could be set.
    pub(super) fn try_set(name: &WorkloadName, wanted: &Wanted) -> Self {
        Self { body: Some(wanted.body()), ..Self::new(Method::PUT, format!("{}?dryRun=true", replicas(name))) }
    }

    /// Sets one Deployment; once, however often it is sent.
    pub(super) fn set(name: &WorkloadName, wanted: &Wanted, key: Uuid) -> Self {
        Self { body: Some(wanted.body()), idempotency_key: Some(key), ..Self::new(Method::PUT, replicas(name)) }
    }

    /// Decides whether one Deployment could be released.
    pub(super) fn try_release(name: &WorkloadName) -> Self {
        Self::new(Method::DELETE, format!("{}?dryRun=true", replicas(name)))
    }

    /// Releases one Deployment.
    pub(super) fn release(name: &WorkloadName) -> Self {
        Self::new(Method::DELETE, replicas(name))
    }

    /// Returns whether sending it twice does what sending it once does.
    pub(super) fn is_repeatable(&self) -> bool {
        self.method == Method::GET || self.idempotency_key.is_some() || self.path.ends_with("?dryRun=true")
    }
}

impl Selection {
    /// What there is to say where it selects nothing.
    pub(super) fn nothing_seen(&self) -> String {
        let place = self.namespace.as_deref().map_or(String::new(), |name| format!(" in namespace {name}"));
        format!("no Deployments that you may see{place}")
    }

    fn path(&self, more: &[(&str, Option<&str>)]) -> String {
        let path = match &self.namespace {
            Some(namespace) => format!("/v1/namespaces/{namespace}/deployments"),
            None => "/v1/deployments".to_owned(),
        };
        let selector = [("labelSelector", self.selector.as_deref())];
        let given = selector.iter().chain(more).filter_map(|(key, value)| Some((*key, (*value)?)));
        let query = Serializer::new(String::new()).extend_pairs(given).finish();
        if query.is_empty() { path } else { format!("{path}?{query}") }
    }
}

impl Wanted {
    fn body(&self) -> Value {
        let mut body = json!({ "replicas": self.replicas });
        if let Some(reason) = &self.reason {
            body["reason"] = reason.as_str().into();
        }
        body
    }
}

fn replicas(WorkloadName { namespace, name }: &WorkloadName) -> String {
    format!("/v1/namespaces/{namespace}/deployments/{name}/replicas")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> WorkloadName {
        WorkloadName { namespace: "demo".to_owned(), name: "web".to_owned() }
    }

    #[test]
    fn a_selector_is_encoded() {
        let all = Selection { namespace: Some("demo".into()), selector: Some("tier in (a,b)&limit=1".into()) };
        let wanted = "/v1/namespaces/demo/deployments?labelSelector=tier+in+%28a%2Cb%29%26limit%3D1";
        assert_eq!(Order::list(&all, None).path, wanted);
        assert_eq!(Order::list(&Selection::default(), None).path, "/v1/deployments");
        let next = Order::list(&Selection::default(), Some("a+b"));
        assert_eq!(next.path, "/v1/deployments?continue=a%2Bb");
        assert_eq!(Order::follow_all(&Selection::default()).path, "/v1/deployments?watch=true");
    }

    #[test]
    fn what_changes_something_is_repeated_only_under_a_key() {
        let wanted = Wanted { replicas: 5, reason: Some("launch".to_owned()) };
        let set = Order::set(&web(), &wanted, Uuid::nil());
        assert_eq!(set.path, "/v1/namespaces/demo/deployments/web/replicas");
        assert_eq!(set.body, Some(json!({"replicas": 5, "reason": "launch"})));
        for order in [Order::get(&web()), Order::try_set(&web(), &wanted), set, Order::try_release(&web())] {
            assert!(order.is_repeatable(), "{order:?}");
        }
        assert!(!Order::release(&web()).is_repeatable());
    }
}
