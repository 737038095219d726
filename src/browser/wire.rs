//! A WebSocket as a transport of MCP: a message in each text frame.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rmcp::RoleClient;
use rmcp::model::JsonRpcMessage;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

/// For a tab to take a message; one that does not is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Messages that wait to be sent.
const QUEUE: usize = 64;

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Takes over an open WebSocket; its messages may have any size.
pub(super) async fn over(stream: TokioIo<Upgraded>) -> Socket {
    let config = WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(None);
    WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await
}

/// What a second tab is told, in at most 123 bytes.
const BUSY: &str = "Server is busy: smart-colab is connected to another tab. Close that one, then reload this one.";

/// Closes the WebSocket of a second tab.
pub(super) async fn refuse(mut socket: Socket) {
    let busy = CloseFrame {
        code: CloseCode::Again,
        reason: BUSY.into(),
    };
    let _ = timeout(CLOSE_TIMEOUT, socket.close(Some(busy))).await;
    // Until the other side has closed, too.
    let _ = timeout(CLOSE_TIMEOUT, async {
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
}

/// The WebSocket has ended.
#[derive(Debug, Error)]
#[error("the tab has gone")]
pub(super) struct Gone;

/// The transport.
pub(super) struct Wire {
    outgoing: mpsc::Sender<TxJsonRpcMessage<RoleClient>>,
    incoming: mpsc::UnboundedReceiver<RxJsonRpcMessage<RoleClient>>,
    ended: CancellationToken,
    is_greeted: bool,
}

/// Asks whether the other side is alive, and ends the connection.
#[derive(Debug)]
pub(super) struct Line {
    pings: mpsc::Sender<oneshot::Sender<()>>,
    pub(super) ended: CancellationToken,
}

impl Line {
    /// Waits for the answer to a ping; false if it does not come within `patience`.
    pub(super) async fn answers(&self, patience: Duration) -> bool {
        let (answer, answered) = oneshot::channel();
        let asking = async { self.pings.send(answer).await.is_ok() && answered.await.is_ok() };
        timeout(patience, asking).await.unwrap_or(false)
    }
}

/// Makes a transport of a WebSocket, which is served from now on.
pub(super) fn transport(socket: Socket) -> (Wire, Line) {
    let (outgoing, to_send) = mpsc::channel(QUEUE);
    let (received, incoming) = mpsc::unbounded_channel();
    let (pings, asked) = mpsc::channel(1);
    let ended = CancellationToken::new();
    let pump = Pump {
        socket,
        to_send,
        received,
        asked,
        asking: Vec::new(),
    };
    let (serving, guard) = (ended.clone(), ended.clone().drop_guard());
    tokio::spawn(async move {
        let _guard = guard;
        pump.run(serving).await;
    });
    let wire = Wire {
        outgoing,
        incoming,
        ended: ended.clone(),
        is_greeted: false,
    };
    (wire, Line { pings, ended })
}

impl Transport<RoleClient> for Wire {
    type Error = Gone;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Gone>> + Send + 'static {
        let outgoing = self.outgoing.clone();
        async move { outgoing.send(message).await.map_err(|_| Gone) }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            let message = self.incoming.recv().await?;
            // A tab announces its tools before the session has begun.
            if self.is_greeted || !matches!(message, JsonRpcMessage::Notification(_)) {
                self.is_greeted = true;
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> Result<(), Gone> {
        self.ended.cancel();
        Ok(())
    }
}

/// Moves messages between a WebSocket and the transport.
struct Pump {
    socket: Socket,
    to_send: mpsc::Receiver<TxJsonRpcMessage<RoleClient>>,
    received: mpsc::UnboundedSender<RxJsonRpcMessage<RoleClient>>,
    asked: mpsc::Receiver<oneshot::Sender<()>>,
    /// Whoever waits for the answer to a ping.
    asking: Vec<oneshot::Sender<()>>,
}

impl Pump {
    /// Runs until either side ends the connection.
    async fn run(mut self, ended: CancellationToken) {
        loop {
            let sending = tokio::select! {
                () = ended.cancelled() => break,
                frame = self.socket.next() => match frame {
                    Some(Ok(frame)) => {
                        self.take(&frame);
                        continue;
                    }
                    Some(Err(_)) | None => return,
                },
                Some(message) = self.to_send.recv() => match serde_json::to_string(&message) {
                    Ok(text) => Message::text(text),
                    Err(error) => {
                        tracing::error!(%error, "a message to a tab could not be written");
                        continue;
                    }
                },
                Some(asking) = self.asked.recv() => {
                    self.asking.push(asking);
                    Message::Ping(Bytes::new())
                }
            };
            let sent = timeout(SEND_TIMEOUT, self.socket.send(sending)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
        let _ = timeout(CLOSE_TIMEOUT, self.socket.close(None)).await;
    }

    fn take(&mut self, frame: &Message) {
        match frame {
            Message::Text(text) => match serde_json::from_str(text) {
                // If it is not received, the session has ended.
                Ok(message) => drop(self.received.send(message)),
                Err(error) => tracing::warn!(%error, "a tab sent what is no message of MCP"),
            },
            Message::Pong(_) => {
                for asking in self.asking.drain(..) {
                    let _ = asking.send(());
                }
            }
            Message::Binary(_) | Message::Ping(_) | Message::Close(_) | Message::Frame(_) => {}
        }
    }
}
