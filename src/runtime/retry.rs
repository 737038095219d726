//! Repeating what may be repeated, until a deadline.

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
            Ok(Err(error)) if !error.is_transient() => return Err(error),
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
