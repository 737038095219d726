//! Repeating what may be repeated, until a deadline.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{Reach, RuntimeError, RuntimeResult};

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
    repeat(deadline, address, RuntimeError::is_transient, operation).await
}

/// The same for what must not be done twice: repeated only while nobody was there to get it.
///
/// # Errors
/// As [`until`].
pub async fn until_sent<T, F>(
    deadline: Instant,
    address: &str,
    operation: impl FnMut() -> F,
) -> RuntimeResult<T>
where
    F: Future<Output = RuntimeResult<T>>,
{
    let may_repeat = |error: &RuntimeError| error.is_transient() && error.reach() == Reach::Nowhere;
    repeat(deadline, address, may_repeat, operation).await
}

async fn repeat<T, F>(
    deadline: Instant,
    address: &str,
    may_repeat: impl Fn(&RuntimeError) -> bool,
    mut operation: impl FnMut() -> F,
) -> RuntimeResult<T>
where
    F: Future<Output = RuntimeResult<T>>,
{
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(3))
        .with_jitter()
        .without_max_times()
        .build();
    let mut last = None;
    loop {
        match timeout_at(deadline, operation()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if !may_repeat(&error) => return Err(error),
            Ok(Err(error)) => {
                tracing::debug!(code = error.code(), %error, "trying again");
                last = Some(error);
            }
            Err(_) => {
                return Err(last.unwrap_or_else(|| RuntimeError::TimedOut {
                    url: address.to_owned(),
                }));
            }
        }
        let pause = pauses.next().unwrap_or(Duration::from_secs(3));
        match last {
            Some(error) if Instant::now() + pause >= deadline => return Err(error),
            _ => sleep(pause).await,
        }
    }
}
