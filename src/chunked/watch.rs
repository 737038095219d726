//! Who waits for an operation.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::jobs::follow::{Moved, Watch as JobWatch};
use crate::jobs::turns::Turn;

/// Left of the call for fetching pictures and logs.
const RESERVE: Duration = Duration::from_secs(1);

/// Who is waiting, how long, and how to tell them of each iteration.
pub struct Watch<'a> {
    pub deadline: Instant,
    /// Ends the call, and interrupts the job in flight.
    pub cancelled: &'a CancellationToken,
    /// Called with the iterations completed, and all of them.
    pub moved: &'a (dyn Fn(u64, u64) + Send + Sync),
    /// Behind which other calls the first job comes.
    pub turn: Option<&'a Turn>,
}

impl Watch<'_> {
    /// When to ask no more.
    pub(super) fn until(&self) -> Instant {
        self.deadline.checked_sub(RESERVE).unwrap_or(self.deadline)
    }

    /// The same for one of its jobs; `moved` is called with each answer.
    pub(super) fn of_job<'a>(&'a self, moved: &'a Moved<'a>) -> JobWatch<'a> {
        JobWatch::until(self.until(), self.cancelled, moved).in_turn(self.turn)
    }
}
