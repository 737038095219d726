//! Reads any part of a job's log, by bytes: from the machine that ran it or, if that is gone, from the local copy. `piece`: bytes of it.

mod piece;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::fs;
use tokio::time::Instant;

use super::Jobs;
use super::summary::Summary;
use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault as _;
use crate::base::ids::JobId;
use crate::base::text::{Room, Screen};
use crate::runtime::{RuntimeError, RuntimeResult};
use crate::wire::job::Job;
use crate::wire::state::JobState;
pub use piece::{Count, Piece, Source};
use piece::{read_copy, start};

/// Bytes of a log that are read for its last lines, for each line, and at least and at most.
const LINE_BYTES: u64 = 1024;
const MIN_TAIL_BYTES: u64 = 32 * 1024;
const MAX_TAIL_BYTES: u64 = 1024 * 1024;
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
#[derive(Debug, Default, Serialize)]
pub struct RangeFacts {
    pub success: bool,
    /// The job's state; none if only the local copy was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    pub job_id: String,
    /// While the job runs: the cursor behind its newest output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// When the time limit ends the code, if that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_in_sec: Option<u64>,
    /// The line that the call waited for, or false if it has not come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<Value>,
    /// Why the job did not succeed, if that was looked at as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Of a search: the lines found, and how many of them the text shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown_matches: Option<u64>,
    /// Where the text begins; a little after the requested byte if that is inside a character.
    pub from_byte: u64,
    /// Where to continue; none at the log's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_byte: Option<u64>,
    /// The log's current length.
    pub log_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Advice>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Advice>,
}

impl Jobs {
    /// Reads as much of a job's log as fits, from byte `from` on; negative counts from the end.
    ///
    /// # Errors
    /// When the runtime does not answer or does not know the job, and there is no local copy of its log.
    pub async fn read_log(
        &self,
        id: JobId,
        from: i64,
        room: Room,
        deadline: Instant,
    ) -> RuntimeResult<LogRange> {
        // A character has at most 4 bytes, and one may be cut at each end.
        let most = room.chars as u64 * 4 + 8;
        let count = |left: u64| left.min(most);
        let piece = self.log_piece(id, from, &count, deadline).await?;
        let mut range = LogRange::of(id, &piece, room);
        if u64::try_from(from).is_ok_and(|from| from > piece.log_bytes) {
            let bytes = piece.log_bytes;
            range.facts.hint = Some(
                format!("The log has {bytes} bytes so far: a negative from_byte reads its end.")
                    .into(),
            );
        }
        range.note_source(piece.source, self.keeper.log_path(id));
        Ok(range)
    }

    /// Reads the last lines of a job's log, not before byte `from`.
    ///
    /// # Errors
    /// As [`Jobs::read_log`].
    pub async fn read_tail(
        &self,
        id: JobId,
        lines: usize,
        from: u64,
        room: Room,
        deadline: Instant,
    ) -> RuntimeResult<LogRange> {
        let most = (lines as u64).saturating_mul(LINE_BYTES);
        let mut most = most.clamp(MIN_TAIL_BYTES, MAX_TAIL_BYTES);
        loop {
            let back = -i64::try_from(most).unwrap_or(i64::MAX);
            let piece = self.log_piece(id, back, &|left| left, deadline).await?;
            let (mut range, is_short) = LogRange::last_lines(id, &piece, lines, from, room);
            // The states of a progress bar make one line.
            if is_short && most < MAX_TAIL_BYTES {
                most = MAX_TAIL_BYTES;
                continue;
            }
            range.note_source(piece.source, self.keeper.log_path(id));
            return Ok(range);
        }
    }

    /// Reads the end of the local copy of a job's log in place of a machine that does not answer, or is gone.
    ///
    /// # Errors
    /// `error`, if there is no copy.
    pub async fn read_old_copy(
        &self,
        id: JobId,
        room: Room,
        error: RuntimeError,
    ) -> RuntimeResult<LogRange> {
        let path = self.keeper.log_path(id);
        let back = -i64::try_from(MAX_TAIL_BYTES).unwrap_or(i64::MAX);
        let Ok(piece) = read_copy(&path, back, &|left| left).await else {
            return Err(error);
        };
        let (mut range, _) = LogRange::last_lines(id, &piece, usize::MAX, 0, room);
        let hint = range.facts.hint.take().unwrap_or_default();
        range.facts.hint = Some(hint.then(error.remedy()));
        range.note_source(Source::OldCopy(error), path);
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
                    let job = Some(job);
                    return Ok(Piece { job, ..piece });
                }
                let fetched = self.fetch(id, from, count, job.log_bytes, deadline).await;
                match fetched {
                    Ok(piece) => {
                        let job = Some(job);
                        return Ok(Piece { job, ..piece });
                    }
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
            job: None,
            source: Source::Runtime,
        })
    }
}

impl LogRange {
    fn of(id: JobId, piece: &Piece, room: Room) -> Self {
        let (skipped, text) = piece.window(room);
        let from_byte = piece.from + skipped as u64;
        let next_byte = from_byte + text.len() as u64;
        let is_more = next_byte < piece.log_bytes && !text.is_empty();
        let next_byte = is_more.then_some(next_byte);
        let hint = next_byte.map(|_| {
            Advice::from("The log continues: call ")
                + Step::Output { job: None }
                + " with this job_id, and `next_byte` as `from_byte`."
        });
        Self {
            text: as_shown(&text),
            facts: RangeFacts {
                next_byte,
                hint,
                ..RangeFacts::of(id, from_byte, piece.log_bytes, piece.job.as_ref())
            },
            log: None,
        }
    }

