//! Hashes a file (SHA-256) while it is being written: the contiguous part from the first byte on is hashed while the rest arrives, so that little
//! work is left at the end, whatever the order of the writes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::base::hex::hex;

const BUFFER_BYTES: usize = 256 * 1024;

/// Receives the length of the contiguous part from the first byte on; dropped after the last write.
pub(super) type Frontier = Sender<u64>;

/// Hashes a file up to its frontier.
#[derive(Debug)]
pub(super) struct Follower {
    file: File,
    frontier: Receiver<u64>,
}

impl Follower {
    pub(super) fn of(path: &Path) -> io::Result<(Frontier, Self)> {
        let file = File::open(path)?;
        let (sender, frontier) = channel();
        Ok((sender, Self { file, frontier }))
    }

    /// Returns the SHA-256 of all bytes up to the last frontier as 64 hexadecimal digits; `None` when stopped. Blocks until the frontier is
    /// dropped.
    pub(super) fn run(mut self, stop: &CancellationToken) -> io::Result<Option<String>> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut at = 0;
        while let Ok(frontier) = self.frontier.recv() {
            while at < frontier {
                if stop.is_cancelled() {
                    return Ok(None);
                }
                let most = usize::try_from(frontier - at)
                    .map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
                self.file.read_exact(&mut buffer[..most])?;
                hasher.update(&buffer[..most]);
                at += most as u64;
            }
        }
        Ok(Some(hex(&hasher.finalize())))
    }
}

/// The SHA-256 of bytes in memory, as 64 hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio_util::sync::CancellationToken;

    use super::{Follower, sha256};

    #[test]
    fn a_digest_that_follows_the_writer_covers_the_last_byte() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = (folder.path().join("a"), vec![7; 700_000]);
        fs::write(&path, &bytes).unwrap();
        let (frontier, follower) = Follower::of(&path).unwrap();
        for upto in [0, 1, 300_000, 300_000, 700_000] {
            frontier.send(upto).unwrap();
        }
        drop(frontier);
        let digest = follower.run(&CancellationToken::new()).unwrap();
        assert_eq!(digest, Some(sha256(&bytes)));
    }

    #[test]
    fn a_stopped_check_ends_without_a_digest() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "bytes").unwrap();
        let (frontier, follower) = Follower::of(&folder.path().join("a")).unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        frontier.send(5).unwrap();
        assert_eq!(follower.run(&stop).unwrap(), None);
    }
}
