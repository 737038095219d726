//! A kernel's messages as its clients receive them, all of them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{SplitStream, poll_fn};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::error::JupyterError;
use super::message::{self, Incoming};
use super::server::Server;
use super::socket::{self, Socket};

/// Pings go out every 20 s: a connection without a byte for so long is dead.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(50);
/// Messages that may wait for the connection.
const MAX_QUEUED: usize = 16;

/// A connection to a kernel, until it breaks or is dropped. What the server drops, or sends while there is none, does not arrive.
#[derive(Debug)]
pub struct Attachment {
    session: String,
    outgoing: mpsc::Sender<Message>,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    _end: DropGuard,
}

impl Server {
    /// Attaches to a kernel. A server keeps messages for a `session` that left as the last client of the kernel, and sends them when it is back.
    ///
    /// # Errors
    /// [`JupyterError::NotFound`]; the error of whatever answers.
    pub async fn attach(&self, kernel: &str, session: &str) -> Result<Attachment, JupyterError> {
        let route = ["api", "kernels", kernel, "channels"];
        let stream = self.socket(&route, &[("session_id", session)]).await?;
        let (socket, _) = socket::over(stream).await;
        let (outgoing, queue) = mpsc::channel(MAX_QUEUED);
        let (found, incoming) = mpsc::unbounded_channel();
        let end = CancellationToken::new();
        tokio::spawn(run(socket, queue, outgoing.clone(), found, end.clone()));
        Ok(Attachment {
            session: session.to_owned(),
            outgoing,
            incoming,
            _end: end.drop_guard(),
        })
    }
}

impl Attachment {
    /// Sends a request to the kernel's shell, which answers them in order.
    ///
    /// # Errors
    /// [`JupyterError::Unreachable`] if it was not sent.
    pub async fn send(&self, id: &str, kind: &str, content: &Value) -> Result<(), JupyterError> {
        let frame = message::encode(id, &self.session, "shell", kind, content);
        let sent = self.outgoing.send(Message::text(frame)).await;
        sent.map_err(|_| JupyterError::Unreachable("the connection has ended".to_owned()))
    }

    /// The next message; none after the end.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }
}

async fn run<S>(
    socket: Socket<S>,
    mut queue: mpsc::Receiver<Message>,
    outgoing: mpsc::Sender<Message>,
    found: mpsc::UnboundedSender<Incoming>,
    end: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sink, stream) = socket.split();
    tokio::select! {
        () = end.cancelled() => {}
        () = socket::write(sink, poll_fn(|context| queue.poll_recv(context))) => {}
        () = read(stream, &outgoing, &found) => {}
    }
}

async fn read<S>(
    mut stream: SplitStream<WebSocketStream<S>>,
    outgoing: &mpsc::Sender<Message>,
    found: &mpsc::UnboundedSender<Incoming>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Ok(Some(Ok(message))) = timeout(SILENCE_TIMEOUT, stream.next()).await {
        let message = match message {
            Message::Text(text) => message::decode(text.as_bytes()),
            Message::Binary(bytes) => message::decode_binary(&bytes),
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let Some(message) = message else { continue };
        if message.channel == "iopub" {
            // As in a channel: the server sends the rest once this is acknowledged.
            let _ = outgoing.try_send(Message::Pong(Bytes::new()));
        }
        if found.send(message).is_err() {
            return;
        }
    }
}
