//! Detects changes of the list of resources: checked after each call, once a client has received a list.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Resources;
use super::list::Listing;

/// Minimum interval between two checks, and so between two notifications.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct News {
    /// Something may have changed the list.
    stale: Notify,
    /// The mark of the newest list; none before the first one.
    mark: watch::Sender<Option<u64>>,
    is_checking: AtomicBool,
}

impl Resources {
    /// Requests a check after a call that may have added resources.
    pub(in crate::mcp) fn check_list(&self) {
        self.news.stale.notify_one();
    }

    /// Records the list that a client has received, and checks for changes from now on until `leaving`.
    pub(super) fn seen(self: &Arc<Self>, listing: &Listing, leaving: &CancellationToken) {
        self.news.mark.send_if_modified(|mark| {
            mark.get_or_insert(listing.mark());
            false
        });
        if !self.news.is_checking.swap(true, Ordering::Relaxed) {
            let (resources, leaving) = (self.clone(), leaving.clone());
            tokio::spawn(async move {
                let checking = resources.keep_checking();
                leaving.run_until_cancelled(checking).await;
            });
        }
    }

    async fn keep_checking(&self) {
        loop {
            self.news.stale.notified().await;
            if let Ok(listing) = self.listing().await {
                let mark = listing.mark();
                self.news.mark.send_if_modified(|last| {
                    let is_other = *last != Some(mark);
                    *last = Some(mark);
                    is_other
                });
            }
            sleep(MIN_INTERVAL).await;
        }
    }

    /// Receives the marks of changed lists from now on.
    pub(super) fn marks(&self) -> watch::Receiver<Option<u64>> {
        self.news.mark.subscribe()
    }
}
