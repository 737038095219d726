//! Interprets the responses of one executor.

use std::sync::Arc;
use std::time::{Duration, Instant};

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
use crate::wire::files::Algorithm;

#[derive(Debug)]
pub(super) struct Http {
    link: Link,
    boot_id: Lock<Option<String>>,
    /// As of the last answer, and when that came.
    machine_age: Lock<Option<(Duration, Instant)>>,
    /// Of the executor with this boot id.
    fastest_digest: Lock<Option<Algorithm>>,
    counter: Counter,
}

/// Counts received bytes, if there is an allowance for them.
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
            machine_age: Lock::default(),
            fastest_digest: Lock::default(),
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

    /// The age of a machine of Colab; none elsewhere, and before the first answer.
    pub(super) fn machine_age(&self) -> Option<Duration> {
        let known = *self.machine_age.lock();
        known.map(|(age, since)| age + since.elapsed())
    }

    /// The fastest digest that it announced; none from an executor of an earlier version.
    pub(super) fn fastest_digest(&self) -> Option<Algorithm> {
        *self.fastest_digest.lock()
    }

    /// A request for `route`, a path without its leading slash.
    pub(super) fn request(&self, method: Method, route: &str) -> RequestBuilder {
        self.link.request(method, route)
    }

    /// Sends a request; every response that is not the executor's success becomes an error.
    pub(super) async fn send(&self, call: RequestBuilder) -> RuntimeResult<Response> {
        let request = call
            .build()
            .map_err(|source| body::failed(self.address(), source))?;
        let is_read = request.method() == Method::GET;
        let response = self.link.send(request).await?;
        let boot_id = self.new_boot_id(&response);
        let age = machine_age(&response).map(|age| (age, Instant::now()));
        let digests = response.headers().get("x-smart-colab-digests");
        let fastest = digests
            .and_then(|names| names.to_str().ok())
            .and_then(Algorithm::fastest);
        let reply = classify::reply(response, self.address()).await;
        if age.is_some() && reply.is_ok() {
            *self.machine_age.lock() = age;
        }
        if boot_id.is_some() && matches!(reply, Ok(_) | Err(RuntimeError::Refused(_))) {
            *self.boot_id.lock() = boot_id;
            *self.fastest_digest.lock() = fastest;
        }
        match reply {
            // A server that has never been an executor will not become one soon, and a read has no effect there.
            Err(RuntimeError::Stranger { url, detail, .. })
                if is_read && self.boot_id().is_none() =>
            {
                let reach = Reach::Refused;
                Err(RuntimeError::Stranger { url, detail, reach })
            }
            reply => reply,
        }
    }

    /// The boot id of a response, if it differs from the last one. A response that refuses the token is not from our executor, and a page is from
    /// a gateway, which may keep the headers of the response that it replaces.
    fn new_boot_id(&self, response: &Response) -> Option<String> {
        let boot_id = classify::boot_id(response)?;
        let is_ours =
            response.status() != StatusCode::UNAUTHORIZED && !classify::is_page(response.headers());
        let is_new = is_ours && self.boot_id.lock().as_deref() != Some(boot_id);
        is_new.then(|| boot_id.to_owned())
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
            Category::Data => self.incompatible(&format!("its response cannot be read ({error})")),
            // A page, or half a response: a gateway changed the body and kept the headers.
            Category::Io | Category::Syntax | Category::Eof => RuntimeError::Stranger {
                url: self.address().to_owned(),
                detail: format!("its response is not complete JSON ({error})"),
                reach: Reach::Unknown,
            },
        })
    }

    pub(super) fn incompatible(&self, detail: &str) -> RuntimeError {
        RuntimeError::incompatible(self.address(), detail)
    }
}

/// The age of the machine of Colab that answered.
fn machine_age(response: &Response) -> Option<Duration> {
    let age = response.headers().get("x-machine-age")?.to_str().ok()?;
    age.parse().ok().map(Duration::from_secs)
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
    use crate::edge::settings::{Endpoint, Kind};
    use crate::runtime::executor::Executor;
    use crate::runtime::{Code, Files, Machine, Runtime};
    use crate::wire::files::Algorithm;

    const BODY: &str = r#"{"status":"ok","uptime_minutes":1,"version":"1"}"#;

    /// Answers each request with the next of `replies` (status with headers, and body), then repeats the last one.
    async fn serve(listener: TcpListener, replies: &[(&str, &str)]) {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            let (head, body) = replies[number.min(replies.len() - 1)];
            let length = body.len();
            let reply = format!(
                "HTTP/1.1 {head}\r\nX-Smart-Colab-Api: 2\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    }

    fn at(listener: &TcpListener) -> Executor {
        let address = listener.local_addr().unwrap();
        let endpoint = Endpoint {
            kind: Kind::Executor,
            url: Url::parse(&format!("http://{address}")).unwrap(),
            token: Secret::new("token"),
        };
        Executor::new(&endpoint).unwrap()
    }

    #[tokio::test]
    async fn pages_that_kept_an_executors_headers_change_neither_boot_id_nor_digest() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let executor = at(&listener);
        let replies = [
            (
                "200 OK\r\nContent-Type: application/json\r\nX-Boot-Id: a\r\nX-Smart-Colab-Digests: new, blake3, sha256",
                BODY,
            ),
            ("503 Unavailable\r\nX-Boot-Id: b", "<html>"),
            (
                "200 OK\r\nContent-Type: text/html\r\nX-Boot-Id: b",
                "<html>",
            ),
            (
                "200 OK\r\nContent-Type: application/json\r\nX-Boot-Id: b",
                BODY,
            ),
        ];
        let asking = async {
            for boot_id in ["a", "a", "a", "b"] {
                let _ = executor.health().await;
                assert_eq!(executor.boot_id().as_deref(), Some(boot_id));
                // The other one announces none.
                let fastest = (boot_id == "a").then_some(Algorithm::Blake3);
                assert_eq!(executor.fastest_digest(), fastest);
            }
        };
        tokio::select! {
            () = serve(listener, &replies) => unreachable!(),
            () = asking => {}
        }
    }

    #[tokio::test]
    async fn received_bytes_are_counted_in_streams_and_in_whole_bodies() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let allowance = Arc::new(Allowance::new(folder.path().join("ngrok.json")));
        let executor = at(&listener).counting(allowance.clone());
        let asking = async {
            let _ = executor.health().await;
            let log = executor.log(JobId::fresh(), 0).await.unwrap();
            log.collect::<Vec<_>>().await.len()
        };
        tokio::select! {
            () = serve(listener, &[("200 OK", BODY)]) => unreachable!(),
            count = asking => assert!(count > 0),
        }
        assert_eq!(allowance.of_this_month(), 2 * BODY.len() as u64);
    }
}
