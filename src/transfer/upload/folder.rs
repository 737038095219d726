//! Uploads a folder: small files in bundles, large ones singly, several requests concurrently. Files that the runtime has with the same size and
//! modification time are not sent again.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cap_std::fs::Dir;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::allowed::Source;
use super::bundle::{Bundle, place_in};
use super::error::{UploadError, UploadResult};
use super::file::is_timeout;
use super::push::Push;
use super::target::{Target, within};
use super::walk::{Found, MAX_ENTRIES, walk};
use crate::base::lock::Lock;
use crate::runtime::{ListQuery, Runtime};
use crate::transfer::disk::{blocking, changed_at};
use crate::transfer::trouble::{BODY_DELAY, USUAL_DELAY};
use crate::wire::files::{FileEntry, FileType};

/// Files in one bundle that the API accepts.
const MAX_BUNDLE_FILES: usize = 1_000;
/// Bytes of a file's line in a bundle, beside its name.
const LINE_BYTES: u64 = 200;
/// Entries of one page of a remote listing, and pages; files beyond these count as unknown and are sent.
const PAGE_SIZE: u64 = 1_000;
const MAX_PAGES: usize = 200;
/// Times have milliseconds, and some systems round them through a floating point number.
const MTIME_TOLERANCE: Duration = Duration::from_millis(1);

/// How a local file compares to the remote one of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    Same,
    Another,
}

enum Work {
    /// Small files, by their numbers.
    Bundle(Vec<usize>),
    File(usize),
}

/// One folder being uploaded.
struct Sending<'a> {
    push: &'a Push,
    folder: Arc<Dir>,
    path: PathBuf,
    remote: String,
    files: Arc<Vec<Found>>,
    there: Vec<There>,
    /// Boot id of the executor that reported `there`; none if unknown.
    boot_id: Option<String>,
    work: Lock<VecDeque<Work>>,
}

impl Push {
    /// Uploads a folder's content. Entries that cannot be uploaded are skipped and reported.
    pub(super) async fn folder(
        &self,
        source: &Source,
        folder: &Arc<Dir>,
        own_state: Option<&Path>,
        target: &Target,
        most: u64,
    ) -> UploadResult<()> {
        let path = source.path.clone();
        let (dir, own_state) = (folder.clone(), own_state.map(Path::to_owned));
        let (meter, stop) = (self.meter.clone(), self.stop.clone());
        let walked = blocking(move || {
            walk(&dir, own_state.as_deref(), &stop, |name, why| {
                meter.skip(name, why)
            })
        })
        .await
        .map_err(|error| UploadError::local(&path, error))?;
        let (size, count) = (walked.bytes(), walked.files.len());
        if walked.is_cut {
            let most = MAX_ENTRIES;
            return Err(UploadError::TooMany { path, most });
        }
        if size > most {
            let files = count as u64;
            return Err(UploadError::TooLarge {
                path,
                size,
                files,
                most,
            });
        }
        self.meter.change(|report| {
            report.size_bytes = Some(size);
            report.empty_folders = walked.empty_folders;
            report.hard_links = walked.hard_links;
        });
        let boot_id = self.connection.boot_id();
        let there = match target.there {
            Some(FileType::Directory) => self.compare(&target.path, &walked.files).await?,
            _ => vec![There::Nothing; count],
        };
        let files = Arc::new(walked.files);
        let is_plain = self.is_plain(&target.path).await?;
        let sending = Sending {
            push: self,
            folder: folder.clone(),
            path,
            remote: target.path.clone(),
            work: Lock::new(plan(
                &files,
                &there,
                (!is_plain).then_some(self.limits.small_bytes),
                self.limits.bundle_bytes,
            )),
            files,
            there,
            boot_id,
        };
        sending.all().await?;
        self.meter.change(|report| {
            report.size_bytes = Some(report.sent_bytes + report.already_there_bytes);
        });
        Ok(())
    }

