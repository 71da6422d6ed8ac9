//! One watch: list everything, follow the changes, and never give up.
//!
//! `kube`'s own watcher hides bookmarks, ends its stream's progress on one undecodable object and notices a dead
//! connection only after minutes; so the loop is here. It follows the Kubernetes API Concepts, "Efficient detection of
//! changes": a list's resourceVersion is where its watch begins; 410 Gone means to list again.

mod end;
mod progress;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::ReplicasSettings;
use super::cache::Cache;
use super::decode::{AllowedAnnotations, DecodeError, Named};
use super::kind::{ObjectName, WatchedKind};
use super::metrics::ReplicasMetrics;
use super::scope::Scope;
use super::state::Table;
use crate::kubernetes::call::within;

use self::end::End;
use self::progress::Progress;

/// A stream that ends sooner, without a word, is trouble: it must not be asked for again in a tight loop.
const SHORT_LIVED: Duration = Duration::from_secs(5);

/// What a watch needs; one for each kind and scope.
#[derive(Clone)]
pub(super) struct Watch {
    settings: ReplicasSettings,
    annotations: AllowedAnnotations,
    client: kube::Client,
    cache: Arc<Cache>,
    metrics: ReplicasMetrics,
}

/// The resourceVersion up to which the cache is complete.
type Position = String;

/// A page of a list.
#[derive(Deserialize)]
struct ListPage<T> {
    metadata: ListMeta,
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

/// An object of another shape, of which at most the name is known.
struct Misshapen {
    name: Option<ObjectName>,
    error: serde_json::Error,
}

impl Watch {
    pub(super) fn new(
        settings: ReplicasSettings,
        client: kube::Client,
        cache: Arc<Cache>,
        metrics: ReplicasMetrics,
    ) -> Self {
        let annotations = AllowedAnnotations::new(settings.annotations.clone());
        Self { settings, annotations, client, cache, metrics }
    }

    /// Keeps the cache's objects of one kind in `scope` fresh, for ever.
    pub(super) async fn run<K: WatchedKind>(self, scope: Scope) {
        let mut progress = Progress::new(scope);
        loop {
            let end = self.attempt::<K>(&mut progress).await;
            self.cache.link(&progress.scope, K::WATCHED, |link| {
                match end.how() {
                    Some(how) => link.broke(Instant::now(), how),
                    None => link.closed(Instant::now()),
                }
                if matches!(end, End::Forbidden(_)) && K::WATCHED.is_optional() {
                    link.forbidden();
                }
            });
            // An end in good order is planned, and nobody should be woken for it.
            if end.how().is_some() {
                self.metrics.restarted(K::WATCHED, end.reason());
            }
            if let Some(wait) = progress.after::<K>(&end) {
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// Lists if need be, then follows the changes until something ends that.
    async fn attempt<K: WatchedKind>(&self, progress: &mut Progress) -> End {
        let position = if let Some(position) = &progress.position {
            progress.just_listed = false;
            position.clone()
        } else {
            match self.list::<K>(&progress.scope).await {
                Ok(position) => {
                    progress.just_listed = true;
                    progress.position.insert(position).clone()
                }
                Err(end) => return end,
            }
        };
        match self.follow::<K>(position, progress).await {
            Ok(()) => End::Closed,
            Err(end) => end,
        }
    }

    /// Reads everything, page by page, and puts it in the place of what was there.
    async fn list<K: WatchedKind>(&self, scope: &Scope) -> Result<Position, End> {
        let mut listed = Table::new();
        let mut undecodable = BTreeSet::new();
        let mut params = ListParams::default().limit(self.settings.page_size);
        loop {
            let page = self.list_page::<K>(scope, &params).await?;
            let mut items = Vec::with_capacity(page.items.len());
            for object in page.items {
                match self.decode::<K>(object) {
                    Decoded::Item(name, item) => items.push((name, item)),
                    Decoded::Undecodable(name) => drop(name.map(|name| undecodable.insert(name))),
                    Decoded::OfNoInterest(_) => {}
                }
            }
            listed.extend(self.cache.known::<K>(items));
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                self.cache.replace::<K>(scope, listed, &undecodable);
                return Ok(page.metadata.resource_version.unwrap_or_default());
            }
        }
    }

    async fn list_page<K: WatchedKind>(
        &self,
        scope: &Scope,
        params: &ListParams,
    ) -> Result<ListPage<Result<K::Object, Misshapen>>, End> {
        let request = Request::new(K::path(scope.name())).list(params).map_err(kube::Error::BuildRequest)?;
        let deadline = self.settings.request_timeout;
        // As text, because the client logs a body that does not parse, and that body may hold secrets.
        let text = within(deadline, self.client.request_text(request)).await?;
        Ok(parse_page::<K>(&text)?)
    }

    /// Follows the changes after `position`; `Ok` when the API server closed the stream in good order.
    async fn follow<K: WatchedKind>(&self, position: Position, progress: &mut Progress) -> Result<(), End> {
        let seconds = u32::try_from(self.settings.watch_timeout.as_secs()).unwrap_or(u32::MAX);
        let params = WatchParams::default().timeout(seconds);
        let request = Request::new(K::path(progress.scope.name()))
            .watch(&params, &position)
            .map_err(kube::Error::BuildRequest)?;
        let deadline = self.settings.request_timeout;
        let opening = self.client.request_events::<Value>(request);
        let mut events = within(deadline, opening).await?.boxed();

        let opened = Instant::now();
        self.cache.link(&progress.scope, K::WATCHED, |link| link.opened(opened));
        if std::mem::take(&mut progress.troubled) {
            info!(resource = K::WATCHED.as_str(), namespace = progress.scope.name(), "watch is in contact again");
        }
        let mut silent = true;
        let idle = self.settings.idle;
        while let Some(event) = timeout(idle, events.next()).await.map_err(|_| End::Idle(idle))? {
            self.take::<K>(event?, &mut progress.position)?;
            self.cache.link(&progress.scope, K::WATCHED, |link| link.sign_of_life(Instant::now()));
            silent = false;
            progress.is_alive();
        }
        if silent && opened.elapsed() < SHORT_LIVED {
            return Err(End::ClosedAtOnce);
        }
        progress.is_alive();
        Ok(())
    }

    fn take<K: WatchedKind>(&self, event: WatchEvent<Value>, position: &mut Option<Position>) -> Result<(), End> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                advance(position, &object);
                match self.decode::<K>(parse_object::<K>(object)) {
                    Decoded::Item(name, item) => self.cache.put::<K>(&name, Some(item)),
                    Decoded::OfNoInterest(name) => self.cache.put::<K>(&name, None),
                    // What was known of it before serves on, fenced by its old resourceVersion.
                    Decoded::Undecodable(_) => {}
                }
            }
            WatchEvent::Deleted(object) => {
                advance(position, &object);
                if let Some(name) = name_of(&object) {
                    self.cache.put::<K>(&name, None);
                }
            }
            WatchEvent::Bookmark(bookmark) => *position = Some(bookmark.metadata.resource_version),
            WatchEvent::Error(status) => return Err(End::from(status)),
        }
        Ok(())
    }

