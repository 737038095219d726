//! A job on disk: its request, its events and its output, in a folder of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::edge::store::write_quickly;
use crate::wire::event::{Event, EventKind, Finished};
use crate::wire::job::{EventPage, Job, JobRequest};
use crate::wire::state::{JobState, Reason};

/// How long a job that has ended is kept.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(30 * 24);
const REQUEST: &str = "request.json";
const JOB: &str = "job.json";
const EVENTS: &str = "events.jsonl";
const LOG: &str = "log.txt";

/// A job, and what it has shown. Each change is on the disk before a reader sees it.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    pub(super) request: JobRequest,
    state: Lock<State>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    job: Job,
    /// Where each event begins in its file, and where the last one ends.
    offsets: Vec<u64>,
    events: File,
    log: File,
    ends_line: bool,
    blobs: u64,
}

impl Journal {
    /// Begins the journal of a new job.
    pub(super) fn create(folder: PathBuf, job: Job, request: JobRequest) -> io::Result<Self> {
        create_private(&folder)?;
        write_quickly(&folder.join(REQUEST), &serde_json::to_vec(&request)?)?;
        let journal = Self::open(folder, job, request)?;
        journal.save(&journal.job())?;
        Ok(journal)
    }

    /// Opens the journal of an earlier process.
    pub(super) fn load(folder: PathBuf) -> io::Result<Self> {
        let request = serde_json::from_slice(&fs::read(folder.join(REQUEST))?)?;
        let job = serde_json::from_slice(&fs::read(folder.join(JOB))?)?;
        Self::open(folder, job, request)
    }

    fn open(folder: PathBuf, mut job: Job, request: JobRequest) -> io::Result<Self> {
        let file = |name: &str| {
            let mut options = File::options();
            options.create(true).append(true).read(true);
            options.open(folder.join(name))
        };
        let (events, log) = (file(EVENTS)?, file(LOG)?);
        let mut offsets = vec![0];
        let mut lines = BufReader::new(&events);
        let (mut line, mut at) = (Vec::new(), 0);
        while lines.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            at += line.len() as u64;
            offsets.push(at);
            line.clear();
        }
        // A line that was written in part has been shown to nobody.
        if events.metadata()?.len() != at {
            let writable = File::options().write(true).open(folder.join(EVENTS))?;
            writable.set_len(at)?;
        }
        job.last_seq = offsets.len() as u64 - 1;
        job.log_bytes = log.metadata()?.len();
        let blobs = fs::read_dir(&folder)?
            .flatten()
            .filter(|file| file.file_name().to_string_lossy().starts_with("blob-"));
        let blobs = blobs.count() as u64;
        Ok(Self {
            state: Lock::new(State {
                job,
                offsets,
                events,
                log,
                ends_line: true,
                blobs,
            }),
            folder,
            request,
            changes: watch::Sender::new(0),
        })
    }

    pub(super) fn id(&self) -> JobId {
        self.state.lock().job.id
    }

    pub(super) fn job(&self) -> Job {
        let mut job = self.state.lock().job.clone();
        if let (false, Some(Ok(started))) = (
            job.state.is_final(),
            job.started_at.as_deref().map(str::parse::<Timestamp>),
        ) {
            let elapsed = Timestamp::now().duration_since(started);
            job.execution_time_sec = Some(elapsed.as_secs_f64());
        }
        job
    }

    fn is_old(&self) -> bool {
        let ended = self.state.lock().job.finished_at.clone();
        let ended = ended.and_then(|at| at.parse::<Timestamp>().ok());
        ended.is_some_and(|at| Timestamp::now().duration_since(at) > MAX_AGE)
    }

    /// Notified of every change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Changes the job's description.
    pub(super) fn update(&self, change: impl FnOnce(&mut Job)) -> io::Result<()> {
        let mut state = self.state.lock();
        change(&mut state.job);
        let saved = self.save(&state.job);
        drop(state);
        self.changes.send_modify(|count| *count += 1);
        saved
    }

    fn save(&self, job: &Job) -> io::Result<()> {
        write_quickly(&self.folder.join(JOB), &serde_json::to_vec(job)?)
    }

    /// Appends an event, and its text to the log; `own_line`: not in the line of what was printed before.
    pub(super) fn append(
        &self,
        kind: EventKind,
        text: Option<&str>,
        own_line: bool,
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        let mut log_at = None;
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let text = match own_line {
                true if state.ends_line => format!("{text}\n"),
                true => format!("\n{text}\n"),
                false => text.to_owned(),
            };
            log_at = Some(state.job.log_bytes);
            state.log.write_all(text.as_bytes())?;
            state.job.log_bytes += text.len() as u64;
            state.ends_line = text.ends_with('\n');
        }
        let event = Event {
            seq: state.job.last_seq + 1,
            at: Timestamp::now().to_string(),
            widget: None,
            log_at,
            kind,
        };
        let mut line = serde_json::to_vec(&event)?;
        line.push(b'\n');
        state.events.write_all(&line)?;
        let end = state.offsets.last().copied().unwrap_or_default() + line.len() as u64;
        state.offsets.push(end);
        state.job.last_seq += 1;
        drop(state);
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Returns a bundle of values with its binary ones in files of their own.
    pub(super) fn keep_binary(&self, data: &Map<String, Value>) -> io::Result<Map<String, Value>> {
        let mut kept = Map::new();
        for (mime, value) in data {
            let is_binary = ["image/", "audio/", "video/", "application/pdf"]
                .iter()
                .any(|kind| mime.starts_with(kind))
                && !mime.ends_with("+xml");
            let text: String = value
                .as_str()
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            let value = match BASE64_STANDARD.decode(text) {
                Ok(bytes) if is_binary => {
                    let mut state = self.state.lock();
                    state.blobs += 1;
                    let number = state.blobs;
                    drop(state);
                    fs::write(self.blob_path(number), &bytes)?;
                    json!({"blob": number, "bytes": bytes.len()})
                }
                Ok(_) | Err(_) => value.clone(),
            };
            kept.insert(mime.clone(), value);
        }
        Ok(kept)
    }

    /// Ends the job; only the first end counts.
    pub(super) fn finish(
        &self,
        end: JobState,
        reason: Option<Reason>,
        variables_lost: bool,
    ) -> io::Result<()> {
        let job = self.job();
        if job.state.is_final() {
            return Ok(());
        }
        let time = job.execution_time_sec;
        let finished = Finished {
            state: end,
            reason,
            execution_time_sec: time,
            variables_lost,
            exit_code: None,
            reruns: None,
            memory_before_gb: None,
            memory_after_gb: None,
            memory_delta_mb: None,
            warning: None,
            packages: BTreeMap::new(),
        };
        let appended = self.append(EventKind::Finished(finished), None, false);
        self.update(|job| {
            job.state = end;
            job.reason = reason;
            job.variables_lost = variables_lost;
            job.execution_time_sec = time;
            job.finished_at = Some(Timestamp::now().to_string());
            job.log_bytes_at_end = Some(job.log_bytes);
        })?;
        appended
    }

    /// The events after `after`, at least one if there is any, else about `max_bytes` of them.
    pub(super) fn page(&self, after: u64, max_bytes: u64) -> io::Result<EventPage> {
        let job = self.job();
        let state = self.state.lock();
        let offsets = &state.offsets;
        let last = offsets.len() - 1;
        let from = usize::try_from(after).unwrap_or(last).min(last);
        let start = offsets[from];
        let mut to = from;
        while to < last && (to == from || offsets[to + 1] - start <= max_bytes) {
            to += 1;
        }
        let end = offsets[to];
        drop(state);
        let mut file = File::open(self.folder.join(EVENTS))?;
        file.seek(SeekFrom::Start(start))?;
        let lines = BufReader::new(file.take(end - start)).lines();
        let events = lines.map(|line| Ok(serde_json::from_str(&line?)?));
        Ok(EventPage {
            job,
            events: events.collect::<io::Result<_>>()?,
            next: to as u64,
            more: to != last,
        })
    }

    /// The output from byte `from` on.
    pub(super) fn log(&self, from: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.folder.join(LOG))?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A binary output.
    pub(super) fn blob(&self, number: u64) -> io::Result<Vec<u8>> {
        fs::read(self.blob_path(number))
    }

    fn blob_path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("blob-{number}"))
    }
}

