//! Records the jobs sent from this computer in one small file each, so that after a bridge was killed the next one knows where its jobs are. The
//! output itself is kept by the executor.
//!
//! The last readable line of a file counts: appending one costs a hundredth of a new file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::base::ids::JobId;
use crate::edge::store::{read_if_there, remove_if_there, write_quickly};
use crate::wire::job::{Job, JobRequest};
use crate::wire::limits::MAX_CODE_HEAD_CHARS;
use crate::wire::state::JobState;

const VERSION: u32 = 1;
/// Older records are removed; no executor keeps its jobs this long.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The oldest records beyond this number are removed; each has about 400 bytes.
const MAX_NOTES: usize = 2_000;
/// New records between two searches for old ones.
const TIDY_EVERY: usize = 200;
/// A longer file is replaced instead of appended to.
const MAX_NOTE_BYTES: u64 = 16 * 1024;

/// One job, as last reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    pub job_id: JobId,
    /// Where it was sent: an address without its token, or `local`.
    pub place: String,
    /// The executor's boot id at that time, if known.
    #[serde(default)]
    pub boot_id: Option<String>,
    pub session: String,
    /// A telling line of the code; until the runtime has reported the job, its first line but imports and comments.
    pub code_head: String,
    pub sent_at: String,
    /// None if no response was ever received.
    pub state: Option<JobState>,
    /// The cursor to continue from: everything before it was shown.
    pub next: u64,
}

impl Record {
    /// Records a job that is about to be sent.
    #[must_use]
    pub fn of_request(
        id: JobId,
        request: &JobRequest,
        place: &str,
        boot_id: Option<String>,
    ) -> Self {
        let is_dull = |line: &&str| {
            ["import ", "from ", "#"]
                .iter()
                .any(|dull| line.starts_with(dull))
        };
        let lines = || {
            request
                .code
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
        };
        let head = lines()
            .find(|line| !is_dull(line))
            .or_else(|| lines().next());
        Self {
            version: VERSION,
            job_id: id,
            place: place.to_owned(),
            boot_id,
            session: request.session.clone(),
            code_head: head
                .unwrap_or_default()
                .chars()
                .take(MAX_CODE_HEAD_CHARS)
                .collect(),
            sent_at: jiff::Timestamp::now().to_string(),
            state: None,
            next: 0,
        }
    }

    /// Records a job that the runtime reported.
    #[must_use]
    pub fn of_job(job: &Job, next: u64, place: &str) -> Self {
        Self {
            version: VERSION,
            job_id: job.id,
            place: place.to_owned(),
            boot_id: Some(job.boot_id.clone()),
            session: job.session.clone(),
            code_head: job.code_head.clone(),
            sent_at: job.created_at.clone(),
            state: Some(job.state),
            next,
        }
    }
}

/// The records, under one folder that several bridges may share. Failures are only logged: a job runs whether or not it can be recorded.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// New records since the last search for old ones.
    begun: AtomicUsize,
}

impl Store {
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            begun: AtomicUsize::new(0),
        }
    }

    /// Records a job, replacing its earlier record.
    pub fn note(&self, record: &Record) {
        let path = self.path(record.job_id);
        let written = serde_json::to_vec(record)
            .map_err(io::Error::from)
            .and_then(|line| write(&path, &line));
        if let Err(error) = written {
            tracing::warn!(job = %record.job_id, %error, "could not record a job on this computer");
        }
        let begun = self
            .begun
            .fetch_add(usize::from(record.state.is_none()), Ordering::Relaxed);
        if record.state.is_none() && begun.is_multiple_of(TIDY_EVERY) {
            let folder = self.folder.clone();
            tokio::task::spawn_blocking(move || tidy(&folder, MAX_AGE, MAX_NOTES));
        }
    }

    /// Forgets a job that certainly did not run.
    pub fn forget(&self, id: JobId) {
        if let Err(error) = remove_if_there(&self.path(id)) {
            tracing::warn!(job = %id, %error, "could not remove the record of a job that did not run");
        }
    }

    /// Reads a job's record; none if it cannot be read.
    #[must_use]
    pub fn get(&self, id: JobId) -> Option<Record> {
        read(&self.path(id))
    }

    /// The newest records, newest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Record> {
        let mut ids = ids(&self.folder);
        ids.sort_unstable_by(|one, other| other.cmp(one));
        let newest = ids.into_iter().filter_map(|id| self.get(id));
        newest.take(count).collect()
    }

    fn path(&self, id: JobId) -> PathBuf {
        path(&self.folder, id)
    }
}

fn path(folder: &Path, id: JobId) -> PathBuf {
    folder.join(format!("{id}.json"))
}

