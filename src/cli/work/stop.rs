//! `smart-colab stop`: ends a job.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::Instant;

use super::{Common, Desk, End, FAILED, logs, notebook_run};
use crate::caller::Caller;
use crate::runtime::RuntimeError;
use crate::tasks::{Stopped, Target};

/// For the runtime to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// For the code to end once it was interrupted.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(in crate::cli) struct StopArgs {
    /// The job's id, as `run --detach` and `jobs` print it, the checkpoint name under which it runs, or a notebook that a client runs.
    id: String,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Interrupts the job, and waits a little for its end.
pub(super) async fn run(args: StopArgs, desk: &Desk<'_>) -> Result<End, End> {
    let caller = Caller::until(Instant::now() + ANSWER_TIMEOUT);
    let runs = &desk.floors.notebook_runs;
    if let Some(run) = runs.find(&args.id) {
        let report = runs.stop(run, &caller.at_most(STOP_TIMEOUT)).await;
        let record = report.ok_or(RuntimeError::UnknownJob)?.record;
        return Ok(notebook_run::end(&record, desk));
    }
    let id = logs::find(Some(&args.id), desk).await?;
    let tasks = &desk.floors.tasks;
    let stopped = tasks
        .interrupt(Target::Job(id), STOP_TIMEOUT, &caller)
        .await?;
    let job = match stopped {
        Stopped::Code(done) => done.job,
        // Only those of this process, which has none.
        Stopped::Transfer(_) => None,
    };
    let state = job.map(|job| job.state);
    let facts = json!({"job_id": id.to_string(), "state": state});
    Ok(match state {
        Some(state) if !state.is_final() => {
            let mut end = End::fault(
                FAILED,
                "busy",
                format!("job {id} was interrupted, and has not ended yet"),
                "Run this again in a moment. Code that does not stop (a long C call) ends only when its session is restarted, from the client.",
            );
            for name in ["job_id", "state"] {
                end.facts[name] = facts[name].clone();
            }
            end
        }
        Some(state) => End::text(format!("Job {id} has ended: {}.", state.as_str()), facts),
        None => End::text(format!("Job {id} has ended."), facts),
    })
}
