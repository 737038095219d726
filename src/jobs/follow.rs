//! Follows a job by long polls, from a cursor to the job's end, the caller's deadline or its cancellation.

use std::collections::BTreeMap;
use std::future::pending;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::stall::{self, Stall};
use crate::base::ids::JobId;
use crate::base::text::Newest;
use crate::caller::turns::Turn;
use crate::caller::{Caller, Progress};
use crate::connection::Connection;
use crate::runtime::arrival::Arrival;
use crate::runtime::{Code, Hold, RuntimeError, RuntimeResult};
use crate::wire::event::{Event, EventKind};
use crate::wire::job::{EventPage, Job, JobRequest};
use crate::wire::limits::MAX_WAIT;
use crate::wire::state::JobState;

/// Longest hold of the first request: short, so that one lost without a sign leaves time for a retry within the call.
const FIRST_HOLD: Duration = Duration::from_secs(5);
/// Silence beyond the longest hold after which the executor counts as unreachable.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(5);
/// Quick code ends the wait by finishing, so lingering costs it nothing and saves chatty code a request.
const FIRST_LINGER_SEC: f64 = 0.5;
/// Bytes of events in one response of the executor.
const PAGE_BYTES: u64 = 1024 * 1024;

/// Takes a job's events in order.
pub trait Reader: Send {
    /// Takes one event; `Break` asks for no more of them.
    fn take(&mut self, event: &Event) -> ControlFlow<()>;

    /// No more events are there for now; `Break` as in [`Reader::take`].
    fn pause(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// The newest output, for progress reports.
    fn newest(&self) -> Newest {
        Newest::default()
    }

    /// Whether what the reader waits for has come.
    fn is_satisfied(&self) -> bool {
        false
    }
}

impl<F: FnMut(&Event) -> ControlFlow<()> + Send> Reader for F {
    fn take(&mut self, event: &Event) -> ControlFlow<()> {
        self(event)
    }
}

/// Where following stopped, and why.
#[derive(Debug)]
pub struct Followed {
    pub id: JobId,
    /// As last reported by the executor; none if it never answered.
    pub job: Option<Job>,
    /// The cursor to continue from.
    pub next: u64,
    pub ended: Ended,
    /// As in [`Finished`](crate::wire::event::Finished), if that was read.
    pub packages: BTreeMap<String, Option<String>>,
}

impl Followed {
    /// Whether the code failed, or could not be followed.
    pub fn has_failed(&self) -> bool {
        match self.ended {
            Ended::Finished => {
                let state = self.job.as_ref().map(|job| job.state);
                state != Some(JobState::Succeeded)
            }
            Ended::Cancelled | Ended::Trouble(_) => true,
            Ended::Full | Ended::Deadline | Ended::Left => false,
        }
    }
}

#[derive(Debug)]
pub enum Ended {
    /// The job has ended and all its events were taken.
    Finished,
    /// The reader has enough for now.
    Full,
    Deadline,
    /// The caller wants the job to stop.
    Cancelled,
    /// The caller no longer waits; the job goes on.
    Left,
    /// The runtime cannot be reached; the job may still be running.
    Trouble(RuntimeError),
}

/// Starts a job and follows it. The request is retried under the same id until the deadline.
///
/// # Errors
/// Only when the job certainly did not start. If that is unknown, the result is `Trouble` without a job.
pub async fn submit(
    connection: &Arc<Connection>,
    id: JobId,
    request: &JobRequest,
    caller: &Caller<'_>,
    reader: &mut dyn Reader,
) -> RuntimeResult<Followed> {
    let arrival = Arrival::default();
    let sending = async {
        if let Some(turn) = caller.turn
            && !turn.wait(caller.deadline).await
        {
            let url = connection.place().unwrap_or_default();
            return Err(RuntimeError::TimedOut { url });
        }
        // Another call of the session must not wait until this code has ended.
        let is_awaited = caller.turn.is_some_and(Turn::is_awaited);
        let hold = Hold {
            until: if is_awaited {
                Instant::now()
            } else {
                caller.patience
            },
            at_most: FIRST_HOLD,
            linger_sec: FIRST_LINGER_SEC,
            max_bytes: PAGE_BYTES,
        };
        let until = connection.until(caller.deadline);
        until.put_job(id, request, hold, &arrival).await
    };
    let first = tokio::select! {
        biased;
        page = sending => page,
        () = caller.cancelled.cancelled() => match arrival.is_possible() {
            true => return Ok(Followed { id, job: None, next: 0, ended: Ended::Cancelled, packages: BTreeMap::new() }),
            false => Err(RuntimeError::Cancelled),
        },
        never = pass_when_known(connection, id, caller.turn) => never,
    };
    if let Some(turn) = caller.turn {
        turn.pass();
    }
    match first {
        Ok(page) => Ok(Follower {
            id,
            next: 0,
            job: None,
            more: false,
            heard: Instant::now(),
            packages: BTreeMap::new(),
        }
        .run(connection, Some(page), caller, reader)
        .await),
        Err(error) if arrival.is_possible() => Ok(Followed {
            id,
            job: None,
            next: 0,
            ended: Ended::Trouble(error),
            packages: BTreeMap::new(),
        }),
        Err(error) => Err(error),
    }
}

async fn pass_when_known<T>(connection: &Connection, id: JobId, turn: Option<&Turn>) -> T {
    match turn {
        Some(turn) => turn.pass_when_known(connection, id).await,
        None => pending().await,
    }
}

/// Follows a job that was started earlier.
pub async fn follow(
    connection: &Arc<Connection>,
    id: JobId,
    after: u64,
    caller: &Caller<'_>,
    reader: &mut dyn Reader,
) -> Followed {
    Follower {
        id,
        next: after,
        job: None,
        more: false,
        heard: Instant::now(),
        packages: BTreeMap::new(),
    }
    .run(connection, None, caller, reader)
    .await
}

struct Follower {
    id: JobId,
    next: u64,
    job: Option<Job>,
    /// Further events are available at once.
    more: bool,
    /// When the last response was received.
    heard: Instant,
    packages: BTreeMap<String, Option<String>>,
}

impl Follower {
    async fn run(
        mut self,
        connection: &Arc<Connection>,
        first: Option<EventPage>,
        caller: &Caller<'_>,
        reader: &mut dyn Reader,
    ) -> Followed {
        let (mut page, mut stall) = (first, Stall::default());
        let ended = loop {
            if let Some(page) = page.take() {
                if let Some(ended) = self.take(page, &mut stall, caller, reader) {
                    break ended;
                }
                if stall.is_hopeless() {
                    break Ended::Trouble(stall::fault(connection, self.next));
                }
            }
            let until = if self.more {
                caller.reading
            } else {
                caller.patience
            };
            if self.job.is_some() && Instant::now() >= until {
                break Ended::Deadline;
            }
            let next_page = async {
                stall.pause(until).await;
                self.next_page(connection, caller).await
            };
            tokio::select! {
                biased;
                () = caller.cancelled.cancelled() => break Ended::Cancelled,
                () = caller.left.cancelled() => break Ended::Left,
                answer = next_page => match answer {
                    Ok(answer) => page = Some(answer),
                    Err(RuntimeError::TimedOut { .. }) if self.may_be_holding() => break Ended::Deadline,
                    Err(error) => break Ended::Trouble(error),
                },
            }
        };
        Followed {
            id: self.id,
            job: self.job,
            next: self.next,
            ended,
            packages: self.packages,
        }
    }

