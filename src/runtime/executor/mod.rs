//! The executor over HTTP: `colab/API.md` spoken by reqwest.

mod classify;
mod http;

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::{Method, Response, StatusCode, header};

use super::error::{RuntimeError, RuntimeResult};
use super::{ByteStream, JobsQuery, ListQuery, Runtime};
use crate::base::ids::JobId;
use crate::edge::settings::Endpoint;
use crate::wire::files::{FileList, FileStat};
use crate::wire::job::{EventPage, Job, JobList, JobReply, JobRequest, Poll};
use crate::wire::machine::{Health, Probe};
use crate::wire::problem::Problem;
use crate::wire::session::{
    Cleanup, CleanupRequest, Removed, Restarted, Session, SessionList, Variables,
};
use http::Http;

/// How long a request may take beyond the time that the executor is asked to hold it.
const ANSWER: Duration = Duration::from_secs(15);
/// The executor takes no larger body.
const LARGEST_BODY: usize = 8 * 1024 * 1024;
/// The executor holds `stat?digest` up to 20 s.
const DIGEST: Duration = Duration::from_secs(20);
/// Clearing a session collects garbage and may wait for the kernel.
const CLEANUP: Duration = Duration::from_secs(30);
/// A kernel is ended and started within 20 s, or the executor says that it is not.
const RESTART: Duration = Duration::from_secs(30);
/// A picture or another binary output, over a slow tunnel.
const BLOB: Duration = Duration::from_secs(30);

/// An executor at an address.
#[derive(Debug)]
pub struct Executor {
    http: Http,
}

impl Executor {
    /// Makes no connection yet.
    ///
    /// # Errors
    /// When the TLS machinery of this system cannot be set up.
    pub fn new(endpoint: &Endpoint) -> RuntimeResult<Self> {
        Http::new(endpoint).map(|http| Self { http })
    }

    fn stream(&self, response: Response) -> ByteStream {
        let address = self.http.address().to_owned();
        response
            .bytes_stream()
            .map_err(move |source| RuntimeError::Broken {
                url: address.clone(),
                source,
            })
            .boxed()
    }
}

/// What the executor would answer, without sending it all.
fn too_large(bytes: usize) -> Problem {
    Problem {
        status: 413,
        code: "invalid_argument".to_owned(),
        detail: format!("the code is larger than {LARGEST_BODY} bytes (it is {bytes})"),
        hint: "Put large data into a file and read it from the code.".to_owned(),
        retryable: false,
        retry_after_sec: None,
    }
}

