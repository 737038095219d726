//! A file being downloaded: its bytes in `NAME.partial`, the received ranges in the journal.
//!
//! Neither is synced while bytes arrive: after a power cut the journal may list bytes that never reached the disk, which the SHA-256 of the whole
//! file detects.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::journal::{Claim, Known, Source};
use super::ranges::Ranges;
use super::report::DownloadReport;
use crate::edge::store;
use crate::transfer::destination::place;
use crate::transfer::digest::Frontier;
use crate::transfer::disk::make_executable;
use crate::transfer::running::Meter;

/// Bytes between background syncs, so that the final sync, which delays the result, has little left to do: for 1 GiB it took 0.3 s on a disk
/// that writes 3 GB/s.
const SYNC_INTERVAL_BYTES: u64 = 32 << 20;
const ZEROS: [u8; 4096] = [0; 4096];

/// Contiguous bytes, in the chunks in which they were received.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Their offset in the file.
    pub(super) at: u64,
    pub(super) chunks: Vec<Bytes>,
    pub(super) length: u64,
}

impl Block {
    pub(super) fn at(at: u64) -> Self {
        Self {
            at,
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        self.length += chunk.len() as u64;
        self.chunks.push(chunk);
    }

    fn is_zeros(&self) -> bool {
        let mut parts = self
            .chunks
            .iter()
            .flat_map(|chunk| chunk.chunks(ZEROS.len()));
        parts.all(|part| ZEROS.starts_with(part))
    }

    fn range(&self) -> Range<u64> {
        self.at..self.at + self.length
    }
}

#[derive(Debug)]
pub(super) struct Partial {
    claim: Claim,
    file: File,
    /// The file's current write offset.
    position: u64,
    source: Source,
    received: Ranges,
}

impl Partial {
    /// Resumes an earlier download of the same state of the file beside `target`, or starts a new one.
    pub(super) fn open(target: &Path, source: &Source) -> io::Result<Self> {
        let (mut claim, known) = Claim::take(target, &source.remote, false)?;
        let (known, received) = match known {
            Known::File { source, received } => (source, received),
            Known::Nothing | Known::Folder { .. } => {
                claim.begin_file(source)?;
                (source.clone(), Ranges::default())
            }
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(claim.partial())?;
        let there = file.metadata()?.len();
        let mut partial = Self {
            claim,
            file,
            position: 0,
            source: known,
            received,
        };
        if partial.source != *source || there < partial.received.reach() {
            partial.start_over(source)?;
        }
        Ok(partial)
    }

    /// Discards the received bytes.
    pub(super) fn start_over(&mut self, source: &Source) -> io::Result<()> {
        self.claim.begin_file(source)?;
        (self.source, self.received) = (source.clone(), Ranges::default());
        self.file.set_len(0)
    }

    pub(super) fn path(&self) -> &Path {
        self.claim.partial()
    }

    pub(super) fn missing(&self) -> Vec<Range<u64>> {
        self.received.missing(self.source.size)
    }

    /// Number of bytes received.
    pub(super) fn received(&self) -> u64 {
        self.received.total()
    }

    /// Writes blocks until all senders are dropped, and reports the frontier after each.
    pub(super) fn write_all(
        &mut self,
        mut blocks: mpsc::Receiver<Block>,
        frontier: &Frontier,
        meter: &Meter<DownloadReport>,
    ) -> io::Result<()> {
        let report = |received: &Ranges| {
            // The hasher ends early only after a failure, and then its error counts.
            let _ = frontier.send(received.frontier());
        };
        report(&self.received);
        let file = self.file.try_clone()?;
        thread::scope(|scope| {
            let (dirty, syncs) = sync_channel(1);
            scope.spawn(move || {
                for () in syncs {
                    // The final sync reports a failure.
                    let _ = file.sync_data();
                }
            });
            let mut written = 0;
            while let Some(block) = blocks.blocking_recv() {
                self.write(&block)?;
                report(&self.received);
                meter.add(block.length);
                written += block.length;
                if written >= SYNC_INTERVAL_BYTES && dirty.try_send(()).is_ok() {
                    written = 0;
                }
            }
            Ok(())
        })
    }

    fn write(&mut self, block: &Block) -> io::Result<()> {
        let range = block.range();
        if range.end > self.source.size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "bytes beyond the end of the file",
            ));
        }
        if self.position != range.start {
            self.file.seek(SeekFrom::Start(range.start))?;
        }
        // Unknown if the write fails halfway.
        self.position = u64::MAX;
        if block.is_zeros() {
            // Leaves a hole: the file was empty before, so any bytes there are zeros too.
            if self.file.metadata()?.len() < range.end {
                self.file.set_len(range.end)?;
            }
        } else {
            write_chunks(&mut self.file, &block.chunks)?;
            self.position = range.end;
        }
        self.claim.received(&range)?;
        self.received.add(range);
        Ok(())
    }

    /// Sets the complete file's modification time and renames it; never replaces an existing file.
    pub(super) fn finish(
        self,
        target: &Path,
        changed: Option<SystemTime>,
        is_executable: bool,
    ) -> io::Result<PathBuf> {
        let Self {
            mut claim, file, ..
        } = self;
        if let Some(time) = changed {
            // Only resuming a folder needs it; without it the file is fetched once more.
            let _ = file.set_modified(time);
        }
        if is_executable {
            // Some file systems have no modes; the content is complete.
            let _ = make_executable(&file);
        }
        file.sync_all()?;
        // Windows cannot rename an open file in every mode.
        drop(file);
        let path = place(claim.partial(), target)?;
        if let Some(folder) = path.parent() {
            store::sync_folder(folder);
        }
        // If it stays, its partial is missing, and the next download starts over.
        let _ = claim.end();
        Ok(path)
    }

    /// Leaves received bytes for the next download; discards an empty partial.
    pub(super) fn leave(self) {
        if self.received() == 0 {
            self.discard();
        }
    }

    pub(super) fn discard(self) {
        let Self {
            mut claim, file, ..
        } = self;
        drop(file);
        // A leftover does no harm: its journal makes the next download start over.
        if fs::remove_file(claim.partial()).is_ok() {
            let _ = claim.end();
        }
    }
}

