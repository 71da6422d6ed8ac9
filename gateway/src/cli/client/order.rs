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
    expected: Expected,
}

/// What a successful answer has to be.
#[derive(Debug, Clone)]
enum Expected {
    /// One about this Deployment.
    About(WorkloadName),
    /// The changes of this Deployment's count.
    Changes(WorkloadName),
    /// A list of Deployments.
    Deployments,
    /// The modules that decide.
    Modules,
    /// A version.
    Version,
    /// A stream.
    Events,
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
    fn new(method: Method, path: String, expected: Expected) -> Self {
        Self { method, path, body: None, idempotency_key: None, expected }
    }

    /// Reads the gateway's version.
    pub(super) fn version() -> Self {
        Self::new(Method::GET, "/v1/version".to_owned(), Expected::Version)
    }

    /// Reads which policies decide.
    pub(super) fn policies() -> Self {
        Self::new(Method::GET, "/v1/policies".to_owned(), Expected::Modules)
    }

    /// Reads one Deployment.
    pub(super) fn get(name: &WorkloadName) -> Self {
        Self::new(Method::GET, replicas(name), Expected::About(name.clone()))
    }

    /// Reads the changes of one Deployment's count.
    pub(super) fn history(name: &WorkloadName) -> Self {
        Self::new(Method::GET, format!("{}/history", replicas(name)), Expected::Changes(name.clone()))
    }

    /// Lists the next page after `next`, or the first one.
    pub(super) fn list(selection: &Selection, next: Option<&str>) -> Self {
        Self::new(Method::GET, selection.path(&[("continue", next)]), Expected::Deployments)
    }

    /// Follows one Deployment.
    pub(super) fn follow(name: &WorkloadName) -> Self {
        Self::new(Method::GET, format!("{}?watch=true", replicas(name)), Expected::Events)
    }

    /// Follows several.
    pub(super) fn follow_all(selection: &Selection) -> Self {
        Self::new(Method::GET, selection.path(&[("watch", Some("true"))]), Expected::Events)
    }

    /// Decides whether one Deployment could be set.
    pub(super) fn try_set(name: &WorkloadName, wanted: &Wanted) -> Self {
        let path = format!("{}?dryRun=true", replicas(name));
        Self { body: Some(wanted.body()), ..Self::new(Method::PUT, path, Expected::About(name.clone())) }
    }

    /// Sets one Deployment; once, however often it is sent.
    pub(super) fn set(name: &WorkloadName, wanted: &Wanted, key: Uuid) -> Self {
        let order = Self::new(Method::PUT, replicas(name), Expected::About(name.clone()));
        Self { body: Some(wanted.body()), idempotency_key: Some(key), ..order }
    }

    /// Decides whether one Deployment could be released.
    pub(super) fn try_release(name: &WorkloadName) -> Self {
        Self::new(Method::DELETE, format!("{}?dryRun=true", replicas(name)), Expected::About(name.clone()))
    }

    /// Releases one Deployment.
    pub(super) fn release(name: &WorkloadName) -> Self {
        Self::new(Method::DELETE, replicas(name), Expected::About(name.clone()))
    }

    /// Returns whether sending it twice does what sending it once does.
    pub(super) fn is_repeatable(&self) -> bool {
        self.method == Method::GET || self.idempotency_key.is_some() || self.path.ends_with("?dryRun=true")
    }

    /// Returns whether `answer` is what was asked for: something else than a gateway may answer 200 to everything.
    pub(super) fn is_answered_by(&self, answer: &Value) -> bool {
        let is_about = |name: &WorkloadName| answer["namespace"] == name.namespace && answer["name"] == name.name;
        match &self.expected {
            Expected::About(name) => is_about(name),
            Expected::Changes(name) => is_about(name) && answer["changes"].is_array(),
            Expected::Deployments => answer["items"].as_array().is_some_and(|items| items.iter().all(is_named)),
            Expected::Modules => answer["modules"].is_array(),
            Expected::Version => answer["version"].is_string(),
            Expected::Events => false,
        }
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

/// Returns whether it is the answer about a Deployment.
fn is_named(item: &Value) -> bool {
    item["namespace"].is_string() && item["name"].is_string()
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

    #[test]
    fn an_answer_is_what_was_asked_for() {
        let wanted = Wanted { replicas: 5, reason: None };
        let about = json!({"namespace": "demo", "name": "web"});
        let changes = json!({"namespace": "demo", "name": "web", "changes": []});
        let other = json!({"namespace": "demo", "name": "api", "changes": []});
        for (order, right) in [
            (Order::get(&web()), &about),
            (Order::try_set(&web(), &wanted), &about),
            (Order::set(&web(), &wanted, Uuid::nil()), &about),
            (Order::try_release(&web()), &about),
            (Order::release(&web()), &about),
            (Order::history(&web()), &changes),
            (Order::list(&Selection::default(), None), &json!({"items": [about]})),
            (Order::policies(), &json!({"modules": []})),
            (Order::version(), &json!({"version": "0.1.0"})),
        ] {
            assert!(order.is_answered_by(right), "{order:?}");
            let wrong = [json!(null), json!([]), json!("x"), json!(5), json!({"hello": 1}), json!({"items": [1]})];
            for wrong in wrong.iter().chain([&other]) {
                assert!(!order.is_answered_by(wrong), "{order:?}: {wrong}");
            }
        }
    }
}
