//! What every error of ours can say of itself.

use std::error::Error;

use super::advice::Advice;

/// A failure that a face reports. `Display` is a sentence for people: what happened.
pub trait Fault: Error {
    /// The stable code that models and tests know it by.
    fn code(&self) -> &str;
    /// True when the same call may succeed without anything being changed first.
    fn is_retryable(&self) -> bool;
    /// What to do next, in one or two sentences.
    fn remedy(&self) -> Advice;
}
