//! Tools for sessions: deleting their variables, restarting them.

use std::time::Duration;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResponse, CallToolResult};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::mcp::call::Call;
use crate::mcp::consent::{Consent, Question, Stake};
use crate::mcp::fault::Fault;
use crate::mcp::report::Report;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call};
use crate::runtime::error::Reach;
use crate::runtime::{Machine, RuntimeError, RuntimeResult, Sessions};
use crate::wire::session::{Cleanup, CleanupRequest, Session, SessionState, kernel_of_adopted};

/// For what runs, before a question about it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize, JsonSchema)]
struct CleanupArgs {
    /// Default `main`.
    session: Option<String>,
    /// Only these, `["df", "model"]`; default all.
    variables: Option<Vec<String>>,
    /// Also delete *.tmp, *.temp and *.pyc under the content root.
    temp_files: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RestartArgs {
    /// Default `main`.
    session: Option<String>,
    /// Remove the session instead, which frees its memory.
    remove: Option<bool>,
    /// Needed for a notebook's kernel.
    confirm: Option<bool>,
}

/// A session, without what only identifies its process.
#[derive(Debug, Serialize)]
pub(super) struct SessionFacts {
    name: String,
    state: SessionState,
    /// The id of the Jupyter Server's kernel, which a notebook uses too.
    #[serde(skip_serializing_if = "Option::is_none")]
    adopted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running_job: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queued_jobs: Option<u64>,
    /// 0: its variables are gone, or none were made.
    execution_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mb: Option<f64>,
}

impl From<Session> for SessionFacts {
    fn from(session: Session) -> Self {
        Self {
            name: session.name,
            state: session.state,
            adopted: session.adopted,
            running_job: session.running_job,
            queued_jobs: Some(session.queued_jobs).filter(|&count| count > 0),
            execution_count: session.execution_count,
            memory_mb: session.memory_mb,
        }
    }
}

/// The result of a cleanup.
#[derive(Debug, Serialize)]
struct CleanupReport {
    #[serde(flatten)]
    cleanup: Cleanup,
    /// The next step, if other variables hold what was to be freed.
    hint: Option<String>,
}

impl From<Cleanup> for CleanupReport {
    fn from(cleanup: Cleanup) -> Self {
        let holders = cleanup.held_by.join(", ");
        let hint = format!(
            "Memory of what was cleared is still held by other variables: name them too to free it, in variables: {holders}."
        );
        Self {
            hint: (!holders.is_empty()).then_some(hint),
            cleanup,
        }
    }
}

/// The result of a restart.
#[derive(Debug, Serialize)]
struct RestartReport {
    /// The session with its new kernel; null if it was removed, or its kernel is a notebook's.
    session: Option<SessionFacts>,
    /// Running and queued jobs that were ended.
    ended_jobs: Vec<String>,
    /// The result, and the next step.
    message: String,
}

#[tool_router(router = session_router)]
impl Server {
    #[tool(
        title = "Clean up",
        input_schema = schema::input::<CleanupArgs>(),
        description = "Free memory: delete the variables of a session, all of them or those named, with the results shown of them (_, Out), collect garbage, \
            empty the CUDA cache; without names, close figures too. freed_mb is what its Python process gave back, held_by names variables that hold some \
            of it. Variables cannot be recovered: \
            ask the user first. Deletes no files but, with temp_files, temporary ones, each listed. Fails with busy while the session runs code.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn cleanup_colab(
        &self,
        Parameters(args): Parameters<CleanupArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, Fault> {
        if args.variables.as_ref().is_some_and(Vec::is_empty) {
            return Err(Fault::invalid(
                "variables is empty: name one at least, or leave it out to delete all of them",
            ));
        }
        let request = CleanupRequest {
            session: args::session_or_main(args.session)?,
            temp_files: args.temp_files.unwrap_or(false),
            variables: args.variables,
        };
        let budget = self.budget(&context);
        let done: RuntimeResult<Result<CallToolResponse, Fault>> =
            call::ask(self, &context, budget, async |call| {
                if let Some(question) = self.question_of_cleanup(&context, &call, &request).await {
                    match self.consent(&context, &call, &question, false).await {
                        Ok(Consent::Given) => {}
                        Ok(Consent::Asking(asking)) => return Ok(Ok((*asking).into())),
                        Err(fault) => return Ok(Err(fault)),
                    }
                }
                call.await_turn().await;
                let until = self.connection().until(call.deadline);
                let report = CleanupReport::from(until.cleanup(&request).await?);
                Ok(Ok(CallToolResult::from(Report(report)).into()))
            })
            .await;
        let advice =
            "It is not known whether the session was cleared: list_colab_variables shows it.";
        done.map_err(|error| unclear_first(error, advice))?
    }

