//! Calls run concurrently, but the code of one session must be sent in the order in which they arrived: each call takes a turn on arrival, and
//! lets the next one pass as soon as the runtime has its code.

use std::collections::BTreeSet;
use std::future::pending;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::base::ids::JobId;
use crate::connection::Connection;
use crate::runtime::Hold;

/// Delay between polls for a job whose submission is not answered yet: the first and the longest.
const FIRST_POLL_DELAY: Duration = Duration::from_millis(10);
const MAX_POLL_DELAY: Duration = Duration::from_secs(1);

/// The longest time that an interrupt waits for code of earlier calls to arrive.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The turns of all sessions that have not passed yet.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<watch::Sender<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    taken: u64,
    /// Session and number.
    turns: BTreeSet<(String, u64)>,
}

/// One call's place behind the earlier ones of its session; passed when dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    place: (String, u64),
}

impl Turns {
    /// Takes the turn behind all earlier ones of `session`.
    #[must_use]
    pub fn take(&self, session: &str) -> Turn {
        let mut place = (session.to_owned(), 0);
        self.0.send_modify(|waiting| {
            waiting.taken += 1;
            place.1 = waiting.taken;
            waiting.turns.insert(place.clone());
        });
        Turn {
            turns: self.clone(),
            place,
        }
    }
}

impl Turn {
    /// Waits until every earlier turn has passed; false if that takes longer than until `deadline`.
    pub(crate) async fn wait(&self, deadline: Instant) -> bool {
        let passed = self.until(|waiting| {
            let first = (self.place.0.clone(), 0);
            waiting
                .turns
                .range(first..self.place.clone())
                .next()
                .is_none()
        });
        timeout_at(deadline, passed).await.is_ok()
    }

    /// Like [`Self::wait`], but only briefly: for calls that may be meant to end an earlier one.
    pub(crate) async fn wait_briefly(&self, deadline: Instant) {
        if !self.wait(deadline.min(Instant::now() + MAX_WAIT)).await {
            tracing::debug!("going ahead before the turn has come");
        }
    }

    /// Lets the next call go ahead.
    pub(crate) fn pass(&self) {
        self.turns
            .0
            .send_if_modified(|waiting| waiting.turns.remove(&self.place));
    }

    /// Whether a later call of the session waits.
    pub(crate) fn is_awaited(&self) -> bool {
        self.precedes_another(&self.turns.0.borrow())
    }

    fn precedes_another(&self, waiting: &Waiting) -> bool {
        let later = (Bound::Excluded(&self.place), Bound::Unbounded);
        let mut later = waiting.turns.range::<(String, u64), _>(later);
        later
            .next()
            .is_some_and(|(session, _)| *session == self.place.0)
    }

    /// Passes as soon as the runtime knows `job`, if another call waits for that. To be polled while the response to the submission is held.
    pub(crate) async fn pass_when_known<T>(&self, connection: &Connection, job: JobId) -> T {
        self.until(|waiting| self.precedes_another(waiting)).await;
        let hold = Hold::none(1024);
        let mut delay = FIRST_POLL_DELAY;
        loop {
            sleep(delay).await;
            delay = (delay * 2).min(MAX_POLL_DELAY);
            let Ok(runtime) = connection.runtime(Instant::now()).await else {
                continue;
            };
            if runtime.events(job, 0, hold).await.is_ok() {
                self.pass();
                return pending().await;
            }
        }
    }

    async fn until(&self, holds: impl Fn(&Waiting) -> bool) {
        let mut waiting = self.turns.0.subscribe();
        // The sender is held by `self`.
        let _ = waiting.wait_for(holds).await.is_ok();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.pass();
    }
}
