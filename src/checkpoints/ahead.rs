//! Iterations that finished ahead of an earlier one: a file has their reports until their turn comes, so that the checkpoint and the results
//! keep the order of the iterations, and none of these runs again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::edge::journal::Journal;
use crate::edge::store;
use crate::wire::event::Progress;

/// Iterations that one job is given by number. Further ones are the next job's.
const MAX_LISTED: usize = 10_000;

/// An iteration that waits for its turn.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Its report, without the result.
    pub(crate) report: Progress,
    /// Its line of the results: numbers change if they are read and written again.
    pub(crate) line: String,
}

/// The iterations, each on a line of the file, below a line that names the operation.
#[derive(Debug)]
pub(crate) struct Ahead {
    path: PathBuf,
    header: String,
    /// None while there is no file.
    journal: Option<Journal>,
    /// Where in the file each iteration's line begins.
    places: BTreeMap<u64, u64>,
    /// Those of them that failed.
    failed: BTreeSet<u64>,
}

impl Ahead {
    /// Reads the file. Of `iterations` each counts once; all others, torn lines and the file of another operation do not.
    pub(crate) fn open(
        path: PathBuf,
        operation: &str,
        iterations: &Range<u64>,
    ) -> io::Result<Self> {
        let header = json!({ "operation": operation }).to_string();
        let mut ahead = Self {
            path,
            header,
            journal: None,
            places: BTreeMap::new(),
            failed: BTreeSet::new(),
        };
        let length = ahead.read(iterations)?;
        if ahead.places.is_empty() {
            store::remove_if_there(&ahead.path)?;
        } else {
            ahead.journal = Some(Journal::open(&ahead.path, length)?);
        }
        Ok(ahead)
    }

    /// Finds the iterations; returns the length of the whole lines.
    fn read(&mut self, iterations: &Range<u64>) -> io::Result<u64> {
        let mut file = match File::open(&self.path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let (mut at, mut line) = (0, Vec::new());
        loop {
            line.clear();
            file.read_until(b'\n', &mut line)?;
            let Some(text) = line.strip_suffix(b"\n") else {
                return Ok(at);
            };
            if at == 0 && text != self.header.as_bytes() {
                return Ok(0);
            }
            let kept = serde_json::from_slice::<Kept>(text).ok();
            if let Some(report) = kept.map(|kept| kept.report)
                && let Some(iteration) = report.iteration
                && iterations.contains(&iteration)
                && !self.places.contains_key(&iteration)
            {
                self.add(iteration, at, &report);
            }
            at += line.len() as u64;
        }
    }

    /// How many iterations are kept.
    pub(crate) fn count(&self) -> u64 {
        self.places.len() as u64
    }

    /// How many of them failed, and are to be skipped in their turn.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.len() as u64
    }

    fn add(&mut self, iteration: u64, at: u64, report: &Progress) {
        self.places.insert(iteration, at);
        if report.error.is_some() {
            self.failed.insert(iteration);
        }
    }

    /// Discards those that failed, so that they run in their turn.
    pub(crate) fn forget_failed(&mut self) -> io::Result<()> {
        let Some(journal) = self.journal.as_mut().filter(|_| !self.failed.is_empty()) else {
            return Ok(());
        };
        self.places
            .retain(|iteration, _| !self.failed.contains(iteration));
        self.failed.clear();
        let mut text = format!("{}\n", self.header);
        for at in self.places.values_mut() {
            let line = journal.line_at(*at)?;
            *at = text.len() as u64;
            text += &line;
        }
        // Closed first: Windows replaces no open file.
        self.journal = None;
        store::write_atomic(&self.path, text.as_bytes())?;
        self.journal = Some(Journal::open(&self.path, text.len() as u64)?);
        Ok(())
    }

    /// Keeps an iteration with its line of the results; returns false if it is kept already.
    pub(crate) fn put(
        &mut self,
        iteration: u64,
        report: &Progress,
        line: String,
    ) -> io::Result<bool> {
        if self.places.contains_key(&iteration) {
            return Ok(false);
        }
        let report = Progress {
            completed: report.completed,
            total: report.total,
            message: report.message.clone(),
            iteration: Some(iteration),
            result: Value::Null,
            marked: report.marked.clone(),
            error: report.error.clone(),
        };
        let kept = Kept { report, line };
        let line = serde_json::to_string(&kept)?;
        let journal = if let Some(journal) = &mut self.journal {
            journal
        } else {
            let mut journal = Journal::open(&self.path, 0)?;
            journal.append(&self.header)?;
            self.journal.insert(journal)
        };
        let at = journal.length();
        journal.append(&line)?;
        self.add(iteration, at, &kept.report);
        Ok(true)
    }

    /// The iteration whose turn has come; it stays in the file until [`Ahead::tidy`].
    pub(crate) fn take(&mut self, iteration: u64) -> io::Result<Option<Kept>> {
        let Some(journal) = &mut self.journal else {
            return Ok(None);
        };
        let Some(at) = self.places.remove(&iteration) else {
            return Ok(None);
        };
        self.failed.remove(&iteration);
        Ok(Some(serde_json::from_str(&journal.line_at(at)?)?))
    }

