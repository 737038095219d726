//! Identifiers that cross the wire.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The identity of a job, made by the caller, so that a repeated submission is recognised (UUIDv7, RFC 9562).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// A fresh id that sorts by its creation time.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// A fresh id that sorts after this one, even if the clock has been set back since.
    #[must_use]
    pub fn fresh_after(self) -> Self {
        /// The bits of a UUIDv7 below its time.
        const RANDOM_BITS: u32 = 80;
        let fresh = Self::fresh();
        if fresh > self {
            return fresh;
        }
        let time = (self.0.as_u128() >> RANDOM_BITS) + 1;
        let random = fresh.0.as_u128() & ((1 << RANDOM_BITS) - 1);
        Self(Uuid::from_u128(time << RANDOM_BITS | random))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim().parse().map(Self)
    }
}
