//! Limits that both sides observe. They belong to the version of the API, so the bridge knows them without asking.

use std::time::Duration;

/// The longest run time of a job, in seconds.
pub const MAX_TIMEOUT_SEC: u64 = 43_200;
/// The longest time that the executor holds a request for a job's events.
pub const MAX_WAIT: Duration = Duration::from_secs(25);
/// The largest request body that the executor accepts.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Characters shown of the telling line of a job's code.
pub const MAX_CODE_HEAD_CHARS: usize = 120;
