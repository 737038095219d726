//! Calls run side by side, and the code of one session must be sent in the order in which they came: each call takes its turn when it arrives,
//! and lets the next one pass as soon as its own code has arrived.

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

/// Between two looks for a job whose sending is not answered yet: at first, and at most.
const FIRST_LOOK_DELAY: Duration = Duration::from_millis(10);
const MAX_LOOK_DELAY: Duration = Duration::from_secs(1);

/// How long ending what runs is put off by code that was asked for before and has not arrived.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The calls of all sessions that have not passed yet.
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
    /// The place behind all that were taken for `session` before.
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
    /// Waits until every earlier one has passed; false when that has not come by `deadline`.
    pub(crate) async fn comes(&self, deadline: Instant) -> bool {
        let come = self.until(|waiting| {
            let first = (self.place.0.clone(), 0);
            waiting
                .turns
                .range(first..self.place.clone())
                .next()
                .is_none()
        });
        timeout_at(deadline, come).await.is_ok()
    }

    /// The same for what may be meant to end an earlier one: not for long.
    pub(crate) async fn comes_soon(&self, deadline: Instant) {
        if !self.comes(deadline.min(Instant::now() + MAX_WAIT)).await {
            tracing::debug!("went before its turn");
        }
    }

    /// Lets the next one go.
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

    /// While the answer to the sending of `job` is held: passes as soon as the runtime knows the job, if another call waits for that.
    pub(crate) async fn pass_when_known<T>(&self, connection: &Connection, job: JobId) -> T {
        self.until(|waiting| self.precedes_another(waiting)).await;
        let look = Hold::none(1024);
        let mut delay = FIRST_LOOK_DELAY;
        loop {
            sleep(delay).await;
            delay = (delay * 2).min(MAX_LOOK_DELAY);
            let Ok(runtime) = connection.runtime(Instant::now()).await else {
                continue;
            };
            if runtime.events(job, 0, look).await.is_ok() {
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
