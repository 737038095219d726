//! The interface of every error that a face reports.

use std::error::Error;

use super::advice::Advice;

/// A failure that a face reports. `Display` is a sentence for people: what happened.
pub trait Fault: Error {
    /// The stable code that models and tests rely on.
    fn code(&self) -> &str;
    /// True if the same call may succeed without any change.
    fn is_retryable(&self) -> bool;
    /// The next step, in one or two sentences.
    fn remedy(&self) -> Advice;
}

impl<'a, E: Fault + Send + Sync + 'a> From<E> for Box<dyn Fault + Send + Sync + 'a> {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}