    /// Takes each event once and in order: those up to the cursor were taken before. A gap between two cannot be filled.
    fn take(
        &mut self,
        mut page: EventPage,
        stall: &mut Stall,
        caller: &Caller<'_>,
        reader: &mut dyn Reader,
    ) -> Option<Ended> {
        let whole = page.job.state.is_final() && !page.more;
        self.more = page.more;
        if page.more {
            page.job.asking = None; // what it printed before comes first
        }
        self.job = Some(page.job);
        self.heard = Instant::now();
        let (before, claims) = (self.next, page.more || !page.events.is_empty());
        for event in &page.events {
            if event.seq <= self.next {
                continue;
            }
            self.next = event.seq;
            if let EventKind::Finished(finished) = &event.kind {
                self.packages.clone_from(&finished.packages);
            }
            if reader.take(event).is_break() {
                return Some(Ended::Full);
            }
        }
        stall.count_response(self.next > before, claims);
        self.next = self.next.max(page.next);
        if let Some(job) = &self.job {
            let newest = &reader.newest();
            (caller.report)(Progress::Job { job, newest });
        }
        if whole {
            return Some(Ended::Finished);
        }
        if reader.pause().is_break() {
            return Some(Ended::Full);
        }
        let asks = self.job.as_ref().is_some_and(|job| job.asking.is_some());
        let is_enough = reader.is_satisfied() || (asks && caller.stops_at_questions);
        is_enough.then_some(Ended::Deadline)
    }

    async fn next_page(
        &self,
        connection: &Arc<Connection>,
        caller: &Caller<'_>,
    ) -> RuntimeResult<EventPage> {
        let hold = Hold {
            until: caller.patience,
            at_most: MAX_WAIT,
            linger_sec: self.linger(),
            max_bytes: PAGE_BYTES,
        };
        let mut until = connection.until(caller.deadline);
        if self.job.is_some() {
            until = until.patiently();
        }
        until.events(self.id, self.next, hold).await
    }

    /// Whether the silence is no longer than the executor was asked to hold its response.
    fn may_be_holding(&self) -> bool {
        self.job.is_some() && self.heard.elapsed() < MAX_WAIT + SILENCE_TIMEOUT
    }

    /// Seconds to collect events after the first: few for a young job, more for an old one, so that hours of output stay within a tunnel's
    /// monthly request quota.
    fn linger(&self) -> f64 {
        let age = self
            .job
            .as_ref()
            .and_then(|job| job.execution_time_sec)
            .unwrap_or(0.0);
        (age / 40.0).clamp(0.02, 5.0)
    }
}
