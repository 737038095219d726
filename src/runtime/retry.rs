//! Repeating what may be repeated, until a deadline: with a growing pause, or the one that the other side asks for.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{RuntimeError, RuntimeResult};

/// Calls `operation` until it succeeds, fails for good, or `deadline` has come. The last real error is what the caller sees.
///
/// # Errors
/// The operation's own error; [`RuntimeError::TimedOut`] for `address` when the deadline came during the first try.
pub async fn until<T, F>(
    deadline: Instant,
    address: &str,
    operation: impl FnMut() -> F,
) -> RuntimeResult<T>
where
    F: Future<Output = RuntimeResult<T>>,
{
    let next = |error: &RuntimeError| {
        if error.is_transient() {
            Next::Pause
        } else {
            Next::Stop
        }
    };
    as_said(deadline, address, next, operation).await
}

/// What follows an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Stop,
    /// Another try after a pause.
    Pause,
    /// The same, in short steps, the last of them at this time.
    PauseUntil(Instant),
    /// Another try, which has nothing to do with what went wrong.
    AtOnce,
}

/// The same as `next` says of each error. A pause that would end after the deadline ends the wait at once.
pub(super) async fn as_said<T, F>(
    deadline: Instant,
    address: &str,
    mut next: impl FnMut(&RuntimeError) -> Next,
    mut operation: impl FnMut() -> F,
) -> RuntimeResult<T>
where
    F: Future<Output = RuntimeResult<T>>,
{
    const LONGEST: Duration = Duration::from_secs(3);
    const MAX_STEP: Duration = Duration::from_secs(1);
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build();
    let mut last: Option<RuntimeError> = None;
    loop {
        let error = match timeout_at(deadline, operation()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => {
                return Err(last.unwrap_or_else(|| RuntimeError::TimedOut {
                    url: address.to_owned(),
                }));
            }
        };
        let pause = match next(&error) {
            Next::Stop => return Err(error),
            Next::AtOnce => Duration::ZERO,
            Next::PauseUntil(end) => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(error);
                }
                pauses.next().unwrap_or(MAX_STEP).min(MAX_STEP).min(left)
            }
            Next::Pause => {
                let pause = pauses.next().unwrap_or(LONGEST);
                error.retry_after().map_or(pause, |asked| asked.max(pause))
            }
        };
        if deadline.saturating_duration_since(Instant::now()) <= pause {
            return Err(error);
        }
        tracing::debug!(code = error.code(), %error, "trying again");
        last = Some(error);
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Next, as_said, until};
    use crate::runtime::RuntimeError;
    use crate::wire::problem::Problem;

    #[tokio::test(start_paused = true)]
    async fn a_wish_beyond_all_reason_is_an_error_like_any_other() {
        let deadline = Instant::now() + Duration::from_secs(30);
        let answer: Result<(), _> =
            until(deadline, "there", || async { Err(busy(Some(u64::MAX))) }).await;
        assert_eq!(answer.unwrap_err().code(), "busy");
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

    #[tokio::test(start_paused = true)]
    async fn the_pause_that_is_asked_for_is_kept() {
        let (began, tries) = (Instant::now(), Cell::new(0));
        let deadline = began + Duration::from_secs(30);
        let answer = until(deadline, "there", || async {
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
    async fn a_bounded_pause_has_a_last_try_at_its_end() {
        let (began, tries) = (Instant::now(), Cell::new(0));
        let end = began + Duration::from_secs(10);
        let deadline = began + Duration::from_secs(600);
        let next = |_: &RuntimeError| Next::PauseUntil(end);
        let answer: Result<(), _> = as_said(deadline, "there", next, || async {
            tries.set(tries.get() + 1);
            Err(busy(None))
        })
        .await;
        assert_eq!(answer.unwrap_err().code(), "busy");
        assert_eq!(Instant::now(), end);
        assert!((8..40).contains(&tries.get()), "{}", tries.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_beyond_the_deadline_ends_the_call_at_once_and_is_told() {
        let began = Instant::now();
        let deadline = began + Duration::from_secs(30);
        let answer: Result<(), _> =
            until(deadline, "there", || async { Err(busy(Some(60))) }).await;
        let hint = answer.unwrap_err().hint();
        assert_eq!(hint, "Wait. Call again in 60 s.");
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_wish_the_pauses_grow_and_end_with_the_deadline() {
        let (began, tries) = (Instant::now(), Cell::new(0));
        let deadline = began + Duration::from_secs(30);
        let answer: Result<(), _> = until(deadline, "there", || async {
            tries.set(tries.get() + 1);
            Err(busy(None))
        })
        .await;
        assert_eq!(answer.unwrap_err().code(), "busy");
        assert!((8..40).contains(&tries.get()), "{}", tries.get());
        assert!(began.elapsed() <= Duration::from_secs(30));
    }
}
