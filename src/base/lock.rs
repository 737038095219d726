//! A mutex without poisoning.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// [`Mutex`] without poisoning: no holder here panics halfway through a change, so the value stays consistent.
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
