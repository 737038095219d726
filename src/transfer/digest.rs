//! Hashes a file while it is being written: the contiguous part from the first byte on is hashed while the rest arrives, so that little
//! work is left at the end, whatever the order of the writes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::base::hex::hex;
use crate::wire::files::{Algorithm, Digest};

const BUFFER_BYTES: usize = 256 * 1024;

/// Receives the length of the contiguous part from the first byte on; dropped after the last write.
pub(super) type Frontier = Sender<u64>;

/// A digest being computed.
#[derive(Debug)]
pub(super) enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha256(Sha256),
}

impl Hasher {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Blake3 => Self::Blake3(Box::default()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hasher) => drop(hasher.update(bytes)),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Digest {
        match self {
            Self::Blake3(hasher) => Digest {
                algorithm: Algorithm::Blake3,
                value: hex(hasher.finalize().as_bytes()),
            },
            Self::Sha256(hasher) => Digest {
                algorithm: Algorithm::Sha256,
                value: hex(&hasher.finalize()),
            },
        }
    }
}

/// Hashes a file up to its frontier.
#[derive(Debug)]
pub(super) struct Follower {
    file: File,
    frontier: Receiver<u64>,
    hasher: Hasher,
}

impl Follower {
    pub(super) fn of(path: &Path, algorithm: Algorithm) -> io::Result<(Frontier, Self)> {
        let file = File::open(path)?;
        let (sender, frontier) = channel();
        let hasher = Hasher::new(algorithm);
        let follower = Self {
            file,
            frontier,
            hasher,
        };
        Ok((sender, follower))
    }

    /// Returns the digest of all bytes up to the last frontier; `None` when stopped. Blocks until the frontier is dropped.
    pub(super) fn run(mut self, stop: &CancellationToken) -> io::Result<Option<Digest>> {
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
                self.hasher.update(&buffer[..most]);
                at += most as u64;
            }
        }
        Ok(Some(self.hasher.finish()))
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

    use super::{Follower, Hasher};
    use crate::wire::files::Algorithm;

    #[test]
    fn a_digest_that_follows_the_writer_covers_the_last_byte() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = (folder.path().join("a"), vec![7; 700_000]);
        fs::write(&path, &bytes).unwrap();
        for algorithm in [Algorithm::Blake3, Algorithm::Sha256] {
            let (frontier, follower) = Follower::of(&path, algorithm).unwrap();
            for upto in [0, 1, 300_000, 300_000, 700_000] {
                frontier.send(upto).unwrap();
            }
            drop(frontier);
            let digest = follower.run(&CancellationToken::new()).unwrap();
            let mut hasher = Hasher::new(algorithm);
            hasher.update(&bytes);
            assert_eq!(digest, Some(hasher.finish()));
        }
    }

    #[test]
    fn a_stopped_check_ends_without_a_digest() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "bytes").unwrap();
        let (frontier, follower) =
            Follower::of(&folder.path().join("a"), Algorithm::Blake3).unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        frontier.send(5).unwrap();
        assert_eq!(follower.run(&stop).unwrap(), None);
    }
}
