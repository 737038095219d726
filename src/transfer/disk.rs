//! Work with files of this computer.

use std::time::SystemTime;

use tokio::task::spawn_blocking;

/// Does file work off the async threads; starts at once, and is ended though nobody waits any more.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> {
    let task = spawn_blocking(work);
    async {
        match task.await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The whole program is ending.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// A time as the executor writes it.
pub(super) fn changed_at(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}
