//! A document that a server shares among its clients, edited together with them: Yjs documents, and the messages that synchronize them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{SplitStream, poll_fn};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use yrs::branch::{Branch, BranchID};
use yrs::sync::{Message as Sync, SyncMessage};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, ReadTxn, TextRef, Transact, TransactionMut, Update};

use super::error::JupyterError;
use super::presence::{Presence, REPORT_INTERVAL};
use super::socket::{self, Socket};
use crate::base::lock::Lock;

/// For the first state of a document, which may be large.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// For the last messages and the server's end of the connection.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// A change of nothing.
const NO_CHANGE: &[u8] = &[0, 0];
/// The first byte of a message that synchronizes documents; others are of cursors and of the server's own.
const SYNC: u8 = 0;
/// A message of the server's own kind: the word and a number, which comes back.
const SAVE: &[u8] = b"\x02\x04save\x00";
/// The code of a close that names a file which is not there.
const NO_FILE: u16 = 4404;

/// A document, from joining its room until this is dropped or the connection breaks. It is never joined again: a new one begins with the state
/// that the server then has.
#[derive(Debug)]
pub struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    doc: Doc,
    /// Of the server's process.
    session: String,
    presence: Lock<Presence>,
    outgoing: mpsc::UnboundedSender<Message>,
    /// How often the server was asked for what is new.
    asked: Lock<u64>,
    /// How often it has answered, which it does in order; and every change of the document.
    answered: watch::Sender<u64>,
    /// Why it ended.
    reason: Lock<Option<JupyterError>>,
    end: CancellationToken,
}

impl Room {
    /// Takes over an open WebSocket, and waits for the document. The others then see that `name` is there.
    pub(super) async fn over<S>(stream: S, session: &str, name: &str) -> Result<Self, JupyterError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (socket, _) = socket::over(stream).await;
        let (outgoing, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            doc: Doc::new(),
            session: session.to_owned(),
            presence: Lock::new(Presence::new(name)),
            outgoing,
            asked: Lock::default(),
            answered: watch::Sender::new(0),
            reason: Lock::default(),
            end: CancellationToken::new(),
        });
        let room = Self(shared.clone());
        tokio::spawn(run(socket, queue, shared));
        room.settle(JOIN_TIMEOUT).await?;
        Ok(room)
    }

    /// The document. Changes of it by other ways than [`Self::edit`] are not sent.
    #[must_use]
    pub fn doc(&self) -> &Doc {
        &self.0.doc
    }

    /// Names the server's process: another one has read the document from its file.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.0.session
    }

    /// Shows the others this process's cursor at the end of a text.
    pub fn point_at(&self, text: &TextRef) {
        let branch: &Branch = text.as_ref();
        if let BranchID::Nested(id) = branch.id() {
            self.0.presence.lock().cursor = Some(id);
            self.0.report();
        }
    }

    /// Changes the document in one transaction, and sends the change. With an error `change` must not have changed anything.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn edit<T, E>(
        &self,
        change: impl FnOnce(&mut TransactionMut<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut transaction = self.0.doc.transact_mut();
        let done = change(&mut transaction)?;
        let update = transaction.encode_update_v1();
        drop(transaction);
        if update != NO_CHANGE {
            self.0.send(&Sync::Sync(SyncMessage::Update(update)));
        }
        Ok(done)
    }

    /// Waits until the server has everything that was sent before.
    ///
    /// # Errors
    /// [`JupyterError::NotFound`] if the document's file is not there; [`JupyterError::Broken`]; [`JupyterError::TimedOut`] after `limit`.
    pub async fn settle(&self, limit: Duration) -> Result<(), JupyterError> {
        let shared = &self.0;
        let mut answered = shared.answered.subscribe();
        let number = {
            let mut asked = shared.asked.lock();
            *asked += 1;
            let state = shared.doc.transact().state_vector();
            shared.send(&Sync::Sync(SyncMessage::SyncStep1(state)));
            *asked
        };
        let settled = answered.wait_for(|answered| *answered >= number);
        let waiting = async {
            tokio::select! {
                biased;
                _ = settled => Ok(()),
                () = shared.end.cancelled() => Err(shared.why()),
            }
        };
        let waited = timeout(limit, waiting).await;
        waited.unwrap_or(Err(JupyterError::TimedOut))
    }

    /// Asks the server to save the document now. One that does not know how does so a second after the last change.
    pub fn ask_to_save(&self) {
        let _ = self
            .0
            .outgoing
            .send(Message::binary(Bytes::from_static(SAVE)));
    }

    /// Notifies of every change of the document.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.answered.subscribe()
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.end.is_cancelled()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let shared = &self.0;
        shared.end.cancel();
        let leave = shared.presence.lock().leave(shared.doc.client_id());
        shared.send(&leave);
        let _ = shared.outgoing.send(Message::Close(None));
    }
}

