//! The call that asked for a piece of work: how long it waits, what cancels the wait, where progress is reported, and its turn among other calls.
//!
//! - here: [`Caller`], and the [`Progress`] that is reported to it;
//! - [`turns`]: calls of one session send their code in the order in which they arrived.
//!
//! May import `base`, `wire`, `runtime`, `connection`; knows nothing of MCP.

pub mod turns;

use std::future::{Future, pending};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::text::{Newest, Room};
use crate::wire::job::Job;
use turns::Turn;

/// Time that is reserved for responses in flight, and for files that are fetched after the output.
const MAX_RESERVE: Duration = Duration::from_secs(5);

/// Characters of output in one answer, unless a caller wants more.
pub const DEFAULT_CHARS: usize = 12_000;

/// Receives progress.
pub type Report<'a> = dyn Fn(Progress<'_>) + Send + Sync + 'a;

/// One call that waits for work, which may outlive the call.
#[derive(Clone)]
pub struct Caller<'a> {
    /// When the call must be answered.
    pub deadline: Instant,
    /// When to stop reading a job's output, with time left to fetch pictures and logs; at least one look is always taken.
    pub reading: Instant,
    /// When to stop waiting for output that is not there yet; not after `reading`.
    pub patience: Instant,
    /// The user wants the work to stop.
    pub cancelled: CancellationToken,
    /// The call is over before its time, and the work goes on.
    pub left: CancellationToken,
    pub report: &'a Report<'a>,
    /// How much output the answer holds.
    pub room: Room,
    /// How much it holds if what the call runs has failed.
    pub error_room: Room,
    /// The call's turn to send code; none if the order does not matter.
    pub turn: Option<&'a Turn>,
    /// Stop waiting when the code asks the user.
    pub stops_at_questions: bool,
}

/// A progress report.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A page of the job's events was read.
    Job {
        job: &'a Job,
        newest: &'a Newest,
    },
    /// Items done, of all items.
    Count {
        done: u64,
        total: u64,
    },
    Transfer(&'a Transferred),
    /// A step of work that counts by itself.
    Step {
        done: f64,
        total: Option<f64>,
        message: &'a str,
    },
    /// The work goes on without the call, under this id or name.
    Left {
        name: &'a str,
    },
}

/// The progress of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// The current step, for people.
    pub message: String,
    /// Bytes that have arrived.
    pub done_bytes: u64,
    /// None while the total is unknown, and before the first byte.
    pub total_bytes: Option<u64>,
}

impl<'a> Caller<'a> {
    /// A caller that waits until shortly before `deadline` and receives no progress.
    #[must_use]
    pub fn until(deadline: Instant) -> Self {
        let left = deadline.saturating_duration_since(Instant::now());
        let reading = deadline - (left / 8).min(MAX_RESERVE);
        Self {
            deadline,
            reading,
            patience: reading,
            cancelled: CancellationToken::new(),
            left: CancellationToken::new(),
            report: &ignore,
            room: Room::for_chars(DEFAULT_CHARS),
            error_room: Room::for_chars(DEFAULT_CHARS),
            turn: None,
            stops_at_questions: false,
        }
    }

    /// Stops the work when `token` is cancelled.
    #[must_use]
    pub fn cancelled_by(self, token: &CancellationToken) -> Self {
        Self {
            cancelled: token.clone(),
            ..self
        }
    }

    /// Leaves the work to itself when `token` is cancelled.
    #[must_use]
    pub fn left_by(self, token: &CancellationToken) -> Self {
        Self {
            left: token.clone(),
            ..self
        }
    }

    /// Receives progress through `report`.
    #[must_use]
    pub fn with_report<'b>(self, report: &'b Report<'b>) -> Caller<'b>
    where
        'a: 'b,
    {
        Caller { report, ..self }
    }

    /// Shows only as much output as fits.
    #[must_use]
    pub fn with_room(self, room: Room) -> Self {
        Self {
            room,
            error_room: room,
            ..self
        }
    }

    /// Shows less of it if what the call runs has failed.
    #[must_use]
    pub fn with_error_room(self, error_room: Room) -> Self {
        Self { error_room, ..self }
    }

    /// Shows as much of the output as the outcome has room for.
    #[must_use]
    pub fn with_room_for(&self, has_failed: bool) -> Self {
        let room = if has_failed {
            self.error_room
        } else {
            self.room
        };
        self.clone().with_room(room)
    }

    /// Waits no further when the code asks the user.
    #[must_use]
    pub fn stopping_at_questions(self) -> Self {
        Self {
            stops_at_questions: true,
            ..self
        }
    }

    /// Sends code only in this turn.
    #[must_use]
    pub fn in_turn(self, turn: Option<&'a Turn>) -> Self {
        Self { turn, ..self }
    }

    /// Waits no longer than `wait` from now.
    #[must_use]
    pub fn at_most(mut self, wait: Duration) -> Self {
        if let Some(until) = Instant::now().checked_add(wait) {
            self.patience = self.patience.min(until);
        }
        self
    }

    /// Does `work`, and reports that it goes on as `name` when the call is over before it.
    pub(crate) async fn or_leave<T>(&self, name: &str, work: impl Future<Output = T>) -> T {
        let left = async {
            self.left.cancelled().await;
            (self.report)(Progress::Left { name });
            pending().await
        };
        tokio::select! {
            // The work ends as soon as it is left.
            biased;
            never = left => never,
            done = work => done,
        }
    }

    /// Completes when nothing waits for the answer any more.
    pub async fn gone(&self) {
        tokio::select! {
            () = self.cancelled.cancelled() => {}
            () = self.left.cancelled() => {}
        }
    }
}

fn ignore(_: Progress<'_>) {}
