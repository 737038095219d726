//! Lists all jobs: those that the runtime knows, and those recorded on this computer that the runtime does not know.

use std::collections::BTreeSet;

use serde::Serialize;
use tokio::time::Instant;

use super::Jobs;
use super::store::Record;
use crate::base::ids::JobId;
use crate::runtime::{Code, JobsQuery, RuntimeError, RuntimeResult};
use crate::wire::job::Job;
use crate::wire::state::{JobState, Reason};

/// Number of the runtime's newest jobs that are read.
const MAX_JOBS_READ: u64 = 200;

/// Filters for the list of jobs.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub state: Option<JobState>,
    pub session: Option<String>,
    pub limit: usize,
}

/// The source of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The machine that runs it.
    Runtime,
    /// The record on this computer, because the machine does not know the job or does not answer.
    Memory,
    /// The same, of a job that had not ended when it was last heard of: it may have since.
    LastKnown,
}

/// One job.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub job_id: String,
    /// `queued`, `running`, `succeeded`, `failed`, `interrupted`, `timed_out`, `lost`; `unknown` if no response to it was ever received.
    pub state: &'static str,
    pub has_ended: bool,
    /// Why it ended without success.
    pub reason: Option<Reason>,
    pub session: String,
    /// A telling line of the code.
    pub code_head: String,
    pub created_at: String,
    /// Seconds; while it runs, so far.
    pub execution_time_sec: Option<f64>,
    /// 1 is next.
    pub queue_position: Option<u64>,
    /// What the code asks the user, and waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asking: Option<String>,
    /// The cursor up to which this computer has read: pass it to get_output as `after` for new output.
    pub next: Option<u64>,
    pub source: Source,
    /// Where it was sent, if that is not the machine that was asked: an address without its token, or `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl Row {
    /// The state in words.
    #[must_use]
    pub fn shown_state(&self) -> String {
        match self.asking {
            Some(_) => format!("{}, asks", self.state),
            None => self.state.to_owned(),
        }
    }
}

/// The jobs: those of the machine that was asked, then those that were sent elsewhere; of each those that run or wait, then the others, newest
/// first.
#[derive(Debug)]
pub struct Overview {
    pub rows: Vec<Row>,
    /// Why the runtime did not answer.
    pub trouble: Option<RuntimeError>,
}

impl Jobs {
    /// Lists jobs, from this computer's records alone where the runtime does not answer by `deadline`.
    pub async fn list(&self, wanted: &Wanted, deadline: Instant) -> Overview {
        let session = wanted.session.as_deref();
        // Read before the request: the runtime's answer cannot include jobs recorded after it.
        let remembered = self.store.newest(MAX_JOBS_READ as usize);
        let place = self.connection.place();
        let (mut jobs, trouble) = match self.newest(session, None, deadline).await {
            Ok(jobs) => (jobs, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let oldest = jobs.iter().map(|job| job.id).min();
        let is_whole = trouble.is_some() || (jobs.len() as u64) < MAX_JOBS_READ;
        if !is_whole {
            // Long-running jobs are behind all newer ones.
            for state in [JobState::Running, JobState::Queued] {
                jobs.extend(
                    self.newest(session, Some(state), deadline)
                        .await
                        .into_iter()
                        .flatten(),
                );
            }
        }
        let mut shown = BTreeSet::new();
        jobs.retain(|job| shown.insert(job.id));
        let cursors = |id: JobId| remembered.iter().find(|record| record.job_id == id);
        let mut rows: Vec<Row> = (jobs.iter())
            .map(|job| of_job(job, cursors(job.id)))
            .collect();
        rows.extend(
            (remembered.iter())
                .filter(|record| !shown.contains(&record.job_id))
                // Older ones may be on the runtime's next page.
                .filter(|record| is_whole || Some(record.job_id) > oldest)
                .filter(|record| session.is_none_or(|session| session == record.session))
                .map(|record| {
                    let is_here = place.as_ref() == Some(&record.place);
                    let was_asked = trouble.is_none() && is_here;
                    let mut row = of_record(record, was_asked && !self.may_run_elsewhere(record));
                    row.place = (!is_here).then(|| record.place.clone());
                    row
                }),
        );
        let state = wanted.state.map(JobState::as_str);
        rows.retain(|row| state.is_none_or(|state| state == row.state));
        rows.sort_by(|one, other| {
            let age = other.created_at.cmp(&one.created_at);
            let elsewhere = one.place.is_some().cmp(&other.place.is_some());
            elsewhere
                .then(one.has_ended.cmp(&other.has_ended))
                .then(age)
        });
        rows.truncate(wanted.limit);
        Overview { rows, trouble }
    }

    /// Whether another client's executor may be running a job that this one's does not know.
    fn may_run_elsewhere(&self, record: &Record) -> bool {
        let has_ended = record.state.is_some_and(JobState::is_final);
        !has_ended && self.connection.other_client(record.job_id).is_some()
    }

    pub(super) async fn newest(
        &self,
        session: Option<&str>,
        state: Option<JobState>,
        deadline: Instant,
    ) -> RuntimeResult<Vec<Job>> {
        let query = &JobsQuery {
            session,
            state,
            limit: MAX_JOBS_READ,
        };
        self.connection.until(deadline).jobs(query).await
    }
}

fn of_job(job: &Job, record: Option<&Record>) -> Row {
    Row {
        job_id: job.id.to_string(),
        state: job.state.as_str(),
        has_ended: job.state.is_final(),
        reason: job.reason,
        session: job.session.clone(),
        code_head: job.code_head.clone(),
        created_at: job.created_at.clone(),
        execution_time_sec: job.execution_time_sec,
        queue_position: job.queue_position,
        asking: job.asking.as_ref().map(|question| question.prompt.clone()),
        next: record.map(|record| record.next),
        source: Source::Runtime,
        place: None,
    }
}

/// The row of a job that the runtime did not list; `was_asked` says whether the runtime that it was sent to was asked at all.
fn of_record(record: &Record, was_asked: bool) -> Row {
    let state = match record.state {
        Some(state) if state.is_final() || !was_asked => state.as_str(),
        // Its machine was replaced or is gone.
        Some(_) => JobState::Lost.as_str(),
        None => "unknown",
    };
    let has_ended = !matches!(record.state, Some(state) if !state.is_final()) || was_asked;
    Row {
        job_id: record.job_id.to_string(),
        state,
        has_ended,
        reason: None,
        session: record.session.clone(),
        code_head: record.code_head.clone(),
        created_at: record.sent_at.clone(),
        execution_time_sec: None,
        queue_position: None,
        asking: None,
        next: Some(record.next),
        source: if has_ended {
            Source::Memory
        } else {
            Source::LastKnown
        },
        place: None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Source, of_record};
    use crate::base::ids::JobId;
    use crate::jobs::store::Record;
    use crate::wire::job::JobRequest;
    use crate::wire::state::JobState;

    #[test]
    fn a_state_that_was_not_asked_for_is_called_the_last_known() {
        let request = JobRequest {
            code: "x".to_owned(),
            session: "main".to_owned(),
            timeout_sec: 300,
            iterations: None,
            kernel_id: None,
            folder: None,
            answers: false,
        };
        let mut record = Record::of_request(JobId::fresh(), &request, "there", None);
        for (heard, was_asked, state, source) in [
            (JobState::Running, false, "running", Source::LastKnown),
            (JobState::Running, true, "lost", Source::Memory),
            (JobState::Succeeded, false, "succeeded", Source::Memory),
        ] {
            record.state = Some(heard);
            let row = of_record(&record, was_asked);
            assert_eq!((row.state, row.source), (state, source));
        }
    }
}
