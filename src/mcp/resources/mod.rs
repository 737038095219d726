//! MCP resources: logs of jobs, files in the user's folder, checkpoints.
//!
//! - `address`: the URIs; `fault`: the errors;
//! - `saved`: the readable files of `LOCAL_SAVE_DIR`;
//! - `list`: all resources, newest first; `read`: one of them;
//! - `news`: detects changes of the list; `watch`: detects changes of one resource; `subscriptions`: who is notified, in both forms of the
//!   protocol.
//!
//! Nothing here runs before a client requests it. The disk is read only on blocking threads.
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

use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::ListResourcesResult;
use rmcp::service::RequestContext;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub(super) use fault::ResourceFault;
use news::News;
use saved::Saved;
use subscriptions::Subscriptions;

use crate::floors::Floors;

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

    /// Returns a page of the list. A client that has received one is notified when the list changes.
    pub(super) async fn list(
        self: &Arc<Self>,
        cursor: Option<&str>,
        context: &RequestContext<RoleServer>,
        leaving: &CancellationToken,
    ) -> Result<ListResourcesResult, ResourceFault> {
        let listing = self.listing().await?;
        self.seen(&listing, leaving);
        if subscriptions::has_handshake(context) {
            self.notify_lists(&context.peer, leaving);
        }
        self.page(listing, cursor)
    }
}

/// Runs disk work on a blocking thread.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ResourceFault> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| ResourceFault::internal(&error))
}
