//! Errors on the wire: `application/problem+json` (RFC 9457).

use serde::{Deserialize, Serialize};

/// What the executor answers when it refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub status: u16,
    pub code: String,
    #[serde(default)]
    pub detail: String,
    #[serde(default)]
    pub hint: String,
    #[serde(default)]
    pub retryable: bool,
    /// Seconds after which the same request may succeed, where that is known.
    #[serde(default)]
    pub retry_after_sec: Option<u64>,
}
