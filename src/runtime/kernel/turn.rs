//! One job in its kernel: what its messages mean for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::journal::Journal;
use crate::jupyter::Incoming;
use crate::wire::event::{EventKind, PythonError, StreamName};
use crate::wire::state::{JobState, Reason};

/// From the reply to the kernel's report that it is idle, which follows the last output.
const IDLE_GRACE: Duration = Duration::from_secs(5);
/// From the interrupt at a timeout to the kernel's restart.
pub(super) const INTERRUPT_GRACE: Duration = Duration::from_secs(5);
/// What a server prints when it drops output that came too fast.
const LIMITED: [&str; 2] = ["IOPub data rate exceeded", "IOPub message rate exceeded"];

/// How a job ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) state: JobState,
    pub(super) reason: Option<Reason>,
    pub(super) variables_lost: bool,
}

impl Ending {
    pub(super) fn new(state: JobState, reason: Reason, variables_lost: bool) -> Self {
        Self {
            state,
            reason: Some(reason),
            variables_lost,
        }
    }

    pub(super) fn kernel_died() -> Self {
        Self::new(JobState::Failed, Reason::KernelDied, true)
    }

    pub(super) fn server_stopped() -> Self {
        Self::new(JobState::Lost, Reason::ExecutorStopped, true)
    }

    /// Nothing is known of what was sent.
    pub(super) fn reply_missing() -> Self {
        Self::new(JobState::Lost, Reason::ReplyMissing, false)
    }
}

/// A job whose code was sent.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) job: Arc<Journal>,
    /// The kernel's process that received it.
    process: String,
    /// The request behind the job's own: its reply shows that the job's is missing.
    pub(super) sentinel: Option<String>,
    pub(super) is_interrupted: bool,
    /// When the kernel is restarted, after the interrupt at the timeout.
    pub(super) kill_at: Option<Instant>,
    limit: Instant,
    reply: Option<(Value, Instant)>,
    is_idle: bool,
    has_shown_error: bool,
}

impl Turn {
    pub(super) fn new(job: Arc<Journal>, process: String) -> Self {
        let description = job.job();
        let elapsed = Duration::from_secs_f64(description.execution_time_sec.unwrap_or_default());
        let left = Duration::from_secs(job.request.timeout_sec).saturating_sub(elapsed);
        Self {
            job,
            process,
            sentinel: None,
            is_interrupted: false,
            kill_at: None,
            limit: Instant::now() + left,
            reply: None,
            is_idle: false,
            has_shown_error: false,
        }
    }

    /// When there is something to do if no message comes; at the latest at `poll`.
    pub(super) fn wakes_at(&self, poll: Instant) -> Instant {
        let due = match (&self.reply, self.kill_at) {
            (Some((_, since)), _) => *since + IDLE_GRACE,
            (None, Some(kill_at)) => kill_at,
            (None, None) => self.limit,
        };
        due.min(poll)
    }

    pub(super) fn is_over_time(&self) -> bool {
        self.reply.is_none() && self.kill_at.is_none() && Instant::now() >= self.limit
    }

    pub(super) fn must_be_killed(&self) -> bool {
        let is_late = |kill_at| Instant::now() >= kill_at;
        self.reply.is_none() && self.kill_at.is_some_and(is_late)
    }

    /// The end of a job whose last output does not come.
    pub(super) fn end_of_grace(&self) -> io::Result<Option<Ending>> {
        match &self.reply {
            Some((_, since)) if since.elapsed() >= IDLE_GRACE => {
                self.note_doubt()?;
                self.ending()
            }
            _ => Ok(None),
        }
    }

    /// Notes that output may be missing.
    pub(super) fn note_doubt(&self) -> io::Result<()> {
        self.job.update(|job| job.output_complete = false)
    }

