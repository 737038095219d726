//! The executor over HTTP, or through a carrier: `colab/API.md` spoken by reqwest.

mod body;
pub mod carrier;
mod classify;
mod files;
mod http;
mod link;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};

use super::arrival::Arrival;
use super::error::{RuntimeError, RuntimeResult};
use super::{ByteStream, Code, Hold, JobsQuery, Machine, Runtime, Sessions};
use crate::base::advice::Step;
use crate::base::ids::JobId;
use crate::edge::allowance::Allowance;
use crate::edge::settings::Endpoint;
use crate::wire::job::{
    CellNames, ConsentRequest, EventPage, InputRequest, Job, JobList, JobReply, JobRequest,
    NamesReply, NamesRequest,
};
use crate::wire::limits::MAX_BODY_BYTES;
use crate::wire::machine::{Health, Probe};
use crate::wire::problem::Problem;
use crate::wire::session::{
    Cleanup, CleanupRequest, Removed, Restarted, Session, SessionList, Variables,
};
use body::{MAX_BLOB_BYTES, MAX_EVENTS_BYTES, MAX_FACTS_BYTES, MAX_LIST_BYTES};
use carrier::Carrier;
use http::Http;
use link::Link;

/// Limit for a request beyond the time that the executor is asked to hold it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Clearing a session collects garbage and may wait for the kernel.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(30);
/// A kernel is ended and started within 20 s, or the executor says that it is not.
const RESTART_TIMEOUT: Duration = Duration::from_secs(30);
/// A picture or another binary output, over a slow tunnel.
const BLOB_TIMEOUT: Duration = Duration::from_secs(30);

/// An executor at an address.
#[derive(Debug)]
pub struct Executor {
    http: Http,
}

impl Executor {
    /// Makes no connection yet.
    ///
    /// # Errors
    /// If TLS cannot be set up on this system.
    pub fn new(endpoint: &Endpoint) -> RuntimeResult<Self> {
        let http = Http::new(Link::new(endpoint)?);
        Ok(Self { http })
    }

    /// Sends its requests through `carrier`.
    ///
    /// # Errors
    /// If TLS cannot be set up on this system.
    pub fn through(carrier: Arc<dyn Carrier>) -> RuntimeResult<Self> {
        let http = Http::new(Link::through(carrier)?);
        Ok(Self { http })
    }

    /// Counts received bytes in `allowance`.
    #[must_use]
    pub fn counting(mut self, allowance: Arc<Allowance>) -> Self {
        self.http.count_in(allowance);
        self
    }

    /// Asks for the time by the clock of the executor, or of a tunnel before it; none if the response has none.
    ///
    /// # Errors
    /// As [`Machine::health`].
    pub async fn time(&self) -> RuntimeResult<Option<Timestamp>> {
        let call = self.http.request(Method::GET, "health");
        let response = self.http.send(call.timeout(ANSWER_TIMEOUT)).await?;
        let date = response.headers().get(header::DATE);
        let text = date.and_then(|date| date.to_str().ok());
        Ok(text.and_then(|text| DateTimeParser::new().parse_timestamp(text).ok()))
    }

    fn stream(&self, response: Response) -> ByteStream {
        let address = self.http.address().to_owned();
        let counter = self.http.counter();
        response
            .bytes_stream()
            .inspect_ok(move |bytes| counter.add(bytes.len()))
            .map_err(move |source| RuntimeError::Broken {
                url: address.clone(),
                source: source.into(),
                remedy: Step::CheckExecutor,
            })
            .boxed()
    }

