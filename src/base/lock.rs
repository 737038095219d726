//! A mutex that knows no poison.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// [`Mutex`] without poisoning: no holder here leaves half a change behind when it panics, so what it left is good.
#[derive(Debug, Default)]
pub struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Waits for the lock. Never hold it across an `await`.
    #[allow(clippy::disallowed_methods)] // This is the one place that may.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
