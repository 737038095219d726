//! Any part of a job's log, by bytes: from the machine that ran it or, when that is gone, from the copy that was kept here.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::str::from_utf8;

use serde::Serialize;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::Instant;

use super::Jobs;
use crate::base::ids::JobId;
use crate::base::text::Screen;
use crate::runtime::RuntimeResult;

/// Characters of the log in one answer, before a terminal would show them.
const CHARACTERS: usize = 30_000;
/// So many bytes hold that many characters, whatever they are.
const BYTES: u64 = 4 * CHARACTERS as u64 + 4;
/// Behind every event: asks for the job alone.
const NO_EVENTS: u64 = i64::MAX as u64;

/// A part of a job's log.
#[derive(Debug)]
pub struct LogRange {
    /// As a terminal would show it.
    pub text: String,
    pub facts: RangeFacts,
    /// The local copy, where the text is from there.
    pub log: Option<PathBuf>,
}

/// The facts beside it, in the order in which they are shown.
#[derive(Debug, Serialize)]
pub struct RangeFacts {
    pub success: bool,
    pub job_id: String,
    /// Where the text begins; a little behind what was asked for when that is inside of a character.
    pub from_byte: u64,
    /// Where to go on; none at the log's end.
    pub next_byte: Option<u64>,
    /// How long the log is now.
    pub log_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Bytes of a log, and how long it is.
struct Piece {
    from: u64,
    bytes: Vec<u8>,
    log_bytes: u64,
}

impl Jobs {
    /// Reads about 30,000 characters of a job's log from byte `from` on; negative counts from the end.
    ///
    /// # Errors
    /// When the runtime cannot be asked, or does not know the job, and no copy of its log was kept here.
    pub async fn read_log(
        &self,
        id: JobId,
        from: i64,
        deadline: Instant,
    ) -> RuntimeResult<LogRange> {
        let error = match self.piece(id, from, deadline).await {
            Ok(piece) => return Ok(LogRange::of(id, &piece)),
            Err(error) => error,
        };
        let path = self.keeper.log_path(id);
        let Ok(piece) = read_copy(&path, from).await else {
            return Err(error);
        };
        let mut range = LogRange::of(id, &piece);
        let note =
            format!("this is from the copy that was kept here, and may lack the end ({error})");
        range.facts.notes.push(note);
        range.log = Some(path);
        Ok(range)
    }

    async fn piece(&self, id: JobId, from: i64, deadline: Instant) -> RuntimeResult<Piece> {
        let log_bytes = self.standing(id, NO_EVENTS, 0.0, deadline).await?.log_bytes;
        let from = start(from, log_bytes);
        let wanted = usize::try_from(BYTES.min(log_bytes - from)).unwrap_or(usize::MAX);
        let bytes = match wanted {
            0 => Vec::new(),
            wanted => self.log(id, from, wanted, deadline).await?,
        };
        Ok(Piece {
            from,
            bytes,
            log_bytes,
        })
    }
}

impl LogRange {
    fn of(id: JobId, piece: &Piece) -> Self {
        let (skipped, text) = window(
            &piece.bytes,
            piece.from + piece.bytes.len() as u64 >= piece.log_bytes,
        );
        let from_byte = piece.from + skipped as u64;
        let next_byte = from_byte + text.len() as u64;
        let is_more = next_byte < piece.log_bytes && !text.is_empty();
        let next_byte = is_more.then_some(next_byte);
        let mut screen = Screen::new(CHARACTERS);
        screen.push(&text);
        let hint = next_byte.map(|_| {
            "There is more behind it: call get_output with this job_id, and `next_byte` as `from_byte`.".to_owned()
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

async fn read_copy(path: &PathBuf, from: i64) -> std::io::Result<Piece> {
    let mut file = File::open(path).await?;
    let log_bytes = file.metadata().await?.len();
    let from = start(from, log_bytes);
    file.seek(SeekFrom::Start(from)).await?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes).await?;
    Ok(Piece {
        from,
        bytes,
        log_bytes,
    })
}

/// At most [`CHARACTERS`] of them, up to the end of a line if one is near, and how many bytes before them are the rest of a cut character.
fn window(bytes: &[u8], is_end: bool) -> (usize, String) {
    let is_rest = |byte: &&u8| (**byte & 0b1100_0000) == 0b1000_0000;
    let skipped = bytes.iter().take(3).take_while(is_rest).count();
    let bytes = &bytes[skipped..];
    let text = match from_utf8(bytes) {
        Ok(text) => text,
        // What is cut at the end comes with the next piece.
        Err(error) => from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    let cut = text.char_indices().nth(CHARACTERS);
    let shown = cut.map_or(text, |(at, _)| &text[..at]);
    let is_cut = cut.is_some() || !is_end;
    match shown.rfind('\n') {
        Some(at) if is_cut && at > shown.len() / 2 => (skipped, shown[..=at].to_owned()),
        _ => (skipped, shown.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{CHARACTERS, start, window};

    #[test]
    fn a_place_counts_from_either_end() {
        for (from, expected) in [(0, 0), (7, 7), (99, 10), (-3, 7), (-99, 0), (i64::MIN, 0)] {
            assert_eq!(start(from, 10), expected, "{from}");
        }
    }

    #[test]
    fn a_window_holds_whole_characters_and_whole_lines() {
        let line = "üüü\n";
        let text = line.repeat(CHARACTERS);
        let (skipped, shown) = window(&text.as_bytes()[1..], false);
        assert_eq!(skipped, 1);
        assert!(shown.starts_with("üü\n") && shown.ends_with("ü\n"));
        assert!((CHARACTERS - 4..=CHARACTERS).contains(&shown.chars().count()));
        let (_, shown) = window(&text.as_bytes()[..9], false);
        assert_eq!(shown, "üüü\n");
        assert_eq!(window("a\nüb".as_bytes(), true), (0, "a\nüb".to_owned()));
        let endless = "x".repeat(CHARACTERS + 5);
        assert_eq!(window(endless.as_bytes(), true).1.len(), CHARACTERS);
    }
}
