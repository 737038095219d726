//! Searches a job's log line by line, in bounded memory: the one of the machine that ran it or, if that is gone, the local copy.

mod scan;

use std::io::SeekFrom;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::{Instant, timeout_at};

use super::Jobs;
use super::range::{LogRange, Piece, RangeFacts, Source};
use crate::base::advice::{Advice, Step};
use crate::base::ids::JobId;
use crate::base::text::{Pattern, Room};
use crate::runtime::{Code, RuntimeResult};
use scan::Scan;

/// How long one call searches; the next one continues.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of the local copy that are read at a time.
const READ_BYTES: usize = 64 * 1024;

/// What to search for.
#[derive(Debug, Clone)]
pub struct Search {
    pub pattern: Pattern,
    /// Lines shown before and after each one found.
    pub context: usize,
    /// Show at most so many, the last ones; otherwise the first ones.
    pub newest: Option<usize>,
}

impl Jobs {
    /// Searches a job's log from byte `from` on; negative counts from the end. Each line of the text begins with its offset in the log, and
    /// `:` for one found, `-` for one around it.
    ///
    /// # Errors
    /// When the runtime does not answer or does not know the job, and there is no local copy of its log.
    pub async fn search_log(
        &self,
        id: JobId,
        search: &Search,
        from: i64,
        room: Room,
        deadline: Instant,
    ) -> RuntimeResult<LogRange> {
        let start = self.log_piece(id, from, &|_| 0, deadline).await?;
        let until = deadline.min(Instant::now() + SEARCH_TIMEOUT);
        let mut scan = Scan::new(search, room, start.from);
        let read = match &start.source {
            Source::Runtime => {
                let scanning = self.scan_log(id, &mut scan, start.from, until);
                scanning.await.map_err(|error| error.to_string())
            }
            Source::Copy | Source::OldCopy(_) => {
                let scanning = self.scan_copy(id, &mut scan, start.from, until);
                scanning.await.map_err(|error| error.to_string())
            }
        };
        let is_all = matches!(read, Ok(true));
        let mut range = found(id, &start, scan, is_all);
        range.note_source(start.source, self.keeper.log_path(id));
        if let Err(error) = read {
            let note = format!("the log was not read to its end: {error}");
            range.facts.notes.push(note.into());
        }
        Ok(range)
    }

    /// Whether the end was reached.
    async fn scan_log(
        &self,
        id: JobId,
        scan: &mut Scan<'_>,
        from: u64,
        until: Instant,
    ) -> RuntimeResult<bool> {
        let mut stream = self.connection.until(until).log(id, from).await?;
        while let Ok(piece) = timeout_at(until, stream.next()).await {
            match piece {
                Some(piece) => scan.push(&piece?),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    async fn scan_copy(
        &self,
        id: JobId,
        scan: &mut Scan<'_>,
        from: u64,
        until: Instant,
    ) -> std::io::Result<bool> {
        let mut file = File::open(self.keeper.log_path(id)).await?;
        file.seek(SeekFrom::Start(from)).await?;
        let mut bytes = vec![0; READ_BYTES];
        while Instant::now() < until {
            match file.read(&mut bytes).await? {
                0 => return Ok(true),
                count => scan.push(&bytes[..count]),
            }
        }
        Ok(false)
    }
}

fn found(id: JobId, start: &Piece, scan: Scan<'_>, is_all: bool) -> LogRange {
    let found = scan.finish(is_all);
    let read = start.log_bytes.max(found.end);
    let facts = RangeFacts::of(id, start.from, read, start.job.as_ref());
    let again = |why: String| {
        Advice::from(why)
            + "call "
            + Step::Output { job: None }
            + " with the same arguments, and `next_byte` as `from_byte`."
    };
    let next_byte = found.next.or((!is_all).then_some(found.end));
    let hint = match (found.matches, found.next) {
        (_, Some(_)) => Some(again(format!(
            "There is room for the first {} only: for the next ones, ",
            lines(found.shown)
        ))),
        _ if !is_all => Some(again(format!(
            "The log was searched up to byte {}: to go on, ",
            found.end
        ))),
        (0, None) => {
            Some("No line matches. Case matters, unless the pattern begins with (?i).".into())
        }
        (_, None) => None,
    };
    LogRange {
        text: found.text,
        facts: RangeFacts {
            matches: Some(found.matches),
            shown_matches: (found.shown < found.matches).then_some(found.shown),
            next_byte,
            hint,
            ..facts
        },
        log: None,
    }
}

fn lines(count: u64) -> String {
    match count {
        1 => "line".to_owned(),
        count => format!("{count} lines"),
    }
}
