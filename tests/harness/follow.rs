//! Clients that follow changes, over each protocol, and keep a picture of what they were shown.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::stream::{BoxStream, unfold};
use futures::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use scalegate::proto::v1::watch_replicas_response::Event as Message;
use scalegate::proto::v1::{ListReplicasRequest, Replicas, WatchReplicasRequest, Workload};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::poll::eventually;
use crate::suite::replicas;

/// How long a stream may take to say something: longer than its heartbeat.
const SILENCE: Duration = Duration::from_secs(30);
/// The pause before a stream is begun again.
const PAUSE: Duration = Duration::from_millis(50);

/// How a stream comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Server-Sent Events over HTTP/1.1.
    Http1,
    /// Server-Sent Events over HTTP/2.
    Http2,
    /// gRPC.
    Grpc,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::Grpc];
}

/// What is followed.
#[derive(Debug, Clone, Default)]
pub struct Followed {
    /// The namespace; all without one.
    pub namespace: Option<String>,
    /// The only Deployment; it takes a namespace.
    pub name: Option<String>,
    /// A label selector.
    pub selector: Option<String>,
}

impl Followed {
    /// All Deployments of `namespace`.
    pub fn namespace(namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..Self::default() }
    }

    /// The path of a list, or of one Deployment, and its query.
    fn path(&self) -> (String, String) {
        let path = match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => replicas(namespace, name),
            (Some(namespace), None) => format!("/v1/namespaces/{namespace}/deployments"),
            _ => "/v1/deployments".to_owned(),
        };
        let selector = self.selector.as_ref().map(|selector| format!("labelSelector={selector}"));
        (path, selector.unwrap_or_default())
    }

    fn message(&self) -> WatchReplicasRequest {
        let namespace = self.namespace.clone().unwrap_or_default();
        match &self.name {
            Some(name) => WatchReplicasRequest {
                workload: Some(Workload { kind: String::new(), namespace, name: name.clone() }),
                ..WatchReplicasRequest::default()
            },
            None => WatchReplicasRequest {
                namespace,
                label_selector: self.selector.clone().unwrap_or_default(),
                ..WatchReplicasRequest::default()
            },
        }
    }
}

/// What a stream says.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A Deployment by `NAMESPACE/NAME`, without its age.
    Replicas(String, Value),
    /// One that is gone.
    Gone(String),
    /// What came before is everything.
    Synced,
    /// Nothing has changed; how old this is, in seconds.
    Heartbeat(f64),
    /// The last word: the error's code.
    End(String),
}

/// The events of one stream.
pub type Events = BoxStream<'static, Result<Event>>;

impl Client {
    /// Begins to follow.
    pub async fn follow(&self, door: Door, followed: &Followed) -> Result<Events> {
        match door {
            Door::Http1 | Door::Http2 => Ok(server_sent(self.stream(door, followed).await?)),
            Door::Grpc => {
                let stream = self.replica_service().await?.watch_replicas(followed.message()).await?.into_inner();
                let events = stream.then(async |message| match message {
                    Ok(message) => event_of(message.event.context("an event of no kind")?),
                    Err(status) => Ok(Event::End(code(&status)?)),
                });
                Ok(events.boxed())
            }
        }
    }

    /// The body of a stream over HTTP.
    pub async fn stream(&self, door: Door, followed: &Followed) -> Result<Incoming> {
        let mut connection = if door == Door::Http1 { self.http1().await? } else { self.http2().await? };
        let (path, selector) = followed.path();
        let answer = connection.open(&format!("{path}?watch=true&{selector}")).await?;
        let status = answer.status();
        if status != 200 {
            bail!("{status}: {}", String::from_utf8_lossy(&answer.collect().await?.to_bytes()));
        }
        let kind = answer.headers().get("content-type").context("no content type")?;
        ensure!(kind == "text/event-stream", "{kind:?}");
        Ok(answer.into_body())
    }

    /// What a list shows, in the form of a picture.
    pub async fn listed(&self, door: Door, followed: &Followed) -> Result<BTreeMap<String, Value>> {
        if door == Door::Grpc {
            let request = ListReplicasRequest {
                namespace: followed.namespace.clone().unwrap_or_default(),
                label_selector: followed.selector.clone().unwrap_or_default(),
                ..ListReplicasRequest::default()
            };
            let list = self.replica_service().await?.list_replicas(request).await?.into_inner();
            return list.replicas.into_iter().map(of_message).collect();
        }
        let (path, selector) = followed.path();
        let list = self.get(&format!("{path}?{selector}")).await?;
        ensure!(list.status == 200, "{}", list.json());
        list.json()["items"].as_array().context("no items")?.iter().cloned().map(of_json).collect()
    }
}

fn code(status: &tonic::Status) -> Result<String> {
    use tonic_types::StatusExt;
    let details = status.get_error_details();
    Ok(details.error_info().with_context(|| format!("{status:?}"))?.reason.clone())
}

fn of_json(mut view: Value) -> Result<(String, Value)> {
    let name = format!("{}/{}", text(&view, "namespace")?, text(&view, "name")?);
    view["ageSeconds"].take();
    Ok((name, view))
}

