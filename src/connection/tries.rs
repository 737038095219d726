//! When a call is retried, after which pause, and where: the rules for each kind of call, and the tries of one call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::{Instant, sleep, timeout_at};

use super::Connection;
use super::trouble::Trouble;
use crate::base::fault::Fault;
use crate::runtime::error::Reach;
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};

const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(3);
/// The longest pause while only lasting errors occur, as the patience for them is short.
const MAX_SLEEP_STEP: Duration = Duration::from_secs(1);

/// When and where a failed call may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Repeating is harmless: retried while the error is transient, at another address too.
    Freely,
    /// Must not run twice: retried only if nothing received it, and sent only to an executor that has answered before.
    Once,
}

impl Policy {
    fn may_repeat(self, error: &RuntimeError) -> bool {
        match self {
            Self::Freely => error.is_transient(),
            Self::Once => error.is_transient() && error.reach() == Reach::Nowhere,
        }
    }

    fn may_go_elsewhere(self, error: &RuntimeError) -> bool {
        match self {
            Self::Freely => true,
            Self::Once => error.reach() != Reach::Unknown,
        }
    }
}

impl Connection {
    /// Retries a request that may be repeated freely until `deadline`, or only for `lasting_patience`, if there is one, while nothing but
    /// [lasting](RuntimeError::is_lasting) errors occur. For callers that watch each try and report its errors themselves.
    ///
    /// # Errors
    /// As [`Until`](super::Until).
    pub async fn each_try<T, F>(
        self: &Arc<Self>,
        deadline: Instant,
        lasting_patience: Option<Duration>,
        question: impl FnMut(Arc<dyn Runtime>) -> F,
    ) -> RuntimeResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        let mut tries = Tries::new(self.clone(), Policy::Freely, deadline, lasting_patience);
        tries.trouble = None;
        tries.ask(question).await
    }
}

/// One call, from its first try to its answer.
pub(super) struct Tries {
    connection: Arc<Connection>,
    policy: Policy,
    deadline: Instant,
    /// How long to retry while only [lasting](RuntimeError::is_lasting) errors occur; none means until the deadline.
    lasting_patience: Option<Duration>,
    pauses: ExponentialBackoff,
    /// When the first try began, and where.
    began: Option<(Instant, String)>,
    last: Option<RuntimeError>,
    was_healed: bool,
    is_lasting: bool,
    /// Where progress messages find this call's errors; none if its caller reports them.
    trouble: Option<Trouble>,
}

impl Tries {
    pub(super) fn new(
        connection: Arc<Connection>,
        policy: Policy,
        deadline: Instant,
        lasting_patience: Option<Duration>,
    ) -> Self {
        Self {
            trouble: Some(connection.troubles.begin()),
            connection,
            policy,
            deadline,
            lasting_patience,
            pauses: ExponentialBuilder::default()
                .with_min_delay(MIN_PAUSE)
                .with_max_delay(MAX_PAUSE)
                .with_jitter()
                .without_max_times()
                .build(),
            began: None,
            last: None,
            was_healed: false,
            is_lasting: true,
        }
    }

