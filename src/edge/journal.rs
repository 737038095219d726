//! An append-only file: bytes that its owner has recorded as covered stay; what a crash left after them is cut off.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: BufWriter<File>,
    length: u64,
}

impl Journal {
    /// Opens the journal at `path` and cuts it to the whole lines of the first `covered` bytes; [`Journal::length`] is less if the file was shortened.
    /// Creates the file and missing folders.
    ///
    /// # Errors
    /// File system errors.
    pub fn open(path: &Path, covered: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        let length = file.metadata()?.len().min(covered);
        // If the file was shortened in mid-line, the fragment would be a line that is no JSON.
        let length = whole_lines(&mut file, length)?;
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        Ok(Self {
            file: BufWriter::new(file),
            length,
        })
    }

    /// Bytes in the journal.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds a line. It is on disk after [`Journal::sync`].
    ///
    /// # Errors
    /// File system errors.
    pub fn append(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.file, "{line}")?;
        self.length += line.len() as u64 + 1;
        Ok(())
    }

    /// The line that begins at this byte, with its end.
    ///
    /// # Errors
    /// File system errors.
    pub fn line_at(&mut self, at: u64) -> io::Result<String> {
        self.file.flush()?;
        let mut file = self.file.get_ref();
        file.seek(SeekFrom::Start(at))?;
        let mut line = String::new();
        let read = BufReader::new(file).read_line(&mut line);
        file.seek(SeekFrom::Start(self.length))?;
        read.map(|_| line)
    }

    /// Flushes all appended lines to disk.
    ///
    /// # Errors
    /// File system errors.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()
    }
}

/// The length of the whole lines within the first `length` bytes.
fn whole_lines(file: &mut File, mut length: u64) -> io::Result<u64> {
    let mut block = [0; 8192];
    while length > 0 {
        let from = length.saturating_sub(block.len() as u64);
        let part = &mut block[..usize::try_from(length - from).unwrap_or_default()];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        length = from;
    }
    Ok(0)
}

/// The last whole lines within the first `covered` bytes: at most `count`, from at most `bytes` bytes. Empty without a file.
///
/// # Errors
/// File system errors, except for a missing file.
pub fn last_lines(path: &Path, covered: u64, count: usize, bytes: u64) -> io::Result<Vec<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let from = covered.saturating_sub(bytes);
    file.seek(SeekFrom::Start(from))?;
    let reader = BufReader::new(file.take(covered - from));
    let mut lines = reader
        .split(b'\n')
        // The first piece may be the end of a line.
        .skip(usize::from(from > 0))
        .map(|line| line.map(|line| String::from_utf8_lossy(&line).into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    Ok(lines.split_off(lines.len().saturating_sub(count)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Journal, last_lines};

    #[test]
    fn bytes_beyond_the_journal_are_truncated_on_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/results.jsonl");
        let mut journal = Journal::open(&path, 0).unwrap();
        journal.append("one").unwrap();
        journal.sync().unwrap();
        let covered = journal.length();
        journal.append("tw").unwrap();
        drop(journal);
        let mut journal = Journal::open(&path, covered).unwrap();
        journal.append("two").unwrap();
        journal.sync().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_torn_line_goes_and_the_next_one_stands_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        fs::write(&path, format!("one\n{}", "tw".repeat(9_000))).unwrap();
        let mut journal = Journal::open(&path, 100_000).unwrap();
        journal.append("three").unwrap();
        journal.sync().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\nthree\n");
        assert_eq!(journal.length(), "one\nthree\n".len() as u64);
    }

    #[test]
    fn a_shortened_journal_reports_its_real_length() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("results.jsonl"), 100).unwrap();
        assert_eq!(journal.length(), 0);
    }

    #[test]
    fn the_last_lines_are_whole_and_covered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        assert!(last_lines(&path, 10, 5, 100).unwrap().is_empty());
        fs::write(&path, "first\nsecond\nthird\nfourth\n").unwrap();
        let covered = "first\nsecond\nthird\n".len() as u64;
        for (count, bytes, expected) in [
            (5, 100, &["first", "second", "third"][..]),
            (1, 100, &["third"]),
            (5, 14, &["second", "third"]),
            (5, 10, &["third"]),
        ] {
            assert_eq!(
                last_lines(&path, covered, count, bytes).unwrap(),
                expected,
                "{count} {bytes}"
            );
        }
    }
}
