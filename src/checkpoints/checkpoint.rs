//! The state of an operation, as it is on disk.

use std::collections::BTreeMap;
use std::io;
use std::ops::Not;

use serde::{Deserialize, Serialize};

use super::name::Name;
use super::retry::Retry;
use crate::base::advice::Advice;
use crate::base::ids::JobId;
use crate::jobs::body_line::body_line;
use crate::wire::event::{Progress, Reruns};

const VERSION: u64 = 2;
/// Written by bridges that sent a job for each batch; what such a file says is good.
const OLD_VERSION: u64 = 1;
/// Skipped iterations that are named; the rest is counted.
const MAX_SKIPPED_NAMED: usize = 20;
/// Changes of the plan that are kept: the newest.
const MAX_CHANGES_KEPT: usize = 100;
/// Types of values that are counted by name.
const MAX_KINDS_MARKED: usize = 20;

/// The state of an operation. `completed: k` means that all iterations before `k` finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    version: u64,
    pub(crate) name: Name,
    pub(crate) plan_hash: String,
    /// Hashes of the plan's two texts; none in a checkpoint of an older version.
    #[serde(default)]
    pub(crate) code_hashes: Option<CodeHashes>,
    pub(crate) session: String,
    pub(crate) total: u64,
    pub(crate) completed: u64,
    /// Iterations that finished ahead of the first one that has not; `ahead` keeps them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) ahead: u64,
    /// Those of them that failed and are skipped in their turn.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) skipped_ahead: u64,
    #[serde(default, skip_serializing_if = "Reruns::is_none")]
    pub(crate) reruns: Reruns,
    /// `break` ended the operation before its last iteration.
    pub(crate) ended_by_break: bool,
    pub(crate) skipped_count: u64,
    /// The first skipped iterations.
    pub(crate) skipped: Vec<Skipped>,
    /// Skipped iterations that run again before the operation goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry: Option<Retry>,
    /// Changes of the plan, oldest first.
    #[serde(default)]
    pub(crate) history: Vec<Change>,
    /// How often which types are only marked in the results.
    #[serde(default)]
    pub(crate) marked: BTreeMap<String, u64>,
    /// The part of the results file that belongs to the completed iterations.
    pub(crate) results_bytes: u64,
    /// The kernel that the setup succeeded in.
    pub(crate) kernel_id: Option<String>,
    /// Recorded before it is sent, so that the next call finds it instead of sending another.
    pub(crate) in_flight: Option<Flight>,
    /// Why the operation does not continue by itself.
    pub(crate) stop: Option<Stop>,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
}

/// Hashes that identify the code of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CodeHashes {
    pub(crate) setup: String,
    pub(crate) body: String,
}

/// A change of the plan that kept the finished iterations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub at: String,
    /// Iterations before this one ran by the plan before.
    pub completed: u64,
    /// The arguments that changed.
    pub changed: Vec<String>,
}

/// An iteration that failed and was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub iteration: u64,
    pub error: String,
    /// The line of `loop_code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

/// A job of the operation whose end is not known yet: it runs all that is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flight {
    pub(crate) job_id: JobId,
    /// Events up to this one were in an answer. The checkpoint may know of later ones.
    pub(crate) cursor: u64,
    /// The caller cancelled it, so its interruption is expected.
    pub(crate) cancelled: bool,
    /// It runs skipped iterations again.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub(crate) is_retry: bool,
    /// The setup is behind it: what fails now is an iteration.
    #[serde(default)]
    pub(crate) is_looping: bool,
    /// The kernel that it began in.
    #[serde(default)]
    pub(crate) kernel_id: Option<String>,
    /// Its iterations may finish in any order.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub(crate) is_unordered: bool,
    /// It runs the iterations before this one; none if it runs all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<u64>,
}

