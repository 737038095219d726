//! Parses a bundle: a line of JSON for each file, directly followed by the file's bytes (`colab/API.md`). No I/O.

use crate::wire::files::BundleLine;

/// The executor sends no larger file in a bundle.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Enough for a name of 4 kB in escaped JSON and the rest of the line.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// One item of a bundle.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    File(Small),
    /// A file that the executor could not read.
    Missing {
        name: String,
        code: String,
        detail: String,
    },
    /// The end marker: nothing was cut off.
    End,
}

/// A small file with its bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Small {
    pub(super) name: String,
    pub(super) sha256: String,
    pub(super) modified_at: String,
    pub(super) is_executable: bool,
    pub(super) bytes: Vec<u8>,
}

/// Takes bytes as they arrive and returns files as they are complete.
#[derive(Debug, Default)]
pub(super) struct Unbundler {
    bytes: Vec<u8>,
    /// Bytes already returned as items.
    read: usize,
}

impl Unbundler {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next item, if it is complete.
    ///
    /// # Errors
    /// Why the bytes are not a bundle.
    pub(super) fn take(&mut self) -> Result<Option<Item>, &'static str> {
        let rest = &self.bytes[self.read..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            let too_long = rest.len() > MAX_LINE_BYTES;
            return if too_long {
                Err("it sent a bundle with an endless line")
            } else {
                Ok(None)
            };
        };
        let line = serde_json::from_slice(&rest[..end]);
        let line: BundleLine = line.map_err(|_| "it sent a bundle with a malformed line")?;
        let begin = end + 1;
        let (item, length) = match line {
            BundleLine::File {
                name,
                size,
                sha256,
                modified_at,
                executable,
            } => {
                if size > MAX_FILE_BYTES {
                    return Err("it sent a large file in a bundle");
                }
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                let Some(bytes) = rest[begin..].get(..size) else {
                    return Ok(None);
                };
                let small = Small {
                    name,
                    sha256,
                    modified_at,
                    is_executable: executable == Some(true),
                    bytes: bytes.to_vec(),
                };
                (Item::File(small), begin + size)
            }
            BundleLine::Missing { name, code, detail } => {
                (Item::Missing { name, code, detail }, begin)
            }
            BundleLine::End { .. } => (Item::End, begin),
        };
        self.read += length;
        Ok(Some(item))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Item, Small, Unbundler};

    fn small(name: &str, bytes: &[u8]) -> Small {
        Small {
            name: name.to_owned(),
            sha256: "00".to_owned(),
            modified_at: "then".to_owned(),
            is_executable: name == "c",
            bytes: bytes.to_vec(),
        }
    }

    fn bundle() -> (Vec<u8>, Vec<Item>) {
        let mut bytes = Vec::new();
        let mut items = Vec::new();
        for (name, content) in [("a", &b"1\n2"[..]), ("deep/\u{1f600}", b""), ("c", b"{}\n")] {
            let size = content.len();
            let more = match name {
                "a" => "",
                "c" => ",\"executable\":true",
                _ => ",\"executable\":null",
            };
            let line = format!(
                r#"{{"name":"{name}","size":{size},"sha256":"00","modified_at":"then"{more}}}"#
            );
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
            bytes.extend_from_slice(content);
            items.push(Item::File(small(name, content)));
        }
        bytes.extend_from_slice(
            b"{\"name\":\"d\",\"code\":\"not_found\",\"detail\":\"gone\"}\n{\"end\":true}\n",
        );
        items.push(Item::Missing {
            name: "d".to_owned(),
            code: "not_found".to_owned(),
            detail: "gone".to_owned(),
        });
        items.push(Item::End);
        (bytes, items)
    }

    proptest! {
        #[test]
        fn a_bundle_is_parsed_from_pieces_of_any_size(sizes in prop::collection::vec(1_usize..80, 1..60)) {
            let (bytes, expected) = bundle();
            let (mut unbundler, mut found) = (Unbundler::default(), Vec::new());
            let (mut rest, mut sizes) = (bytes.as_slice(), sizes.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                unbundler.push(piece);
                while let Some(item) = unbundler.take().unwrap() {
                    found.push(item);
                }
                rest = after;
            }
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn malformed_bundles_are_refused() {
        for text in [
            "no line\n",
            "{\"name\":\"a\",\"size\":9999999,\"sha256\":\"\",\"modified_at\":\"\"}\n",
            "{\"size\":1}\n",
        ] {
            let mut unbundler = Unbundler::default();
            unbundler.push(text.as_bytes());
            assert!(unbundler.take().is_err(), "{text}");
        }
        let mut unbundler = Unbundler::default();
        unbundler.push(&[b' '; 70_000]);
        assert!(unbundler.take().is_err());
    }
}
