//! Subscriptions to changes. Clients of earlier protocol versions subscribe to single resources and are always notified of new lists; clients of
//! 2026-07-28 open streams, each with its own filter. rmcp separates the two.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

use futures_util::future::join_all;
use rmcp::RoleServer;
use rmcp::model::{ResourceUpdatedNotificationParam, SubscriptionFilter};
use rmcp::service::{Peer, RequestContext, SubscriptionSink};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::fault::ResourceFault;
use super::{Resources, on_disk};
use crate::base::lock::Lock;
use crate::mcp::fault::Fault;

/// Resources watched at a time.
const MAX_SUBSCRIPTIONS: usize = 100;

#[derive(Debug)]
pub(super) struct Subscriptions {
    room: Arc<Semaphore>,
    /// Subscriptions of a client with a handshake, by URI.
    sessions: Lock<HashMap<String, CancellationToken>>,
    /// Whether such a client is notified of new lists.
    notifies_lists: AtomicBool,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(MAX_SUBSCRIPTIONS)),
            sessions: Lock::default(),
            notifies_lists: AtomicBool::new(false),
        }
    }
}

/// The receiver of notifications.
#[derive(Debug)]
pub(super) enum Audience {
    /// A client with a handshake (before 2026-07-28).
    Session(Peer<RoleServer>),
    /// A stream of a client of 2026-07-28.
    Stream(SubscriptionSink),
}

impl Audience {
    pub(super) async fn notify_updated(&self, uri: &str) {
        match self {
            Self::Session(peer) => {
                let param = ResourceUpdatedNotificationParam::new(uri);
                log(peer.notify_resource_updated(param).await);
            }
            Self::Stream(sink) => log(sink.notify_resource_updated(uri).await),
        }
    }

    /// Notifies of each new list; ends with the server.
    async fn notify_lists(&self, mut marks: watch::Receiver<Option<u64>>) {
        while marks.changed().await.is_ok() {
            match self {
                Self::Session(peer) => log(peer.notify_resource_list_changed().await),
                Self::Stream(sink) => log(sink.notify_resource_list_changed().await),
            }
        }
    }
}

/// Whether the client uses a protocol version with a handshake (before 2026-07-28).
pub(super) fn has_handshake(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_none_or(|version| version.has_initialize())
}

impl Resources {
    /// Notifies a client with a handshake of each new list.
    pub(super) fn notify_lists(
        self: &Arc<Self>,
        peer: &Peer<RoleServer>,
        leaving: &CancellationToken,
    ) {
        if self
            .subscriptions
            .notifies_lists
            .swap(true, Ordering::Relaxed)
        {
            return;
        }
        let (marks, leaving) = (self.marks(), leaving.clone());
        let audience = Audience::Session(peer.clone());
        tokio::spawn(async move {
            leaving
                .run_until_cancelled(audience.notify_lists(marks))
                .await;
        });
    }

    /// Notifies a client with a handshake of each change of a resource; repeating it has no effect.
    pub(in crate::mcp) async fn subscribe(
        self: &Arc<Self>,
        uri: &str,
        peer: Peer<RoleServer>,
        leaving: &CancellationToken,
    ) -> Result<(), ResourceFault> {
        let address = Address::parse(uri)?;
        if let Address::File(path) = &address {
            let (saved, path) = (self.saved.clone(), path.clone());
            on_disk(move || saved.find(&path)).await??;
        }
        let ended = leaving.child_token();
        {
            let mut sessions = self.sessions();
            if sessions.contains_key(uri) {
                return Ok(());
            }
            let room = self.room().ok_or_else(no_room)?;
            sessions.insert(uri.to_owned(), ended.clone());
            let (resources, uri) = (self.clone(), uri.to_owned());
            tokio::spawn(async move {
                let audience = Audience::Session(peer);
                let watching = resources.watch(&uri, &address, &audience);
                if ended.run_until_cancelled(watching).await.is_some() {
                    resources.sessions().remove(&uri);
                }
                drop(room);
            });
        }
        Ok(())
    }

    pub(in crate::mcp) fn unsubscribe(&self, uri: &str) {
        if let Some(subscription) = self.sessions().remove(uri) {
            subscription.cancel();
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.subscriptions.sessions.lock()
    }

    fn room(&self) -> Option<OwnedSemaphorePermit> {
        self.subscriptions.room.clone().try_acquire_owned().ok()
    }

    /// Filters the subscriptions of a new stream: drops invalid URIs, and those beyond the limit.
    pub(in crate::mcp) fn accepted(&self, requested: &SubscriptionFilter) -> SubscriptionFilter {
        let mut accepted = requested.clone();
        if let Some(uris) = &mut accepted.resource_subscriptions {
            uris.retain(|uri| Address::parse(uri).is_ok());
            uris.sort_unstable();
            uris.dedup();
            uris.truncate(self.subscriptions.room.available_permits());
        }
        accepted
    }

    /// Serves a stream; never returns.
    pub(in crate::mcp) async fn serve(
        self: &Arc<Self>,
        sink: &SubscriptionSink,
        leaving: &CancellationToken,
    ) {
        let (accepted, audience) = (sink.accepted(), &Audience::Stream(sink.clone()));
        let uris: BTreeSet<&String> = accepted.resource_subscriptions.iter().flatten().collect();
        let watching = join_all(uris.into_iter().map(|uri| async move {
            if let (Ok(address), Some(_room)) = (Address::parse(uri), self.room()) {
                self.watch(uri, &address, audience).await;
            }
        }));
        let notifying = async {
            if accepted.resources_list_changed == Some(true) {
                let marks = self.marks();
                if let Ok(listing) = self.listing().await {
                    self.seen(&listing, leaving);
                }
                audience.notify_lists(marks).await;
            }
        };
        tokio::join!(watching, notifying);
        std::future::pending().await
    }
}

fn no_room() -> ResourceFault {
    ResourceFault::failed(Fault::new(
        "busy",
        format!("{MAX_SUBSCRIPTIONS} resources are watched already"),
        "Unsubscribe from one of them first.",
        true,
    ))
}

fn log<E: std::error::Error>(sent: Result<(), E>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "could not send a notification");
    }
}