    /// Discards all: the loop has ended before them.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.failed.clear();
    }

    /// The first iterations of `iterations` that are not kept; empty if none is kept, and all of them are missing.
    pub(crate) fn missing(&self, iterations: Range<u64>) -> Vec<u64> {
        if self.places.is_empty() {
            return Vec::new();
        }
        let missing = iterations.filter(|iteration| !self.places.contains_key(iteration));
        missing.take(MAX_LISTED).collect()
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.journal.as_mut().map_or(Ok(()), Journal::sync)
    }

    /// Removes the file if no iteration is left in it; to be called when the checkpoint that counts them is on disk.
    pub(crate) fn tidy(&mut self) -> io::Result<()> {
        if self.places.is_empty() && self.journal.take().is_some() {
            store::remove_if_there(&self.path)?;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;

    use serde_json::json;

    use super::{Ahead, MAX_LISTED};
    use crate::wire::event::{Progress, PythonError};

    fn report(iteration: u64) -> Progress {
        let report = json!({
            "completed": 1, "total": 9, "message": null, "iteration": iteration, "result": [1], "error": null,
        });
        serde_json::from_value(report).unwrap()
    }

    fn open(path: &Path, operation: &str) -> Ahead {
        Ahead::open(path.to_owned(), operation, &(1..9)).unwrap()
    }

    /// Two iterations in a file.
    fn kept(path: &Path) -> Ahead {
        let mut ahead = open(path, "one");
        for iteration in [5, 2] {
            assert!(
                ahead
                    .put(iteration, &report(iteration), format!("line {iteration}"))
                    .unwrap()
            );
        }
        ahead.sync().unwrap();
        ahead
    }

    #[test]
    fn an_iteration_is_kept_once_and_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ahead.jsonl");
        let mut ahead = kept(&path);
        assert!(!ahead.put(2, &report(2), String::new()).unwrap());
        assert_eq!(ahead.missing(1..7), [1, 3, 4, 6]);
        let taken = ahead.take(2).unwrap().unwrap();
        assert_eq!(
            (taken.line.as_str(), taken.report.iteration),
            ("line 2", Some(2))
        );
        assert!(ahead.take(2).unwrap().is_none());
        // As long as the checkpoint that counts it may be lost, so may the process.
        assert_eq!(open(&path, "one").count(), 2);
        ahead.take(5).unwrap().unwrap();
        ahead.tidy().unwrap();
        assert!(!path.exists() && ahead.missing(1..7).is_empty());
        assert!(ahead.put(3, &report(3), String::new()).unwrap());
        assert_eq!(ahead.count(), 1);
    }

    #[test]
    fn only_whole_lines_of_wanted_iterations_count_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ahead.jsonl");
        drop(kept(&path));
        let whole = fs::read_to_string(&path).unwrap();
        let line = whole.lines().nth(1).unwrap();
        let mut file = fs::File::options().append(true).open(&path).unwrap();
        for (from, to) in [
            ("line 5", "again"),
            ("\"iteration\":5", "\"iteration\":9"),
            (":5", ":-5"),
        ] {
            writeln!(file, "{}", line.replace(from, to)).unwrap();
        }
        write!(file, "[]\n{}", line.replace(":5", ":7")).unwrap();
        let mut ahead = open(&path, "one");
        assert_eq!(ahead.missing(1..9), [1, 3, 4, 6, 7, 8]);
        assert_eq!(ahead.take(5).unwrap().unwrap().line, "line 5");
        // The torn line is gone: the next one stands alone.
        ahead.put(7, &report(7), "line 7".to_owned()).unwrap();
        ahead.sync().unwrap();
        assert_eq!(open(&path, "one").take(7).unwrap().unwrap().line, "line 7");
    }

    #[test]
    fn those_that_failed_are_counted_and_can_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ahead.jsonl");
        let mut ahead = open(&path, "one");
        for iteration in [3, 5, 7, 8] {
            let mut report = report(iteration);
            report.error = (iteration != 5).then(|| PythonError {
                ename: "ValueError".to_owned(),
                evalue: String::new(),
                traceback: Vec::new(),
            });
            ahead
                .put(iteration, &report, format!("line {iteration}"))
                .unwrap();
        }
        ahead.take(8).unwrap().unwrap();
        assert_eq!(ahead.failed(), 2);
        ahead.sync().unwrap();
        assert_eq!(open(&path, "one").failed(), 3);
        ahead.forget_failed().unwrap();
        ahead.put(6, &report(6), "line 6".to_owned()).unwrap();
        ahead.sync().unwrap();
        for mut ahead in [open(&path, "one"), ahead] {
            assert_eq!((ahead.count(), ahead.failed()), (2, 0));
            assert_eq!(ahead.missing(1..9), [1, 2, 3, 4, 7, 8]);
            assert_eq!(ahead.take(5).unwrap().unwrap().line, "line 5");
            assert_eq!(ahead.take(6).unwrap().unwrap().line, "line 6");
        }
    }

    #[test]
    fn the_file_of_another_operation_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ahead.jsonl");
        drop(kept(&path));
        assert_eq!(open(&path, "other").count(), 0);
        assert!(!path.exists());
    }

    #[test]
    fn a_job_is_given_a_bounded_list() {
        let folder = tempfile::tempdir().unwrap();
        let ahead = kept(&folder.path().join("ahead.jsonl"));
        assert_eq!(ahead.missing(0..1_000_000_000).len(), MAX_LISTED);
    }
}
