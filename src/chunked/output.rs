//! The output of an operation's jobs since the last answer.

use std::ops::ControlFlow;

use tokio::time::Instant;

use crate::base::ids::JobId;
use crate::base::text::Room;
use crate::jobs::Jobs;
use crate::jobs::body::{Part, arrange};
use crate::jobs::collect::Collector;
use crate::jobs::follow::Reader;
use crate::jobs::keep::Kept;
use crate::wire::event::{Event, PythonError};

/// Characters kept for a next call, which may want more than are shown by default.
const MAX_TEXT_CHARS: usize = 40_000;

pub(super) struct Output {
    collector: Collector,
    pub(super) kept: Kept,
    /// Jobs whose log is not kept yet.
    unlogged: Vec<JobId>,
    pub(super) job: Option<JobId>,
    pub(super) job_runs: bool,
}

impl Output {
    pub(super) fn new() -> Self {
        Self {
            collector: Collector::new(Room::for_chars(MAX_TEXT_CHARS)),
            kept: Kept::default(),
            unlogged: Vec::new(),
            job: None,
            job_runs: false,
        }
    }

    /// For what comes after this, of the same job.
    pub(super) fn next(&self) -> Self {
        Self {
            job: self.job,
            job_runs: self.job_runs,
            unlogged: self.job.into_iter().collect(),
            ..Self::new()
        }
    }

    /// Assigns the following output to this job.
    pub(super) fn begin(&mut self, job: JobId) {
        self.job = Some(job);
        self.collector.error = None;
        if !self.unlogged.contains(&job) {
            self.unlogged.push(job);
        }
    }

    pub(super) fn take(&mut self, event: &Event) -> ControlFlow<()> {
        self.collector.take(event)
    }

    /// The exception that ended the job.
    pub(super) fn error(&self) -> Option<&PythonError> {
        self.collector.error.as_ref()
    }

    /// Finishes and returns the text and pictures that fit, and the files kept beside them.
    pub(super) fn finish(mut self, room: Room) -> (Vec<Part>, Kept) {
        let pictures = std::mem::take(&mut self.kept.pictures);
        let text = self.collector.into_excerpt().narrowed(room);
        (arrange(&text, pictures), self.kept)
    }

    /// Fetches the pictures of the job and, where the text leaves something out, the logs of all jobs that have ended.
    pub(super) async fn keep(&mut self, jobs: &Jobs, room: Room, deadline: Instant) {
        let Some(job) = self.job else { return };
        let new = self.collector.take_attachments();
        jobs.keep(job, &new, deadline, &mut self.kept).await;
        if self.collector.left_out(room) > 0 || self.collector.has_cleared {
            let running = self.job.filter(|_| self.job_runs);
            let ended = self.unlogged.extract_if(.., |job| Some(*job) != running);
            for job in ended {
                jobs.keep_log(job, deadline, &mut self.kept).await;
            }
        }
    }
}
