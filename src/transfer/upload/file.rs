//! Uploads one file: computes its SHA-256, sends the missing pieces, then has it renamed.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::error::{UploadError, UploadResult};
use super::local::{LocalFile, Place};
use super::push::Push;
use super::tally::Tally;
use super::target::Target;
use crate::base::lock::Lock;
use crate::runtime::{Runtime, RuntimeError};
use crate::transfer::disk::blocking;
use crate::transfer::running::Failure;
use crate::transfer::trouble::{BODY_DELAY, DIGEST_DELAY};
use crate::wire::files::{FileType, Upload, UploadKey, UploadState};

/// Restarts for a file that is being written to while it is read.
const MAX_CHANGES: u32 = 3;
/// Attempts with an executor that loses received pieces, for example with its machine.
const MAX_ROUNDS: u32 = 5;
/// Interval between requests for a digest that the executor is computing.
const DIGEST_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The executor reads some 500 MB/s: enough for the largest disk of a runtime.
const DIGEST_TIMEOUT: Duration = Duration::from_secs(1800);

/// A file that has arrived.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) sha256: String,
    /// It was already complete on the runtime.
    pub(super) was_there: bool,
    /// It is executable here and not on the runtime.
    pub(super) cannot_run: bool,
}

/// The result of a request to finish an upload.
enum Finish {
    Complete { can_run: bool },
    Checking,
    Incomplete,
    Damaged,
}

impl Push {
    /// Uploads a single file.
    pub(super) async fn single(
        &self,
        place: &Place,
        target: &Target,
        most: u64,
    ) -> UploadResult<()> {
        let size = open(place).await?.stamp.size;
        self.meter.change(|report| report.size_bytes = Some(size));
        if size > most {
            return Err(UploadError::TooLarge {
                path: place.path.clone(),
                size,
                files: 1,
                most,
            });
        }
        let sent = self.file(place, &target.path).await?;
        let was_another = target.there == Some(FileType::File) && !sent.was_there;
        self.meter.change(|report| {
            report.size_bytes = Some(report.sent_bytes + report.already_there_bytes);
            report.sha256 = Some(sent.sha256);
            report.files = 1;
            report.not_executable = u64::from(sent.cannot_run);
            report.replaced = u64::from(was_another);
        });
        Ok(())
    }

    /// Uploads a file to a remote path, and starts over if it changes meanwhile.
    pub(super) async fn file(&self, place: &Place, remote: &str) -> UploadResult<Sent> {
        let (mut changes, mut damages) = (0, 0);
        loop {
            let file = Arc::new(open(place).await?);
            let tally = Tally::new(&self.meter);
            let error = match self.once(&file, remote, &tally).await {
                Ok(sent) => return Ok(sent),
                Err(error) => error,
            };
            tally.take_back();
            if matches!(error, UploadError::Changed { .. }) && changes < MAX_CHANGES {
                changes += 1;
            } else if matches!(error, UploadError::Damaged { .. }) && damages == 0 {
                damages += 1;
            } else {
                return Err(error);
            }
        }
    }

    async fn once(
        &self,
        file: &Arc<LocalFile>,
        remote: &str,
        tally: &Tally<'_>,
    ) -> UploadResult<Sent> {
        let sha256 = self.digest(file).await?;
        let key = UploadKey {
            path: remote.to_owned(),
            size: file.stamp.size,
            sha256,
        };
        let must_run = file.stamp.is_executable;
        for round in 0..MAX_ROUNDS {
            let upload = self.state(&key).await?;
            let is_complete = upload.state == UploadState::Complete;
            let was_there = is_complete && round == 0;
            if is_complete && (!must_run || upload.executable == Some(true)) {
                tally.there(key.size);
                return Ok(Sent {
                    sha256: key.sha256,
                    was_there,
                    cannot_run: false,
                });
            }
            let missing = Missing::of(&upload, key.size);
            tally.there(key.size - missing.bytes());
            self.pieces(file, &key, &missing, tally).await?;
            check(file).await?;
            match self.finish(&key, file).await? {
                Finish::Complete { can_run } => {
                    return Ok(Sent {
                        sha256: key.sha256,
                        was_there,
                        cannot_run: must_run && !can_run,
                    });
                }
                Finish::Damaged => {
                    return Err(UploadError::Damaged {
                        remote: remote.to_owned(),
                    });
                }
                Finish::Incomplete | Finish::Checking => {}
            }
        }
        Err(UploadError::Lost {
            remote: remote.to_owned(),
        })
    }