    /// The last lines as a terminal shows them, and whether the piece has too few of them while the log has more.
    fn last_lines(id: JobId, piece: &Piece, lines: usize, from: u64, room: Room) -> (Self, bool) {
        let (skipped, text) = piece.text();
        let begin = piece.from + skipped as u64;
        let before = usize::try_from(from.saturating_sub(begin)).unwrap_or(usize::MAX);
        let before = before.min(text.len());
        let text = text.get(before..).unwrap_or_default();
        let shown = as_shown(text);
        let wanted = last_lines_start(&shown, lines);
        let mut start = shown.len() - room.tail(&shown).len();
        // Whole lines, if there are any.
        if start > 0
            && let Some(end) = shown[start..].find('\n')
            && start + end + 1 < shown.len()
        {
            start += end + 1;
        }
        let is_full = wanted.unwrap_or_default() < start;
        let is_short = !is_full && wanted.is_none() && begin > from;
        let start = start.max(wanted.unwrap_or_default());
        let count = shown[start..].lines().count();
        let is_whole_line = start == 0 || shown[..start].ends_with('\n');
        let from_byte = match is_whole_line {
            true => last_lines_start(text, count).unwrap_or_default(),
            false => text.len().saturating_sub(shown.len() - start),
        };
        let why = match (is_full, count) {
            (true, 1) => "There is room for the last line only. ".to_owned(),
            (true, _) => format!("There is room for the last {count} lines only. "),
            (false, _) => format!("Only the last {} bytes were read. ", piece.bytes.len()),
        };
        let hint = (is_full || is_short).then(|| {
            Advice::from(why).then("For what is before: call ")
                + Step::Output { job: None }
                + " with this job_id and a smaller from_byte."
        });
        let from_byte = begin + (before + from_byte) as u64;
        let range = Self {
            text: shown[start..].to_owned(),
            facts: RangeFacts {
                hint,
                ..RangeFacts::of(id, from_byte, piece.log_bytes, piece.job.as_ref())
            },
            log: None,
        };
        (range, is_short)
    }

    /// Names the local copy, if that was read.
    pub(super) fn note_source(&mut self, source: Source, copy: PathBuf) {
        if !matches!(source, Source::Runtime) {
            self.log = Some(copy);
        }
        if let Source::OldCopy(error) = source {
            let note = format!(
                "this was read from the local copy, which may lack the end: the machine does not answer ({error})"
            );
            self.facts.notes.push(note.into());
        }
    }

    /// Adds what following the job said.
    #[must_use]
    pub fn with(mut self, summary: &Summary) -> Self {
        let facts = &mut self.facts;
        (facts.state, facts.next) = (summary.state, summary.next);
        facts.ends_in_sec = summary.ends_in_sec;
        facts.matched.clone_from(&summary.matched);
        if summary.matched == Some(false.into()) {
            facts.hint.clone_from(&summary.hint);
        }
        facts.code.clone_from(&summary.code);
        facts.error.clone_from(&summary.error);
        self
    }
}

impl RangeFacts {
    pub(super) fn of(id: JobId, from_byte: u64, log_bytes: u64, job: Option<&Job>) -> Self {
        Self {
            success: true,
            state: job.map(|job| job.state),
            job_id: id.to_string(),
            next: job
                .filter(|job| !job.state.is_final())
                .map(|job| job.last_seq),
            from_byte,
            log_bytes,
            ..Self::default()
        }
    }
}

/// Where the last `lines` lines begin; none if there are no more than them.
fn last_lines_start(text: &str, lines: usize) -> Option<usize> {
    let ends = text.trim_end_matches('\n').rmatch_indices('\n');
    ends.map(|(at, _)| at + 1).nth(lines.saturating_sub(1))
}

/// The text as a terminal would show it.
pub(super) fn as_shown(text: &str) -> String {
    let mut screen = Screen::new(Room::for_chars(text.len()));
    screen.push(text);
    screen.finish().render()
}

#[cfg(test)]
mod tests {
    use super::LogRange;
    use super::piece::tests::piece;
    use crate::base::ids::JobId;
    use crate::base::text::Room;

    #[test]
    fn the_last_lines_are_whole_and_fit() {
        let log: String = (0..9).map(|n| format!("line {n}\n")).collect();
        let last = |lines: usize, from: u64, chars: usize| {
            let piece = piece(log.as_bytes(), 7, log.len());
            let (range, _) =
                LogRange::last_lines(JobId::fresh(), &piece, lines, from, Room::for_chars(chars));
            let at = usize::try_from(range.facts.from_byte).unwrap();
            assert_eq!(log[at..], range.text);
            (range.text.lines().count(), range.facts.hint.is_some())
        };
        for (lines, from, chars, shown) in [
            (2, 0, 99, (2, false)),
            (8, 7, 99, (8, false)),
            (9, 7, 99, (8, false)),
            (9, 0, 99, (8, true)),
            (9, 49, 99, (2, false)),
            (9, 99, 99, (0, false)),
            (3, 0, 15, (2, true)),
        ] {
            assert_eq!(last(lines, from, chars), shown, "{lines} {from} {chars}");
        }
    }
}