impl Shared {
    /// Reports the presence, unless this process has left.
    fn report(&self) {
        let mut presence = self.presence.lock();
        if !self.end.is_cancelled() {
            self.send(&presence.report(self.doc.client_id()));
        }
    }

    fn send(&self, message: &Sync) {
        let _ = self
            .outgoing
            .send(Message::binary(Bytes::from(message.encode_v1())));
    }

    fn why(&self) -> JupyterError {
        let reason = self.reason.lock().clone();
        reason.unwrap_or_else(|| JupyterError::Broken("the notebook's room was closed".to_owned()))
    }

    /// Handles a message; an error if the document can no longer be trusted.
    fn receive(&self, message: &[u8]) -> Result<(), String> {
        if message.first() != Some(&SYNC) {
            return Ok(());
        }
        let message = Sync::decode_v1(message).map_err(|error| error.to_string())?;
        let Sync::Sync(message) = message else {
            return Ok(());
        };
        let (update, is_answer) = match message {
            SyncMessage::SyncStep1(state) => {
                let update = self.doc.transact().encode_state_as_update_v1(&state);
                self.send(&Sync::Sync(SyncMessage::SyncStep2(update)));
                return Ok(());
            }
            SyncMessage::SyncStep2(update) => (update, 1),
            SyncMessage::Update(update) => (update, 0),
        };
        let update = Update::decode_v1(&update).map_err(|error| error.to_string())?;
        let applied = self.doc.transact_mut().apply_update(update);
        applied.map_err(|error| error.to_string())?;
        self.answered.send_modify(|answered| *answered += is_answer);
        Ok(())
    }
}

async fn run<S>(socket: Socket<S>, mut queue: mpsc::UnboundedReceiver<Message>, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, stream) = socket.split();
    let queue = poll_fn(|context| queue.poll_recv(context));
    let reporting = async {
        let mut reports = interval(REPORT_INTERVAL);
        loop {
            reports.tick().await;
            shared.report();
        }
    };
    let leaving = async {
        shared.end.cancelled().await;
        sleep(LEAVE_TIMEOUT).await;
    };
    tokio::select! {
        () = leaving => {}
        () = reporting => {}
        () = socket::write(sink, queue) => {}
        error = read(stream, &shared) => {
            tracing::debug!(%error, "a notebook's room was closed");
            *shared.reason.lock() = Some(error);
        }
    }
    shared.end.cancel();
}

async fn read<S>(mut stream: SplitStream<WebSocketStream<S>>, shared: &Shared) -> JupyterError
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = stream.next().await {
        match message {
            Ok(Message::Binary(bytes)) => {
                if let Err(detail) = shared.receive(&bytes) {
                    return JupyterError::Refused(format!("with a damaged update: {detail}"));
                }
            }
            Ok(Message::Close(frame)) => {
                return match frame {
                    Some(frame) if u16::from(frame.code) == NO_FILE => JupyterError::NotFound,
                    Some(frame) => JupyterError::Broken(format!(
                        "the notebook's room was closed: {}",
                        frame.reason
                    )),
                    None => JupyterError::Broken("the notebook's room was closed".to_owned()),
                };
            }
            // Texts are for people.
            Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            Err(error) => return JupyterError::Broken(error.to_string()),
        }
    }
    JupyterError::Broken("the notebook's room was closed".to_owned())
}
