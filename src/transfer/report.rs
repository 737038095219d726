//! Parts of the reports of both directions.

use std::time::Duration;

use serde::Serialize;

use crate::base::text::counted;
use crate::wire::files::{Algorithm, Digest};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Running,
    Complete,
}

/// The digest by which a file was checked on both sides; none for a folder, whose files are each checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Digests {
    /// 64 hexadecimal digits; null where BLAKE3 was used, the faster one.
    pub sha256: Option<String>,
    /// As `b3sum` prints it.
    #[serde(skip_serializing_if = "is_default")]
    pub blake3: Option<String>,
}

impl From<Digest> for Digests {
    fn from(digest: Digest) -> Self {
        let mut digests = Self::default();
        match digest.algorithm {
            Algorithm::Blake3 => digests.blake3 = Some(digest.value),
            Algorithm::Sha256 => digests.sha256 = Some(digest.value),
        }
        digests
    }
}

/// A skipped entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Relative to the folder.
    pub name: String,
    pub reason: String,
}

/// Whether a member of a report says nothing: it is false, 0 or empty.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Seconds, rounded to the millisecond.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Formats a size, as `312.5 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let (unit, name) = match count {
        0..=1023 => return counted(count, "byte", "bytes"),
        1024..=1_048_575 => (1_u64 << 10, "KiB"),
        1_048_576..=1_073_741_823 => (1 << 20, "MiB"),
        1_073_741_824.. => (1 << 30, "GiB"),
    };
    format!("{:.1} {name}", count as f64 / unit as f64)
}

/// Formats a size with its verb.
pub(super) fn bytes_are(count: u64) -> String {
    format!("{} {}", bytes(count), if count == 1 { "is" } else { "are" })
}

/// Formats a folder's files and size with their verb.
pub(super) fn files_are(files: u64, size: u64) -> String {
    let (noun, verb) = if files == 1 {
        ("file", "is")
    } else {
        ("files", "are")
    };
    format!("{files} {noun} ({}) {verb}", bytes(size))
}

/// The sentence about skipped entries.
pub(super) fn skipped(count: u64) -> String {
    format!(" {} skipped.", counted(count, "entry was", "entries were"))
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_written_for_people() {
        for (count, expected) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (5 << 20, "5.0 MiB"),
            (4 << 30, "4.0 GiB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
    }
}
