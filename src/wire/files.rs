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
    /// Whether its owner may run the file; none where that is not kept. Listings show it of programs alone.
    #[serde(default, skip_serializing_if = "is_no_program")]
    pub executable: Option<bool>,
}

fn is_no_program(executable: &Option<bool>) -> bool {
    *executable != Some(true)
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
    /// As in [`FileEntry`].
    #[serde(default)]
    pub executable: Option<bool>,
    /// The `ETag` of a download, quotes included; none for what is no file.
    pub etag: Option<String>,
    #[serde(default)]
    pub sha256: Option<String>,
    /// The digest was asked for and is still being made.
    #[serde(default)]
    pub digest_pending: bool,
}

/// `GET /files/read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileText {
    pub path: String,
    /// Of the whole file, in bytes.
    pub size: u64,
    pub modified_at: String,
    pub mime: String,
    pub is_text: bool,
    /// Whole lines; empty where `is_text` is false.
    pub text: String,
    /// 1 is the first; none where the file is no text.
    pub first_line: Option<u64>,
    /// None at the end.
    pub next_line: Option<u64>,
    /// None where the end was not seen.
    pub total_lines: Option<u64>,
    /// A single line was longer than what was asked for.
    pub is_cut: bool,
    /// How the file is written, as Python's `open` takes it; none where it is no text, and from older executors.
    #[serde(default)]
    pub encoding: Option<String>,
}

/// Identifies an upload, so that it can be resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadKey {
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// 64 hexadecimal digits, small letters.
    pub sha256: String,
}

/// What has come of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    #[serde(flatten)]
    pub key: UploadKey,
    pub state: UploadState,
    /// From and to (exclusive), in order, without overlaps.
    pub received: Vec<(u64, u64)>,
    /// Of a complete one, as in [`FileEntry`].
    #[serde(default)]
    pub executable: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    Open,
    /// Ask again.
    Checking,
    /// The file at the path has these bytes.
    Complete,
}

/// What `POST /files/bundle` is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleRequest {
    /// The folder.
    pub path: String,
    /// Relative to it, at most 1,000.
    pub names: Vec<String>,
}

/// A line of a bundle; the bytes of a `File` follow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BundleLine {
    File {
        name: String,
        size: u64,
        sha256: String,
        modified_at: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        executable: Option<bool>,
    },
    Missing {
        name: String,
        code: String,
        detail: String,
    },
    End {
        end: bool,
    },
}

/// `PUT /files/bundle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleReply {
    /// In the bundle's order.
    pub files: Vec<BundleWritten>,
}

/// One file of a bundle that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleWritten {
    pub name: String,
    /// Why it was not written.
    pub code: Option<String>,
    pub detail: Option<String>,
    /// As in [`FileEntry`].
    #[serde(default)]
    pub executable: Option<bool>,
}
