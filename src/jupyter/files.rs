//! The bytes of a Jupyter Server's files: parts of them by `/files`, and writing by the Contents API.

use std::ops::Range;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::json;

use super::contents::{Entry, EntryKind, entry, route};
use super::error::JupyterError;
use super::server::{ANSWER_TIMEOUT, Server, accepted, json_of};

/// The server reads a file whole for its digest, or lists a large folder.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// A chunk over a slow line.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(120);

impl Server {
    /// Describes a file or folder, without its content or digest; none if there is none.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn look(&self, path: &str) -> Result<Option<Entry>, JupyterError> {
        let call = self.request(Method::GET, &route(path));
        let call = call.query(&[("content", "0")]).timeout(ANSWER_TIMEOUT);
        found(call.send().await).await
    }

    /// Describes a file, with its digest; none if there is none.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn look_closely(&self, path: &str) -> Result<Option<Entry>, JupyterError> {
        let query = [("type", "file"), ("content", "0"), ("hash", "1")];
        let call = self.request(Method::GET, &route(path));
        found(call.query(&query).timeout(READ_TIMEOUT).send().await).await
    }

    /// The bytes in `range` of a file, as they arrive. Nothing says which state of the file they are of.
    ///
    /// # Errors
    /// [`JupyterError::NotFound`]; [`JupyterError::Refused`] with 416 if the file is shorter; the error of whatever answers.
    pub async fn bytes(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, JupyterError>>, JupyterError> {
        let last = range.end.saturating_sub(1);
        let mut steps = vec!["files"];
        steps.extend(path.split('/'));
        let call = self
            .request(Method::GET, &steps)
            .header(header::RANGE, format!("bytes={}-{last}", range.start))
            // What is compressed on the way loses its length.
            .header(header::ACCEPT_ENCODING, "identity");
        let response = call.send().await.map_err(JupyterError::from_request)?;
        let whole = range.end - range.start;
        // A part that is the whole file is sent as that. A page among the files is a file.
        let is_whole = response.status() == StatusCode::OK
            && range.start == 0
            && response.content_length() == Some(whole);
        if !is_whole && response.status() != StatusCode::PARTIAL_CONTENT {
            let response = accepted(Ok(response)).await?;
            let status = response.status();
            let detail = format!("{status} where a part of a file was asked for");
            return Err(JupyterError::Refused(detail));
        }
        if !is_whole && !is_of(&response, range.start, last) {
            let detail = "it sent another part of the file than was asked for".to_owned();
            return Err(JupyterError::Stranger(detail));
        }
        let pieces = response.bytes_stream();
        Ok(pieces.map_err(JupyterError::from_request).boxed())
    }

    /// Writes a new file that begins with these bytes, or, if it has begun, appends them. Sent once: it is not known whether they were written after
    /// [`JupyterError::Broken`] or [`JupyterError::TimedOut`], and the same bytes sent again would be appended again.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn append(&self, path: &str, bytes: &[u8], begins: bool) -> Result<(), JupyterError> {
        let content = BASE64_STANDARD.encode(bytes);
        // The first chunk is written over what is there; any other number appends.
        let chunk = if begins { 1 } else { 2 };
        let body = json!({"type": "file", "format": "base64", "content": content, "chunk": chunk});
        let call = self.request(Method::PUT, &route(path)).json(&body);
        accepted(call.timeout(CHUNK_TIMEOUT).send().await)
            .await
            .map(drop)
    }

    /// Makes the folders above `path` that are missing. Where that is refused, so will be the file.
    ///
    /// # Errors
    /// The error of whatever answers, unless that refuses.
    pub async fn make_folders(&self, path: &str) -> Result<(), JupyterError> {
        for (at, _) in path.match_indices('/') {
            let call = self.request(Method::PUT, &route(&path[..at]));
            let call = call.json(&json!({"type": "directory"}));
            match accepted(call.timeout(ANSWER_TIMEOUT).send().await).await {
                // Another may have made it in the same moment.
                Ok(_) | Err(JupyterError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Renames a file; returns false, without a change, if there is one of the new name.
    ///
    /// # Errors
    /// [`JupyterError::NotFound`]; the error of whatever answers.
    pub async fn rename(&self, from: &str, to: &str) -> Result<bool, JupyterError> {
        let call = self.request(Method::PATCH, &route(from));
        let call = call.json(&json!({"path": to})).timeout(ANSWER_TIMEOUT);
        let answer = call.send().await;
        let is_taken = |answer: &Response| answer.status() == StatusCode::CONFLICT;
        if answer.as_ref().is_ok_and(is_taken) {
            return Ok(false);
        }
        accepted(answer).await.map(|_| true)
    }

    /// Deletes a file, or moves it into the server's trash, as that is configured. A folder is refused: the server deletes one with all that is in it.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn delete_file(&self, path: &str) -> Result<(), JupyterError> {
        match self.look(path).await? {
            None => return Ok(()),
            Some(entry) if entry.kind == EntryKind::Directory => {
                return Err(JupyterError::Refused("400 it is a folder".to_owned()));
            }
            Some(_) => {}
        }
        let call = self.request(Method::DELETE, &route(path));
        match accepted(call.timeout(ANSWER_TIMEOUT).send().await).await {
            Ok(_) | Err(JupyterError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

async fn found(answer: Result<Response, reqwest::Error>) -> Result<Option<Entry>, JupyterError> {
    match accepted(answer).await {
        Ok(response) => entry(json_of(response).await?).map(Some),
        Err(JupyterError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a response holds the bytes from `first` to `last`, or to the file's end.
fn is_of(response: &Response, first: u64, last: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok()?.strip_prefix("bytes "));
    range.is_some_and(|range| range.starts_with(&format!("{first}-{last}/")))
}
