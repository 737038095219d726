//! Reproducible random numbers from a printed seed.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::time::Duration;

/// The variable with the seed to replay.
pub(crate) const SEED: &str = "SMART_COLAB_SEED";

/// A splitmix64 generator.
pub(crate) struct Chance(u64);

impl Chance {
    /// Creates the generator for a round of the test `name` and prints its seed.
    pub(crate) fn of(name: &str, round: u64) -> Self {
        let seed = std::env::var(SEED).map_or_else(
            |_| RandomState::new().hash_one(name) >> 32,
            |text| {
                text.parse()
                    .unwrap_or_else(|_| panic!("{SEED} is not a number: {text}"))
            },
        );
        let seed = seed.wrapping_add(round);
        // The harness shows this if the test fails.
        eprintln!("{name}: {SEED}={seed}");
        let mut start = Self(seed);
        for byte in name.bytes() {
            start.0 = start.next() ^ u64::from(byte);
        }
        start
    }

    /// Splits off an independent generator, for concurrent use.
    pub(crate) fn branch(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// Returns 0 to 4,095, small numbers as often as large ones.
    pub(crate) fn bytes(&mut self) -> u64 {
        let magnitude = self.within(0..13);
        self.within(0..1 << magnitude)
    }

    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        for at in (1..things.len()).rev() {
            let other = usize::try_from(self.within(0..at as u64 + 1)).unwrap();
            things.swap(at, other);
        }
    }
}