    /// Handles a message; returns the job's end if it is that.
    pub(super) fn take(&mut self, message: &Incoming) -> io::Result<Option<Ending>> {
        let Incoming { kind, content, .. } = message;
        let state = content["execution_state"].as_str().unwrap_or_default();
        let is_other = message.session != self.process;
        if kind == "status" && message.channel == "iopub" {
            let is_kernels = ["starting", "busy", "idle"].contains(&state);
            if ["restarting", "dead"].contains(&state) || (is_kernels && is_other) {
                return Ok(Some(Ending::kernel_died()));
            }
        }
        if message.parent.is_some() && message.parent == self.sentinel && message.channel == "shell"
        {
            if self.reply.is_some() {
                self.note_doubt()?;
                return self.ending();
            }
            return Ok(Some(match is_other {
                true => Ending::kernel_died(),
                false => Ending::reply_missing(),
            }));
        }
        if message.parent != Some(self.job.id().to_string()) {
            return Ok(None);
        }
        match &**kind {
            "status" => self.is_idle |= state == "idle",
            "execute_reply" => self.reply = Some((content.clone(), Instant::now())),
            _ => self.show(kind, content)?,
        }
        if self.reply.is_some() && self.is_idle {
            return self.ending();
        }
        Ok(None)
    }

    fn show(&mut self, kind: &str, content: &Value) -> io::Result<()> {
        let job = &self.job;
        let text = |name: &str| content[name].as_str().unwrap_or_default().to_owned();
        match kind {
            "execute_input" => {
                let started = EventKind::Started {
                    kernel_id: self.process.clone(),
                    execution_count: content["execution_count"].as_u64(),
                };
                job.append(started, None, false)
            }
            "stream" => {
                let is_error = content["name"] == "stderr";
                let text = text("text");
                if is_error && LIMITED.iter().any(|notice| text.contains(notice)) {
                    self.note_doubt()?;
                }
                let name = match is_error {
                    true => StreamName::Stderr,
                    false => StreamName::Stdout,
                };
                let stream = EventKind::Stream {
                    name,
                    text: text.clone(),
                };
                job.append(stream, Some(&text), false)
            }
            "display_data" | "update_display_data" | "execute_result" => {
                self.display(kind, content)
            }
            "clear_output" => {
                let wait = content["wait"] == true;
                job.append(EventKind::ClearOutput { wait }, None, false)
            }
            "error" => self.show_error(content),
            _ => Ok(()),
        }
    }

    fn display(&self, kind: &str, content: &Value) -> io::Result<()> {
        let object = |name: &str| content[name].as_object().cloned().unwrap_or_default();
        let data = self.job.keep_binary(&object("data"))?;
        let plain = data.get("text/plain").and_then(Value::as_str);
        let plain = plain.map(str::to_owned);
        let metadata: Map<String, Value> = object("metadata");
        let display_id = content["transient"]["display_id"].as_str();
        let display_id = display_id.map(str::to_owned);
        let event = match kind {
            "execute_result" => EventKind::ExecuteResult {
                data,
                metadata,
                execution_count: content["execution_count"].as_u64(),
                display_id,
                live: false,
            },
            _ => EventKind::DisplayData {
                data,
                metadata,
                update: kind == "update_display_data",
                display_id,
                live: false,
            },
        };
        self.job.append(event, plain.as_deref(), true)
    }

    fn show_error(&mut self, content: &Value) -> io::Result<()> {
        self.has_shown_error = true;
        let error: PythonError = serde_json::from_value(content.clone())?;
        let text = error.traceback.join("\n");
        self.job.append(EventKind::Error(error), Some(&text), true)
    }

    /// The end that the reply tells.
    fn ending(&self) -> io::Result<Option<Ending>> {
        let Some((reply, _)) = &self.reply else {
            return Ok(None);
        };
        let status = reply["status"].as_str().unwrap_or_default();
        if status == "error" && !self.has_shown_error && reply["ename"].is_string() {
            let error: PythonError = serde_json::from_value(reply.clone())?;
            let text = error.traceback.join("\n");
            self.job
                .append(EventKind::Error(error), Some(&text), true)?;
        }
        let failed = |state, reason| Ending::new(state, reason, false);
        Ok(Some(match status {
            "ok" if self.kill_at.is_none() => Ending {
                state: JobState::Succeeded,
                reason: None,
                variables_lost: false,
            },
            _ if self.kill_at.is_some() => failed(JobState::TimedOut, Reason::Timeout),
            "error" if self.is_interrupted => failed(JobState::Interrupted, Reason::Interrupted),
            "error" => failed(JobState::Failed, Reason::PythonError),
            // Dropped from the kernel's queue, because of an error of another client's.
            _ => failed(JobState::Lost, Reason::KernelReplaced),
        }))
    }
}