fn write(path: &Path, line: &[u8]) -> io::Result<()> {
    match File::options().append(true).open(path) {
        // In one write, after a line that an earlier writer may have left unfinished.
        Ok(mut file) if file.metadata()?.len() < MAX_NOTE_BYTES => {
            file.write_all(&[b"\n", line].concat())
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(_) | Err(_) => write_quickly(path, line),
    }
}

fn read(path: &Path) -> Option<Record> {
    let bytes = read_if_there(path).ok()??;
    let lines = bytes.rsplit(|byte| *byte == b'\n');
    let mut records = lines.filter_map(|line| serde_json::from_slice::<Record>(line).ok());
    records.find(|record| record.version == VERSION)
}

/// The recorded ids; they sort by creation time (UUIDv7).
fn ids(folder: &Path) -> Vec<JobId> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_suffix(".json")?.parse().ok()
        })
        .collect()
}

/// Removes records older than `oldest`, the oldest ones beyond `most`, and half-written files of killed bridges.
fn tidy(folder: &Path, oldest: Duration, most: usize) {
    let limit = SystemTime::now().checked_sub(oldest);
    let mut kept = ids(folder);
    kept.sort_unstable_by(|one, other| other.cmp(one));
    let beyond = kept.split_off(kept.len().min(most));
    let surplus = beyond.into_iter().map(|id| path(folder, id));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let old = entries.filter_map(|entry| {
        let changed = entry.metadata().ok()?.modified().ok()?;
        (changed < limit?).then(|| entry.path())
    });
    for path in surplus.chain(old).collect::<Vec<_>>() {
        if let Err(error) = remove_if_there(&path) {
            tracing::debug!(path = %path.display(), %error, "could not remove an old record");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::{Record, Store, tidy};
    use crate::base::ids::JobId;
    use crate::wire::job::JobRequest;
    use crate::wire::state::JobState;

    fn request() -> JobRequest {
        JobRequest {
            code: "\n  print(1)\nprint(2)".to_owned(),
            session: "main".to_owned(),
            timeout_sec: 600,
            iterations: None,
            kernel_id: None,
            folder: None,
            answers: false,
        }
    }

    #[tokio::test]
    async fn another_bridge_reads_the_records_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("jobs"));
        let ids = [JobId::fresh(), JobId::fresh(), JobId::fresh()];
        for id in ids {
            store.note(&Record::of_request(id, &request(), "local", None));
        }
        let mut heard = store.get(ids[1]).unwrap();
        heard.state = Some(JobState::Running);
        heard.next = 7;
        store.note(&heard);
        store.forget(ids[0]);

        let other = Store::new(folder.path().join("jobs"));
        let found = other.newest(10);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].job_id, &found[1]), (ids[2], &heard));
        assert_eq!(found[0].code_head, "print(1)");
        assert_eq!(other.newest(1).len(), 1);
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_read_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        let (good, torn, newer) = (JobId::fresh(), JobId::fresh(), JobId::fresh());
        store.note(&Record::of_request(good, &request(), "local", None));
        fs::write(folder.path().join(format!("{torn}.json")), "{\"ver").unwrap();
        let text = fs::read_to_string(folder.path().join(format!("{good}.json"))).unwrap();
        let text = text.replace("\"version\":1", "\"version\":2");
        fs::write(folder.path().join(format!("{newer}.json")), text).unwrap();
        let found = store.newest(10);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].job_id, good);
    }

    #[tokio::test]
    async fn a_torn_line_hides_neither_the_one_before_nor_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        let mut record = Record::of_request(JobId::fresh(), &request(), "local", None);
        let path = folder.path().join(format!("{}.json", record.job_id));
        for next in 1..200 {
            record.next = next;
            store.note(&record);
            assert_eq!(store.get(record.job_id).as_ref(), Some(&record));
            let whole = fs::read(&path).unwrap();
            fs::write(&path, [&whole, &b"\n{\"version\":1,"[..]].concat()).unwrap();
            assert_eq!(store.get(record.job_id).as_ref(), Some(&record));
            assert!(whole.len() < 32 * 1024, "{} bytes", whole.len());
        }
    }

    #[tokio::test]
    async fn records_are_removed_by_number_and_by_age() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        let ids: Vec<JobId> = (0..5).map(|_| JobId::fresh()).collect();
        for id in &ids {
            store.note(&Record::of_request(*id, &request(), "local", None));
        }
        fs::write(folder.path().join(".new-half"), "").unwrap();
        tidy(folder.path(), Duration::from_secs(3600), 3);
        let left: Vec<JobId> = (store.newest(10).iter())
            .map(|record| record.job_id)
            .collect();
        assert_eq!(left, [ids[4], ids[3], ids[2]]);
        tidy(folder.path(), Duration::ZERO, 3);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