/// Creates a folder that this user alone can enter: it will hold code and output.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Loads the journals in the folders below `folder`, and removes those that ended long ago. One that cannot be read is logged and left out.
pub(super) fn load_all(folder: &Path) -> Vec<Journal> {
    let mut loaded = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match Journal::load(entry.path()) {
            Ok(journal) if journal.is_old() => {
                let _ = fs::remove_dir_all(entry.path());
            }
            Ok(journal) => loaded.push(journal),
            Err(error) => tracing::warn!("{}: {error}", entry.path().display()),
        }
    }
    loaded
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use serde_json::json;

    use super::{EVENTS, Journal, load_all};
    use crate::base::ids::JobId;
    use crate::wire::event::{EventKind, StreamName};
    use crate::wire::state::JobState;

    #[test]
    fn a_journal_is_read_in_pages_and_a_line_that_was_written_in_part_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let id = JobId::fresh();
        let job = json!({"id": id, "session": "main", "state": "running", "timeout_sec": 300, "created_at": "", "last_seq": 0, "log_bytes": 0});
        let request = json!({"code": "1", "session": "main", "timeout_sec": 300});
        let here = folder.path().join(id.to_string());
        let job = serde_json::from_value(job).unwrap();
        let request = serde_json::from_value(request).unwrap();
        let journal = Journal::create(here.clone(), job, request).unwrap();
        for text in ["one", "two\n"] {
            let stream = EventKind::Stream {
                name: StreamName::Stdout,
                text: text.to_owned(),
            };
            journal.append(stream, Some(text), false).unwrap();
        }
        drop(journal);
        let mut events = File::options()
            .append(true)
            .open(here.join(EVENTS))
            .unwrap();
        events.write_all(b"{\"seq\": 3, \"ty").unwrap();

        let [journal] = <[Journal; 1]>::try_from(load_all(folder.path())).unwrap();
        journal.finish(JobState::Lost, None, false).unwrap();
        journal.finish(JobState::Succeeded, None, false).unwrap();
        let (first, rest) = (
            journal.page(0, 1).unwrap(),
            journal.page(1, 10_000).unwrap(),
        );
        assert_eq!((first.next, first.more, first.events.len()), (1, true, 1));
        let seqs: Vec<_> = rest.events.iter().map(|event| event.seq).collect();
        assert_eq!((rest.next, rest.more, seqs), (3, false, vec![2, 3]));
        assert_eq!(rest.job.state, JobState::Lost);
        assert_eq!(rest.events[0].log_at, Some(3));
        assert_eq!(journal.log(3).unwrap(), b"two\n");
    }
}
