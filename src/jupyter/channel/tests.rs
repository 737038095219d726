use std::time::Duration;

use serde_json::json;
use tokio::io::{DuplexStream, duplex};
use tokio::time::Instant;

use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Channel, Message, Route, StreamExt, WebSocketStream};
use crate::jupyter::JupyterError;

const LIMIT: Duration = Duration::from_secs(3600);

/// A channel to a server that is played by the test.
async fn connected() -> (Channel, WebSocketStream<DuplexStream>) {
    let (here, there) = duplex(1024 * 1024);
    let server = WebSocketStream::from_raw_socket(there, Role::Server, None).await;
    let channel = Channel::over(here, "bridge".to_owned(), "pulse_request").await;
    (channel, server)
}

/// The next message of a kind, and the parent of a reply to it.
async fn next(server: &mut WebSocketStream<DuplexStream>, kind: &str) -> serde_json::Value {
    loop {
        let message = server.next().await.unwrap().unwrap();
        let Message::Text(text) = message else {
            continue;
        };
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        if found["header"]["msg_type"] == kind {
            return found["header"].clone();
        }
    }
}

fn reply(parent: &serde_json::Value, session: &str) -> Message {
    let frame = json!({
        "channel": "control",
        "header": {"msg_type": "a_reply", "session": session},
        "parent_header": parent,
        "content": {"status": "ok"},
    });
    Message::text(frame.to_string())
}

fn status(state: &str, session: &str) -> Message {
    let frame = json!({
        "channel": "iopub",
        "header": {"msg_type": "status", "session": session},
        "parent_header": {},
        "content": {"execution_state": state},
    });
    Message::text(frame.to_string())
}

fn ask(channel: &Channel) -> impl Future<Output = Result<serde_json::Value, JupyterError>> {
    channel.request(Route::Control, "a_request", json!({}), LIMIT)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_falls_silent_is_given_up_and_a_slow_answer_is_not() {
    let (channel, mut server) = connected().await;
    let serving = async {
        let parent = next(&mut server, "a_request").await;
        for _ in 0..3 {
            let pulse = next(&mut server, "pulse_request").await;
            server.send(reply(&pulse, "kernel")).await.unwrap();
        }
        server.send(reply(&parent, "kernel")).await.unwrap();
    };
    let (answer, ()) = tokio::join!(ask(&channel), serving);
    assert_eq!(answer.unwrap(), json!({"status": "ok"}));

    let began = Instant::now();
    let error = ask(&channel).await.unwrap_err();
    assert!(matches!(error, JupyterError::Broken(_)), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60));
    assert!(channel.is_closed());
    let error = ask(&channel).await.unwrap_err();
    assert!(matches!(error, JupyterError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn garbage_is_skipped_and_a_binary_reply_is_read() {
    let (channel, mut server) = connected().await;
    let serving = async {
        let parent = next(&mut server, "a_request").await;
        let Message::Text(text) = reply(&parent, "kernel") else {
            unreachable!()
        };
        let mut binary = Vec::new();
        for number in [1u32, 8] {
            binary.extend_from_slice(&number.to_be_bytes());
        }
        binary.extend_from_slice(text.as_bytes());
        for message in [
            Message::text("{\"garbage\""),
            Message::binary(vec![0xff; 9]),
            Message::binary(binary),
        ] {
            server.send(message).await.unwrap();
        }
    };
    let (answer, ()) = tokio::join!(ask(&channel), serving);
    assert_eq!(answer.unwrap(), json!({"status": "ok"}));
}

#[tokio::test]
async fn requests_end_when_their_kernel_is_another_process() {
    for (state, session) in [("restarting", "server"), ("busy", "new kernel")] {
        let (channel, mut server) = connected().await;
        let serving = async {
            let parent = next(&mut server, "a_request").await;
            // What a new kernel says before it has answered, and what the same one says.
            for message in [
                status("starting", "kernel"),
                reply(&parent, "kernel"),
                status("idle", "kernel"),
            ] {
                server.send(message).await.unwrap();
            }
        };
        let (answer, ()) = tokio::join!(ask(&channel), serving);
        answer.unwrap();
        assert!(!channel.is_closed());
        let serving = async {
            next(&mut server, "a_request").await;
            server.send(status(state, session)).await.unwrap();
        };
        let (answer, ()) = tokio::join!(ask(&channel), serving);
        assert!(matches!(answer, Err(JupyterError::Broken(_))), "{answer:?}");
    }
}
