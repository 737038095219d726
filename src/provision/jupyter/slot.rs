//! The helper kernel of this bridge on disk, so that the next start finds it if this process is killed. Several bridges may run at once, and no two
//! share a helper: each holds the first numbered file that is free.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::fault::Fault;
use crate::base::hex::hex;
use crate::edge::lock::FileLock;
use crate::edge::store;

/// More bridges than ever run at once.
const MAX_SLOTS: u32 = 100;

/// A file that belongs to this bridge until this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    file: PathBuf,
    _lock: FileLock,
}

impl Slot {
    /// Takes a slot for the server at `address`.
    pub(super) fn take(folder: &Path, address: &str) -> Result<Self, Fault> {
        let folder = folder.join(hex(&Sha256::digest(address)[..8]));
        for number in 0..MAX_SLOTS {
            let lock = folder.join(format!("{number}.lock"));
            let taken = FileLock::try_take(&lock);
            if let Some(lock) = taken.map_err(|error| Fault::disk(&lock, &error))? {
                let file = folder.join(format!("{number}.kernel"));
                return Ok(Self { file, _lock: lock });
            }
        }
        Err(Fault::start(
            format!("{MAX_SLOTS} bridges are running already"),
            "Close clients that you no longer use, then call again.",
        ))
    }

    /// The id of the kernel that was recorded last, if it is one.
    pub(super) fn kernel(&self) -> Option<String> {
        let bytes = store::read_if_there(&self.file).ok()??;
        let id = String::from_utf8(bytes).ok()?;
        let is_id = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (!id.is_empty() && id.chars().all(is_id)).then_some(id)
    }

    pub(super) fn record(&self, kernel: &str) -> Result<(), Fault> {
        let written = store::write_quickly(&self.file, kernel.as_bytes());
        written.map_err(|error| Fault::disk(&self.file, &error))
    }

    /// The folder of what is kept of kernels without an executor.
    pub(super) fn kernels(&self) -> PathBuf {
        self.file.with_extension("kernels")
    }

    pub(super) fn forget(&self) {
        if let Err(error) = store::remove_if_there(&self.file) {
            tracing::warn!("{}: {error}", self.file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Slot;

    #[test]
    fn the_next_start_finds_the_kernel_of_a_bridge_that_was_killed() {
        let folder = tempfile::tempdir().unwrap();
        let take = |address| Slot::take(folder.path(), address).unwrap();
        let (first, second) = (take("http://a"), take("http://a"));
        first.record("1234-abc").unwrap();
        second.record("../x").unwrap();
        assert_eq!((second.kernel(), take("http://b").kernel()), (None, None));
        drop(first);
        let again = take("http://a");
        assert_eq!(again.kernel().as_deref(), Some("1234-abc"));
        again.forget();
        assert_eq!(again.kernel(), None);
    }
}
