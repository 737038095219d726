//! Answers requests for resources.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use rmcp::model::{
    ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, SubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer};
use tokio::time::{Instant, sleep};

use super::fault::Fault;
use super::resources::ResourceFault;
use super::server::Server;
use crate::runtime::RuntimeError;

/// Each answer is sent in time, even if a disk hangs or this code panics: after a panic rmcp would send none.
impl Server {
    pub(super) async fn answer_list(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let cursor = request.and_then(|request| request.cursor);
        let list = (self.resources).list(cursor.as_deref(), &context, self.leaving());
        let list = self.in_time(&context, list).await;
        list.map_err(ErrorData::from)
    }

    pub(super) fn answer_templates(&self) -> ListResourceTemplatesResult {
        ListResourceTemplatesResult::with_all_items(self.resources.templates())
    }

    pub(super) async fn answer_read(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        // Leaves time to report a silent runtime, or to read from this computer instead.
        let deadline = Instant::now() + self.budget(&context) * 7 / 8;
        let read = self.resources.contents(&request.uri, deadline);
        let read = self.in_time(&context, read).await;
        read.map(ReadResourceResponse::from)
            .map_err(|fault| fault.about(&request.uri))
    }

    pub(super) async fn answer_subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let peer = context.peer.clone();
        let subscribe = self.resources.subscribe(&request.uri, peer, self.leaving());
        let subscribed = self.in_time(&context, subscribe).await;
        subscribed.map_err(|fault| fault.about(&request.uri))
    }

    pub(super) async fn answer_listen(&self, context: SubscriptionContext) {
        let serving = self.resources.serve(context.sink(), self.leaving());
        tokio::select! {
            () = context.cancelled() => {}
            () = self.leaving().cancelled() => {}
            () = serving => {}
            () = self.announce_tools_on(context.sink()) => {}
        }
    }

    async fn in_time<T>(
        &self,
        context: &RequestContext<RoleServer>,
        work: impl Future<Output = Result<T, ResourceFault>>,
    ) -> Result<T, ResourceFault> {
        let work = AssertUnwindSafe(work).catch_unwind();
        tokio::select! {
            biased;
            done = work => done.unwrap_or_else(|_| Err(ResourceFault::failed(Fault::internal("the resource")))),
            () = context.ct.cancelled() => Err(ResourceFault::failed(RuntimeError::Cancelled)),
            () = sleep(self.budget(context)) => Err(ResourceFault::failed(Fault::new(
                "timed_out",
                "this computer's disk did not answer in time",
                "Call again.",
                true,
            ))),
        }
    }
}
