//! Uploads one file: sends the missing pieces, computes its digest meanwhile, then has it checked and renamed.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};

use super::error::{UploadError, UploadResult};
use super::local::{LocalFile, Place};
use super::missing::Missing;
use super::push::Push;
use super::tally::Tally;
use super::target::Target;
use crate::base::lock::Lock;
use crate::runtime::{ByteStream, Runtime, RuntimeError};
use crate::transfer::disk::blocking;
use crate::transfer::running::Failure;
use crate::transfer::trouble::{BODY_DELAY, DIGEST_DELAY, USUAL_DELAY};
use crate::wire::files::{Algorithm, Content, Digest, FileType, Upload, UploadKey, UploadState};

/// Restarts for a file that is being written to while it is read.
const MAX_CHANGES: u32 = 3;
/// Attempts with an executor that loses received pieces, for example with its machine.
const MAX_ROUNDS: u32 = 5;
/// Interval between requests for a digest that the executor is computing.
const DIGEST_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The executor reads some 500 MB/s: enough for the largest disk of a runtime.
const DIGEST_TIMEOUT: Duration = Duration::from_secs(1800);

/// Bytes of a piece that are read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Why a piece could not be read while it was sent.
type Unread = Lock<Option<UploadError>>;

/// A file that has arrived.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) digest: Digest,
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
            report.digests = sent.digest.into();
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
        let fastest = self.ask(remote, USUAL_DELAY, |runtime| async move {
            Ok(runtime.fastest_digest())
        });
        let fastest = fastest.await?;
        let algorithm = fastest.unwrap_or(Algorithm::Sha256);
        let mut digest = match fastest {
            Some(_) => None,
            None => Some(self.digest(file, algorithm).await?),
        };
        let key = |digest: &Option<Digest>| UploadKey {
            path: remote.to_owned(),
            size: file.stamp.size,
            content: match (fastest, digest) {
                (None, Some(digest)) => Content::Sha256(digest.value.clone()),
                (_, digest) => Content::Named {
                    id: file.id(),
                    digest: digest.clone(),
                },
            },
        };
        let must_run = file.stamp.is_executable;
        for round in 0..MAX_ROUNDS {
            let mut upload = self.state(&key(&digest)).await?;
            if upload.state == UploadState::Similar {
                digest = Some(self.digest(file, algorithm).await?);
                upload = self.state(&key(&digest)).await?;
            }
            let is_complete = upload.state == UploadState::Complete;
            let was_there = is_complete && round == 0;
            if is_complete
                && (!must_run || upload.executable == Some(true))
                && let Some(digest) = &digest
            {
                tally.there(file.stamp.size);
                return Ok(Sent {
                    digest: digest.clone(),
                    was_there,
                    cannot_run: false,
                });
            }
            let missing = Missing::of(&upload, file.stamp.size);
            tally.there(file.stamp.size - missing.bytes());
            let sent_as = key(&digest);
            let sending = self.pieces(file, &sent_as, &missing, tally);
            let sent = async {
                let known = match digest {
                    Some(known) => sending.await.map(|()| known)?,
                    None => tokio::try_join!(self.digest(file, algorithm), sending)?.0,
                };
                check(file).await.map(|()| known)
            };
            let sent = sent.await;
            if matches!(sent, Err(UploadError::Changed { .. })) {
                self.discard(&sent_as).await;
            }
            let known = sent?;
            digest = Some(known.clone());
            match self.finish(&key(&digest), file).await? {
                Finish::Complete { can_run } => {
                    return Ok(Sent {
                        digest: known,
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

    /// Removes what has arrived of bytes that the file no longer has: they are never completed. If this fails, the executor does so later.
    async fn discard(&self, key: &UploadKey) {
        let asked = self.ask(&key.path, USUAL_DELAY, |runtime| async move {
            runtime.discard_upload(key).await
        });
        if let Err(error) = asked.await {
            tracing::debug!("part of {} stays on the runtime: {error}", key.path);
        }
    }

    /// Computes the file's digest; ends early when it is dropped.
    async fn digest(&self, file: &Arc<LocalFile>, algorithm: Algorithm) -> UploadResult<Digest> {
        let (file, stop, meter) = (file.clone(), self.stop.child_token(), self.meter.clone());
        let _ends_with_this = stop.clone().drop_guard();
        blocking(move || {
            file.digest(algorithm, &stop, |bytes| {
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
                let unread = Arc::new(Lock::default());
                let began = Instant::now();
                let request = |runtime: Arc<dyn Runtime>| {
                    let (bytes, unread) = (stream(file, range.clone(), &unread), unread.clone());
                    async move {
                        let sent = runtime.upload_stream(key, offset, length, bytes).await;
                        match &*unread.lock() {
                            None => sent,
                            // Not the network's fault: sending it again is of no use.
                            Some(_) => Err(RuntimeError::Changed {
                                path: key.path.clone(),
                            }),
                        }
                    }
                };
                let sent = self.ask(&key.path, BODY_DELAY, request).await;
                if let Some(error) = unread.lock().take() {
                    return Err(error);
                }
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
                        UploadState::Open | UploadState::Similar => Finish::Incomplete,
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

/// A part of a file, read as it is sent: whole pieces would take the most memory of all that this program holds.
fn stream(file: &Arc<LocalFile>, part: Range<u64>, unread: &Arc<Unread>) -> ByteStream {
    let (file, unread) = (file.clone(), unread.clone());
    let chunks = stream::try_unfold(part, move |mut left| {
        let (file, unread) = (file.clone(), unread.clone());
        async move {
            if left.is_empty() {
                return Ok(None);
            }
            let next = left.start..left.end.min(left.start + CHUNK_BYTES as u64);
            left.start = next.end;
            // From here: the heaps of the threads that wait for the disk would keep theirs.
            let buffer = BytesMut::with_capacity(CHUNK_BYTES);
            match blocking(move || file.read(&next, buffer)).await {
                Ok(bytes) => Ok(Some((bytes, left))),
                Err(error) => {
                    let path = error.to_string();
                    *unread.lock() = Some(error);
                    Err(RuntimeError::Changed { path })
                }
            }
        }
    });
    chunks.boxed()
}
