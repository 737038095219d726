//! The facts of a job's view, and what to do next, in words.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::Reading;
use super::ending::{advise, explain};
use super::follow::Followed;
use super::saved;
use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault as _;
use crate::base::ids::JobId;
use crate::runtime::RuntimeError;
use crate::wire::event::PythonError;
use crate::wire::job::{ClusterView, Job, Question};
use crate::wire::state::{JobState, Reason};

/// The step that reads the output of the job named in the sentence.
const READ: Step = Step::Output { job: None };
/// The arguments that continue this job's output.
const OF_THIS: &str = " with this job_id, and `next` as `after`";

/// A time limit that ends the code in fewer seconds is announced in words.
const SOON_SEC: u64 = 120;

/// Seconds until the time limit of a running job; none for a loop, whose limit is each batch's.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a limit is a small number"
)]
fn time_left(job: &Job) -> Option<u64> {
    let runs = job.state == JobState::Running && job.iterations.is_none();
    let elapsed = job.execution_time_sec.filter(|_| runs)?;
    Some((job.timeout_sec - elapsed).max(0.0).round() as u64)
}

/// Appends to `first` the beginning of a sentence that calls for reading a job's output.
fn call(first: impl Into<Advice>) -> Advice {
    first.into().then("Call ") + READ
}

/// The facts, in the order in which they are shown. Those that do not apply are absent.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    pub success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    pub job_id: String,
    /// The cursor to pass to `get_output` as `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// When the time limit ends the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_in_sec: Option<u64>,
    /// What the code asks the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asking: Option<Question>,
    /// The cluster that a loop's iterations run on now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterView>,
    /// The line that the call waited for, or false if it has not come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_time_sec: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The call made the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_session: Option<bool>,
    /// The exit code of the last `!command` that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_after_gb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_delta_mb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Path of the whole output, if the text omits some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out_characters: Option<usize>,
    /// False where output may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_complete: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variables_lost: Option<bool>,
    /// The session's variables were lost before this job started, and that was not reported yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_replaced: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Advice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Advice>,
}

impl Summary {
    pub(super) fn note_job(&mut self, job: &Job) {
        self.state = Some(job.state);
        self.execution_time_sec = job.execution_time_sec;
        self.session = Some(job.session.clone());
        self.queue_position = job.queue_position;
        self.cluster.clone_from(&job.cluster);
        self.variables_lost = job.variables_lost.then_some(true);
        self.output_complete = (!job.output_complete).then_some(false);
    }

    /// Notes, beside everything else, that the job ran without the variables of earlier code.
    pub(super) fn note_replaced(&mut self) {
        self.runtime_replaced = Some(true);
        let session = self.session.as_deref().unwrap_or("main");
        self.notes.push(format!(
            "session {session} has a new Python process since the last call: its variables and imports are gone, and on a new machine \
             its files too. If this code needed them, run the setup and then the code again."
        ).into());
    }

    pub(super) fn note_running(&mut self, followed: &Followed) {
        self.success = true;
        self.next = Some(followed.next);
        self.ends_in_sec = followed.job.as_ref().and_then(time_left);
        let running = match self.ends_in_sec {
            Some(left @ ..=SOON_SEC) => {
                Advice::from(format!(
                    "The code is still running, and its time limit ends it in {left} s: "
                )) + Step::RunLong
                    + " allows longer ones."
            }
            _ => "The code is still running.".into(),
        };
        self.hint = Some(call(running) + OF_THIS + ", for further output.");
        let asking = followed.job.as_ref().and_then(|job| job.asking.clone());
        if asking.is_some() {
            self.note_asking(asking, followed.id);
        }
    }

    fn note_asking(&mut self, asking: Option<Question>, id: JobId) {
        self.asking = asking;
        let waits =
            "The code waits for the user's answer to its input(), and its time limit goes on.";
        let hint = call(waits)
            + " with this job_id once the user is there: it asks them, in a client that can. ";
        self.hint = Some(hint + Step::interrupt(id) + " ends the code instead.");
    }

    /// Notes whether the line came that a call waited for.
    pub(super) fn note_matched(&mut self, line: Option<&str>) {
        self.matched = Some(line.map_or(false.into(), Value::from));
        if line.is_some() || self.next.is_none() {
            return;
        }
        self.hint = Some(match self.state {
            Some(JobState::Running) => {
                call("The code is still running, and no line has matched.")
                    + OF_THIS
                    + ", and `until` again, to wait on."
            }
            _ => {
                call("There is more output, and no line of this has matched.")
                    + OF_THIS
                    + ", and `until` again, to look on."
            }
        });
    }

    /// Replaces the hint for running code.
    pub(super) fn note_queued(&mut self, why: Option<Advice>) {
        let why = why.unwrap_or_else(|| {
            "The code is sent, and runs as soon as its session is ready.".into()
        });
        self.hint = Some(call(why) + OF_THIS + ", to wait for it.");
    }

