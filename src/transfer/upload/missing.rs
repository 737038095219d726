//! The part of a file that has still to be sent.

use std::ops::Range;

use crate::base::lock::Lock;
use crate::wire::files::Upload;

/// Ranges of a file that have not arrived yet, in order.
#[derive(Debug)]
pub(super) struct Missing(Lock<Vec<Range<u64>>>);

impl Missing {
    pub(super) fn of(upload: &Upload, size: u64) -> Self {
        let mut gaps = Vec::new();
        let mut at = 0;
        for &(from, to) in &upload.received {
            if from > at {
                gaps.push(at..from.min(size));
            }
            at = at.max(to);
        }
        if at < size {
            gaps.push(at..size);
        }
        // Taken from the end.
        gaps.reverse();
        Self(Lock::new(gaps))
    }

    /// Takes the next piece, of at most `most` bytes.
    pub(super) fn take(&self, most: u64) -> Option<Range<u64>> {
        let mut gaps = self.lock();
        let gap = gaps.last_mut()?;
        let end = gap.end.min(gap.start + most.max(1));
        let piece = gap.start..end;
        gap.start = end;
        if gap.is_empty() {
            gaps.pop();
        }
        Some(piece)
    }

    pub(super) fn give_back(&self, piece: Range<u64>) {
        self.lock().push(piece);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.lock().iter().map(|gap| gap.end - gap.start).sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Range<u64>>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Missing, Upload};
    use crate::wire::files::UploadState;

    fn upload(received: Vec<(u64, u64)>) -> Upload {
        Upload {
            state: UploadState::Open,
            received,
            executable: None,
        }
    }

    proptest! {
        /// Whatever ranges the executor reports, these and the pieces cover the file exactly once.
        #[test]
        fn pieces_fill_the_gaps(size in 0_u64..500, mut ends in prop::collection::vec(0_u64..500, 0..8), most in 1_u64..100) {
            ends.iter_mut().for_each(|end| *end = (*end).min(size));
            ends.sort_unstable();
            let received: Vec<_> = ends.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
            let missing = Missing::of(&upload(received.clone()), size);
            let mut times = vec![0; size as usize];
            for (from, to) in received {
                times[from as usize..to as usize].fill(1);
            }
            prop_assert_eq!(missing.bytes() as usize, times.iter().filter(|count| **count == 0).count());
            while let Some(piece) = missing.take(most) {
                prop_assert!(piece.end - piece.start <= most && !piece.is_empty());
                times[piece.start as usize..piece.end as usize].iter_mut().for_each(|count| *count += 1);
            }
            prop_assert!(times.iter().all(|count| *count == 1));
        }
    }
}
