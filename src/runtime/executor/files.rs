//! The routes of `/files`.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{Body, Method, RequestBuilder, StatusCode, header};

use super::body::{MAX_FACTS_BYTES, MAX_LIST_BYTES};
use super::{ANSWER_TIMEOUT, Executor};
use crate::runtime::error::{RuntimeError, RuntimeResult};
use crate::runtime::{ByteStream, ChangesQuery, Files, ListQuery, ReadQuery};
use crate::wire::files::{
    Algorithm, BundleReply, BundleRequest, Content, Digest, FileChanges, FileList, FilePreview,
    FileStat, FileText, Upload, UploadKey,
};

/// The executor holds a request for a digest up to 20 s.
const DIGEST_TIMEOUT: Duration = Duration::from_secs(20);
/// A preview waits up to 10 s for others, and then takes 15 s at most.
const PREVIEW_TIMEOUT: Duration = Duration::from_secs(25);
/// 8 MiB over a slow line.
const BODY_TIMEOUT: Duration = Duration::from_secs(120);

#[async_trait]
impl Files for Executor {
    async fn list_files(&self, query: &ListQuery) -> RuntimeResult<FileList> {
        let mut call = self.http.request(Method::GET, "files/list").query(&[
            ("path", query.path.as_str()),
            ("recursive", if query.recursive { "1" } else { "0" }),
            ("limit", &query.limit.to_string()),
        ]);
        for (name, value) in [("cursor", &query.cursor), ("name", &query.name)] {
            if let Some(value) = value {
                call = call.query(&[(name, value)]);
            }
        }
        self.http
            .json(call.timeout(ANSWER_TIMEOUT), MAX_LIST_BYTES)
            .await
    }

    async fn changes(&self, query: &ChangesQuery) -> RuntimeResult<FileChanges> {
        let mut call = self.http.request(Method::GET, "files/changes").query(&[
            ("path", query.path.as_str()),
            ("wait", &query.wait.as_secs_f64().to_string()),
            ("limit", &query.limit.to_string()),
        ]);
        if let Some(after) = &query.after {
            call = call.query(&[("after", after)]);
        }
        if let Some(job) = query.job {
            call = call.query(&[("job", job.to_string())]);
        }
        self.http
            .json(call.timeout(query.wait + ANSWER_TIMEOUT), MAX_LIST_BYTES)
            .await
    }

    fn fastest_digest(&self) -> Option<Algorithm> {
        self.http.fastest_digest()
    }