    async fn digest(&self, file: &Arc<LocalFile>) -> UploadResult<String> {
        let (file, stop, meter) = (file.clone(), self.stop.clone(), self.meter.clone());
        blocking(move || {
            file.sha256(&stop, |bytes| {
                meter.change(|report| report.read_bytes = bytes)
            })
        })
        .await
    }

    /// Waits until the executor has checked the existing file, and returns the upload's state.
    async fn state(&self, key: &UploadKey) -> UploadResult<Upload> {
        let end = Instant::now() + DIGEST_TIMEOUT;
        loop {
            let asked = self.ask(&key.path, DIGEST_DELAY, |runtime| async move {
                runtime.upload(key).await
            });
            let upload = asked.await?;
            if upload.state != UploadState::Checking {
                return Ok(upload);
            }
            self.pause_polling(key, end).await?;
        }
    }

    /// Sends the missing pieces, concurrently unless the runtime takes them in order alone.
    async fn pieces(
        &self,
        file: &Arc<LocalFile>,
        key: &UploadKey,
        missing: &Missing,
        tally: &Tally<'_>,
    ) -> UploadResult<()> {
        let streams = match self.is_plain(&key.path).await? {
            true => 1,
            false => self.limits.most_streams,
        };
        let senders = (0..streams).map(|_| async {
            loop {
                let turn = self.pace.turn().await;
                let Some(range) = missing.take(self.pace.piece_bytes()) else {
                    return Ok(());
                };
                let (length, offset) = (range.end - range.start, range.start);
                let (from, wanted, buffer) = (file.clone(), range.clone(), self.take_buffer());
                let bytes = blocking(move || from.read(&wanted, buffer)).await?;
                let began = Instant::now();
                let request = |runtime: Arc<dyn Runtime>| {
                    let bytes = bytes.clone();
                    async move { runtime.upload_piece(key, offset, bytes).await }
                };
                let sent = self.ask(&key.path, BODY_DELAY, request).await;
                self.recycle(bytes);
                match sent {
                    Ok(_) => {
                        tally.sent(length);
                        self.pace.completed(turn, length, began.elapsed());
                    }
                    Err(error) if !is_timeout(&error) => return Err(error),
                    Err(error) => {
                        if !self.pace.timed_out(turn, length) {
                            return Err(error);
                        }
                        missing.give_back(range);
                    }
                }
            }
        });
        try_join_all(senders).await.map(drop)
    }

    /// Requests the check and the rename.
    async fn finish(&self, key: &UploadKey, file: &LocalFile) -> UploadResult<Finish> {
        let (modified_at, must_run) = (file.modified_at(), file.stamp.is_executable);
        let modified_at = modified_at.as_deref();
        let end = Instant::now() + DIGEST_TIMEOUT;
        loop {
            let request = |runtime: Arc<dyn Runtime>| async move {
                let finished = runtime.finish_upload(key, modified_at, must_run, None);
                match finished.await {
                    Ok(upload) => Ok(match upload.state {
                        UploadState::Complete => Finish::Complete {
                            can_run: upload.executable == Some(true),
                        },
                        UploadState::Checking => Finish::Checking,
                        UploadState::Open => Finish::Incomplete,
                    }),
                    // Its pieces have to be sent again, not only this request.
                    Err(RuntimeError::Refused(problem)) if problem.code == "damaged" => {
                        Ok(Finish::Damaged)
                    }
                    Err(RuntimeError::Refused(problem)) if problem.code == "incomplete" => {
                        Ok(Finish::Incomplete)
                    }
                    Err(error) => Err(error),
                }
            };
            match self.ask(&key.path, DIGEST_DELAY, request).await? {
                Finish::Checking => self.pause_polling(key, end).await?,
                end @ (Finish::Complete { .. } | Finish::Incomplete | Finish::Damaged) => {
                    return Ok(end);
                }
            }
        }
    }