    /// Compares these files with the remote folder's.
    async fn compare(&self, remote: &str, files: &[Found]) -> UploadResult<Vec<There>> {
        let mut there = vec![There::Nothing; files.len()];
        let numbers: HashMap<&str, usize> = files
            .iter()
            .enumerate()
            .map(|(number, file)| (file.name.as_str(), number))
            .collect();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let query = ListQuery {
                path: remote.to_owned(),
                name: None,
                recursive: true,
                limit: PAGE_SIZE,
                cursor,
            };
            let query = &query;
            let listed = self.ask(remote, USUAL_DELAY, |runtime| async move {
                runtime.list_files(query).await
            });
            let page = match listed.await {
                Ok(page) => page,
                // A mounted Drive can be too slow to list: sending every file is only slower.
                Err(error) if is_timeout(&error) => break,
                Err(error) => return Err(error),
            };
            for entry in page
                .entries
                .iter()
                .filter(|entry| entry.kind == FileType::File)
            {
                if let Some(&number) = numbers.get(entry.name.as_str()) {
                    there[number] = if is_same(&files[number], entry) {
                        There::Same
                    } else {
                        There::Another
                    };
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        for (file, _) in files
            .iter()
            .zip(&there)
            .filter(|(_, there)| **there == There::Same)
        {
            self.meter.change(|report| {
                report.already_there_bytes += file.stamp.size;
                report.files += 1;
            });
        }
        Ok(there)
    }
}

/// Whether an earlier upload sent this file: uploads set the modification time and the executable mode.
fn is_same(file: &Found, entry: &FileEntry) -> bool {
    let apart = |one: SystemTime, other: SystemTime| {
        one.duration_since(other)
            .or_else(|_| other.duration_since(one))
            .unwrap_or_default()
    };
    let times = file.stamp.modified.zip(changed_at(&entry.modified_at));
    let can_run = !file.stamp.is_executable || entry.executable != Some(false);
    file.stamp.size == entry.size
        && can_run
        && times.is_some_and(|(here, there)| apart(here, there) <= MTIME_TOLERANCE)
}

/// Plans the requests: files of up to `small` bytes in bundles in the order of their names, larger ones singly.
fn plan(files: &[Found], there: &[There], small: Option<u64>, most: u64) -> VecDeque<Work> {
    let mut work = VecDeque::new();
    let (mut bundle, mut bytes) = (Vec::new(), 0);
    for (number, file) in files.iter().enumerate() {
        if there.get(number) == Some(&There::Same) {
            continue;
        }
        if small.is_none_or(|small| file.stamp.size > small) {
            work.push_back(Work::File(number));
            continue;
        }
        let weight = file.stamp.size + file.name.len() as u64 + LINE_BYTES;
        if !bundle.is_empty() && (bytes + weight > most || bundle.len() == MAX_BUNDLE_FILES) {
            work.push_back(Work::Bundle(std::mem::take(&mut bundle)));
            bytes = 0;
        }
        bundle.push(number);
        bytes += weight;
    }
    if !bundle.is_empty() {
        work.push_back(Work::Bundle(bundle));
    }
    work
}

impl Sending<'_> {
    async fn all(&self) -> UploadResult<()> {
        let senders = (0..self.push.limits.files_at_once).map(|_| async {
            while let Some(work) = self.next() {
                match work {
                    Work::Bundle(numbers) => self.bundle(numbers).await?,
                    Work::File(number) => self.file(number).await?,
                }
                self.check_same_executor()?;
            }
            Ok(())
        });
        try_join_all(senders).await.map(drop)
    }

    /// Fails if another executor answers now: it may be on another machine without the files sent before.
    fn check_same_executor(&self) -> UploadResult<()> {
        match self.push.connection.boot_id() {
            now @ Some(_) if now != self.boot_id => Err(UploadError::Moved {
                remote: self.remote.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn next(&self) -> Option<Work> {
        self.work.lock().pop_front()
    }

    fn add(&self, work: Work) {
        self.work.lock().push_front(work);
    }

    async fn file(&self, number: usize) -> UploadResult<()> {
        let name = &self.files[number].name;
        let place = place_in(&self.folder, &self.path, name);
        match self.push.file(&place, &within(&self.remote, name)).await {
            Ok(sent) => {
                let replaced = self.there[number] == There::Another && !sent.was_there;
                self.count(0, replaced, sent.cannot_run);
                Ok(())
            }
            Err(error) => self.skip(name, error),
        }
    }

    async fn bundle(&self, numbers: Vec<usize>) -> UploadResult<()> {
        let turn = self.push.pace.turn().await;
        let (files, folder, path) = (self.files.clone(), self.folder.clone(), self.path.clone());
        let small = self.push.limits.small_bytes;
        let buffer = self.push.take_buffer();
        let bundle = blocking(move || {
            let place = |name: &str| place_in(&folder, &path, name);
            Bundle::read(&numbers, &files, place, small, buffer)
        })
        .await;
        for number in bundle.grown {
            self.add(Work::File(number));
        }
        for (number, error) in bundle.failed {
            self.skip(&self.files[number].name, error)?;
        }
        if bundle.files.is_empty() {
            return Ok(());
        }
        let (began, length) = (Instant::now(), bundle.bytes.len() as u64);
        let request = |runtime: Arc<dyn Runtime>| {
            let bytes = bundle.bytes.clone();
            async move { runtime.put_bundle(&self.remote, bytes).await }
        };
        let sent = self.push.ask(&self.remote, BODY_DELAY, request).await;
        self.push.recycle(bundle.bytes);
        let reply = match sent {
            Ok(reply) => reply,
            Err(error) if is_timeout(&error) && bundle.files.len() > 1 => {
                self.push.pace.timed_out(turn, length);
                let (one, other) = bundle.files.split_at(bundle.files.len() / 2);
                for half in [other, one] {
                    let numbers = half.iter().map(|(number, _)| *number);
                    self.add(Work::Bundle(numbers.collect()));
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.push.pace.completed(turn, length, began.elapsed());
        for &(number, _) in bundle.files.iter().skip(reply.files.len()) {
            // The reply does not mention it.
            self.add(Work::File(number));
        }
        for (&(number, bytes), written) in bundle.files.iter().zip(&reply.files) {
            match &written.code {
                None => {
                    let is_program = self.files[number].stamp.is_executable;
                    let cannot_run = is_program && written.executable != Some(true);
                    self.count(bytes, self.there[number] == There::Another, cannot_run);
                }
                Some(code) if code == "disk_full" => {
                    let detail = written.detail.clone().unwrap_or_default();
                    return Err(UploadError::RemoteFull { detail, free: None });
                }
                Some(code) => {
                    let reason = written.detail.as_ref().unwrap_or(code);
                    self.push.meter.skip(&self.files[number].name, reason);
                }
            }
        }
        Ok(())
    }

    /// Counts a file that has arrived.
    fn count(&self, sent: u64, replaced: bool, cannot_run: bool) {
        self.push.meter.change(|report| {
            report.sent_bytes += sent;
            report.files += 1;
            report.replaced += u64::from(replaced);
            report.not_executable += u64::from(cannot_run);
        });
    }

    fn skip(&self, name: &str, error: UploadError) -> UploadResult<()> {
        let reason = error.reason_to_skip().ok_or(error)?;
        self.push.meter.skip(name, reason);
        Ok(())
    }
}
