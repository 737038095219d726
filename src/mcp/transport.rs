//! stdio for rmcp, made safe against messages before the handshake, and with an answer to every request, even an unreadable one, which rmcp would
//! leave unanswered.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use rmcp::model::{ClientNotification, ClientRequest, GetMeta, JsonRpcMessage, ProtocolVersion};
use rmcp::service::TxJsonRpcMessage;
use rmcp::transport::Transport;
use rmcp::{ErrorData, RoleServer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;

use super::call::take_turn;
use super::cancellation::Cancellations;
use super::lines::{Line, Lines};
use super::message::{self, Message, Refusal};
use super::methods;
use crate::caller::turns::Turns;

/// Bounds memory only: the executor refuses code over 8 MiB.
const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;
/// Refusals queued for a client that does not read them; no more lines are read until it does.
const MAX_REFUSING: usize = 1_000;

/// The transport. Drops notifications and replies before the handshake: rmcp would end the whole server on them.
///
/// A client that gives up on `server/discover` sends a notification, and only then performs the handshake.
pub struct Stdio<R, W> {
    lines: FramedRead<R, Lines>,
    /// Messages of the line that was read last.
    messages: VecDeque<Result<Message, Refusal>>,
    out: Arc<Mutex<W>>,
    /// Refusals being sent.
    refusing: JoinSet<()>,
    settled: bool,
    turns: Turns,
    cancellations: Cancellations,
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
            lines: FramedRead::new(read, Lines::new(MAX_LINE_BYTES)),
            messages: VecDeque::new(),
            out: Arc::new(Mutex::new(write)),
            refusing: JoinSet::new(),
            settled: false,
            turns: Turns::default(),
            cancellations: Cancellations::default(),
            leaving,
        }
    }

    /// The next message or refusal; none at the end of stdin.
    async fn next_message(&mut self) -> Option<Result<Message, Refusal>> {
        loop {
            while self.refusing.len() >= MAX_REFUSING {
                self.refusing.join_next().await;
            }
            if let Some(message) = self.messages.pop_front() {
                return Some(message);
            }
            match self.lines.next().await? {
                Ok(Line::Whole(line)) => self.messages.extend(message::read(&line)),
                Ok(Line::TooLong(ends)) => {
                    let text = "the message is longer than 64 MiB: write large data to a file and read that from the code";
                    self.messages.push_back(Err(Refusal {
                        id: ends.id(),
                        error: ErrorData::invalid_request(text, None),
                    }));
                }
                Err(error) => {
                    tracing::error!(%error, "stdin cannot be read");
                    return None;
                }
            }
        }
    }

    /// Sends a refusal.
    fn refuse(&mut self, Refusal { id, error }: Refusal) {
        tracing::debug!(?id, "{}", error.message);
        let sending = self.send(JsonRpcMessage::error(error, id));
        // `receive` may be dropped at any await, and called again.
        self.refusing.spawn(async move {
            if let Err(error) = sending.await {
                tracing::debug!(%error, "could not send an answer");
            }
        });
    }

    /// Returns the message, if rmcp accepts it at this point.
    fn admit(&mut self, mut message: Message) -> Option<Message> {
        let JsonRpcMessage::Request(request) = &mut message else {
            if !self.settled {
                tracing::debug!("dropped a message that came before the handshake");
                return None;
            }
            if let JsonRpcMessage::Notification(notification) = &message
                && let ClientNotification::CancelledNotification(cancelled) =
                    &notification.notification
            {
                self.cancellations.note(&cancelled.params);
            }
            return Some(message);
        };
        match standing(&request.request) {
            _ if self.settled => {}
            Standing::Settles => self.settled = true,
            Standing::Apart => {}
            Standing::Early => {
                let text = "the session has not started: send initialize, await its answer, and send the request again; a client of 2026-07-28 \
                     sends its version and capabilities in the request's _meta instead";
                let error = unreadable_opener(&request.request)
                    .unwrap_or_else(|| ErrorData::invalid_request(text, None));
                let id = Some(request.id.clone());
                self.refuse(Refusal { id, error });
                return None;
            }
        }
        if let ClientRequest::CallToolRequest(call) = &mut request.request {
            take_turn(&self.turns, call);
            self.cancellations.expect(&request.id, call);
        }
        Some(message)
    }
}

impl<R, W> Transport<RoleServer> for Stdio<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        mut item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let (out, leaving) = (self.out.clone(), self.leaving.clone());
        methods::explain(&mut item);
        async move {
            let line = message::write(&item)?;
            let mut out = out.lock().await;
            let sent = async {
                out.write_all(&line).await?;
                out.flush().await
            };
            // A client to which nothing can be sent has disconnected.
            sent.await.inspect_err(|_| leaving.cancel())
        }
    }

    async fn receive(&mut self) -> Option<Message> {
        loop {
            match self.next_message().await {
                Some(Ok(message)) => {
                    if let Some(message) = self.admit(message) {
                        return Some(message);
                    }
                }
                Some(Err(refusal)) => self.refuse(refusal),
                None => {
                    self.leaving.cancel();
                    while self.refusing.join_next().await.is_some() {}
                    return None;
                }
            }
        }
    }

    /// Every line was flushed, or its reader has stopped reading: there is nothing to wait for.
    async fn close(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// The error for an unreadable request that would open the session.
fn unreadable_opener(request: &ClientRequest) -> Option<ErrorData> {
    let ClientRequest::CustomRequest(request) = request else {
        return None;
    };
    let opens = ["initialize", "server/discover"].contains(&request.method.as_str());
    methods::unreadable(&request.method).filter(|_| opens)
}

/// How a request is handled before the handshake.
enum Standing {
    /// It completes the handshake: `initialize`, or a request that carries its own context.
    Settles,
    /// It is answered and changes nothing: a ping, a discovery, or one whose context is incomplete.
    Apart,
    /// It is refused, because it must come after the handshake.
    Early,
}

fn standing(request: &ClientRequest) -> Standing {
    if matches!(request, ClientRequest::InitializeRequest(_)) {
        return Standing::Settles;
    }
    let asks_first = matches!(
        request,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_)
    );
    let meta = request.get_meta();
    let missing = meta.missing_required_keys(&ProtocolVersion::V_2026_07_28);
    match missing.len() {
        _ if asks_first => Standing::Apart,
        0 => Standing::Settles,
        1 => Standing::Apart,
        _ => Standing::Early,
    }
}
