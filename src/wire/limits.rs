//! Limits that both sides keep to. They belong to the API's version, so the bridge keeps to them before it has asked.

use std::time::Duration;

/// The longest run time of a job, in seconds.
pub const MAX_TIMEOUT_SEC: u64 = 43_200;
/// How long the executor holds a request for a job's events, at most.
pub const MAX_WAIT: Duration = Duration::from_secs(25);
/// The largest body that the executor takes.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// What is shown of a job's code: so much of its first line.
pub const MAX_CODE_HEAD_CHARS: usize = 120;
