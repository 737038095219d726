//! One kernel's messages over one WebSocket.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{SplitStream, poll_fn};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::base::lock::Lock;
use crate::jupyter::error::JupyterError;
use crate::jupyter::message::{self, Incoming};
use crate::jupyter::meter::Traffic;
use crate::jupyter::socket::{self, Socket};

/// Between requests that show whether the kernel is still there while others wait.
const PULSE_INTERVAL: Duration = Duration::from_secs(15);
/// A connection without a byte for so long after a pulse is dead.
const PULSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The slowest link on which a pulse behind other messages is still in time.
const MIN_BYTES_PER_SEC: f64 = 100_000.0;
/// A long message on its way; less are pongs and statuses, which a server sends without the kernel.
const MIN_PROGRESS_BYTES: u64 = 16 * 1024;
/// Messages that may wait for the connection.
const MAX_QUEUED: usize = 4;

/// Where a kernel receives a request: `Control` is answered while code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Shell,
    Control,
}

/// A connection to a kernel, open until it breaks, the kernel restarts, or it is dropped. It is never opened again.
#[derive(Debug)]
pub struct Channel(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Names this client in its messages.
    session: String,
    outgoing: mpsc::Sender<Message>,
    /// None after the end.
    pending: Lock<Option<HashMap<String, oneshot::Sender<Value>>>>,
    /// The kernel process that answered.
    kernel: Lock<Option<String>>,
    /// Whether the kernel said that it ends for good.
    is_shut_down: AtomicBool,
    end: CancellationToken,
}

impl Channel {
    /// Takes over an open WebSocket. `pulse` is a control request without content that the kernel answers at once.
    pub(super) async fn over<S>(stream: S, session: String, pulse: &'static str) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (socket, traffic) = socket::over(stream).await;
        let (outgoing, queue) = mpsc::channel(MAX_QUEUED);
        let shared = Arc::new(Shared {
            session,
            outgoing,
            pending: Lock::new(Some(HashMap::new())),
            kernel: Lock::default(),
            is_shut_down: AtomicBool::new(false),
            end: CancellationToken::new(),
        });
        tokio::spawn(run(socket, queue, shared.clone(), traffic, pulse));
        Self(shared)
    }

    /// Sends a request and returns the content of its reply.
    ///
    /// # Errors
    /// [`JupyterError::Unreachable`] if it was not sent; otherwise [`JupyterError::Broken`] at the channel's end, and
    /// [`JupyterError::TimedOut`] after `limit`.
    pub async fn request(
        &self,
        route: Route,
        kind: &str,
        content: Value,
        limit: Duration,
    ) -> Result<Value, JupyterError> {
        self.0.request(route, kind, content, limit).await
    }

    /// Sends a control request whose reply does not matter, if there is room for it.
    pub fn post(&self, kind: &str, content: &Value) {
        let id = Uuid::now_v7().to_string();
        let frame = message::encode(&id, &self.0.session, "control", kind, content);
        let _ = self.0.outgoing.try_send(Message::text(frame));
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.end.is_cancelled()
    }

    /// Whether it ended because the kernel is shut down for good. Its server may know it for a moment longer.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.0.is_shut_down.load(Ordering::Relaxed)
    }

    /// Ends it; all requests that wait fail.
    pub fn close(&self) {
        self.0.end();
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.close();
    }
}

/// Removes a request from the pending ones, however it ends.
struct Entry<'a> {
    shared: &'a Shared,
    id: &'a str,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(pending) = &mut *self.shared.pending.lock() {
            pending.remove(self.id);
        }
    }
}

impl Shared {
    async fn request(
        &self,
        route: Route,
        kind: &str,
        content: Value,
        limit: Duration,
    ) -> Result<Value, JupyterError> {
        let id = Uuid::now_v7().to_string();
        let channel = match route {
            Route::Shell => "shell",
            Route::Control => "control",
        };
        let frame = message::encode(&id, &self.session, channel, kind, &content);
        drop(content);
        let (sender, reply) = oneshot::channel();
        match &mut *self.pending.lock() {
            Some(pending) => pending.insert(id.clone(), sender),
            None => return Err(JupyterError::Unreachable(ENDED.to_owned())),
        };
        let _entry = Entry {
            shared: self,
            id: &id,
        };
        let sending = async {
            let broken = || JupyterError::Broken(ENDED.to_owned());
            let sent = self.outgoing.send(Message::text(frame)).await;
            sent.map_err(|_| JupyterError::Unreachable(ENDED.to_owned()))?;
            reply.await.map_err(|_| broken())
        };
        let answer = timeout(limit, sending).await;
        answer.unwrap_or(Err(JupyterError::TimedOut))
    }

