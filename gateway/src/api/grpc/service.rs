//! `scalegate.v1.ReplicaService`: each method makes an operation of its message, and a message of what comes of it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, unfold};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::api::error::Error;
use crate::api::operation::{Answer, Operation};
use crate::api::operations::Operations;
use crate::api::stream::Stream;
use crate::proto::v1::replica_service_server::ReplicaService;
use crate::proto::v1::{
    GetReplicasRequest, GetReplicasResponse, ListChangesRequest, ListChangesResponse, ListPoliciesRequest,
    ListPoliciesResponse, ListReplicasRequest, ListReplicasResponse, ReleaseReplicasRequest, ReleaseReplicasResponse,
    SetReplicasRequest, SetReplicasResponse, WatchReplicasRequest, WatchReplicasResponse,
};

use super::{Asked, convert, status};

pub(super) struct ReplicaDoor {
    operations: Arc<Operations>,
    request_timeout: Duration,
}

impl ReplicaDoor {
    pub(super) fn new(operations: Arc<Operations>, request_timeout: Duration) -> Self {
        Self { operations, request_timeout }
    }

    async fn perform<M, R>(
        &self,
        request: Request<M>,
        parse: impl FnOnce(M) -> Result<Operation, Error>,
        render: impl FnOnce(Answer) -> Option<R>,
    ) -> Result<Response<R>, Status> {
        let (_, extensions, message) = request.into_parts();
        let asked = extensions.get::<Asked>().ok_or_else(|| Status::internal("the caller is not known"))?;
        let done = async {
            let answer = self.operations.perform(&asked.caller, parse(message)?).await?;
            render(answer).ok_or_else(|| Error::Internal { cause: "an answer of another kind".into() })
        };
        done.await.map(Response::new).map_err(|error: Error| {
            let status = status::of(&error, &asked.call.id);
            *asked.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            status
        })
    }
}

#[tonic::async_trait]
impl ReplicaService for ReplicaDoor {
    async fn list_replicas(
        &self,
        request: Request<ListReplicasRequest>,
    ) -> Result<Response<ListReplicasResponse>, Status> {
        self.perform(request, convert::list, convert::listed).await
    }

    async fn get_replicas(
        &self,
        request: Request<GetReplicasRequest>,
    ) -> Result<Response<GetReplicasResponse>, Status> {
        self.perform(request, convert::get, convert::got).await
    }

    type WatchReplicasStream = BoxStream<'static, Result<WatchReplicasResponse, Status>>;

    async fn watch_replicas(
        &self,
        request: Request<WatchReplicasRequest>,
    ) -> Result<Response<Self::WatchReplicasStream>, Status> {
        let asked = request.extensions().get::<Asked>().cloned();
        let (id, deadline) = asked.map(|asked| (asked.call.id, asked.deadline)).unwrap_or_default();
        self.perform(request, convert::watch, |answer| {
            let Answer::Stream(stream) = answer else { return None };
            Some(messages(stream.until(deadline), id))
        })
        .await
    }

    async fn set_replicas(
        &self,
        request: Request<SetReplicasRequest>,
    ) -> Result<Response<SetReplicasResponse>, Status> {
        self.perform(request, |message| convert::set(message, self.request_timeout), convert::accepted).await
    }

    async fn release_replicas(
        &self,
        request: Request<ReleaseReplicasRequest>,
    ) -> Result<Response<ReleaseReplicasResponse>, Status> {
        self.perform(request, convert::release, convert::released).await
    }

    async fn list_changes(
        &self,
        request: Request<ListChangesRequest>,
    ) -> Result<Response<ListChangesResponse>, Status> {
        self.perform(request, convert::history, convert::changes).await
    }

    async fn list_policies(
        &self,
        request: Request<ListPoliciesRequest>,
    ) -> Result<Response<ListPoliciesResponse>, Status> {
        self.perform(request, |_| Ok(Operation::ListPolicies), convert::policies).await
    }
}

/// The messages of a stream, and the status of the error that ends it.
fn messages(stream: Stream, request_id: Uuid) -> BoxStream<'static, Result<WatchReplicasResponse, Status>> {
    let messages = unfold(stream, move |mut stream| async move {
        let next = stream.next().await?;
        Some((next.map(convert::event).map_err(|error| status::of(&error, &request_id)), stream))
    });
    messages.boxed()
}