    pub(super) fn note_truncated(&mut self, followed: &Followed, reading: Reading) {
        self.success = true;
        self.next = Some(followed.next);
        let more = call("There is more output.");
        self.hint = Some(match reading {
            Reading::Whole => more + OF_THIS + ".",
            Reading::From(_) => {
                more + " with `next` as `after` to read on, or without `after` for the head and tail of all."
            }
        });
    }

    pub(super) fn note_cancelled(&mut self) {
        self.fail(
            "cancelled",
            "the call was cancelled",
            call("") + " with this job_id to see what the code printed.",
            true,
        );
    }

    pub(super) fn note_trouble(&mut self, error: &RuntimeError, followed: &Followed) {
        if matches!(error, RuntimeError::EndedWithClient) {
            return self.note_ended_with_client(error, followed);
        }
        let (hint, retryable) = match (error, &followed.job) {
            (
                RuntimeError::Replaced
                | RuntimeError::Removed
                | RuntimeError::UnknownJob
                | RuntimeError::OtherClient { .. }
                | RuntimeError::Elsewhere { .. },
                _,
            ) => (error.remedy(), false),
            (_, Some(_)) => {
                self.next = Some(followed.next);
                let certain = if matches!(error, RuntimeError::StartFailed { .. }) {
                    "Whether the code still runs on its machine is not known."
                } else {
                    "The code keeps running on its machine, and its output is kept there."
                };
                let fate = error.uncertain_fate().unwrap_or(certain);
                let hint = call(fate) + OF_THIS + ".";
                (hint.then(error.next_step()), error.is_transient())
            }
            // Sending the code again now might run it twice.
            (_, None) => {
                let unclear = Advice::from(
                    "The code may be running: it is not known whether it arrived. Once ",
                ) + Step::CheckConnection
                    + " reports a connected runtime, call "
                    + READ
                    + " with this job_id: only if the job is not found there, the code never ran and can be sent again.";
                let remedy = if error.is_transient() {
                    Advice::default()
                } else {
                    error.next_step()
                };
                (unclear.then(remedy), false)
            }
        };
        self.fail(error.code(), &error.to_string(), hint, retryable);
    }

    /// Reports code that has stopped with its executor, which can no longer report the outcome. A later executor knows the job again.
    pub(super) fn note_ended_with_client(&mut self, error: &RuntimeError, followed: &Followed) {
        let Some(job) = &followed.job else {
            let unclear = Advice::from(
                "It is not known whether the code started; it is no longer running. Restart the client, then call ",
            ) + READ
                + " with this job_id: only if the job is not found, the code never ran and can be sent again.";
            return self.fail(error.code(), &error.to_string(), unclear, false);
        };
        self.next = Some(followed.next);
        let rest = "Restart the client: then ";
        let rest = Advice::from(rest) + READ + OF_THIS + " shows what else it printed.";
        if job.state.is_final() {
            return self.fail(error.code(), &error.to_string(), rest, false);
        }
        self.state = Some(JobState::Lost);
        self.variables_lost = Some(true);
        let (code, _, hint) = explain(Reason::ExecutorStopped, job);
        self.fail(code, &error.to_string(), rest.then(hint), false);
    }

    pub(super) fn note_end(&mut self, job: Option<&Job>, error: Option<&PythonError>) {
        let Some(job) = job else { return };
        match explain_end(job, error) {
            None => self.success = true,
            Some((code, sentence, hint)) => self.fail(code, &sentence, hint, false),
        }
    }

    /// Points at the omitted text: about there, for the log has as many bytes as the head of the text, or more.
    pub(super) fn note_left_out(&mut self, from_byte: u64) {
        let how = Advice::from("For the omitted text, call ")
            + READ
            + format!(
                " with this job_id and grep to find lines, tail_lines for the end, or from_byte {from_byte} to read on near the end of the head."
            );
        self.hint = Some(self.hint.take().unwrap_or_default().then(how));
    }

    fn fail(&mut self, code: &str, sentence: &str, hint: impl Into<Advice>, retryable: bool) {
        self.success = false;
        self.code = Some(code.to_owned());
        self.error = Some(sentence.to_owned());
        self.hint = Some(hint.into());
        self.retryable = Some(retryable);
    }
}

/// The error's code, sentence and advice for a job that has ended, by its exception where it raised one; none if it succeeded.
pub(super) fn explain_end(
    job: &Job,
    error: Option<&PythonError>,
) -> Option<(&'static str, Cow<'static, str>, Advice)> {
    let because = job.reason.map(|reason| explain(reason, job));
    match (job.state, because, error) {
        (JobState::Succeeded, _, _) => None,
        (_, None | Some(("python_error", _, _)), Some(error)) => {
            let known = saved::refusal(error);
            Some(known.unwrap_or_else(|| ("python_error", error.sentence().into(), advise(error))))
        }
        (_, Some(because), _) => Some(because),
        (_, None, None) => Some((
            "python_error",
            "the code failed".into(),
            "Read its output above.".into(),
        )),
    }
}
