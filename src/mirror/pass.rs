//! One pass of a mirror: what has changed is added to what is to be downloaded, and that is downloaded within the bounds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::time::Instant;

use super::error::MirrorError;
use super::note::Notes;
use super::pending::{Bounds, Pending, missing};
use super::running::Mirror;
use super::{Means, is_itself};
use crate::base::ids::JobId;
use crate::edge::allowance::NGROK_FREE_BYTES;
use crate::transfer::disk::blocking;
use crate::transfer::{MAX_BYTES, Skipped};
use crate::wire::files::FileChanges;

/// Left out of a tunnel's month, for other calls.
const MONTH_RESERVE: u64 = NGROK_FREE_BYTES / 10;

/// What stays the same between two looks.
#[derive(Default)]
pub(super) struct Course {
    pub(super) cursor: Option<String>,
    /// The cursor is an earlier mirror's, or of other bounds: what changed since is downloaded whatever it looks like, and then what is not here.
    pub(super) is_resumed: bool,
    pub(super) pending: Pending,
    pub(super) skipped: BTreeMap<String, String>,
    /// Whether there is such a folder.
    pub(super) exists: bool,
    /// The last job of the work that was known.
    pub(super) job: Option<JobId>,
}

impl Mirror {
    /// Adds what has changed to what is to be downloaded.
    pub(super) async fn take_in(
        &self,
        course: &mut Course,
        changes: FileChanges,
    ) -> Result<(), MirrorError> {
        let (path, target) = (PathBuf::from(&changes.path), self.local_path.clone());
        let (entries, is_whole) = (changes.entries, changes.is_whole);
        let (is_itself, entries) = blocking(move || {
            let is_itself = is_itself(&path, &target);
            let entries = match is_whole && !is_itself {
                true => missing(entries, &target),
                false => entries,
            };
            (is_itself, entries)
        })
        .await;
        if is_itself {
            return Err(MirrorError::Itself {
                remote: changes.path,
                path: self.local_path.clone(),
            });
        }
        course.pending.add(entries);
        let not_utf8 = changes.not_utf8.into_iter();
        course
            .skipped
            .extend(not_utf8.map(|name| (name, "its name is not UTF-8".to_owned())));
        course.exists = changes.exists;
        let was_resumed = course.is_resumed;
        course.is_resumed &= changes.more && !is_whole;
        let is_next = is_whole || course.is_resumed == was_resumed;
        course.cursor = is_next.then_some(changes.next);
        Ok(())
    }

    pub(super) async fn download(
        &self,
        course: &mut Course,
        means: &Means,
        notes: &Notes,
    ) -> Result<(), MirrorError> {
        if course.pending.is_empty() {
            return Ok(());
        }
        let (wanted, left_out) = course.pending.take(self.bounds(means).await);
        let skip = |skipped: Vec<Skipped>| skipped.into_iter().map(|one| (one.name, one.reason));
        course.skipped.extend(skip(left_out));
        if wanted.is_empty() {
            return Ok(());
        }
        let (waiting, began) = (wanted.clone(), Instant::now());
        let refreshing =
            means
                .downloads
                .refresh(&self.remote, wanted, &self.local_path, &self.stop);
        let (refreshed, result) = refreshing.await;
        for name in &refreshed.placed {
            course.skipped.remove(name);
        }
        let is_placed = |name: &String| refreshed.placed.contains(name);
        let is_unplaced = |name: &str| refreshed.unplaced.iter().any(|one| one.name == name);
        let is_left = |name: &String| !is_placed(name) && (result.is_err() || is_unplaced(name));
        course
            .pending
            .add(waiting.into_iter().filter(|entry| is_left(&entry.name)));
        let count = refreshed.placed.len() as u64;
        let took = began.elapsed();
        tracing::debug!(
            remote = self.remote,
            count,
            ?took,
            "files of a mirror were downloaded"
        );
        course.skipped.extend(skip(refreshed.skipped));
        course.skipped.extend(skip(refreshed.unplaced));
        let note = {
            let mut note = self.note.lock();
            note.received_bytes += refreshed.bytes;
            let is_complete = course.pending.is_empty() && course.skipped.is_empty();
            note.cursor = course.cursor.clone().filter(|_| is_complete);
            note.clone()
        };
        self.report.send_modify(|report| {
            report.files += count;
            report.received_bytes = note.received_bytes;
        });
        let notes = notes.clone();
        blocking(move || notes.write(&note)).await;
        Ok(result?)
    }

    async fn bounds(&self, means: &Means) -> Bounds {
        let note = self.note.lock().clone();
        let connection = means.connection.clone();
        let month = blocking(move || connection.ngrok_month_bytes()).await;
        let free = NGROK_FREE_BYTES - MONTH_RESERVE;
        Bounds {
            left: note
                .max_bytes
                .unwrap_or(MAX_BYTES)
                .saturating_sub(note.received_bytes),
            month: month
                .filter(|_| note.max_bytes.is_none())
                .map(|month| free.saturating_sub(month)),
        }
    }
}
