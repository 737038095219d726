//! `/files`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    File,
    Directory,
    Link,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileEntry {
    /// Relative to the listed folder.
    pub name: String,
    pub path: String,
    #[serde(rename = "type")]
    pub kind: FileType,
    /// Bytes.
    pub size: u64,
    pub modified_at: String,
}

/// `GET /files/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileList {
    pub path: String,
    pub entries: Vec<FileEntry>,
    /// Hand this back as `cursor` for the next page.
    pub next_cursor: Option<String>,
    /// Entries in the folder.
    pub total: u64,
}

/// `GET /files/stat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    pub path: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: FileType,
    pub size: u64,
    pub modified_at: String,
    /// The `ETag` of a download, quotes included; none for what is no file.
    pub etag: Option<String>,
    #[serde(default)]
    pub sha256: Option<String>,
    /// The digest was asked for and is still being made.
    #[serde(default)]
    pub digest_pending: bool,
}
