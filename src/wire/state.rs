//! The state of a job, and why it ended.

use serde::{Deserialize, Serialize};

/// `queued → running → one of the rest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Interrupted,
    TimedOut,
    Lost,
}

impl JobState {
    /// True if no further event can follow.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
        }
    }
}

/// Why a job ended as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    PythonError,
    KernelDied,
    Timeout,
    Interrupted,
    SessionRestarted,
    SessionDeleted,
    /// The executor was stopped on purpose, as `local` is with its client.
    ExecutorStopped,
    /// The executor ended without reporting it.
    ExecutorRestarted,
    /// It never ran: the kernel that it was meant for is gone.
    KernelReplaced,
    DiskFull,
    /// The code asked its own Python process to end: `exit()`, or a stopped event loop.
    Exited,
    /// Where no executor runs: the kernel has answered what came behind the code, and not the code.
    ReplyMissing,
    /// A reason that only newer executors send.
    #[serde(other)]
    Unknown,
}
