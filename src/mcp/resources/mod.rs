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

use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::ListResourcesResult;
use rmcp::service::RequestContext;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::floors::Floors;
pub(super) use fault::ResourceFault;
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

    /// A page of what there is. Whoever has seen it is told when there is another list.
    pub(super) async fn list(
        self: &Arc<Self>,
        cursor: Option<&str>,
        context: &RequestContext<RoleServer>,
        leaving: &CancellationToken,
    ) -> Result<ListResourcesResult, ResourceFault> {
        let listing = self.listing().await?;
        self.seen(&listing, leaving);
        if subscriptions::is_of_old_era(context) {
            self.notify_lists(&context.peer, leaving);
        }
        self.page(listing, cursor)
    }
}

/// Does what waits for the disk where that holds up nobody.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ResourceFault> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| ResourceFault::internal(&error))
}
