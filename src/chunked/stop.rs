//! Why an operation stopped, in the words that the model sees.

use super::checkpoint::{Flight, Stop, Work, sentence};
use crate::jobs::view;
use crate::wire::event::PythonError;
use crate::wire::job::Job;
use crate::wire::state::{JobState, Reason};

/// What a job's end means for the operation whose next iteration is `completed`.
pub(super) fn explain(
    flight: &Flight,
    job: &Job,
    completed: u64,
    error: Option<&PythonError>,
) -> Stop {
    let iteration = match flight.work {
        Work::Setup => None,
        Work::Batch { .. } => Some(completed),
    };
    let place = iteration.map_or_else(
        || "the setup".to_owned(),
        |iteration| format!("iteration {iteration}"),
    );
    let (code, why, hint) =
        view::explain(job.reason.unwrap_or(Reason::Unknown), job.variables_lost);
    let by_python = job
        .reason
        .is_none_or(|reason| reason == Reason::PythonError);
    match error {
        Some(error) if by_python => Stop {
            interrupted: false,
            iteration,
            job_id: flight.job_id.to_string(),
            code: "python_error".to_owned(),
            error: format!("{place} failed: {}", sentence(error)),
            hint: match iteration {
                None => "Mend setup_code and call again with restart: true.".to_owned(),
                Some(iteration) => format!(
                    "Iterations before {iteration} are done and kept. If the cause has gone, call again with the same arguments: it is tried \
                     again. If loop_code must change, restart: true begins anew; on_error: \"skip\" passes failing iterations over."
                ),
            },
        },
        Some(_) | None => Stop {
            interrupted: job.state == JobState::Interrupted,
            iteration,
            job_id: flight.job_id.to_string(),
            code: code.to_owned(),
            error: format!("{place} did not finish: {why}"),
            hint: format!(
                "{hint} Call again with the same arguments to go on from there; the setup runs again where it must."
            ),
        },
    }
}

/// An executor that does not keep to the protocol.
pub(super) fn incomplete(flight: &Flight, what: &str) -> Stop {
    Stop {
        interrupted: false,
        iteration: None,
        job_id: flight.job_id.to_string(),
        code: "incompatible_executor".to_owned(),
        error: format!("the executor does not keep to its API: {what}"),
        hint: "Run the notebook of this bridge's version, then call again.".to_owned(),
    }
}
