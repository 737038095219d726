//! Composes the model's view of a job: its facts, its text and pictures in order, and its files.

use super::Reading;
use super::body::{Part, arrange};
use super::collect::Collector;
use super::ending::{EXITED, has_exited};
use super::follow::{Ended, Followed};
use super::keep::{Kept, KeptFile};
use super::summary::Summary;
use crate::base::text::Room;
use crate::wire::event::PythonError;
use crate::wire::job::Job;
use crate::wire::state::JobState;

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

impl View {
    pub(super) fn of(
        followed: Followed,
        collector: Collector,
        (reading, room): (Reading, Room),
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
            Ended::Deadline | Ended::Left if job_is_over => {
                summary.note_truncated(&followed, reading)
            }
            Ended::Deadline | Ended::Left => summary.note_running(&followed),
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
        let excerpt = collector.into_excerpt().narrowed(room);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Room, View};
    use crate::base::advice::Step;
    use crate::base::ids::JobId;
    use crate::jobs::Reading;
    use crate::jobs::collect::Collector;
    use crate::jobs::follow::{Ended, Followed};
    use crate::jobs::keep::Kept;
    use crate::runtime::RuntimeError;
    use crate::wire::state::JobState;

    /// The view when the bridge stopped its executor while it followed a job in `state`; none if the executor never answered.
    fn ended_with_client(state: Option<&str>) -> View {
        ended(state, RuntimeError::EndedWithClient)
    }

    fn ended(state: Option<&str>, error: RuntimeError) -> View {
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
            ended: Ended::Trouble(error),
            packages: std::collections::BTreeMap::new(),
        };
        let kept = Kept::default();
        let room = Room::for_chars(1_000);
        View::of(followed, Collector::new(room), (Reading::Whole, room), kept)
    }

    #[test]
    fn code_on_a_server_that_was_stopped_is_not_said_to_run_on() {
        for (remedy, is_sure) in [(Step::CheckExecutor, true), (Step::CheckJupyter, false)] {
            let error = RuntimeError::Unreachable {
                url: "there".to_owned(),
                source: "refused".into(),
                remedy,
            };
            let hint = ended(Some("running"), error).summary.hint.unwrap();
            let hint = hint.worded(|step| format!("<{step:?}>").into());
            assert_eq!(hint.contains("keeps running on its machine"), is_sure);
            assert_eq!(hint.contains("if the server was stopped"), !is_sure);
        }
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