    #[tool(
        title = "Restart session",
        input_schema = schema::input::<RestartArgs>(),
        description = "End a session's Python process with all its running and queued code, and start a new one: variables are lost, files stay. Use it if \
            interrupt_execution does not stop code, if memory or the GPU is not released, or after an install that needs it. Ask the user first if \
            the variables took long to compute.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    async fn restart_session(
        &self,
        Parameters(args): Parameters<RestartArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, Fault> {
        let name = args::session_or_main(args.session)?;
        let remove = args.remove.unwrap_or(false);
        let adopted = kernel_of_adopted(&name).filter(|_| !remove);
        let budget = self.budget(&context);
        let done: RuntimeResult<Result<CallToolResponse, Fault>> =
            call::ask(self, &context, budget, async |call| {
                let question = if adopted.is_some() {
                    Some(Question {
                        about: format!("restart {name}"),
                        text: format!(
                            "Restart the kernel of a notebook (session {name})? What runs there is ended, and its variables are lost, the user's own too."
                        ),
                        stake: Stake::Work,
                    })
                } else {
                    let working = self.working(&context, &call, |one| one.name == name).await;
                    working.map(|jobs| Question {
                        about: format!("restart {name}"),
                        text: format!("Restart session {name}? This ends its work ({jobs}), and the session's variables are lost."),
                        stake: Stake::Jobs,
                    })
                };
                if let Some(question) = question {
                    let confirmed = args.confirm == Some(true);
                    match self.consent(&context, &call, &question, confirmed).await {
                        Ok(Consent::Given) => {}
                        Ok(Consent::Asking(asking)) => return Ok(Ok((*asking).into())),
                        Err(fault) => return Ok(Err(fault)),
                    }
                }
                call.await_turn().await;
                let report = self.restart(&name, remove, &call).await?;
                Ok(Ok(CallToolResult::from(Report(report)).into()))
            })
            .await;
        let advice = "It is not known whether the session was restarted: list_colab_variables shows whether its variables are gone.";
        done.map_err(|error| unclear_first(error, advice))?
    }
}

impl Server {
    /// What runs or waits in these sessions, as clauses, if the user can be asked about it; none if nothing does, or that is not known in time.
    async fn working(
        &self,
        context: &RequestContext<RoleServer>,
        call: &Call,
        is_meant: impl Fn(&Session) -> bool,
    ) -> Option<String> {
        if !self.can_ask(context) {
            return None;
        }
        let until = call.deadline.min(Instant::now() + LOOK_TIMEOUT);
        let sessions = self.connection().until(until).sessions().await.ok()?;
        let works = |one: &&Session| one.running_job.is_some() || one.queued_jobs > 0;
        let working = sessions.iter().filter(works).filter(|one| is_meant(one));
        let jobs = working.map(|one| match &one.running_job {
            Some(job) => format!("{job} runs in session {}", one.name),
            None => format!("code waits in session {}", one.name),
        });
        let jobs: Vec<String> = jobs.collect();
        (!jobs.is_empty()).then(|| jobs.join("; "))
    }

    /// What the user is asked before a cleanup while code runs. Named variables are meant; a busy session refuses by itself.
    async fn question_of_cleanup(
        &self,
        context: &RequestContext<RoleServer>,
        call: &Call,
        request: &CleanupRequest,
    ) -> Option<Question> {
        if request.variables.is_some() && !request.temp_files {
            return None;
        }
        let name = &request.session;
        let jobs = self.working(context, call, |one| one.name != *name).await?;
        let what = match &request.variables {
            None => format!("all variables of session {name}"),
            Some(names) => format!("{} of session {name}", names.join(", ")),
        };
        let files = if request.temp_files {
            ", and the temporary files, which running code may use"
        } else {
            ""
        };
        Some(Question {
            about: format!("cleanup {name} {}", request.temp_files),
            text: format!("Delete {what}{files}? Other sessions are at work: {jobs}."),
            stake: Stake::Jobs,
        })
    }

    async fn restart(&self, name: &str, remove: bool, call: &Call) -> RuntimeResult<RestartReport> {
        let jobs = &self.floors.jobs;
        if remove {
            let ended_jobs = jobs.remove_session(name, call.deadline).await?;
            let message = match kernel_of_adopted(name) {
                Some(_) => format!(
                    "Session {name} was let go: the notebook's kernel and its variables stay, and running code in it connects again."
                ),
                None => format!("Session {name} was removed. Running code in it creates it again."),
            };
            return Ok(RestartReport {
                session: None,
                ended_jobs,
                message,
            });
        }
        call.say("restarting the session");
        if let Some(kernel) = kernel_of_adopted(name) {
            let ended_jobs = jobs.restart_adopted(kernel, call.deadline).await?;
            let message = format!(
                "The Jupyter Server restarted the kernel of session {name}: all variables are gone there, the user's own too. Run the setup again, \
                 and tell the user that the notebook needs its cells run again."
            );
            return Ok(RestartReport {
                session: None,
                ended_jobs,
                message,
            });
        }
        let restarted = jobs.restart_session(name, call.deadline).await?;
        let message = format!(
            "Session {name} has a new Python process and no variables: run the setup again."
        );
        Ok(RestartReport {
            session: Some(restarted.session.into()),
            ended_jobs: restarted.ended_jobs,
            message,
        })
    }
}

/// Adds `advice` on where to look, if the answer to a request that is sent only once was lost.
fn unclear_first(error: RuntimeError, advice: &str) -> Fault {
    let is_clear = error.reach() != Reach::Unknown;
    let fault = Fault::from(error);
    if is_clear { fault } else { fault.first(advice) }
}

impl Server {
    pub(super) fn session_tools() -> ToolRouter<Self> {
        Self::session_router()
    }
}
