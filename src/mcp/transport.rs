//! stdio for rmcp, made safe against clients that speak before the handshake, and so that every request is answered, also one that cannot be
//! read: rmcp leaves those without an answer, and their callers waiting.

use std::future::Future;

use futures_util::StreamExt;
use rmcp::model::{ClientRequest, GetMeta, JsonRpcMessage, ProtocolVersion, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{ErrorData, RoleServer};
use tokio::io::{AsyncRead, AsyncWrite, Empty, empty};
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;

use super::call::take_turn;
use super::lines::{Line, Lines, id_of};
use crate::jobs::turns::Turns;

/// The executor refuses code over 8 MiB; this only bounds what is held in memory.
const LONGEST_LINE: usize = 64 * 1024 * 1024;
const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";

/// Drops notifications and replies that come before client and server have settled how they talk: rmcp ends the whole server on them.
///
/// A client that gives up on `server/discover` says so by a notification, and only then shakes hands.
pub struct Stdio<R: AsyncRead, W: AsyncWrite> {
    lines: FramedRead<R, Lines>,
    /// Only written to.
    out: AsyncRwTransport<RoleServer, Empty, W>,
    settled: bool,
    turns: Turns,
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
            lines: FramedRead::new(read, Lines::new(LONGEST_LINE)),
            out: AsyncRwTransport::new_server(empty(), write),
            settled: false,
            turns: Turns::default(),
            leaving,
        }
    }

    /// The next line that is a message; none at the end.
    async fn next_message(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let line = match self.lines.next().await? {
                Ok(Line::Whole(line)) => line,
                Ok(Line::TooLong(ends)) => {
                    let text = "the message is longer than 64 MiB: write large data into a file and read it from the code";
                    self.refuse(ends.id(), text.to_owned());
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, "stdin cannot be read");
                    return None;
                }
            };
            let line = line.trim_ascii();
            let line = line.strip_prefix(UTF8_BOM).unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice(line) {
                Ok(message) => return Some(message),
                Err(error) => {
                    self.refuse(id_of(line), format!("the request cannot be read: {error}"))
                }
            }
        }
    }

    /// Answers what cannot be passed on; what has no id expects no answer.
    fn refuse(&mut self, id: Option<RequestId>, text: String) {
        tracing::debug!(?id, "{text}");
        if let Some(id) = id {
            let error = ErrorData::invalid_request(text, None);
            let sending = self.out.send(JsonRpcMessage::error(error, Some(id)));
            // Receiving may be given up at any await, and begun again.
            tokio::spawn(async move {
                if let Err(error) = sending.await {
                    tracing::debug!(%error, "an answer could not be sent");
                }
            });
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
        self.out.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let Some(mut message) = self.next_message().await else {
                self.leaving.cancel();
                return None;
            };
            self.settled |= settles(&message);
            if let JsonRpcMessage::Request(message) = &mut message
                && let ClientRequest::CallToolRequest(call) = &mut message.request
            {
                take_turn(&self.turns, call);
            }
            if self.settled || matches!(message, JsonRpcMessage::Request(_)) {
                return Some(message);
            }
            tracing::debug!("dropped a message that came before the handshake");
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.out.close().await
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