fn poll_query(poll: Poll) -> [(&'static str, String); 3] {
    [
        ("wait", format!("{:.3}", poll.wait_sec)),
        ("linger", format!("{:.3}", poll.linger_sec)),
        ("max_bytes", poll.max_bytes.to_string()),
    ]
}

fn held(poll: Poll) -> Duration {
    Duration::from_secs_f64(poll.wait_sec + poll.linger_sec) + ANSWER
}

#[async_trait]
impl Runtime for Executor {
    fn address(&self) -> &str {
        self.http.address()
    }

    fn boot_id(&self) -> Option<String> {
        self.http.boot_id()
    }

    async fn health(&self) -> RuntimeResult<Health> {
        self.http
            .json(self.http.request(Method::GET, "health").timeout(ANSWER))
            .await
    }

    async fn probe(&self) -> RuntimeResult<Probe> {
        self.http
            .json(self.http.request(Method::GET, "probe").timeout(ANSWER))
            .await
    }

    async fn put_job(
        &self,
        id: JobId,
        request: &JobRequest,
        poll: Poll,
        expected_boot: Option<&str>,
    ) -> RuntimeResult<EventPage> {
        let body = serde_json::to_vec(request).map_err(|error| {
            self.http
                .incompatible(&format!("the code cannot be sent ({error})"))
        })?;
        if body.len() > LARGEST_BODY {
            return Err(RuntimeError::Refused(too_large(body.len())));
        }
        let mut call = self
            .http
            .request(Method::PUT, &format!("jobs/{id}"))
            .query(&poll_query(poll))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(boot) = expected_boot {
            call = call.header("X-Expect-Boot-Id", boot);
        }
        match self.http.json(call.timeout(held(poll))).await {
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
        let reply: JobList = self.http.json(call.timeout(ANSWER)).await?;
        Ok(reply.jobs)
    }

    async fn events(&self, id: JobId, after: u64, poll: Poll) -> RuntimeResult<EventPage> {
        let call = self
            .http
            .request(Method::GET, &format!("jobs/{id}/events"))
            .query(&[("after", after)])
            .query(&poll_query(poll));
        self.http.json(call.timeout(held(poll))).await
    }

    async fn interrupt(&self, id: JobId, request: JobId) -> RuntimeResult<Job> {
        let call = self
            .http
            .request(Method::POST, &format!("jobs/{id}/interrupt"))
            .header("X-Request-Id", request.to_string())
            .timeout(ANSWER);
        self.http
            .json::<JobReply>(call)
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
                .incompatible("a Range of the log was asked for and not given")),
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
            .timeout(BLOB);
        let response = self.http.send(call).await?;
        response
            .bytes()
            .await
            .map_err(|source| RuntimeError::Broken {
                url: self.http.address().to_owned(),
                source,
            })
    }

    async fn sessions(&self) -> RuntimeResult<Vec<Session>> {
        let call = self.http.request(Method::GET, "sessions").timeout(ANSWER);
        let reply: SessionList = self.http.json(call).await?;
        Ok(reply.sessions)
    }

    async fn restart_session(&self, name: &str) -> RuntimeResult<Restarted> {
        let call = self
            .http
            .request(Method::POST, &format!("sessions/{name}/restart"));
        self.http.json(call.timeout(RESTART)).await
    }

    async fn remove_session(&self, name: &str) -> RuntimeResult<Removed> {
        let call = self
            .http
            .request(Method::DELETE, &format!("sessions/{name}"));
        self.http.json(call.timeout(RESTART)).await
    }

    async fn variables(&self, session: &str) -> RuntimeResult<Variables> {
        let call = self
            .http
            .request(Method::GET, "variables")
            .query(&[("session", session)]);
        self.http.json(call.timeout(ANSWER)).await
    }

    async fn cleanup(&self, request: &CleanupRequest) -> RuntimeResult<Cleanup> {
        self.http
            .json(
                self.http
                    .request(Method::POST, "cleanup")
                    .json(request)
                    .timeout(CLEANUP),
            )
            .await
    }

    async fn list_files(&self, query: &ListQuery) -> RuntimeResult<FileList> {
        let mut call = self.http.request(Method::GET, "files/list").query(&[
            ("path", query.path.as_str()),
            ("recursive", if query.recursive { "1" } else { "0" }),
            ("limit", &query.limit.to_string()),
        ]);
        if let Some(cursor) = &query.cursor {
            call = call.query(&[("cursor", cursor)]);
        }
        self.http.json(call.timeout(ANSWER)).await
    }

    async fn stat(&self, path: &str, digest: bool) -> RuntimeResult<FileStat> {
        let mut call = self
            .http
            .request(Method::GET, "files/stat")
            .query(&[("path", path)]);
        if digest {
            call = call.query(&[("digest", "sha256")]);
        }
        self.http.json(call.timeout(DIGEST + ANSWER)).await
    }

    async fn download(
        &self,
        path: &str,
        range: Range<u64>,
        etag: &str,
    ) -> RuntimeResult<ByteStream> {
        let last = range.end.saturating_sub(1);
        let call = self
            .http
            .request(Method::GET, "files/download")
            .query(&[("path", path)])
            .header(header::RANGE, format!("bytes={}-{last}", range.start))
            .header(header::IF_RANGE, etag)
            // A tunnel that compresses on the way would drop the length and weaken the ETag.
            .header(header::ACCEPT_ENCODING, "identity");
        let response = self.http.send(call).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(RuntimeError::Changed {
                path: path.to_owned(),
            });
        }
        let given = response
            .headers()
            .get(header::CONTENT_RANGE)
            .and_then(|value| value.to_str().ok());
        if !given.is_some_and(|text| text.starts_with(&format!("bytes {}-{last}/", range.start))) {
            return Err(self
                .http
                .incompatible("it answered with another part of the file than was asked for"));
        }
        Ok(self.stream(response))
    }

    async fn shutdown(&self) -> RuntimeResult<()> {
        self.http
            .send(self.http.request(Method::POST, "shutdown").timeout(ANSWER))
            .await
            .map(drop)
    }
}
