//! Skipped iterations that are to run again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// Iterations of one job, which the checkpoint lists; it is saved often. Further ones are the next job's.
const MAX_ITERATIONS: usize = 1_000;

/// The skipped iterations of one job; empty before they are looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retry {
    /// First those that have run again, then the others in ascending order.
    pub(crate) iterations: Vec<u64>,
    /// How many of them have run again.
    pub(crate) done: u64,
}

impl Retry {
    /// The iteration that runs next; none if all of this job have run.
    pub(crate) fn current(&self) -> Option<u64> {
        let at = usize::try_from(self.done).ok()?;
        self.iterations.get(at).copied()
    }

    /// Makes an iteration the next one, if it has not run again: it has finished ahead of earlier ones.
    pub(crate) fn bring_forward(&mut self, iteration: u64) {
        let waiting = usize::try_from(self.done).unwrap_or(usize::MAX);
        if let Some(waiting) = self.iterations.get_mut(waiting..)
            && let Some(at) = waiting.iter().position(|one| *one == iteration)
        {
            waiting[..=at].rotate_right(1);
        }
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.total().saturating_sub(self.done)
    }

    pub(crate) fn total(&self) -> u64 {
        self.iterations.len() as u64
    }

    /// The skipped iterations after these, by the first `covered` bytes of the results; none if there are none.
    pub(crate) fn following(&self, results: &Path, covered: u64) -> io::Result<Option<Self>> {
        let after = self.iterations.iter().max().map_or(0, |last| last + 1);
        let skipped = skipped(results, covered)?;
        let iterations: Vec<u64> = skipped
            .range(after..)
            .take(MAX_ITERATIONS)
            .copied()
            .collect();
        let retry = Self {
            iterations,
            done: 0,
        };
        Ok((!retry.iterations.is_empty()).then_some(retry))
    }
}

/// The iterations whose last result is an error.
fn skipped(results: &Path, covered: u64) -> io::Result<BTreeSet<u64>> {
    #[derive(Deserialize)]
    struct Line {
        i: u64,
        error: Option<IgnoredAny>,
    }
    let mut skipped = BTreeSet::new();
    for line in BufReader::new(File::open(results)?.take(covered)).split(b'\n') {
        let Ok(line) = serde_json::from_slice::<Line>(&line?) else {
            continue;
        };
        if line.error.is_some() {
            skipped.insert(line.i);
        } else {
            skipped.remove(&line.i);
        }
    }
    Ok(skipped)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Retry;

    #[test]
    fn iterations_that_finish_ahead_run_again_once_each() {
        let iterations = vec![2, 5, 7, 9];
        let mut retry = Retry {
            iterations,
            done: 0,
        };
        let mut counted = Vec::new();
        for finished in [7, 7, 2, 3, 9, 2, 5, 5] {
            retry.bring_forward(finished);
            if retry.current() == Some(finished) {
                retry.done += 1;
                counted.push(finished);
            }
        }
        assert_eq!(counted, [7, 2, 9, 5]);
        assert_eq!(retry.remaining(), 0);
    }

    #[test]
    fn iterations_whose_last_result_is_an_error_follow_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let lines: String = (0..3_000)
            .map(|i| format!("{{\"i\":{i},\"result\":null,\"error\":\"no\"}}\n"))
            .collect();
        let mended = "{\"i\":1,\"result\":{\"error\":1}}\ntorn{\n";
        let covered = (lines.len() + mended.len()) as u64;
        let uncovered = "{\"i\":2,\"result\":1}\n";
        fs::write(&path, format!("{lines}{mended}{uncovered}")).unwrap();
        let (mut found, mut retry) = (Vec::<u64>::new(), Retry::default());
        while let Some(next) = retry.following(&path, covered).unwrap() {
            assert!(next.total() <= 1_000);
            found.extend(&next.iterations);
            retry = next;
        }
        let expected: Vec<u64> = (0..3_000).filter(|i| *i != 1).collect();
        assert_eq!(found, expected);
    }
}
