//! Errors as sentences.

use std::error::Error;

/// An error with its innermost cause, which says most (`connection refused`).
#[must_use]
pub fn sentence(error: &dyn Error) -> String {
    let root = std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| {
        (*cause).source()
    })
    .last();
    match root {
        Some(cause) => format!("{error} ({cause})"),
        None => error.to_string(),
    }
}
