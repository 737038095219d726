//! The received bytes of a file, as ordered ranges that neither overlap nor touch. No I/O.

use std::ops::Range;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    pub(super) fn add(&mut self, new: Range<u64>) {
        if new.is_empty() {
            return;
        }
        let from = self.0.partition_point(|known| known.end < new.start);
        let to = self.0.partition_point(|known| known.start <= new.end);
        let joined = match self.0.get(from..to) {
            Some([first, .., last]) => first.start.min(new.start)..last.end.max(new.end),
            Some([only]) => only.start.min(new.start)..only.end.max(new.end),
            Some([]) | None => new,
        };
        self.0.splice(from..to, [joined]);
    }

    /// The gaps in the first `size` bytes.
    pub(super) fn missing(&self, size: u64) -> Vec<Range<u64>> {
        let ends = std::iter::once(0).chain(self.0.iter().map(|range| range.end));
        let starts = self.0.iter().map(|range| range.start);
        let gaps = ends.zip(starts.chain(std::iter::once(size)));
        gaps.map(|(end, start)| end..start.min(size))
            .filter(|gap| !gap.is_empty())
            .collect()
    }

    /// Number of bytes.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Length of the contiguous part from the first byte on.
    pub(super) fn frontier(&self) -> u64 {
        let first = self.0.first().filter(|first| first.start == 0);
        first.map_or(0, |first| first.end)
    }

    /// Minimum length of a file that has these bytes.
    pub(super) fn reach(&self) -> u64 {
        self.0.last().map_or(0, |last| last.end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Ranges;

    proptest! {
        #[test]
        fn ranges_are_the_bytes_that_were_added(added in prop::collection::vec((0_u64..40, 0_u64..10), 0..20)) {
            let (mut ranges, mut bytes) = (Ranges::default(), BTreeSet::new());
            for (start, length) in added {
                ranges.add(start..start + length);
                bytes.extend(start..start + length);
            }
            prop_assert_eq!(ranges.total(), bytes.len() as u64);
            prop_assert_eq!(ranges.reach(), bytes.last().map_or(0, |last| last + 1));
            prop_assert_eq!(ranges.frontier(), (0..).find(|byte| !bytes.contains(byte)).unwrap());
            let missing: Vec<u64> = ranges.missing(50).into_iter().flatten().collect();
            let expected: Vec<u64> = (0..50).filter(|byte| !bytes.contains(byte)).collect();
            prop_assert_eq!(missing, expected);
            prop_assert!(ranges.0.windows(2).all(|two| two[0].end < two[1].start));
        }
    }
}
