//! A file that is being put together: its bytes in `NAME.partial`, what is known of them in the journal.
//!
//! Neither is synced while bytes come: after a power cut the journal may know of bytes that never reached the disk, and it is the
//! SHA-256 of the whole file that finds this out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

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
            .open(&claim.partial)?;
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
        &self.claim.partial
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

    /// Gives the whole file its name; an existing file keeps its own.
    pub(super) fn finish(self, target: &Path) -> io::Result<PathBuf> {
        let Self { claim, file, .. } = self;
        file.sync_all()?;
        // Windows does not rename a file that is open in every mode.
        drop(file);
        let path = place(&claim.partial, target)?;
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
        if fs::remove_file(&claim.partial).is_ok() {
            let _ = claim.end();
        }
    }
}
