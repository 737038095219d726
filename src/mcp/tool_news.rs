//! Notifies the client of other tools: when a tab of Colab has connected, has gone, or has other tools of its own.

use rmcp::RoleServer;
use rmcp::service::{Peer, SubscriptionSink};

use super::server::Server;

impl Server {
    /// Notifies a client with a handshake (before 2026-07-28) from now on.
    pub(super) fn announce_tools(&self, peer: Peer<RoleServer>) {
        let (mut tabs, leaving) = (self.floors.browser.changes(), self.leaving().clone());
        tokio::spawn(leaving.run_until_cancelled_owned(async move {
            while tabs.changed().await.is_ok() {
                if let Err(error) = peer.notify_tool_list_changed().await {
                    tracing::debug!(%error, "could not send a notification");
                }
            }
        }));
    }

    /// Notifies the stream of a client of 2026-07-28, if it asked for that; never returns.
    pub(super) async fn announce_tools_on(&self, sink: &SubscriptionSink) {
        let mut tabs = self.floors.browser.changes();
        if sink.accepted().tools_list_changed == Some(true) {
            while tabs.changed().await.is_ok() {
                if let Err(error) = sink.notify_tool_list_changed().await {
                    tracing::debug!(%error, "could not send a notification");
                }
            }
        }
        std::future::pending().await
    }
}