    async fn stat(&self, path: &str, digest: Option<Algorithm>) -> RuntimeResult<FileStat> {
        let mut call = self
            .http
            .request(Method::GET, "files/stat")
            .query(&[("path", path)]);
        let mut held = Duration::ZERO;
        if let Some(algorithm) = digest {
            call = call.query(&[("digest", algorithm.name())]);
            held = DIGEST_TIMEOUT;
        }
        self.http
            .json(call.timeout(held + ANSWER_TIMEOUT), MAX_FACTS_BYTES)
            .await
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
            // A tunnel that compresses would drop the length and weaken the ETag.
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
                .incompatible("it returned another part of the file than the requested one"));
        }
        Ok(self.stream(response))
    }

    async fn read_file(&self, query: &ReadQuery) -> RuntimeResult<FileText> {
        let call = self.http.request(Method::GET, "files/read").query(&[
            ("path", query.path.as_str()),
            ("line", &query.line.to_string()),
            ("lines", &query.lines.to_string()),
            ("max_bytes", &query.max_bytes.to_string()),
        ]);
        // It may have to count the lines of a large file.
        self.http
            .json(
                call.timeout(DIGEST_TIMEOUT + ANSWER_TIMEOUT),
                MAX_LIST_BYTES,
            )
            .await
    }

    async fn preview(&self, path: &str, rows: Option<u64>) -> RuntimeResult<FilePreview> {
        let mut call = self
            .http
            .request(Method::GET, "files/preview")
            .query(&[("path", path)]);
        if let Some(rows) = rows {
            call = call.query(&[("rows", rows)]);
        }
        self.http
            .json(
                call.timeout(PREVIEW_TIMEOUT + ANSWER_TIMEOUT),
                MAX_LIST_BYTES,
            )
            .await
    }

    async fn get_bundle(&self, request: &BundleRequest) -> RuntimeResult<ByteStream> {
        let call = self
            .http
            .request(Method::POST, "files/bundle")
            .json(request);
        Ok(self.stream(self.http.send(call).await?))
    }

    async fn put_bundle(&self, folder: &str, bundle: Bytes) -> RuntimeResult<BundleReply> {
        let call = self
            .http
            .request(Method::PUT, "files/bundle")
            .query(&[("path", folder)])
            .header(header::CONTENT_TYPE, "application/vnd.smart-colab.bundle")
            .body(bundle);
        self.http
            .json(call.timeout(BODY_TIMEOUT), MAX_LIST_BYTES)
            .await
    }

    async fn upload(&self, key: &UploadKey) -> RuntimeResult<Upload> {
        let call = self.upload_request(Method::GET, key);
        self.http
            .json(
                call.timeout(DIGEST_TIMEOUT + ANSWER_TIMEOUT),
                MAX_LIST_BYTES,
            )
            .await
    }

    async fn upload_piece(
        &self,
        key: &UploadKey,
        offset: u64,
        bytes: Bytes,
    ) -> RuntimeResult<Upload> {
        let call = self
            .upload_request(Method::PUT, key)
            .query(&[("offset", offset)])
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(bytes);
        self.http
            .json(call.timeout(BODY_TIMEOUT), MAX_LIST_BYTES)
            .await
    }

    async fn upload_stream(
        &self,
        key: &UploadKey,
        offset: u64,
        length: u64,
        bytes: ByteStream,
    ) -> RuntimeResult<Upload> {
        let call = self
            .upload_request(Method::PUT, key)
            .query(&[("offset", offset)])
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, length)
            .body(Body::wrap_stream(bytes));
        self.http
            .json(call.timeout(BODY_TIMEOUT), MAX_LIST_BYTES)
            .await
    }

    async fn finish_upload(
        &self,
        key: &UploadKey,
        modified_at: Option<&str>,
        is_executable: bool,
        expected: Option<&str>,
    ) -> RuntimeResult<Upload> {
        let mut call = self.upload_request(Method::POST, key);
        if let Some(time) = modified_at {
            call = call.query(&[("modified_at", time)]);
        }
        if is_executable {
            call = call.query(&[("executable", "1")]);
        }
        if let Some(etag) = expected {
            call = call.query(&[("expect_etag", etag)]);
        }
        self.http
            .json(
                call.timeout(DIGEST_TIMEOUT + ANSWER_TIMEOUT),
                MAX_LIST_BYTES,
            )
            .await
    }

    async fn discard_upload(&self, key: &UploadKey) -> RuntimeResult<Upload> {
        let call = self.upload_request(Method::DELETE, key);
        self.http
            .json(call.timeout(ANSWER_TIMEOUT), MAX_LIST_BYTES)
            .await
    }
}

impl Executor {
    fn upload_request(&self, method: Method, key: &UploadKey) -> RequestBuilder {
        let call = self
            .http
            .request(method, "files/upload")
            .query(&[("path", key.path.as_str()), ("size", &key.size.to_string())]);
        match &key.content {
            Content::Sha256(sha256) => call.query(&[("sha256", sha256)]),
            Content::Named { id, digest: None } => call.query(&[("id", id)]),
            Content::Named {
                id,
                digest: Some(Digest { algorithm, value }),
            } => {
                let digest = format!("{}:{value}", algorithm.name());
                call.query(&[("id", id), ("digest", &digest)])
            }
        }
    }
}
