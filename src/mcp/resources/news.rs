//! Whether there is another list of resources than before. Looked into after each call, and only once somebody has seen a list.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Resources;
use super::list::Listing;

/// Between two looks, and so between two notifications.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct News {
    /// What may have changed the list.
    deeds: Notify,
    /// The mark of the newest list; none before the first one.
    mark: watch::Sender<Option<u64>>,
    is_looking: AtomicBool,
}

impl Resources {
    /// Something was done that may have left new resources.
    pub(in crate::mcp) fn look_again(&self) {
        self.news.deeds.notify_one();
    }

    /// Notes the list that a client has seen, and looks for other ones from now on until `leaving`.
    pub(super) fn seen(self: &Arc<Self>, listing: &Listing, leaving: &CancellationToken) {
        self.news.mark.send_if_modified(|mark| {
            mark.get_or_insert(listing.mark());
            false
        });
        if !self.news.is_looking.swap(true, Ordering::Relaxed) {
            let (resources, leaving) = (self.clone(), leaving.clone());
            tokio::spawn(async move {
                let looking = resources.keep_looking();
                leaving.run_until_cancelled(looking).await;
            });
        }
    }

    async fn keep_looking(&self) {
        loop {
            self.news.deeds.notified().await;
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

    /// Marks of the lists that come from now on.
    pub(super) fn marks(&self) -> watch::Receiver<Option<u64>> {
        self.news.mark.subscribe()
    }
}
