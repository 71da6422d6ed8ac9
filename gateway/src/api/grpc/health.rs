//! `grpc.health.v1`: whether reads are served (the empty service and `scalegate.v1.ReplicaService`), and whether there is
//! contact with Kubernetes (`kubernetes`).

use std::pin::Pin;
use std::time::Duration;

use futures::stream::{self, Stream};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use crate::replicas::Monitor;
use crate::shutdown::Shutdown;

/// The message for a service that there is not.
const NO_SERVICE: &str = "there is no such service: ask for \"\", scalegate.v1.ReplicaService or kubernetes";

/// How often a watch looks for a change.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) struct Health {
    kubernetes: crate::api::health::Health,
    shutdown: Shutdown,
}

impl Health {
    pub(super) fn new(monitor: Monitor, shutdown: Shutdown) -> Self {
        Self { kubernetes: crate::api::health::Health::new(monitor), shutdown }
    }

    /// The status of a service; `None` for one that nobody knows.
    fn status(&self, service: &str) -> Option<ServingStatus> {
        let serves = match service {
            "" | "scalegate.v1.ReplicaService" => self.kubernetes.was_read(),
            "kubernetes" => self.kubernetes.is_connected(),
            _ => return None,
        };
        let serves = serves && !self.shutdown.is_triggered();
        Some(if serves { ServingStatus::Serving } else { ServingStatus::NotServing })
    }

    /// The next status that is another than `last`; `None` once the last one was told.
    async fn next(self, service: String, last: Option<ServingStatus>) -> Option<(ServingStatus, Self, String)> {
        let mut ended = false;
        loop {
            let now = self.status(&service).unwrap_or(ServingStatus::ServiceUnknown);
            if last != Some(now) {
                return Some((now, self, service));
            }
            if ended || self.shutdown.is_triggered() {
                return None;
            }
            tokio::select! {
                () = self.shutdown.recv() => ended = true,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let status = self.status(&request.get_ref().service);
        let status = status.ok_or_else(|| Status::not_found(NO_SERVICE))?;
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// The status now, and each change of it; the last one comes with the drain, so that no stream holds it up.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let start = (self.clone(), request.into_inner().service, None);
        let changes = stream::unfold(start, |(health, service, last)| async move {
            let (status, health, service) = health.next(service, last).await?;
            Some((Ok(HealthCheckResponse { status: status.into() }), (health, service, Some(status))))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