fn of_message(message: Replicas) -> Result<(String, Value)> {
    let workload = message.workload.clone().context("no name")?;
    let ageless = Replicas { age_seconds: 0.0, ..message };
    Ok((format!("{}/{}", workload.namespace, workload.name), json!(format!("{ageless:?}"))))
}

fn event_of(message: Message) -> Result<Event> {
    Ok(match message {
        Message::Replicas(replicas) => {
            let (name, view) = of_message(replicas)?;
            Event::Replicas(name, view)
        }
        Message::Gone(workload) => Event::Gone(format!("{}/{}", workload.namespace, workload.name)),
        Message::Synced(_) => Event::Synced,
        Message::Heartbeat(heartbeat) => Event::Heartbeat(heartbeat.age_seconds),
    })
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field].as_str().with_context(|| format!("no {field} in {value}"))
}

/// Reads events from a body.
fn server_sent(body: Incoming) -> Events {
    let begin = (body, Vec::new());
    let events = unfold(begin, async |(mut body, mut unread)| {
        loop {
            if let Some(end) = unread.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = unread.drain(..end + 2).collect();
                return Some((parse(&event), (body, unread)));
            }
            match body.frame().await? {
                Ok(frame) => unread.extend(frame.into_data().unwrap_or_else(|_| Bytes::new())),
                Err(error) => return Some((Err(error.into()), (body, unread))),
            }
        }
    });
    events.boxed()
}

fn parse(event: &[u8]) -> Result<Event> {
    let text_of = std::str::from_utf8(event)?;
    let field = |name: &str| text_of.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data: Value = serde_json::from_str(field("data").with_context(|| text_of.to_owned())?)?;
    Ok(match field("event").context("no name")? {
        "replicas" => {
            let (name, view) = of_json(data)?;
            Event::Replicas(name, view)
        }
        "gone" => Event::Gone(format!("{}/{}", text(&data, "namespace")?, text(&data, "name")?)),
        "synced" => Event::Synced,
        "heartbeat" => Event::Heartbeat(data["ageSeconds"].as_f64().context("no age")?),
        "end" => Event::End(text(&data, "code")?.to_owned()),
        other => bail!("an event {other}"),
    })
}

/// What a follower knows.
#[derive(Debug, Default)]
pub struct Picture {
    /// By `NAMESPACE/NAME`.
    pub items: BTreeMap<String, Value>,
    /// Whether `items` is everything.
    pub is_synced: bool,
    /// How often a stream began.
    pub streams: usize,
    /// The last word of each stream that ended with one.
    pub ends: Vec<String>,
    /// The age that the last heartbeat told.
    pub age: Option<f64>,
}

impl Picture {
    fn add(&mut self, event: Event) {
        match event {
            Event::Replicas(name, view) => drop(self.items.insert(name, view)),
            Event::Gone(name) => drop(self.items.remove(&name)),
            Event::Synced => self.is_synced = true,
            Event::Heartbeat(age) => self.age = Some(age),
            Event::End(code) => self.ends.push(code),
        }
    }
}

/// A client that follows, and begins again whenever a stream has ended, until it is dropped.
pub struct Follower {
    door: Door,
    followed: Followed,
    picture: Arc<Mutex<Picture>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Follows at the first of `gateways` that serves.
    pub fn start(gateways: Vec<Client>, door: Door, followed: Followed) -> Self {
        let picture = Arc::new(Mutex::new(Picture::default()));
        let (shared, of) = (picture.clone(), followed.clone());
        let task = tokio::spawn(async move {
            loop {
                for gateway in &gateways {
                    // Its end is what the test makes of it.
                    let _ = follow_once(gateway, door, &of, &shared).await;
                }
                sleep(PAUSE).await;
            }
        });
        Self { door, followed, picture, task }
    }

    /// Waits until it knows exactly what a list shows `client`.
    pub async fn agrees(&self, what: &str, client: &Client) -> Result<()> {
        eventually(what, async || {
            let listed = client.listed(self.door, &self.followed).await?;
            let picture = self.picture();
            Ok((picture.is_synced && picture.items == listed).then_some(()))
        })
        .await
        .with_context(|| format!("{:?}: {:?}", self.door, self.picture()))
    }

    /// What it knows.
    pub fn picture(&self) -> MutexGuard<'_, Picture> {
        lock(&self.picture)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(picture: &Mutex<Picture>) -> MutexGuard<'_, Picture> {
    picture.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow_once(gateway: &Client, door: Door, followed: &Followed, picture: &Mutex<Picture>) -> Result<()> {
    let mut events = gateway.follow(door, followed).await?;
    {
        let mut picture = lock(picture);
        *picture =
            Picture { streams: picture.streams + 1, ends: std::mem::take(&mut picture.ends), ..Picture::default() };
    }
    while let Some(event) = timeout(SILENCE, events.try_next()).await.context("silence")?? {
        lock(picture).add(event);
    }
    Ok(())
}
