//! Who asked for a piece of work: until when it waits, what ends its waiting, what it hears meanwhile, and behind which other calls it comes.
//!
//! - here: [`Caller`], and the [`Progress`] that is reported to it;
//! - [`turns`]: calls of one session send their code in the order in which they came.
//!
//! May import `base`, `wire`, `runtime`, `connection`; knows nothing of MCP.

pub mod turns;

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::text::Newest;
use crate::wire::job::Job;
use turns::Turn;

/// For answers on their way and for what is fetched after the following.
const MAX_RESERVE: Duration = Duration::from_secs(5);

/// Hears of progress.
pub type Report<'a> = dyn Fn(Progress<'_>) + Send + Sync + 'a;

/// One call that waits for work, which may well outlive it.
#[derive(Clone)]
pub struct Caller<'a> {
    /// When it must have its answer.
    pub deadline: Instant,
    /// When to stop reading a job's output, with time left to fetch pictures and logs; at least one look is always taken.
    pub reading: Instant,
    /// When to stop waiting for output that is not there yet; not after `reading`.
    pub patience: Instant,
    /// Ends the waiting. What that means for the work, each piece of work says.
    pub cancelled: CancellationToken,
    pub report: &'a Report<'a>,
    /// Behind which other calls what it sends comes; none where its order is of no matter.
    pub turn: Option<&'a Turn>,
}

/// What moved.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A job, of which a page of events was read.
    Job {
        job: &'a Job,
        newest: &'a Newest,
    },
    /// So many of all things are done.
    Count {
        done: u64,
        total: u64,
    },
    Transfer(&'a Transferred),
}

/// How far a transfer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// What is happening, for people.
    pub message: String,
    /// Bytes that are where they go.
    pub done_bytes: u64,
    /// None while it is not known, and while nothing moves yet.
    pub total_bytes: Option<u64>,
}

impl<'a> Caller<'a> {
    /// Waits until shortly before `deadline`, whatever happens, and hears of nothing.
    #[must_use]
    pub fn until(deadline: Instant) -> Self {
        let left = deadline.saturating_duration_since(Instant::now());
        let reading = deadline - (left / 8).min(MAX_RESERVE);
        Self {
            deadline,
            reading,
            patience: reading,
            cancelled: CancellationToken::new(),
            report: &unheard,
            turn: None,
        }
    }

    /// Waits until `token` is cancelled.
    #[must_use]
    pub fn cancelled_by(self, token: &CancellationToken) -> Self {
        Self {
            cancelled: token.clone(),
            ..self
        }
    }

    /// Hears of progress by `report`.
    #[must_use]
    pub fn hearing<'b>(self, report: &'b Report<'b>) -> Caller<'b>
    where
        'a: 'b,
    {
        Caller { report, ..self }
    }

    /// Sends when the turn has come.
    #[must_use]
    pub fn in_turn(self, turn: Option<&'a Turn>) -> Self {
        Self { turn, ..self }
    }

    /// Waits no longer than `wait` from now.
    #[must_use]
    pub fn at_most(mut self, wait: Duration) -> Self {
        self.patience = self.patience.min(Instant::now() + wait);
        self
    }
}

fn unheard(_: Progress<'_>) {}
