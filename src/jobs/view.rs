//! Composes the model's view of a job: one line of facts, its text and pictures in order, and its files.

use serde::Serialize;

use super::Reading;
use super::body::{Part, arrange};
use super::collect::Collector;
use super::ending::{EXITED, advise, explain, has_exited};
use super::follow::{Ended, Followed};
use super::keep::{Kept, KeptFile};
use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;
use crate::runtime::RuntimeError;
use crate::wire::event::PythonError;
use crate::wire::job::Job;
use crate::wire::state::{JobState, Reason};

/// The step that reads the output of the job named in the sentence.
const READ: Step = Step::Output { job: None };
/// The arguments that continue this job's output.
const OF_THIS: &str = " with this job_id, and `next` as `after`";

/// Appends to `first` the beginning of a sentence that calls for reading a job's output.
fn call(first: impl Into<Advice>) -> Advice {
    first.into().then("Call ") + READ
}

/// One answer about one job.
#[derive(Debug)]
pub struct View {
    pub body: Vec<Part>,
    pub files: Vec<KeptFile>,
    /// Where the log of the output begins that was read, in bytes; none if there was none.
    pub log_at: Option<u64>,
    /// Number of pictures and files that could not be kept.
    pub unkept: usize,
    pub summary: Summary,
    /// As last reported by the executor; none if it never answered.
    pub job: Option<Job>,
    /// The call itself failed, and not only the code whose output it shows.
    pub has_failed: bool,
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

impl View {
    pub(super) fn of(
        followed: Followed,
        collector: Collector,
        reading: Reading,
        kept: Kept,
    ) -> Self {
        let mut summary = Summary {
            job_id: followed.id.to_string(),
            ..Summary::default()
        };
        if let Some(job) = &followed.job {
            summary.note_job(job);
        }
        if let Some(finished) = &collector.finished {
            summary.memory_after_gb = finished.memory_after_gb;
            summary.memory_delta_mb = finished.memory_delta_mb;
            summary.exit_code = finished.exit_code;
            summary.warning.clone_from(&finished.warning);
        }
        let job_is_over = followed
            .job
            .as_ref()
            .is_some_and(|job| job.state.is_final());
        match &followed.ended {
            Ended::Trouble(error) => summary.note_trouble(error, &followed),
            Ended::Finished => summary.note_end(followed.job.as_ref(), collector.error.as_ref()),
            Ended::Full => summary.note_truncated(&followed, reading),
            Ended::Deadline if job_is_over => summary.note_truncated(&followed, reading),
            Ended::Deadline => summary.note_running(followed.next),
            Ended::Cancelled => summary.note_cancelled(),
        }
        let outlived = collector
            .error
            .as_ref()
            .filter(|_| summary.state == Some(JobState::Succeeded));
        let outlived = outlived.map(PythonError::sentence);
        let unkept = collector.attachments.len().saturating_sub(kept.files.len());
        let is_troubled = matches!(followed.ended, Ended::Trouble(_) | Ended::Cancelled);
        let log_at = collector.log_at;
        let excerpt = collector.into_excerpt();
        if excerpt.left_out() > 0 {
            summary.left_out_characters = Some(excerpt.left_out());
            summary.note_left_out(log_at.unwrap_or_default() + excerpt.head_bytes() as u64);
        }
        summary.log = kept.logs.first().map(|path| path.display().to_string());
        summary.notes = kept.all_notes();
        if let Some(error) = outlived {
            (summary.notes).push(format!(
                "an exception was shown and the cell continued after it (an object's display or a magic such as %run raised it): {error}"
            ).into());
        }
        if followed.job.as_ref().is_some_and(has_exited) {
            (summary.notes).push(format!("{EXITED}; the next call starts a new one").into());
        }
        Self {
            body: arrange(&excerpt, kept.pictures),
            files: kept.files,
            log_at,
            unkept,
            summary,
            job: followed.job,
            has_failed: is_troubled,
        }
    }
}

impl Summary {
    fn note_job(&mut self, job: &Job) {
        self.state = Some(job.state);
        self.execution_time_sec = job.execution_time_sec;
        self.session = Some(job.session.clone());
        self.queue_position = job.queue_position;
        self.variables_lost = job.variables_lost.then_some(true);
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

    fn note_running(&mut self, next: u64) {
        self.success = true;
        self.next = Some(next);
        self.hint = Some(call("The code is still running.") + OF_THIS + ", for further output.");
    }

    /// Replaces the hint for running code.
    pub(super) fn note_queued(&mut self, why: Option<Advice>) {
        let why = why.unwrap_or_else(|| {
            "The code has not started: its session is starting, or ending earlier code.".into()
        });
        self.hint = Some(call(why) + OF_THIS + ", to wait for it.");
    }

    fn note_truncated(&mut self, followed: &Followed, reading: Reading) {
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

    fn note_cancelled(&mut self) {
        self.fail(
            "cancelled",
            "the call was cancelled",
            call("") + " with this job_id to see what the code printed.",
            true,
        );
    }

    fn note_trouble(&mut self, error: &RuntimeError, followed: &Followed) {
        if matches!(error, RuntimeError::EndedWithClient) {
            return self.note_ended_with_client(error, followed);
        }
        let (hint, retryable) = match (error, &followed.job) {
            (
                RuntimeError::Replaced
                | RuntimeError::UnknownJob
                | RuntimeError::OtherClient { .. }
                | RuntimeError::Elsewhere { .. },
                _,
            ) => (error.remedy(), false),
            (_, Some(_)) => {
                self.next = Some(followed.next);
                let hint =
                    call("The code keeps running on its machine, and its output is kept there.")
                        + OF_THIS
                        + ".";
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
    fn note_ended_with_client(&mut self, error: &RuntimeError, followed: &Followed) {
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

    fn note_end(&mut self, job: Option<&Job>, error: Option<&PythonError>) {
        let Some(job) = job else { return };
        let because = job.reason.map(|reason| explain(reason, job));
        match (job.state, because, error) {
            (JobState::Succeeded, _, _) => self.success = true,
            (_, None | Some(("python_error", _, _)), Some(error)) => {
                self.fail("python_error", &error.sentence(), advise(error), false);
            }
            (_, Some((code, sentence, hint)), _) => self.fail(code, &sentence, hint, false),
            (_, None, None) => self.fail(
                "python_error",
                "the code failed",
                "Read its output above.",
                false,
            ),
        }
    }

    /// Points at the omitted text: about there, for the log has as many bytes as the head of the text, or more.
    fn note_left_out(&mut self, from_byte: u64) {
        let how = Advice::from("For the omitted text, call ")
            + READ
            + format!(
                " with this job_id and from_byte, {from_byte} to read on after the head, or any other place in the log."
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::View;
    use crate::base::ids::JobId;
    use crate::base::text::Room;
    use crate::jobs::Reading;
    use crate::jobs::collect::Collector;
    use crate::jobs::follow::{Ended, Followed};
    use crate::jobs::keep::Kept;
    use crate::runtime::RuntimeError;
    use crate::wire::state::JobState;

    /// The view when the bridge stopped its executor while it followed a job in `state`; none if the executor never answered.
    fn ended_with_client(state: Option<&str>) -> View {
        let id = JobId::fresh();
        let job = state.map(|state| {
            let job = json!({
                "id": id, "session": "main", "state": state, "timeout_sec": 300, "created_at": "", "last_seq": 9, "log_bytes": 0,
            });
            serde_json::from_value(job).unwrap()
        });
        let followed = Followed {
            id,
            job,
            next: 7,
            ended: Ended::Trouble(RuntimeError::EndedWithClient),
        };
        let kept = Kept::default();
        View::of(
            followed,
            Collector::new(Room::for_chars(1_000)),
            Reading::Whole,
            kept,
        )
    }

    #[test]
    fn code_that_was_followed_when_the_bridge_ended_its_executor_is_lost() {
        for (heard, shown) in [
            (None, None),
            (Some("queued"), Some(JobState::Lost)),
            (Some("running"), Some(JobState::Lost)),
            (Some("succeeded"), Some(JobState::Succeeded)),
        ] {
            let view = ended_with_client(heard);
            assert!(view.has_failed);
            let summary = view.summary;
            assert_eq!(summary.state, shown);
            assert_eq!(summary.next, heard.map(|_| 7));
            assert!(summary.error.unwrap().contains("ends with its client"));
            let hint = summary
                .hint
                .unwrap()
                .worded(|step| format!("<{step:?}>").into());
            assert!(hint.contains("Restart the client"), "{hint}");
            assert!(!hint.contains("keeps running"), "{hint}");
            assert!(!hint.contains("still running"), "{hint}");
        }
    }
}
