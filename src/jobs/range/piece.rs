//! Bytes of a log, and the characters in them.

use std::io::SeekFrom;
use std::path::Path;
use std::str::from_utf8;

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::base::text::Room;
use crate::runtime::RuntimeError;
use crate::wire::job::Job;

/// Maps the number of bytes left to the number wanted.
pub type Count<'a> = &'a (dyn Fn(u64) -> u64 + Sync);

/// Bytes of a log, and the log's length.
#[derive(Debug)]
pub struct Piece {
    pub from: u64,
    pub bytes: Vec<u8>,
    pub log_bytes: u64,
    /// As the runtime reports it, if that answers.
    pub job: Option<Job>,
    pub source: Source,
}

/// Where a piece was read from.
#[derive(Debug)]
pub enum Source {
    Runtime,
    /// The local copy, which is complete.
    Copy,
    /// The local copy, which may lack the end: the runtime did not answer.
    OldCopy(RuntimeError),
}

impl Piece {
    /// The bytes of the complete characters, and how many bytes before them belong to a cut one.
    #[must_use]
    pub fn whole_characters(&self) -> (usize, &[u8]) {
        let is_rest = |byte: &&u8| (**byte & 0b1100_0000) == 0b1000_0000;
        let rest = self.bytes.iter().take(3).take_while(is_rest).count();
        let skipped = if self.from > 0 { rest } else { 0 };
        let bytes = &self.bytes[skipped..];
        let last = bytes.utf8_chunks().last();
        let cut = last.map_or(0, |last| last.invalid().len());
        match self.is_end() {
            true => (skipped, bytes),
            false => (skipped, &bytes[..bytes.len() - cut]),
        }
    }

    /// The complete characters, and how many bytes before them belong to a cut one.
    pub(super) fn text(&self) -> (usize, &str) {
        let (skipped, bytes) = self.whole_characters();
        let text = match from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        };
        (skipped, text)
    }

    /// As many complete characters as fit, up to the end of a line if one is near, and how many bytes before them belong to a cut one.
    pub(super) fn window(&self, room: Room) -> (usize, String) {
        let (skipped, text) = self.text();
        let shown = room.head(text);
        let is_cut = shown.len() < text.len() || !self.is_end();
        match shown.rfind('\n') {
            Some(at) if is_cut && at > shown.len() / 2 => (skipped, shown[..=at].to_owned()),
            _ => (skipped, shown.to_owned()),
        }
    }

    fn is_end(&self) -> bool {
        self.from + self.bytes.len() as u64 >= self.log_bytes
    }
}

pub(super) fn start(from: i64, length: u64) -> u64 {
    match u64::try_from(from) {
        Ok(from) => from.min(length),
        Err(_) => length.saturating_sub(from.unsigned_abs()),
    }
}

pub(super) async fn read_copy(path: &Path, from: i64, count: Count<'_>) -> std::io::Result<Piece> {
    let mut file = File::open(path).await?;
    let log_bytes = file.metadata().await?.len();
    let from = start(from, log_bytes);
    file.seek(SeekFrom::Start(from)).await?;
    let mut bytes = Vec::new();
    let count = count(log_bytes - from);
    file.take(count).read_to_end(&mut bytes).await?;
    Ok(Piece {
        from,
        bytes,
        log_bytes,
        job: None,
        source: Source::Copy,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Piece, Source, start};
    use crate::base::text::Room;

    const MAX_CHARS: usize = 1_000;

    /// Bytes `from` to `to` of a log.
    pub(crate) fn piece(log: &[u8], from: usize, to: usize) -> Piece {
        Piece {
            from: from as u64,
            bytes: log[from..to].to_vec(),
            log_bytes: log.len() as u64,
            job: None,
            source: Source::Runtime,
        }
    }

    #[test]
    fn an_offset_counts_from_either_end() {
        for (from, expected) in [(0, 0), (7, 7), (99, 10), (-3, 7), (-99, 0), (i64::MIN, 0)] {
            assert_eq!(start(from, 10), expected, "{from}");
        }
    }

    #[test]
    fn a_range_that_cuts_characters_shows_only_complete_ones() {
        let log = "aé漢😀z\u{FFFD}";
        for from in 0..=log.len() {
            for to in from..=log.len() {
                let piece = piece(log.as_bytes(), from, to);
                let (skipped, bytes) = piece.whole_characters();
                let text = std::str::from_utf8(bytes).unwrap();
                assert!(log.contains(text), "{from}..{to}: {text}");
                assert!(text.len() + 6 >= to - from, "{from}..{to}: {text}");
                assert!(text.is_empty() || log[from + skipped..].starts_with(text));
            }
        }
    }

    #[test]
    fn a_window_holds_whole_characters_and_whole_lines() {
        let room = Room::for_chars(MAX_CHARS);
        let text = "üüü\n".repeat(MAX_CHARS);
        let (skipped, shown) = piece(text.as_bytes(), 1, text.len()).window(room);
        assert_eq!(skipped, 1);
        assert!(shown.starts_with("üü\n") && shown.ends_with("ü\n"));
        assert!((MAX_CHARS - 4..=MAX_CHARS).contains(&shown.chars().count()));
        let (_, shown) = piece(text.as_bytes(), 0, 9).window(room);
        assert_eq!(shown, "üüü\n");
        let whole = "a\nüb";
        let shown = piece(whole.as_bytes(), 0, whole.len()).window(room);
        assert_eq!(shown, (0, whole.to_owned()));
        let endless = "x".repeat(MAX_CHARS + 5);
        let shown = piece(endless.as_bytes(), 0, endless.len()).window(room);
        assert_eq!(shown.1.len(), MAX_CHARS);
    }
}
