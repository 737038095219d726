//! The files of a Jupyter Server, by its Contents API. It knows no lock and no precondition: whoever writes last wins.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::JupyterError;
use super::server::{ANSWER_TIMEOUT, Server, accepted, json_of};

/// The digest by which servers name a file's content unless they are configured otherwise.
const DIGEST: &str = "sha256";

/// A file or folder of the server. Its path begins at the server's root.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    pub path: String,
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// Bytes; none of a folder.
    pub size: Option<u64>,
    /// RFC 3339.
    #[serde(default)]
    pub last_modified: String,
    /// As it was asked for: of a file in text, with its digest.
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    hash: Option<String>,
    #[serde(default)]
    hash_algorithm: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    Directory,
    File,
    Notebook,
}

impl Entry {
    /// The SHA-256 of its content; none from servers before 2.11, and where another digest is configured.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        let is_meant = self.hash_algorithm.as_deref() == Some(DIGEST);
        self.hash.as_deref().filter(|_| is_meant)
    }

    /// Names the state of its content: two that differ may have different contents.
    #[must_use]
    pub fn state(&self) -> String {
        let digest = self.hash.clone();
        digest.unwrap_or_else(|| format!("{} {:?}", self.last_modified, self.size))
    }
}

impl Server {
    /// Describes a file, without its content; none if there is none.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn entry(&self, path: &str) -> Result<Option<Entry>, JupyterError> {
        let query = [("type", "file"), ("content", "0"), ("hash", "1")];
        match self.contents(path, &query).await {
            Ok(found) => entry(found).map(Some),
            Err(JupyterError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The digest of a file's content on the disk; none if there is no such file.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn digest(&self, path: &str) -> Result<Option<String>, JupyterError> {
        Ok(self.entry(path).await?.and_then(|entry| entry.hash))
    }

    /// A file's text, every byte of it, and its state; as long as that takes.
    ///
    /// # Errors
    /// [`JupyterError::NotFound`]; [`JupyterError::Refused`] with 400 if it is not UTF-8; the error of whatever answers.
    pub async fn text(&self, path: &str) -> Result<(String, Entry), JupyterError> {
        // As a notebook it would be parsed there, converted and written in another form.
        let query = [("type", "file"), ("format", "text"), ("hash", "1")];
        let mut found = entry(self.contents(path, &query).await?)?;
        Ok((found.content.take().unwrap_or_default(), found))
    }

    /// Writes a file; as long as that takes. Whether it was written is not known after [`JupyterError::Broken`] or [`JupyterError::TimedOut`].
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn write_text(&self, path: &str, text: &str) -> Result<(), JupyterError> {
        let body = json!({"type": "file", "format": "text", "content": text});
        let call = self.request(Method::PUT, &route(path)).json(&body);
        accepted(call.send().await).await.map(drop)
    }

    /// Writes a file where there is none, and its folders; returns whether there was none. Of two who do so in the same moment both may succeed, before either goes
    /// on.
    ///
    /// # Errors
    /// As of [`Self::write_text`].
    pub async fn create_text(&self, path: &str, text: &str) -> Result<bool, JupyterError> {
        self.make_folders(path).await?;
        // Only renaming refuses to replace a file.
        let partial = format!("{path}.{}.partial", uuid::Uuid::now_v7().simple());
        self.write_text(&partial, text).await?;
        let is_new = self.rename(&partial, path).await?;
        if !is_new {
            self.delete_file(&partial).await?;
        }
        Ok(is_new)
    }

    /// What is in a folder, without what is hidden; empty for the root.
    ///
    /// # Errors
    /// [`JupyterError::NotFound`]; the error of whatever answers.
    pub async fn folder(&self, path: &str) -> Result<Vec<Entry>, JupyterError> {
        let mut found = self.contents(path, &[("type", "directory")]).await?;
        let Value::Array(entries) = found["content"].take() else {
            return Err(JupyterError::Stranger("it lists no folder".to_owned()));
        };
        entries.into_iter().map(entry).collect()
    }

    async fn contents(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, JupyterError> {
        let mut call = self.request(Method::GET, &route(path)).query(query);
        if !query.contains(&("format", "text")) {
            call = call.timeout(ANSWER_TIMEOUT);
        }
        json_of(accepted(call.send().await).await?).await
    }
}

pub(super) fn entry(value: Value) -> Result<Entry, JupyterError> {
    let strange = |_| JupyterError::Stranger("it describes no file".to_owned());
    serde_json::from_value(value).map_err(strange)
}

pub(super) fn route(path: &str) -> Vec<&str> {
    let steps = path.split('/').filter(|step| !step.is_empty());
    ["api", "contents"].into_iter().chain(steps).collect()
}
