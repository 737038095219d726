//! Tools for listing and interrupting jobs.

use std::time::Duration;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::caller::Progress;
use crate::jobs::overview::{Row, Wanted};
use crate::mcp::fault::Fault;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call};
use crate::runtime::RuntimeResult;
use crate::tasks::{Interrupted, Target};
use crate::wire::state::JobState;

const DEFAULT_SHOWN: u64 = 20;
const MAX_SHOWN: u64 = 200;
/// After this time the list is answered from this computer's records.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for interrupted code to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

#[derive(Debug, Deserialize, JsonSchema)]
struct ListArgs {
    /// Only jobs in this state.
    state: Option<JobState>,
    /// Only jobs of this session.
    session: Option<String>,
    /// Maximum number of jobs, up to 200; default 20.
    limit: Option<u64>,
}

/// The newest jobs.
#[derive(Debug, Serialize, JsonSchema)]
struct JobsReport {
    /// Newest first.
    jobs: Vec<Row>,
    /// The stable code of the error, if the runtime did not answer.
    code: Option<String>,
    /// The error as a sentence; then the jobs are those recorded on this computer, in their last known states.
    problem: Option<String>,
    /// The next step.
    suggestion: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct InterruptArgs {
    /// The job to stop, or the checkpoint_name under which it runs; default: the one running in `session`.
    job_id: Option<String>,
    /// The session whose running job to stop; default `main`.
    session: Option<String>,
}

/// The result of an interrupt.
#[derive(Debug, Serialize, JsonSchema)]
struct InterruptReport {
    /// The interrupted job; null if none was running.
    job_id: Option<String>,
    /// Its current state.
    state: Option<JobState>,
    session: String,
    /// Number of jobs queued in the session now; null if unknown.
    queued_jobs: Option<u64>,
    /// The result, and the next step.
    message: String,
}

#[tool_router(router = job_router)]
impl Server {
    #[tool(
        title = "List jobs",
        input_schema = schema::input::<ListArgs>(),
        output_schema = schema::output::<JobsReport>(),
        description = "List the newest jobs (runs of code) with their state, session, first line and job_id, running and finished, also those of earlier \
            conversations and closed clients. Use it to find code that is still running, or output whose job_id you do not have: \
            get_output reads it. If the runtime cannot be reached, it lists the jobs recorded on this computer.",
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn list_jobs(
        &self,
        Parameters(args): Parameters<ListArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<JobsReport>, Fault> {
        let limit = args.limit.unwrap_or(DEFAULT_SHOWN);
        if !(1..=MAX_SHOWN).contains(&limit) {
            return Err(Fault::invalid(format!(
                "limit is {limit}: it must be 1 to {MAX_SHOWN}"
            )));
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let wanted = Wanted {
            state: args.state,
            session: args.session.map(args::session).transpose()?,
            limit,
        };
        let budget = self.budget(&context).min(ANSWER_TIMEOUT);
        let overview: RuntimeResult<_> = call::ask(self, &context, budget, async |call| {
            Ok(self.floors.jobs.list(&wanted, call.deadline).await)
        })
        .await;
        let overview = overview?;
        let suggestion = match overview.rows.is_empty() {
            true if wanted.session.is_some() || wanted.state.is_some() => {
                "There are no such jobs. Omit session and state to list all jobs."
            }
            true => "There are no jobs yet. run_code_quick or run_code_long starts one.",
            false => {
                "get_output with a job_id shows its output; interrupt_execution stops a running one."
            }
        };
        let fault = overview.trouble.map(Fault::from);
        Ok(Json(JobsReport {
            jobs: overview.rows,
            suggestion: match &fault {
                Some(fault) => fault.hint.clone(),
                None => suggestion.to_owned(),
            },
            code: fault.as_ref().map(|fault| fault.code.clone()),
            problem: fault.map(|fault| fault.error),
        }))
    }

    #[tool(
        title = "Interrupt",
        input_schema = schema::input::<InterruptArgs>(),
        output_schema = schema::output::<InterruptReport>(),
        description = "Stop running or queued code: the job with this job_id, or the job running in a session. Raises KeyboardInterrupt in it, so \
            variables are kept, and waits a few seconds for its end. Code that does not stop (a long C call) needs restart_session. Does nothing to a \
            finished job.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn interrupt_execution(
        &self,
        Parameters(args): Parameters<InterruptArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<InterruptReport>, Fault> {
        if args.job_id.is_some() && args.session.is_some() {
            return Err(Fault::invalid(
                "both job_id and session are given: give only one of them",
            ));
        }
        let target = match args.job_id.as_deref() {
            Some(id) => Target::Job(self.floors.checkpoints.job_named(id)?),
            None => Target::Session(args::session_or_main(args.session)?),
        };
        let budget = self.budget(&context);
        let done = call::run(self, &context, budget, async |call| {
            call.say("interrupting");
            let report = |progress: Progress<'_>| {
                if let Progress::Job { job, .. } = progress {
                    call.say(job.state.as_str());
                }
            };
            let caller = call.caller(&report);
            self.floors
                .tasks
                .interrupt(target, STOP_TIMEOUT, &caller)
                .await
        });
        Ok(Json(InterruptReport::of(done.await?)))
    }
}

impl InterruptReport {
    fn of(done: Interrupted) -> Self {
        let Interrupted {
            job,
            session,
            queued_jobs,
        } = done;
        let message = match &job {
            None => "Nothing was running in this session. list_jobs shows the existing jobs.",
            Some(job) if !job.state.is_final() => {
                "It was interrupted, but has not stopped yet. Call again in a moment; if it does not stop, restart_session ends it and loses \
                 the session's variables."
            }
            Some(job) if job.state == JobState::Interrupted && job.started_at.is_none() => {
                "It was removed from the queue before it started: none of it ran."
            }
            Some(job) if job.state == JobState::Interrupted && !job.variables_lost => {
                "It has stopped; variables are kept. get_output shows what it printed."
            }
            Some(job) if job.variables_lost => {
                "It has ended, and the session's variables are lost. get_output shows what it printed and why it ended."
            }
            Some(_) => "It has ended. get_output shows what it printed.",
        };
        Self {
            job_id: job.as_ref().map(|job| job.id.to_string()),
            state: job.map(|job| job.state),
            session,
            queued_jobs,
            message: message.to_owned(),
        }
    }
}

impl Server {
    pub(super) fn job_tools() -> ToolRouter<Self> {
        Self::job_router()
    }
}
