//! stdio for rmcp, made safe against clients that speak before the handshake.

use std::future::Future;

use rmcp::RoleServer;
use rmcp::model::{ClientRequest, GetMeta, JsonRpcMessage, ProtocolVersion};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

/// A longer line would be dropped without an answer; the executor refuses code over 8 MiB with one.
const LONGEST_LINE: usize = 64 * 1024 * 1024;

/// Drops notifications and replies that come before client and server have settled how they talk: rmcp ends the whole server on them.
///
/// A client that gives up on `server/discover` says so by a notification, and only then shakes hands.
pub struct Stdio<R: AsyncRead, W: AsyncWrite> {
    inner: AsyncRwTransport<RoleServer, R, W>,
    settled: bool,
    leaving: CancellationToken,
}

impl<R, W> Stdio<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    /// Cancels `leaving` when the client has closed its side.
    pub fn new(read: R, write: W, leaving: CancellationToken) -> Self {
        Self {
            inner: AsyncRwTransport::new_server(read, write).with_max_line_length(LONGEST_LINE),
            settled: false,
            leaving,
        }
    }
}

impl<R, W> Transport<RoleServer> for Stdio<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = std::io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let Some(message) = self.inner.receive().await else {
                self.leaving.cancel();
                return None;
            };
            self.settled |= settles(&message);
            if self.settled || matches!(message, JsonRpcMessage::Request(_)) {
                return Some(message);
            }
            tracing::debug!("dropped a message that came before the handshake");
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

/// True for what ends rmcp's handshake: `initialize`, or a request that carries its own context; not a ping, a discovery, or a request that is refused.
fn settles(message: &RxJsonRpcMessage<RoleServer>) -> bool {
    let JsonRpcMessage::Request(message) = message else {
        return false;
    };
    let request = &message.request;
    if matches!(request, ClientRequest::InitializeRequest(_)) {
        return true;
    }
    let asks_first = matches!(
        request,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_)
    );
    let missing = request
        .get_meta()
        .missing_required_keys(&ProtocolVersion::V_2026_07_28);
    !asks_first && missing.is_empty()
}