    async fn pause_polling(&self, key: &UploadKey, end: Instant) -> UploadResult<()> {
        if Instant::now() > end {
            let url = self.connection.place().unwrap_or_default();
            return Err(UploadError::runtime(
                &key.path,
                RuntimeError::TimedOut { url },
            ));
        }
        sleep(DIGEST_POLL_INTERVAL).await;
        Ok(())
    }
}

pub(super) fn is_timeout(error: &UploadError) -> bool {
    matches!(error, UploadError::Runtime { source, .. } if matches!(**source, RuntimeError::TimedOut { .. }))
}

async fn open(place: &Place) -> UploadResult<LocalFile> {
    let place = place.clone();
    blocking(move || place.open()).await
}

async fn check(file: &Arc<LocalFile>) -> UploadResult<()> {
    let file = file.clone();
    blocking(move || file.check_unchanged()).await
}

/// Ranges of a file that have not arrived yet, in order.
#[derive(Debug)]
struct Missing(Lock<Vec<Range<u64>>>);

impl Missing {
    fn of(upload: &Upload, size: u64) -> Self {
        let mut gaps = Vec::new();
        let mut at = 0;
        for &(from, to) in &upload.received {
            if from > at {
                gaps.push(at..from.min(size));
            }
            at = at.max(to);
        }
        if at < size {
            gaps.push(at..size);
        }
        // Taken from the end.
        gaps.reverse();
        Self(Lock::new(gaps))
    }

    /// Takes the next piece, of at most `most` bytes.
    fn take(&self, most: u64) -> Option<Range<u64>> {
        let mut gaps = self.lock();
        let gap = gaps.last_mut()?;
        let end = gap.end.min(gap.start + most.max(1));
        let piece = gap.start..end;
        gap.start = end;
        if gap.is_empty() {
            gaps.pop();
        }
        Some(piece)
    }

    fn give_back(&self, piece: Range<u64>) {
        self.lock().push(piece);
    }

    fn bytes(&self) -> u64 {
        self.lock().iter().map(|gap| gap.end - gap.start).sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Range<u64>>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Missing, Upload, UploadKey, UploadState};

    fn upload(size: u64, received: Vec<(u64, u64)>) -> Upload {
        let (path, sha256) = (String::new(), String::new());
        Upload {
            key: UploadKey { path, size, sha256 },
            state: UploadState::Open,
            received,
            executable: None,
        }
    }

    proptest! {
        /// Whatever ranges the executor reports, these and the pieces cover the file exactly once.
        #[test]
        fn pieces_fill_the_gaps(size in 0_u64..500, mut ends in prop::collection::vec(0_u64..500, 0..8), most in 1_u64..100) {
            ends.iter_mut().for_each(|end| *end = (*end).min(size));
            ends.sort_unstable();
            let received: Vec<_> = ends.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
            let missing = Missing::of(&upload(size, received.clone()), size);
            let mut times = vec![0; size as usize];
            for (from, to) in received {
                times[from as usize..to as usize].fill(1);
            }
            prop_assert_eq!(missing.bytes() as usize, times.iter().filter(|count| **count == 0).count());
            while let Some(piece) = missing.take(most) {
                prop_assert!(piece.end - piece.start <= most && !piece.is_empty());
                times[piece.start as usize..piece.end as usize].iter_mut().for_each(|count| *count += 1);
            }
            prop_assert!(times.iter().all(|count| *count == 1));
        }
    }
}
