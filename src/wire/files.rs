//! `/files`.

use serde::{Deserialize, Serialize};

use super::state::JobState;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    File,
    Directory,
    Link,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative to the listed folder.
    pub name: String,
    pub path: String,
    #[serde(rename = "type")]
    pub kind: FileType,
    /// Bytes.
    pub size: u64,
    pub modified_at: String,
    /// Whether the owner may execute the file; none if the file system does not record it. Listings have it for programs only.
    #[serde(default, skip_serializing_if = "is_not_program")]
    pub executable: Option<bool>,
}

fn is_not_program(executable: &Option<bool>) -> bool {
    *executable != Some(true)
}

/// `GET /files/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileList {
    pub path: String,
    pub entries: Vec<FileEntry>,
    /// Pass this as `cursor` for the next page.
    pub next_cursor: Option<String>,
    /// Entries in the folder.
    pub total: u64,
}

/// `GET /files/changes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChanges {
    pub path: String,
    /// Whether there is such a folder.
    pub exists: bool,
    /// Files in the folder.
    pub total: u64,
    /// Files that have changed and rest, oldest change first; no folders.
    pub entries: Vec<FileEntry>,
    /// Names of such files that are not UTF-8, which no request can name, with `\xfe` for a byte.
    #[serde(default)]
    pub not_utf8: Vec<String>,
    /// The cursor was unknown: all files are reported from the beginning.
    pub is_whole: bool,
    /// Pass this as `after` for newer changes.
    pub next: String,
    /// More changes are known.
    pub more: bool,
    /// None if the job is unknown, or none was named.
    pub job_state: Option<JobState>,
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
    /// The `ETag` of a download, quotes included; none for anything but a file.
    pub etag: Option<String>,
    #[serde(default)]
    pub sha256: Option<String>,
    /// None from older executors.
    #[serde(default)]
    pub blake3: Option<String>,
    /// The requested digest is still being computed.
    #[serde(default)]
    pub digest_pending: bool,
}

/// `GET /files/read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileText {
    pub path: String,
    /// Size of the whole file, in bytes.
    pub size: u64,
    pub modified_at: String,
    pub mime: String,
    pub is_text: bool,
    /// Whole lines; empty where `is_text` is false.
    pub text: String,
    /// 1 is the first; none if the file is not text.
    pub first_line: Option<u64>,
    /// None at the end.
    pub next_line: Option<u64>,
    /// None if the end was not reached.
    pub total_lines: Option<u64>,
    /// A single line was longer than the requested bytes.
    pub is_cut: bool,
    /// Encoding as Python's `open` takes it; none if the file is not text, and from older executors.
    #[serde(default)]
    pub encoding: Option<String>,
}

/// `GET /files/preview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePreview {
    pub path: String,
    /// Size of the whole file, in bytes.
    pub size: u64,
    pub modified_at: String,
    pub mime: String,
    /// Schema, size and first rows; none for kinds of files that have no preview, and where a package is missing.
    pub text: Option<String>,
    /// The type of `text` where that is the beginning of a text in a compressed file.
    pub text_mime: Option<String>,
    /// More follows.
    pub is_cut: bool,
    /// A sentence on what is not as it seems.
    pub note: Option<String>,
    /// The runtime's Python would show the file with this package.
    pub missing_package: Option<String>,
}

/// The etag of a file that is not there.
pub const ABSENT: &str = "absent";

/// How a digest of 32 bytes is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Blake3,
    Sha256,
}

impl Algorithm {
    /// The name in requests and headers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
        }
    }

    /// The first known one of a `X-Smart-Colab-Digests` header, which names those of an executor, the fastest first.
    #[must_use]
    pub fn fastest(header: &str) -> Option<Self> {
        let known = [Self::Blake3, Self::Sha256];
        let mut names = header.split(',').map(str::trim);
        names.find_map(|name| known.into_iter().find(|known| known.name() == name))
    }
}

/// The digest of a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    pub algorithm: Algorithm,
    /// 64 lowercase hexadecimal digits.
    pub value: String,
}

impl FileStat {
    /// The digest by this algorithm, if the reply has it.
    #[must_use]
    pub fn digest(&self, algorithm: Algorithm) -> Option<Digest> {
        let value = match algorithm {
            Algorithm::Blake3 => &self.blake3,
            Algorithm::Sha256 => &self.sha256,
        };
        let value = value.as_ref()?.to_ascii_lowercase();
        Some(Digest { algorithm, value })
    }
}

/// Identifies an upload, so that it can be resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadKey {
    pub path: String,
    /// Bytes.
    pub size: u64,
    pub content: Content,
}

/// Names the bytes of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// By their SHA-256, which every runtime knows.
    Sha256(String),
    /// By a name of the sender's, 64 lowercase hexadecimal digits, so that they can be sent before their digest is known.
    Named { id: String, digest: Option<Digest> },
}

impl Content {
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Sha256(id) | Self::Named { id, .. } => id,
        }
    }
}

/// The state of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub state: UploadState,
    /// Byte ranges (start, exclusive end), in order, without overlaps.
    pub received: Vec<(u64, u64)>,
    /// Only of a complete upload; as in [`FileEntry`].
    #[serde(default)]
    pub executable: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    Open,
    /// Nothing has arrived, and the file at the path has this size: ask with the digest whether it has these bytes.
    Similar,
    /// The digest is being checked: ask again.
    Checking,
    /// The file at the path has these bytes.
    Complete,
}

/// The body of `POST /files/bundle`.
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

/// The reply to `PUT /files/bundle`.
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
