//! A file that is being put together: its bytes in `NAME.partial`, what is known of them in the journal.
//!
//! Neither is synced while bytes come: after a power cut the journal may know of bytes that never reached the disk, and it is the
//! SHA-256 of the whole file that finds this out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::destination::place;
use super::journal::{Claim, Known};
use super::plan::{Missing, Plan, Source};
use super::report::Meter;
use crate::edge::store;

/// Bytes of a piece that follow the ones before them.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) piece: usize,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Partial {
    claim: Claim,
    file: File,
    plan: Plan,
}

impl Partial {
    /// Goes on with what an earlier download of the same state of the file left beside `target`, or begins.
    pub(super) fn open(target: &Path, source: &Source, piece_bytes: u64) -> io::Result<Self> {
        let (mut claim, known) = Claim::take(target, &source.remote, false)?;
        let plan = match known {
            Known::File(plan) => plan,
            Known::Nothing | Known::Folder { .. } => claim.begin_file(source, piece_bytes)?,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(claim.partial())?;
        let there = file.metadata()?.len();
        let mut partial = Self { claim, file, plan };
        if partial.plan.source != *source || there < partial.plan.reach() {
            partial.start_over(source, piece_bytes)?;
        }
        Ok(partial)
    }

    /// Forgets what is here.
    pub(super) fn start_over(&mut self, source: &Source, piece_bytes: u64) -> io::Result<()> {
        self.plan = self.claim.begin_file(source, piece_bytes)?;
        self.file.set_len(0)
    }

    pub(super) fn path(&self) -> &Path {
        self.claim.partial()
    }

    pub(super) fn missing(&self) -> Vec<Missing> {
        self.plan.missing()
    }

    /// Bytes.
    pub(super) fn received(&self) -> u64 {
        self.plan.received()
    }

    /// Writes what comes until nobody can send any more.
    pub(super) fn write_all(
        &mut self,
        mut blocks: mpsc::Receiver<Block>,
        meter: &Meter,
    ) -> io::Result<()> {
        while let Some(block) = blocks.blocking_recv() {
            self.write(&block)?;
            meter.add(block.bytes.len() as u64);
        }
        Ok(())
    }

    fn write(&mut self, block: &Block) -> io::Result<()> {
        let count = block.bytes.len() as u64;
        let Some(position) = self.plan.room_for(block.piece, count) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "bytes beyond the end of their piece",
            ));
        };
        self.file.seek(SeekFrom::Start(position))?;
        self.file.write_all(&block.bytes)?;
        let received = self.plan.received_of(block.piece) + count;
        self.claim.received(block.piece, received)?;
        self.plan.note(block.piece, received);
        Ok(())
    }

    /// The SHA-256 of the bytes as 64 hexadecimal digits; `None` when stopped.
    pub(super) fn sha256(&mut self, stop: &CancellationToken) -> io::Result<Option<String>> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 18];
        self.file.seek(SeekFrom::Start(0))?;
        while !stop.is_cancelled() {
            match self.file.read(&mut buffer)? {
                0 => {
                    let digest = hasher.finalize();
                    return Ok(Some(
                        digest.iter().map(|byte| format!("{byte:02x}")).collect(),
                    ));
                }
                count => hasher.update(&buffer[..count]),
            }
        }
        Ok(None)
    }

    /// Gives the whole file its time of change and its name; an existing file keeps its own.
    pub(super) fn finish(self, target: &Path, changed: Option<SystemTime>) -> io::Result<PathBuf> {
        let Self { claim, file, .. } = self;
        if let Some(time) = changed {
            // Only a folder that is resumed needs it, and where it fails, the file comes once more.
            let _ = file.set_modified(time);
        }
        file.sync_all()?;
        // Windows does not rename a file that is open in every mode.
        drop(file);
        let path = place(claim.partial(), target)?;
        if let Some(folder) = path.parent() {
            store::sync_folder(folder);
        }
        // Should it stay, it speaks of a file that is not there, and the next download starts over.
        let _ = claim.end();
        Ok(path)
    }

    /// Leaves what is here for the next download, if there is anything.
    pub(super) fn leave(self) {
        if self.received() == 0 {
            self.discard();
        }
    }

    pub(super) fn discard(self) {
        let Self { claim, file, .. } = self;
        drop(file);
        // What cannot be removed is in nobody's way: its journal tells the next download to start over.
        if fs::remove_file(claim.partial()).is_ok() {
            let _ = claim.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::path::Path;

    use proptest::prelude::*;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::super::report::Meter;
    use super::{Block, Missing, Partial, Source};

    const PIECE: u64 = 1024;

    fn source(size: usize) -> Source {
        Source {
            remote: "/content/a".to_owned(),
            etag: "\"1\"".to_owned(),
            size: size as u64,
        }
    }

    fn open(folder: &Path, size: usize) -> Partial {
        Partial::open(&folder.join("a"), &source(size), PIECE).unwrap()
    }

    /// What the network would bring of a missing stretch, at most so much of it.
    fn block(content: &[u8], missing: &Missing, most: usize) -> Block {
        let bytes = &content[missing.range.start as usize..missing.range.end as usize];
        Block {
            piece: missing.piece,
            bytes: bytes[..most.min(bytes.len())].to_vec(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Blocks come in any order, and every now and then the program dies: with the journal torn at any byte after its first line.
        #[test]
        fn a_file_is_whole_whenever_its_journal_says_so(
            content in prop::collection::vec(any::<u8>(), 0..6000),
            lives in prop::collection::vec((prop::collection::vec((any::<prop::sample::Index>(), 1_usize..1500), 0..8), any::<prop::sample::Index>()), 0..4),
        ) {
            let folder = tempfile::tempdir().unwrap();
            for (blocks, cut) in lives {
                let mut partial = open(folder.path(), content.len());
                for (which, most) in blocks {
                    let missing = partial.missing();
                    if !missing.is_empty() {
                        partial.write(&block(&content, which.get(&missing), most)).unwrap();
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
                partial.write(&block(&content, &missing, usize::MAX)).unwrap();
            }
            prop_assert_eq!(partial.received(), content.len() as u64);
            let path = partial.finish(&folder.path().join("a"), None).unwrap();
            prop_assert_eq!(fs::read(path).unwrap(), content);
            prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn bytes_beyond_the_end_of_a_piece_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = open(folder.path(), 1500);
        for (piece, count) in [(0, 1025), (1, 477), (2, 1)] {
            let bytes = vec![0; count];
            assert!(partial.write(&Block { piece, bytes }).is_err(), "{piece}");
        }
        assert_eq!(partial.received(), 0);
    }

    #[test]
    fn a_partial_file_that_was_cut_or_removed_starts_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = open(folder.path(), 3000);
        let bytes = vec![7; 1024];
        partial.write(&Block { piece: 1, bytes }).unwrap();
        drop(partial);
        assert_eq!(open(folder.path(), 3000).received(), 1024);
        fs::remove_file(folder.path().join("a.partial")).unwrap();
        assert_eq!(open(folder.path(), 3000).received(), 0);
    }

    #[test]
    fn another_state_of_the_file_starts_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = open(folder.path(), 3000);
        let bytes = vec![7; 1024];
        partial.write(&Block { piece: 1, bytes }).unwrap();
        drop(partial);
        let mut other = source(3000);
        other.etag = "\"2\"".to_owned();
        let partial = Partial::open(&folder.path().join("a"), &other, PIECE).unwrap();
        assert_eq!(partial.received(), 0);
        assert_eq!(partial.path(), folder.path().join("a.partial"));
    }

    #[test]
    fn a_download_under_way_has_its_partial_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (open(folder.path(), 10), open(folder.path(), 10));
        assert_ne!(one.path(), other.path());
    }

    #[test]
    fn a_stopped_check_ends_without_a_digest() {
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(open(folder.path(), 10).sha256(&stop).unwrap(), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_keeps_what_was_written_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = open(folder.path(), 2000);
        let bytes = vec![7; 1024];
        partial.write(&Block { piece: 0, bytes }).unwrap();
        partial.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (sender, blocks) = mpsc::channel(1);
        let bytes = vec![7; 100];
        sender.try_send(Block { piece: 1, bytes }).unwrap();
        drop(sender);
        let error = partial.write_all(blocks, &Meter::new("a").0).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        partial.leave();
        assert_eq!(open(folder.path(), 2000).received(), 1024);
    }
}