/// An end that is not success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The job was interrupted, by a person or with its session; otherwise it failed.
    pub interrupted: bool,
    /// The iteration that did not finish; none when it was the setup.
    pub iteration: Option<u64>,
    /// Pass it to `get_output` for the job's output.
    pub job_id: String,
    pub code: String,
    pub error: String,
    pub hint: Advice,
    /// The same code would fail again.
    #[serde(default)]
    pub code_must_change: bool,
    /// The same call may succeed without any change: it was not the code that failed.
    #[serde(default)]
    pub retryable: bool,
}

/// Why a file cannot be read as a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    OtherVersion(u64),
    Corrupt(String),
}

impl Flight {
    /// A job that is about to be sent: it begins with the setup, unless that has run in a kernel that is there still.
    pub(crate) fn new(is_set_up: bool, is_retry: bool) -> Self {
        Self {
            job_id: JobId::fresh(),
            cursor: 0,
            cancelled: false,
            is_retry,
            is_looping: is_set_up,
            kernel_id: None,
            is_unordered: false,
            until: None,
        }
    }
}

impl Checkpoint {
    /// Whether a call with the name alone continues the operation.
    pub(crate) fn can_continue(&self) -> bool {
        !self.is_finished() && !self.stop.as_ref().is_some_and(|stop| stop.code_must_change)
    }

    /// A checkpoint with none of `total` iterations done. `plan_hash` and `code_hashes` identify the plan.
    pub(crate) fn new(
        name: Name,
        session: String,
        total: u64,
        plan_hash: String,
        code_hashes: CodeHashes,
    ) -> Self {
        let now = now();
        Self {
            version: VERSION,
            name,
            plan_hash,
            code_hashes: Some(code_hashes),
            session,
            total,
            completed: 0,
            ahead: 0,
            skipped_ahead: 0,
            reruns: Reruns::default(),
            ended_by_break: false,
            skipped_count: 0,
            skipped: Vec::new(),
            retry: None,
            history: Vec::new(),
            marked: BTreeMap::new(),
            results_bytes: 0,
            kernel_id: None,
            in_flight: None,
            stop: None,
            created_at: now.clone(),
            updated_at: now,
        }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let corrupt = |error: serde_json::Error| Unreadable::Corrupt(error.to_string());
        match serde_json::from_slice(bytes).map_err(corrupt)? {
            Versioned {
                version: OLD_VERSION | VERSION,
            } => {}
            Versioned { version } => return Err(Unreadable::OtherVersion(version)),
        }
        let mut checkpoint: Self = serde_json::from_slice(bytes).map_err(corrupt)?;
        checkpoint.version = VERSION;
        let claimed = checkpoint.completed.checked_add(checkpoint.ahead);
        if claimed.is_none_or(|claimed| claimed > checkpoint.total) {
            return Err(Unreadable::Corrupt(format!(
                "it claims {} and {} of {} iterations",
                checkpoint.completed, checkpoint.ahead, checkpoint.total
            )));
        }
        Ok(checkpoint)
    }

    pub(crate) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// Notes that the plan has changed from here on.
    pub(crate) fn note_change(&mut self, changed: Vec<String>) {
        self.history.push(Change {
            at: now(),
            completed: self.completed,
            changed,
        });
        if self.history.len() > MAX_CHANGES_KEPT {
            self.history.remove(0);
        }
    }

    pub(crate) fn touch(&mut self) {
        self.updated_at = now();
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.retry.is_none() && self.is_through()
    }

    /// Whether no iteration runs for the first time any more.
    fn is_through(&self) -> bool {
        self.ended_by_break || self.completed == self.total
    }

    /// The iteration that a job runs now; none after its last one.
    pub(crate) fn current(&self, is_retry: bool) -> Option<u64> {
        if is_retry {
            return self.retry.as_ref().and_then(Retry::current);
        }
        (!self.is_through()).then_some(self.completed)
    }

