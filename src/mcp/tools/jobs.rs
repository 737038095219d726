//! Which jobs there are, and ending one.

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
/// The list answers by then whatever happens: with what this computer remembers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long code may take to stop before the answer says that it has not.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

#[derive(Debug, Deserialize, JsonSchema)]
struct ListArgs {
    /// Only jobs in this state.
    state: Option<JobState>,
    /// Only jobs of this session.
    session: Option<String>,
    /// At most so many, to 200; 20 unless given.
    limit: Option<u64>,
}

/// The newest jobs.
#[derive(Debug, Serialize, JsonSchema)]
struct JobsReport {
    /// Newest first.
    jobs: Vec<Row>,
    /// The stable code of why the runtime could not be asked.
    code: Option<String>,
    /// Why it could not be asked, in a sentence; the jobs are then those that this computer remembers, as they were last heard of.
    problem: Option<String>,
    /// What to do next.
    suggestion: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct InterruptArgs {
    /// The job to end; the one that runs in `session` unless given.
    job_id: Option<String>,
    /// Ends what runs there; `main` unless given.
    session: Option<String>,
}

/// What an interrupt did.
#[derive(Debug, Serialize, JsonSchema)]
struct InterruptReport {
    /// The job that was asked to end; null when none was running.
    job_id: Option<String>,
    /// How it stands now.
    state: Option<JobState>,
    session: String,
    /// Jobs that wait in the session now; null when it could not be asked.
    queued_jobs: Option<u64>,
    /// What that means, and what to do next.
    message: String,
}

#[tool_router(router = job_router)]
impl Server {
    #[tool(
        title = "List jobs",
        input_schema = schema::input::<ListArgs>(),
        output_schema = schema::output::<JobsReport>(),
        description = "The newest jobs (runs of code) with their state, session, first line and job_id, running and finished, also those of earlier \
            conversations and of a client that was closed. Use it to find code that still runs, or output whose job_id is not at hand: \
            get_output reads it. When the runtime cannot be reached, it lists what this computer remembers.",
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
                "There are no such jobs. Without session and state all of them are listed."
            }
            true => "There are no jobs yet. run_code_quick or run_code_long starts one.",
            false => {
                "get_output with a job_id shows its output; interrupt_execution ends one that runs."
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
        description = "Stop code that runs or waits: the job of this job_id, or whatever runs in a session. It raises KeyboardInterrupt there, so \
            variables are kept, and waits a few seconds for the end. Code that does not stop (a long C call) needs restart_session. A job that has \
            ended stays as it is.",
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
                "both job_id and session are given: name the job or the session",
            ));
        }
        let target = match args.job_id.as_deref() {
            Some(id) => Target::Job(args::job_id(id)?),
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
            None => "Nothing was running there. list_jobs shows what there is.",
            Some(job) if !job.state.is_final() => {
                "It was interrupted, but has not stopped yet. Call again in a moment; if it stays so, restart_session ends it, and the \
                 session's variables with it."
            }
            Some(job) if job.state == JobState::Interrupted && job.started_at.is_none() => {
                "It was taken out of the queue before it began: none of it ran."
            }
            Some(job) if job.state == JobState::Interrupted && !job.variables_lost => {
                "It has stopped; variables are kept. get_output shows what it printed."
            }
            Some(job) if job.variables_lost => {
                "It has ended, and the session's variables with it. get_output shows what it printed and why it ended."
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
