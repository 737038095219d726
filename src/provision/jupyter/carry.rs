//! HTTP through the control channel of a helper kernel.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::start::{Refusal, accepted};
use super::{Live, Shared};
use crate::base::advice::Step;
use crate::jupyter::{JupyterError, Route};
use crate::runtime::executor::carrier::{Carrier, Reply, Request};
use crate::runtime::{ByteStream, RuntimeError, RuntimeResult};

/// For requests without a limit: the time until the head of the response, and between the pieces of its body.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// A frame of more than 10 MiB closes the channel; in base64 this is 4 MiB.
const PIECE_BYTES: usize = 3 * 1024 * 1024;

/// The way to the executor beside the helper kernel.
#[derive(Debug)]
pub(super) struct Tunnel(pub(super) Arc<Shared>);

#[derive(Deserialize)]
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    stream: Option<String>,
}

#[async_trait]
impl Carrier for Tunnel {
    fn address(&self) -> &str {
        &self.0.address
    }

    async fn carry(&self, request: Request) -> RuntimeResult<Reply> {
        let limit = request.timeout.unwrap_or(READ_TIMEOUT);
        let end = Instant::now() + limit;
        let live = self.0.live(end).await?;
        self.0.place.note_use();
        if live.kernels.is_some() {
            return Err(RuntimeError::Unreachable {
                url: self.0.address.clone(),
                source: "no executor runs there any more".into(),
                remedy: Step::CheckJupyter,
            });
        }
        let exchange = Exchange {
            live,
            address: self.0.address.clone(),
        };
        let mut content = json!({
            "method": request.method,
            "path": request.target,
            "headers": request.headers,
            "timeout_sec": limit.as_secs_f64(),
        });
        match request.body {
            Some(body) if body.len() > PIECE_BYTES => {
                // The request itself is not sent before all of its body is there.
                let upload = exchange.upload(&body, limit).await;
                content["upload"] = upload.map_err(|error| self.unsent(&error))?.into();
            }
            Some(body) => content["body"] = BASE64_STANDARD.encode(&body).into(),
            None => {}
        }
        let left = end.saturating_duration_since(Instant::now());
        let reply = exchange.ask("sc_http_request", content, left).await?;
        let Ok(response) = Response::deserialize(&reply["response"]) else {
            return Err(exchange.broken("the helper kernel's reply cannot be read".to_owned()));
        };
        let first = exchange.decode(&response.body)?;
        Ok(Reply {
            status: response.status,
            headers: response.headers,
            body: exchange.body(first, response.stream),
        })
    }
}

impl Tunnel {
    fn unsent(&self, error: &RuntimeError) -> RuntimeError {
        RuntimeError::Unreachable {
            url: self.0.address.clone(),
            source: error.to_string().into(),
            remedy: Step::CheckJupyter,
        }
    }
}

/// One request and its response, over one channel.
struct Exchange {
    live: Arc<Live>,
    address: String,
}

impl Exchange {
    /// Sends a control request; returns its reply's content if it is no refusal.
    async fn ask(&self, kind: &str, content: Value, limit: Duration) -> RuntimeResult<Value> {
        let channel = &self.live.channel;
        let reply = channel.request(Route::Control, kind, content, limit).await;
        let reply = reply.map_err(|error| self.error(error))?;
        accepted(reply).map_err(|refusal| self.refused(refusal))
    }

    async fn upload(&self, body: &Bytes, limit: Duration) -> RuntimeResult<String> {
        let upload = Uuid::now_v7().to_string();
        let mut offset = 0;
        for piece in body.chunks(PIECE_BYTES) {
            let data = BASE64_STANDARD.encode(piece);
            let content = json!({"upload": upload, "offset": offset, "data": data});
            self.ask("sc_upload_request", content, limit).await?;
            offset += piece.len();
        }
        Ok(upload)
    }

    /// The body: its first piece, and the others as they are read.
    fn body(self, first: Bytes, stream: Option<String>) -> ByteStream {
        let first = stream::once(async move { Ok(first) });
        let Some(id) = stream else {
            return first.boxed();
        };
        let rest = Rest {
            exchange: self,
            id,
            is_open: true,
        };
        let rest = stream::unfold(rest, |mut rest| async move {
            let piece = rest.next().await?;
            Some((piece, rest))
        });
        first.chain(rest).boxed()
    }

    fn decode(&self, text: &str) -> RuntimeResult<Bytes> {
        let bytes = BASE64_STANDARD.decode(text);
        bytes
            .map(Into::into)
            .map_err(|error| self.broken(error.to_string()))
    }

    fn error(&self, error: JupyterError) -> RuntimeError {
        let url = self.address.clone();
        match error {
            JupyterError::Unreachable(cause) => RuntimeError::Unreachable {
                url,
                source: cause.into(),
                remedy: Step::CheckJupyter,
            },
            JupyterError::TimedOut => RuntimeError::TimedOut { url },
            JupyterError::Broken(_)
            | JupyterError::Untrusted(_)
            | JupyterError::Unauthorized
            | JupyterError::Stopped(_)
            | JupyterError::Stranger(_)
            | JupyterError::NoKernels(_)
            | JupyterError::NotFound
            | JupyterError::Refused(_) => self.broken(error.to_string()),
        }
    }

    fn refused(&self, refusal: Refusal) -> RuntimeError {
        let Refusal { code, detail, .. } = refusal;
        if code == "timeout" {
            let url = self.address.clone();
            return RuntimeError::TimedOut { url };
        }
        if code == "no_executor" {
            // The next request starts it again.
            self.live.channel.close();
            return RuntimeError::Unreachable {
                url: self.address.clone(),
                source: detail.into(),
                remedy: Step::CheckJupyter,
            };
        }
        self.broken(format!("{code}: {detail}"))
    }

    fn broken(&self, cause: String) -> RuntimeError {
        RuntimeError::Broken {
            url: self.address.clone(),
            source: cause.into(),
            remedy: Step::CheckJupyter,
        }
    }
}

/// The part of a body that is still at the other end.
struct Rest {
    exchange: Exchange,
    id: String,
    is_open: bool,
}

impl Rest {
    async fn next(&mut self) -> Option<RuntimeResult<Bytes>> {
        if !self.is_open {
            return None;
        }
        let content = json!({"stream": self.id});
        let reply = self
            .exchange
            .ask("sc_read_request", content, READ_TIMEOUT)
            .await;
        let piece = reply.and_then(|reply| {
            self.is_open = reply["end"] != true;
            self.exchange
                .decode(reply["body"].as_str().unwrap_or_default())
        });
        self.is_open &= piece.is_ok();
        Some(piece)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if self.is_open {
            let content = json!({"stream": self.id});
            self.exchange
                .live
                .channel
                .post("sc_close_request", &content);
        }
    }
}
