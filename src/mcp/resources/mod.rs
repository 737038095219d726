//! What can be read beside the tools: logs of jobs, files in the user's folder, checkpoints.
//!
//! - `address`: the URIs; `fault`: what is answered where there is nothing to read;
//! - `saved`: the files of `LOCAL_SAVE_DIR`, and what is none of them;
//! - `list`: what there is, newest first; `read`: one of them;
//! - `news`: whether there is another list than before; `watch`: whether one of them has changed; `subscriptions`: who wants to know, in both eras
//!   of the protocol.
//!
//! Nothing here runs before a client asks for it. Reads the disk only on threads that may wait.
//!
//! May import what `mcp` may.

pub(super) mod address;
mod fault;
mod list;
mod news;
mod read;
mod saved;
mod subscriptions;
mod watch;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use rmcp::model::{
    ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, SubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::convert::Fault;
use super::server::{Floors, Server};
use crate::runtime::RuntimeError;
use fault::ResourceFault;
use news::News;
use saved::Saved;
use subscriptions::Subscriptions;

/// The resources of one server.
pub(super) struct Resources {
    floors: Arc<Floors>,
    saved: Arc<Saved>,
    news: News,
    subscriptions: Subscriptions,
}

impl Resources {
    pub(super) fn new(floors: Arc<Floors>) -> Self {
        let saved = Saved::new(floors.save_dir.clone(), floors.data_dir.clone());
        Self {
            floors,
            saved: Arc::new(saved),
            news: News::default(),
            subscriptions: Subscriptions::default(),
        }
    }
}

/// The answers to requests. Each comes in time, also where a disk or the code here fails: rmcp sends none at all after a panic.
impl Server {
    pub(super) async fn answer_list(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let cursor = request.and_then(|request| request.cursor);
        let resources = &self.resources;
        let list = async {
            let listing = resources.listing().await?;
            resources.seen(&listing, self.leaving());
            if subscriptions::is_of_old_era(&context) {
                resources.tell_lists(&context.peer, self.leaving());
            }
            resources.page(listing, cursor.as_deref())
        };
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
        // What the runtime leaves unanswered is then told of, or read from this computer.
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

/// Does what waits for the disk where that holds up nobody.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ResourceFault> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| ResourceFault::internal(&error))
}