/// Writes all chunks in as few system calls as possible.
fn write_chunks(file: &mut File, chunks: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut rest, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::ops::Range;
    use std::path::Path;

    use bytes::Bytes;
    use proptest::prelude::*;
    use tokio::sync::mpsc;

    use super::super::report::DownloadReport;
    use super::{Block, Partial, Source};
    use crate::transfer::running::Meter;

    fn source(size: usize) -> Source {
        Source {
            remote: "/content/a".to_owned(),
            etag: "\"1\"".to_owned(),
            size: size as u64,
        }
    }

    fn open(folder: &Path, size: usize) -> Partial {
        Partial::open(&folder.join("a"), &source(size)).unwrap()
    }

    /// A block as the network would deliver it: part of a missing range, in chunks.
    fn block(content: &[u8], missing: &Range<u64>, skip: usize, most: usize) -> Block {
        let bytes = &content[missing.start as usize..missing.end as usize];
        let skip = skip.min(bytes.len());
        let bytes = &bytes[skip..];
        let mut block = Block::at(missing.start + skip as u64);
        for chunk in bytes[..most.min(bytes.len())].chunks(600) {
            block.push(Bytes::copy_from_slice(chunk));
        }
        block
    }

    fn sevens(at: u64, count: usize) -> Block {
        let mut block = Block::at(at);
        block.push(Bytes::from(vec![7; count]));
        block
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Blocks of any size arrive in any order, and now and then the program dies, with the journal torn at any byte after its first line.
        #[test]
        fn a_file_is_whole_whenever_its_journal_says_so(
            content in prop::collection::vec(any::<u8>(), 0..6000),
            lives in prop::collection::vec((prop::collection::vec((any::<prop::sample::Index>(), 0_usize..3000, 1_usize..1500), 0..8), any::<prop::sample::Index>()), 0..4),
        ) {
            let folder = tempfile::tempdir().unwrap();
            for (blocks, cut) in lives {
                let mut partial = open(folder.path(), content.len());
                for (which, skip, most) in blocks {
                    let missing = partial.missing();
                    if !missing.is_empty() {
                        partial.write(&block(&content, which.get(&missing), skip, most)).unwrap();
                    }
                }
                drop(partial);
                let path = folder.path().join("a.partial.jsonl");
                let journal = fs::read(&path).unwrap();
                let first = journal.iter().position(|byte| *byte == b'\n').unwrap() + 1;
                fs::write(&path, &journal[..first + cut.index(journal.len() - first + 1)]).unwrap();
            }
            let mut partial = open(folder.path(), content.len());
            for missing in partial.missing() {
                partial.write(&block(&content, &missing, 0, usize::MAX)).unwrap();
            }
            prop_assert_eq!(partial.received(), content.len() as u64);
            let path = partial.finish(&folder.path().join("a"), None, false).unwrap();
            prop_assert_eq!(fs::read(path).unwrap(), content);
            prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn bytes_beyond_the_end_of_the_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = open(folder.path(), 1500);
        for (at, count) in [(0, 1501), (1400, 101), (1500, 1)] {
            assert!(partial.write(&sevens(at, count)).is_err(), "{at}");
        }
        assert_eq!(partial.received(), 0);
    }

    #[test]
    fn a_removed_partial_file_starts_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = open(folder.path(), 3000);
        partial.write(&sevens(1024, 1024)).unwrap();
        drop(partial);
        assert_eq!(open(folder.path(), 3000).received(), 1024);
        fs::remove_file(folder.path().join("a.partial")).unwrap();
        assert_eq!(open(folder.path(), 3000).received(), 0);
    }

    #[test]
    fn another_state_of_the_file_starts_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = open(folder.path(), 3000);
        partial.write(&sevens(1024, 1024)).unwrap();
        drop(partial);
        let mut other = source(3000);
        other.etag = "\"2\"".to_owned();
        let partial = Partial::open(&folder.path().join("a"), &other).unwrap();
        assert_eq!(partial.received(), 0);
        assert_eq!(partial.path(), folder.path().join("a.partial"));
    }

    #[test]
    fn concurrent_downloads_use_different_partials() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (open(folder.path(), 10), open(folder.path(), 10));
        assert_ne!(one.path(), other.path());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_keeps_the_bytes_written_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = open(folder.path(), 2000);
        partial.write(&sevens(0, 1024)).unwrap();
        partial.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (sender, blocks) = mpsc::channel(1);
        sender.try_send(sevens(1024, 100)).unwrap();
        drop(sender);
        let (frontier, _reported) = std::sync::mpsc::channel();
        let error = partial
            .write_all(blocks, &frontier, &Meter::new(DownloadReport::new("a")).0)
            .unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        partial.leave();
        assert_eq!(open(folder.path(), 2000).received(), 1024);
    }
}
