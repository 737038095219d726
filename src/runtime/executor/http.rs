//! What the replies of one executor mean.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::body;
use super::classify;
use super::link::Link;
use crate::base::lock::Lock;
use crate::edge::allowance::Allowance;
use crate::runtime::error::{Reach, RuntimeError, RuntimeResult};

#[derive(Debug)]
pub(super) struct Http {
    link: Link,
    boot_id: Lock<Option<String>>,
    counter: Counter,
}

/// Of bytes that come, where somebody counts them.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter(Option<Arc<Allowance>>);

impl Counter {
    pub(super) fn add(&self, bytes: usize) {
        if let Some(allowance) = &self.0 {
            allowance.add(bytes as u64);
        }
    }
}

impl Http {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            boot_id: Lock::default(),
            counter: Counter::default(),
        }
    }

    pub(super) fn count_in(&mut self, allowance: Arc<Allowance>) {
        self.counter = Counter(Some(allowance));
    }

    pub(super) fn counter(&self) -> Counter {
        self.counter.clone()
    }

    pub(super) fn address(&self) -> &str {
        self.link.address()
    }

    /// The `X-Boot-Id` of the last answer that an executor gave.
    pub(super) fn boot_id(&self) -> Option<String> {
        let boot_id = self.boot_id.lock();
        boot_id.clone()
    }

    /// A request for `route`, a path without its leading slash.
    pub(super) fn request(&self, method: Method, route: &str) -> RequestBuilder {
        self.link.request(method, route)
    }

    /// Sends, and turns every reply that is not the executor's success into an error.
    pub(super) async fn send(&self, call: RequestBuilder) -> RuntimeResult<Response> {
        let request = call
            .build()
            .map_err(|source| body::failed(self.address(), source))?;
        let is_read = request.method() == Method::GET;
        let response = self.link.send(request).await?;
        // One that refuses the token is none of ours.
        if response.status() != StatusCode::UNAUTHORIZED
            && let Some(boot) = classify::boot_id(&response)
        {
            let mut boot_id = self.boot_id.lock();
            if boot_id.as_deref() != Some(boot) {
                *boot_id = Some(boot.to_owned());
            }
        }
        match classify::reply(response, self.address()).await {
            // What has never been an executor will not be one in a moment; and a question does nothing there.
            Err(RuntimeError::Stranger { url, detail, .. })
                if is_read && self.boot_id().is_none() =>
            {
                let reach = Reach::Refused;
                Err(RuntimeError::Stranger { url, detail, reach })
            }
            reply => reply,
        }
    }

    /// The whole body, of at most `limit` bytes.
    pub(super) async fn bytes(&self, call: RequestBuilder, limit: usize) -> RuntimeResult<Bytes> {
        let response = self.send(call).await?;
        body::collect(response, limit, self.address(), |bytes| {
            self.counter.add(bytes);
        })
        .await
    }

    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        call: RequestBuilder,
        limit: usize,
    ) -> RuntimeResult<T> {
        let body = self.bytes(call, limit).await?;
        serde_json::from_slice(&body).map_err(|error| match error.classify() {
            Category::Data => self.incompatible(&format!("its answer cannot be read ({error})")),
            // A page, or half an answer: something on the way changed the body and kept the headers.
            Category::Io | Category::Syntax | Category::Eof => RuntimeError::Stranger {
                url: self.address().to_owned(),
                detail: format!("its answer is no whole JSON ({error})"),
                reach: Reach::Unknown,
            },
        })
    }

    pub(super) fn incompatible(&self, detail: &str) -> RuntimeError {
        RuntimeError::incompatible(self.address(), detail)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use url::Url;

    use crate::base::ids::JobId;
    use crate::base::secret::Secret;
    use crate::edge::allowance::Allowance;
    use crate::edge::settings::Endpoint;
    use crate::runtime::executor::Executor;
    use crate::runtime::{Code, Machine};

    const BODY: &str = r#"{"status":"ok","uptime_minutes":1,"version":"1"}"#;

    #[tokio::test]
    async fn what_comes_is_counted_whether_it_is_a_stream_or_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = async {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await.unwrap();
                let length = BODY.len();
                let reply = format!(
                    "HTTP/1.1 200 OK\r\nX-Smart-Colab-Api: 1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{BODY}"
                );
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let allowance = Arc::new(Allowance::new(folder.path().join("ngrok.json")));
        let endpoint = Endpoint {
            url: Url::parse(&format!("http://{address}")).unwrap(),
            token: Secret::new("token"),
        };
        let executor = Executor::new(&endpoint)
            .unwrap()
            .counting(allowance.clone());
        let asking = async {
            let _ = executor.health().await;
            let log = executor.log(JobId::fresh(), 0).await.unwrap();
            log.collect::<Vec<_>>().await.len()
        };
        tokio::select! {
            () = serving => unreachable!(),
            count = asking => assert!(count > 0),
        }
        assert_eq!(allowance.of_this_month(), 2 * BODY.len() as u64);
    }
}