    fn decode<K: WatchedKind>(&self, object: Result<K::Object, Misshapen>) -> Decoded<K> {
        let object = match object {
            Ok(object) => object,
            Err(Misshapen { name, error }) => return self.undecodable::<K>(name, &DecodeError::Shape(error)),
        };
        let name = object.metadata().object_name();
        match K::decode(object, &self.annotations) {
            Ok(Some(item)) => Decoded::Item(name, item),
            Ok(None) => Decoded::OfNoInterest(name),
            Err(error) => self.undecodable::<K>(Some(name), &error),
        }
    }

    fn undecodable<K: WatchedKind>(&self, name: Option<ObjectName>, error: &DecodeError) -> Decoded<K> {
        let object = name.as_ref().map(ToString::to_string);
        warn!(resource = K::WATCHED.as_str(), object, %error, "object skipped: it is not understood");
        self.metrics.undecodable(K::WATCHED);
        Decoded::Undecodable(name)
    }
}

enum Decoded<K: WatchedKind> {
    Item(ObjectName, K::Item),
    OfNoInterest(ObjectName),
    Undecodable(Option<ObjectName>),
}

/// Reads a page at once. One object that is not understood must not spoil the others: then each is read by itself.
fn parse_page<K: WatchedKind>(text: &str) -> serde_json::Result<ListPage<Result<K::Object, Misshapen>>> {
    if let Ok(ListPage { metadata, items }) = serde_json::from_str(text) {
        return Ok(ListPage { metadata, items: items.into_iter().map(Ok).collect() });
    }
    let ListPage { metadata, items } = serde_json::from_str(text)?;
    Ok(ListPage { metadata, items: items.into_iter().map(parse_object::<K>).collect() })
}

fn parse_object<K: WatchedKind>(object: Value) -> Result<K::Object, Misshapen> {
    let name = name_of(&object);
    serde_json::from_value(object).map_err(|error| Misshapen { name, error })
}

fn name_of(object: &Value) -> Option<ObjectName> {
    let metadata = object.get("metadata")?;
    let namespace = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
    Some(ObjectName::new(namespace, metadata.get("name")?.as_str()?))
}

fn advance(position: &mut Option<Position>, object: &Value) {
    if let Some(version) = object.pointer("/metadata/resourceVersion").and_then(Value::as_str) {
        *position = Some(version.to_owned());
    }
}

#[cfg(test)]
mod tests;