    fn end(&self) {
        self.end.cancel();
        // Dropping the senders wakes all that wait.
        *self.pending.lock() = None;
    }

    fn is_waiting(&self) -> bool {
        let pending = self.pending.lock();
        pending.as_ref().is_some_and(|pending| !pending.is_empty())
    }

    /// Handles a message; returns whether the kernel that was asked is still the same.
    fn receive(&self, message: Incoming) -> bool {
        if message.channel == "iopub" {
            // Servers leave Nagle's algorithm on: they hold the reply, which follows, until this message is acknowledged, and the system here waits
            // 40 ms for something to acknowledge it with.
            let _ = self.outgoing.try_send(Message::Pong(Bytes::new()));
            return !self.is_end(&message);
        }
        let Some(parent) = message.parent else {
            return true;
        };
        let waiting = self
            .pending
            .lock()
            .as_mut()
            .and_then(|all| all.remove(&parent));
        if let Some(waiting) = waiting {
            self.kernel.lock().get_or_insert(message.session);
            let _ = waiting.send(message.content);
        }
        true
    }

    /// Whether a message means that the kernel's process ends, or is another one than that which was asked: it will answer none of the requests.
    fn is_end(&self, message: &Incoming) -> bool {
        match &*message.kind {
            // After a restart the new process reports itself.
            "shutdown_reply" if message.content["restart"] == true => return false,
            "shutdown_reply" => {
                self.is_shut_down.store(true, Ordering::Relaxed);
                return true;
            }
            "status" => {}
            _ => return false,
        }
        let state = message.content["execution_state"].as_str();
        match state.unwrap_or_default() {
            "restarting" | "dead" => true,
            // These come from a kernel itself.
            "starting" | "busy" | "idle" => {
                let kernel = self.kernel.lock();
                kernel
                    .as_ref()
                    .is_some_and(|known| *known != message.session)
            }
            _ => false,
        }
    }
}

const ENDED: &str = "the kernel's channel has ended";

async fn run<S>(
    socket: Socket<S>,
    mut queue: mpsc::Receiver<Message>,
    shared: Arc<Shared>,
    traffic: Arc<Traffic>,
    pulse: &'static str,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, stream) = socket.split();
    let end = shared.end.clone();
    tokio::select! {
        () = end.cancelled() => {}
        () = socket::write(sink, poll_fn(|context| queue.poll_recv(context))) => {}
        () = read(stream, &shared) => {}
        () = watch(&shared, &traffic, pulse) => {}
    }
    shared.end();
}

async fn read<S>(mut stream: SplitStream<WebSocketStream<S>>, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = stream.next().await {
        let found = match message {
            Ok(Message::Text(text)) => message::decode(text.as_bytes()),
            Ok(Message::Binary(bytes)) => message::decode_binary(&bytes),
            Ok(Message::Close(_)) => return,
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
            Err(error) => return tracing::debug!(%error, "a kernel's channel broke"),
        };
        let Some(found) = found else {
            tracing::debug!("a frame that is no message was skipped");
            continue;
        };
        if !shared.receive(found) {
            return tracing::debug!("the kernel was restarted or died");
        }
    }
}

/// Returns once the other end is silent although requests wait: a connection behind a gateway may stay open when the kernel is gone.
#[allow(clippy::cast_precision_loss)]
async fn watch(shared: &Shared, traffic: &Traffic, pulse: &str) {
    loop {
        sleep(PULSE_INTERVAL).await;
        if !shared.is_waiting() {
            continue;
        }
        let before = traffic.read();
        let queue = Duration::from_secs_f64(traffic.unacknowledged() as f64 / MIN_BYTES_PER_SEC);
        let limit = PULSE_TIMEOUT + queue;
        let answer = shared
            .request(Route::Control, pulse, json!({}), limit)
            .await;
        if answer.is_err() && traffic.read() - before < MIN_PROGRESS_BYTES {
            return tracing::debug!("a kernel's channel is silent");
        }
    }
}

#[cfg(test)]
mod tests;