    /// Has the skipped iterations run again; false if there are none.
    pub(crate) fn ask_retry(&mut self) -> bool {
        let skipped = self.all_skipped();
        if skipped > 0 && self.retry.is_none() {
            self.retry = Some(Retry::default());
            self.note_change(vec![format!("retry_skipped ({skipped} iterations)")]);
        }
        self.retry.is_some()
    }

    /// Whether any of its iterations is done.
    pub(crate) fn has_begun(&self) -> bool {
        self.completed + self.ahead > 0
    }

    /// Whether a job runs that may do more by itself.
    pub(crate) fn is_under_way(&self) -> bool {
        let may_run = |flight: &Flight| !flight.cancelled;
        !self.is_finished() && self.in_flight.as_ref().is_some_and(may_run)
    }

    /// How many iterations failed and were skipped.
    pub(crate) fn all_skipped(&self) -> u64 {
        self.skipped_count + self.skipped_ahead
    }

    pub(crate) fn ahead_if_any(&self) -> Option<u64> {
        Some(self.ahead).filter(|ahead| *ahead > 0)
    }

    pub(crate) fn reruns_if_any(&self) -> Option<Reruns> {
        Some(self.reruns).filter(|reruns| !reruns.is_none())
    }

    pub(crate) fn remaining(&self) -> u64 {
        let again = self.retry.as_ref().map_or(0, Retry::remaining);
        if self.is_through() {
            again
        } else {
            again + self.total - self.completed - self.ahead
        }
    }

    /// Percentage to one decimal; 100 only if finished.
    pub(crate) fn progress_pct(&self) -> f64 {
        if self.is_finished() {
            return 100.0;
        }
        let done = self.total.saturating_sub(self.remaining());
        #[expect(clippy::cast_precision_loss, reason = "at most 10^9")]
        let share = done as f64 / self.total as f64;
        (share * 1000.0).round().min(999.0) / 10.0
    }

    /// Names the values that the results only mark, or have null for.
    pub(crate) fn marked_note(&self) -> Option<String> {
        let kinds = |is_too_long: bool| {
            let kinds: Vec<String> = (self.marked.iter())
                .filter(|(kind, _)| kind.ends_with(" left out") == is_too_long)
                .map(|(kind, count)| format!("{kind} ({count})"))
                .collect();
            kinds.join(", ")
        };
        let notes: Vec<String> = [
            (
                "some results contain values that JSON cannot hold; a mark, text or a list replaces each, and null a missing value",
                kinds(false),
            ),
            ("some results are too long to be kept whole", kinds(true)),
        ]
        .into_iter()
        .filter(|(_, kinds)| !kinds.is_empty())
        .map(|(what, kinds)| format!("{what}: {kinds}"))
        .collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    /// Counts an iteration as finished, for the first time or again.
    pub(crate) fn count(&mut self, iteration: u64, progress: &Progress, is_retry: bool) {
        if is_retry {
            self.skipped_count = self.skipped_count.saturating_sub(1);
            self.skipped
                .retain(|skipped| skipped.iteration != iteration);
        }
        if let Some(error) = &progress.error {
            self.skipped_count += 1;
            let skipped = Skipped {
                iteration,
                error: error.sentence(),
                line: body_line(error),
            };
            let at = self
                .skipped
                .partition_point(|other| other.iteration < iteration);
            self.skipped.insert(at, skipped);
            self.skipped.truncate(MAX_SKIPPED_NAMED);
        }
        for (kind, count) in progress.marked.iter().flatten() {
            if self.marked.len() < MAX_KINDS_MARKED || self.marked.contains_key(kind) {
                *self.marked.entry(kind.clone()).or_default() += count;
            }
        }
        let has_broken = progress.message.as_deref() == Some("break");
        if !is_retry {
            self.completed += 1;
            self.ended_by_break = has_broken;
        } else if has_broken {
            self.retry = None;
        } else if let Some(retry) = &mut self.retry {
            retry.done += 1;
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}