    async fn text(&self, path: &str) -> RuntimeResult<String> {
        let call = self.http.request(Method::GET, path).timeout(BLOB_TIMEOUT);
        let bytes = self.http.bytes(call, MAX_BODY_BYTES).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The executor's refusal, made here to save sending the code.
fn too_large(bytes: usize) -> Problem {
    Problem {
        status: 413,
        code: "invalid_argument".to_owned(),
        detail: format!("the code is larger than {MAX_BODY_BYTES} bytes (it is {bytes})"),
        hint: "Put large data into a file and read it from the code.".to_owned(),
        retryable: false,
        retry_after_sec: None,
    }
}

/// Adds the hold to a request for events, with a timeout that allows for it.
fn held(call: RequestBuilder, hold: Hold) -> RequestBuilder {
    let (wait_sec, linger_sec) = hold.seconds();
    call.query(&[
        ("wait", format!("{wait_sec:.3}")),
        ("linger", format!("{linger_sec:.3}")),
        ("max_bytes", hold.max_bytes.to_string()),
    ])
    .timeout(Duration::from_secs_f64(wait_sec + linger_sec) + ANSWER_TIMEOUT)
}

#[async_trait]
impl Runtime for Executor {
    fn address(&self) -> &str {
        self.http.address()
    }

    fn boot_id(&self) -> Option<String> {
        self.http.boot_id()
    }

    fn machine_age(&self) -> Option<Duration> {
        self.http.machine_age()
    }

    async fn meet(&self) -> RuntimeResult<()> {
        if self.http.boot_id().is_none() {
            self.health().await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Code for Executor {
    async fn put_job(
        &self,
        id: JobId,
        request: &JobRequest,
        hold: Hold,
        arrival: &Arrival,
    ) -> RuntimeResult<EventPage> {
        let body = serde_json::to_vec(request).map_err(|error| {
            self.http
                .incompatible(&format!("the code cannot be sent ({error})"))
        })?;
        if body.len() > MAX_BODY_BYTES {
            return Err(RuntimeError::Refused(too_large(body.len())));
        }
        let mut call = self
            .http
            .request(Method::PUT, &format!("jobs/{id}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(boot) = arrival.expected_boot(self) {
            call = call.header("X-Expect-Boot-Id", boot);
        }
        match self.http.json(held(call, hold), MAX_EVENTS_BYTES).await {
            Err(RuntimeError::Refused(problem)) if problem.status == 412 => {
                Err(RuntimeError::Replaced)
            }
            answer => answer,
        }
    }

    async fn jobs(&self, query: &JobsQuery<'_>) -> RuntimeResult<Vec<Job>> {
        let mut call = self
            .http
            .request(Method::GET, "jobs")
            .query(&[("limit", query.limit)]);
        if let Some(session) = query.session {
            call = call.query(&[("session", session)]);
        }
        if let Some(state) = query.state {
            call = call.query(&[("state", state.as_str())]);
        }
        let reply: JobList = self
            .http
            .json(call.timeout(ANSWER_TIMEOUT), MAX_LIST_BYTES)
            .await?;
        Ok(reply.jobs)
    }

    async fn events(&self, id: JobId, after: u64, hold: Hold) -> RuntimeResult<EventPage> {
        let call = self
            .http
            .request(Method::GET, &format!("jobs/{id}/events"))
            .query(&[("after", after)]);
        self.http.json(held(call, hold), MAX_EVENTS_BYTES).await
    }

    async fn interrupt(&self, id: JobId, request: JobId) -> RuntimeResult<Job> {
        let call = self
            .http
            .request(Method::POST, &format!("jobs/{id}/interrupt"))
            .header("X-Request-Id", request.to_string())
            .timeout(ANSWER_TIMEOUT);
        self.http
            .json::<JobReply>(call, MAX_FACTS_BYTES)
            .await
            .map(|reply| reply.job)
    }

    async fn answer(&self, id: JobId, answer: &InputRequest) -> RuntimeResult<Job> {
        let call = self
            .http
            .request(Method::POST, &format!("jobs/{id}/input"))
            .json(answer)
            .timeout(ANSWER_TIMEOUT);
        self.http
            .json::<JobReply>(call, MAX_FACTS_BYTES)
            .await
            .map(|reply| reply.job)
    }

    async fn log(&self, id: JobId, from: u64) -> RuntimeResult<ByteStream> {
        let call = self
            .http
            .request(Method::GET, &format!("jobs/{id}/log"))
            .header(header::RANGE, format!("bytes={from}-"));
        match self.http.send(call).await {
            Ok(response) if from == 0 || response.status() == StatusCode::PARTIAL_CONTENT => {
                Ok(self.stream(response))
            }
            Ok(_) => Err(self
                .http
                .incompatible("it ignored the requested range of the log")),
            Err(RuntimeError::Refused(problem)) if problem.status == 416 => {
                Ok(futures_util::stream::empty().boxed())
            }
            Err(error) => Err(error),
        }
    }

    async fn blob(&self, id: JobId, number: u64) -> RuntimeResult<Bytes> {
        let call = self
            .http
            .request(Method::GET, &format!("jobs/{id}/blobs/{number}"))
            .timeout(BLOB_TIMEOUT);
        self.http.bytes(call, MAX_BLOB_BYTES).await
    }

    async fn code(&self, id: JobId) -> RuntimeResult<String> {
        self.text(&format!("jobs/{id}/code")).await
    }

    async fn setup(&self, id: JobId) -> RuntimeResult<String> {
        self.text(&format!("jobs/{id}/setup")).await
    }

    async fn names(&self, cells: &[String]) -> RuntimeResult<Vec<CellNames>> {
        let request = NamesRequest {
            cells: cells.to_vec(),
        };
        let call = self
            .http
            .request(Method::POST, "names")
            .json(&request)
            .timeout(ANSWER_TIMEOUT);
        let reply: NamesReply = self.http.json(call, MAX_LIST_BYTES).await?;
        Ok(reply.cells)
    }

    async fn consent(&self, statement: &str) -> RuntimeResult<()> {
        let request = ConsentRequest {
            statement: statement.to_owned(),
        };
        let call = self
            .http
            .request(Method::POST, "consents")
            .json(&request)
            .timeout(ANSWER_TIMEOUT);
        self.http
            .json::<serde::de::IgnoredAny>(call, MAX_LIST_BYTES)
            .await
            .map(drop)
    }
}

#[async_trait]
impl Sessions for Executor {
    async fn sessions(&self) -> RuntimeResult<Vec<Session>> {
        let call = self
            .http
            .request(Method::GET, "sessions")
            .timeout(ANSWER_TIMEOUT);
        let reply: SessionList = self.http.json(call, MAX_LIST_BYTES).await?;
        Ok(reply.sessions)
    }

    async fn restart_session(&self, name: &str) -> RuntimeResult<Restarted> {
        let call = self
            .http
            .request(Method::POST, &format!("sessions/{name}/restart"));
        self.http
            .json(call.timeout(RESTART_TIMEOUT), MAX_FACTS_BYTES)
            .await
    }

    async fn remove_session(&self, name: &str) -> RuntimeResult<Removed> {
        let call = self
            .http
            .request(Method::DELETE, &format!("sessions/{name}"));
        self.http
            .json(call.timeout(RESTART_TIMEOUT), MAX_FACTS_BYTES)
            .await
    }

    async fn variables(&self, session: &str, pattern: Option<&str>) -> RuntimeResult<Variables> {
        let mut call = self
            .http
            .request(Method::GET, "variables")
            .query(&[("session", session)]);
        if let Some(pattern) = pattern {
            call = call.query(&[("name", pattern)]);
        }
        self.http
            .json(call.timeout(ANSWER_TIMEOUT), MAX_LIST_BYTES)
            .await
    }
}

#[async_trait]
impl Machine for Executor {
    async fn health(&self) -> RuntimeResult<Health> {
        self.http
            .json(
                self.http
                    .request(Method::GET, "health")
                    .timeout(ANSWER_TIMEOUT),
                MAX_FACTS_BYTES,
            )
            .await
    }

    async fn probe(&self, packages: &[String]) -> RuntimeResult<Probe> {
        let mut call = self.http.request(Method::GET, "probe");
        if !packages.is_empty() {
            call = call.query(&[("packages", packages.join(","))]);
        }
        self.http
            .json(call.timeout(ANSWER_TIMEOUT), MAX_LIST_BYTES)
            .await
    }

    async fn cleanup(&self, request: &CleanupRequest) -> RuntimeResult<Cleanup> {
        self.http
            .json(
                self.http
                    .request(Method::POST, "cleanup")
                    .json(request)
                    .timeout(CLEANUP_TIMEOUT),
                MAX_LIST_BYTES,
            )
            .await
    }
}
