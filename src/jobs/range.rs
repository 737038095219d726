//! Reads any part of a job's log, by bytes: from the machine that ran it or, if that is gone, from the local copy.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::str::from_utf8;
use std::time::Duration;

use serde::Serialize;
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::Instant;

use super::Jobs;
use crate::base::advice::{Advice, Step};
use crate::base::ids::JobId;
use crate::base::text::Screen;
use crate::runtime::{RuntimeError, RuntimeResult};

/// Characters of the log in one answer, before terminal codes are applied.
const MAX_CHARS: usize = 30_000;
/// Bytes that hold [`MAX_CHARS`] characters of any kind.
const MAX_BYTES: u64 = 4 * MAX_CHARS as u64 + 4;
/// How long to wait for the runtime when there is a local copy of the log.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A part of a job's log.
#[derive(Debug)]
pub struct LogRange {
    /// As a terminal would show it.
    pub text: String,
    pub facts: RangeFacts,
    /// The local copy, if the text was read from it.
    pub log: Option<PathBuf>,
}

/// The facts beside the text, in the order in which they are shown.
#[derive(Debug, Serialize)]
pub struct RangeFacts {
    pub success: bool,
    pub job_id: String,
    /// Where the text begins; a little after the requested byte if that is inside a character.
    pub from_byte: u64,
    /// Where to continue; none at the log's end.
    pub next_byte: Option<u64>,
    /// The log's current length.
    pub log_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Advice>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Advice>,
}

/// Maps the number of bytes left to the number wanted.
pub type Count<'a> = &'a (dyn Fn(u64) -> u64 + Sync);

/// Bytes of a log, and the log's length.
#[derive(Debug)]
pub struct Piece {
    pub from: u64,
    pub bytes: Vec<u8>,
    pub log_bytes: u64,
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

impl Jobs {
    /// Reads about 30,000 characters of a job's log from byte `from` on; negative counts from the end.
    ///
    /// # Errors
    /// When the runtime does not answer or does not know the job, and there is no local copy of its log.
    pub async fn read_log(
        &self,
        id: JobId,
        from: i64,
        deadline: Instant,
    ) -> RuntimeResult<LogRange> {
        let count = |left: u64| left.min(MAX_BYTES);
        let piece = self.log_piece(id, from, &count, deadline).await?;
        let mut range = LogRange::of(id, &piece);
        if u64::try_from(from).is_ok_and(|from| from > piece.log_bytes) {
            let bytes = piece.log_bytes;
            range.facts.hint = Some(
                format!("The log has {bytes} bytes so far: a negative from_byte reads its end.")
                    .into(),
            );
        }
        if !matches!(piece.source, Source::Runtime) {
            range.log = Some(self.keeper.log_path(id));
        }
        if let Source::OldCopy(error) = piece.source {
            let note =
                format!("this was read from the local copy, which may lack the end ({error})");
            range.facts.notes.push(note.into());
        }
        Ok(range)
    }