    /// Retries until there is an answer, or an error that is not to be retried.
    pub(super) async fn ask<T, F>(
        &mut self,
        mut question: impl FnMut(Arc<dyn Runtime>) -> F,
    ) -> RuntimeResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        loop {
            let runtime = self.runtime().await?;
            if let Some(answer) = self.attempt(&*runtime, question(runtime.clone())).await? {
                return Ok(answer);
            }
        }
    }

    /// Returns the runtime for this try: a local executor that died is restarted at another address, and a tunnel that was reopened has the
    /// address that `connect` saved.
    pub(super) async fn runtime(&mut self) -> RuntimeResult<Arc<dyn Runtime>> {
        loop {
            match self.connection.runtime(self.deadline).await {
                Ok(runtime) => {
                    let began = || (Instant::now(), runtime.address().to_owned());
                    self.began.get_or_insert_with(began);
                    return Ok(runtime);
                }
                Err(error) if self.began.is_none() => return Err(error),
                Err(error) => self.wait_for_retry(None, error).await?,
            }
        }
    }

    /// Waits for the answer of `runtime`; none if another try is due.
    pub(super) async fn attempt<T>(
        &mut self,
        runtime: &dyn Runtime,
        answer: impl Future<Output = RuntimeResult<T>>,
    ) -> RuntimeResult<Option<T>> {
        match timeout_at(self.deadline, answer).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(error)) => self
                .wait_for_retry(Some(runtime), error)
                .await
                .map(|()| None),
            Err(_) => Err(self.late_error(runtime)),
        }
    }

    /// The error for a deadline during a try. The last error before it says more, except for a request that may have been carried out.
    fn late_error(&mut self, runtime: &dyn Runtime) -> RuntimeError {
        let first = self.began.as_ref().map(|(_, address)| address.clone());
        match (self.policy, self.last.take()) {
            (Policy::Freely, Some(error)) => error,
            (Policy::Freely, None) => RuntimeError::TimedOut {
                url: first.unwrap_or_else(|| runtime.address().to_owned()),
            },
            (Policy::Once, _) => RuntimeError::TimedOut {
                url: runtime.address().to_owned(),
            },
        }
    }

    /// Waits until another try is due; returns the error if none is. A pause that would end after the deadline ends the call at once.
    async fn wait_for_retry(
        &mut self,
        asked: Option<&dyn Runtime>,
        error: RuntimeError,
    ) -> RuntimeResult<()> {
        let Some(pause) = self.pause_after(asked, &error) else {
            return Err(error);
        };
        if self.deadline.saturating_duration_since(Instant::now()) <= pause {
            return Err(error);
        }
        tracing::debug!(code = error.code(), %error, "trying again");
        self.last = Some(error);
        sleep(pause).await;
        Ok(())
    }

    /// Notes that data is arriving again.
    pub(super) fn end_trouble(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.end();
        }
    }

    /// How long to wait before another try; none if there is to be none.
    fn pause_after(
        &mut self,
        asked: Option<&dyn Runtime>,
        error: &RuntimeError,
    ) -> Option<Duration> {
        let again = self.policy.may_repeat(error);
        // Switching back and forth between two addresses ends when retrying at either of them would.
        let is_healed = (again || !self.was_healed)
            && self.policy.may_go_elsewhere(error)
            && asked.is_some_and(|asked| self.connection.heal(asked, error));
        if !again && !is_healed {
            return None;
        }
        if let Some(trouble) = &mut self.trouble {
            trouble.record(error);
        }
        let is_first_heal = is_healed && !self.was_healed;
        self.was_healed |= is_healed;
        self.is_lasting &= error.is_lasting();
        if is_first_heal {
            // The new address is not affected by the error.
            return Some(Duration::ZERO);
        }
        let began = self.began.as_ref().map(|(began, _)| *began);
        match began.zip(self.lasting_patience) {
            Some((began, patience)) if self.is_lasting => {
                let left = (began + patience).saturating_duration_since(Instant::now());
                let step = self
                    .pauses
                    .next()
                    .unwrap_or(MAX_SLEEP_STEP)
                    .min(MAX_SLEEP_STEP);
                (!left.is_zero()).then(|| step.min(left))
            }
            _ => {
                let pause = self.pauses.next().unwrap_or(MAX_PAUSE);
                Some(error.retry_after().map_or(pause, |asked| asked.max(pause)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Policy, Tries};
    use crate::base::advice::{Advice, Step};
    use crate::base::fault::Fault as _;
    use crate::connection::Connection;
    use crate::edge::settings::endpoint;
    use crate::provision::remote::Remote;
    use crate::runtime::{RuntimeError, RuntimeResult};
    use crate::wire::problem::Problem;

    /// The outcome of a call until `deadline`; each try takes no time and is answered by `answer`.
    async fn ask(
        deadline: Instant,
        lasting_patience: Option<Duration>,
        answer: impl Fn() -> RuntimeResult<()>,
    ) -> RuntimeResult<()> {
        let there = endpoint("https://there.example/#t0ken", None).unwrap();
        let data = tempfile::tempdir().unwrap();
        let remote = Arc::new(Remote::at(there, data.path()));
        let connection = Arc::new(Connection::through(remote, data.path()));
        let mut tries = Tries::new(connection, Policy::Freely, deadline, lasting_patience);
        tries.ask(|_| std::future::ready(answer())).await
    }

    fn busy(retry_after_sec: Option<u64>) -> RuntimeError {
        RuntimeError::Refused(Problem {
            status: 503,
            code: "busy".to_owned(),
            detail: "not now".to_owned(),
            hint: "Wait.".to_owned(),
            retryable: true,
            retry_after_sec,
        })
    }

    fn in_30_s() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[tokio::test(start_paused = true)]
    async fn an_absurd_retry_after_is_an_error_like_any_other() {
        let answer = ask(in_30_s(), None, || Err(busy(Some(u64::MAX)))).await;
        assert_eq!(answer.unwrap_err().code(), "busy");
    }

    #[tokio::test(start_paused = true)]
    async fn a_requested_pause_is_observed() {
        let (began, tries) = (Instant::now(), Cell::new(0));
        let answer = ask(in_30_s(), None, || {
            tries.set(tries.get() + 1);
            if tries.get() < 3 {
                Err(busy(Some(7)))
            } else {
                Ok(())
            }
        });
        answer.await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 14);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bounded_patience_has_a_last_try_at_its_end() {
        let (began, tries) = (Instant::now(), Cell::new(0));
        let patience = Duration::from_secs(10);
        let deadline = began + Duration::from_secs(600);
        let answer = ask(deadline, Some(patience), || {
            tries.set(tries.get() + 1);
            Err(RuntimeError::Unreachable {
                url: "there".to_owned(),
                source: "refused".into(),
                remedy: Step::CheckExecutor,
            })
        })
        .await;
        assert_eq!(answer.unwrap_err().code(), "connection_failed");
        assert_eq!(Instant::now(), began + patience);
        assert!((8..40).contains(&tries.get()), "{}", tries.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_beyond_the_deadline_ends_the_call_at_once_and_is_reported() {
        let began = Instant::now();
        let answer = ask(in_30_s(), None, || Err(busy(Some(60)))).await;
        let remedy = answer.unwrap_err().remedy();
        let wanted = Advice::from("Wait.").then(Step::Retry { after_sec: 60 });
        assert_eq!(remedy, wanted);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_requested_pause_the_pauses_grow_and_end_with_the_deadline() {
        let (began, tries) = (Instant::now(), Cell::new(0));
        let answer = ask(in_30_s(), None, || {
            tries.set(tries.get() + 1);
            Err(busy(None))
        })
        .await;
        assert_eq!(answer.unwrap_err().code(), "busy");
        assert!((8..40).contains(&tries.get()), "{}", tries.get());
        assert!(began.elapsed() <= Duration::from_secs(30));
    }
}
