//! One WebSocket to a server: taken over, kept open by pings, written to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::meter::{Metered, Traffic};

/// Proxies close connections that are silent for a minute.
const PING_INTERVAL: Duration = Duration::from_secs(20);

pub(super) type Socket<S> = WebSocketStream<Metered<S>>;

/// Takes over an open WebSocket; its messages may have any size.
pub(super) async fn over<S>(stream: S) -> (Socket<S>, Arc<Traffic>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let traffic = Arc::new(Traffic::default());
    let stream = Metered::new(stream, traffic.clone());
    let config = WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(None);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await;
    (socket, traffic)
}

/// Sends the messages of a queue, and pings, until the queue's end or an error.
pub(super) async fn write<S>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    mut queue: impl Stream<Item = Message> + Unpin,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            message = queue.next() => match message {
                Some(message) => message,
                None => return,
            },
            _ = pings.tick() => Message::Ping(Bytes::new()),
        };
        if let Err(error) = sink.send(message).await {
            return tracing::debug!(%error, "a WebSocket broke while sending");
        }
    }
}