    /// Reads `count(left)` bytes of a job's log from byte `from` on; negative counts from the end. A complete local copy saves the download, and
    /// any local copy replaces a runtime that does not answer.
    ///
    /// # Errors
    /// As the runtime reports, if there is no local copy of the log.
    pub async fn log_piece(
        &self,
        id: JobId,
        from: i64,
        count: Count<'_>,
        deadline: Instant,
    ) -> RuntimeResult<Piece> {
        let path = self.keeper.log_path(id);
        let kept = fs::metadata(&path).await.ok().map(|file| file.len());
        let asking = match kept {
            Some(_) => deadline.min(Instant::now() + ANSWER_TIMEOUT),
            None => deadline,
        };
        let error = match self.poll(id, 0, 0.0, asking).await {
            Ok(job) => {
                // A copy of the same length is complete: logs only grow.
                if kept == Some(job.log_bytes)
                    && let Ok(piece) = read_copy(&path, from, count).await
                {
                    return Ok(piece);
                }
                let fetched = self.fetch(id, from, count, job.log_bytes, deadline).await;
                match fetched {
                    Ok(piece) => return Ok(piece),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        match read_copy(&path, from, count).await {
            Ok(piece) => Ok(Piece {
                source: Source::OldCopy(error),
                ..piece
            }),
            Err(_) => Err(error),
        }
    }

    async fn fetch(
        &self,
        id: JobId,
        from: i64,
        count: Count<'_>,
        log_bytes: u64,
        deadline: Instant,
    ) -> RuntimeResult<Piece> {
        let from = start(from, log_bytes);
        let bytes = match count(log_bytes - from) {
            0 => Vec::new(),
            count => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                self.log(id, from, count, deadline).await?
            }
        };
        Ok(Piece {
            from,
            bytes,
            log_bytes,
            source: Source::Runtime,
        })
    }
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

    /// At most [`MAX_CHARS`] complete characters, up to the end of a line if one is near, and how many bytes before them belong to a cut one.
    fn window(&self) -> (usize, String) {
        let (skipped, bytes) = self.whole_characters();
        let text = match from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        };
        let cut = text.char_indices().nth(MAX_CHARS);
        let shown = cut.map_or(text, |(at, _)| &text[..at]);
        let is_cut = cut.is_some() || !self.is_end();
        match shown.rfind('\n') {
            Some(at) if is_cut && at > shown.len() / 2 => (skipped, shown[..=at].to_owned()),
            _ => (skipped, shown.to_owned()),
        }
    }

    fn is_end(&self) -> bool {
        self.from + self.bytes.len() as u64 >= self.log_bytes
    }
}

impl LogRange {
    fn of(id: JobId, piece: &Piece) -> Self {
        let (skipped, text) = piece.window();
        let from_byte = piece.from + skipped as u64;
        let next_byte = from_byte + text.len() as u64;
        let is_more = next_byte < piece.log_bytes && !text.is_empty();
        let next_byte = is_more.then_some(next_byte);
        let mut screen = Screen::new(MAX_CHARS);
        screen.push(&text);
        let hint = next_byte.map(|_| {
            Advice::from("The log continues: call ")
                + Step::Output { job: None }
                + " with this job_id, and `next_byte` as `from_byte`."
        });
        Self {
            text: screen.finish().render(),
            facts: RangeFacts {
                success: true,
                job_id: id.to_string(),
                from_byte,
                next_byte,
                log_bytes: piece.log_bytes,
                hint,
                notes: Vec::new(),
            },
            log: None,
        }
    }
}

fn start(from: i64, length: u64) -> u64 {
    match u64::try_from(from) {
        Ok(from) => from.min(length),
        Err(_) => length.saturating_sub(from.unsigned_abs()),
    }
}

async fn read_copy(path: &Path, from: i64, count: Count<'_>) -> std::io::Result<Piece> {
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
        source: Source::Copy,
    })
}

#[cfg(test)]
mod tests {
    use super::{MAX_CHARS, Piece, Source, start};

    fn piece(log: &[u8], from: usize, to: usize) -> Piece {
        Piece {
            from: from as u64,
            bytes: log[from..to].to_vec(),
            log_bytes: log.len() as u64,
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
        let text = "üüü\n".repeat(MAX_CHARS);
        let (skipped, shown) = piece(text.as_bytes(), 1, text.len()).window();
        assert_eq!(skipped, 1);
        assert!(shown.starts_with("üü\n") && shown.ends_with("ü\n"));
        assert!((MAX_CHARS - 4..=MAX_CHARS).contains(&shown.chars().count()));
        let (_, shown) = piece(text.as_bytes(), 0, 9).window();
        assert_eq!(shown, "üüü\n");
        let whole = "a\nüb";
        let shown = piece(whole.as_bytes(), 0, whole.len()).window();
        assert_eq!(shown, (0, whole.to_owned()));
        let endless = "x".repeat(MAX_CHARS + 5);
        let shown = piece(endless.as_bytes(), 0, endless.len()).window();
        assert_eq!(shown.1.len(), MAX_CHARS);
    }
}
