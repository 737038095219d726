//! Tools for sessions: deleting their variables, restarting them.

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResponse, CallToolResult};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mcp::call::Call;
use crate::mcp::consent::{Consent, Question};
use crate::mcp::fault::Fault;
use crate::mcp::report::Report;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call};
use crate::runtime::error::Reach;
use crate::runtime::{Machine, RuntimeError, RuntimeResult};
use crate::wire::session::{Cleanup, CleanupRequest, Session, SessionState, kernel_of_adopted};

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
    ) -> Result<Report<CleanupReport>, Fault> {
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
        let cleanup: RuntimeResult<Cleanup> = call::ask(self, &context, budget, async |call| {
            call.await_turn().await;
            let until = self.connection().until(call.deadline);
            until.cleanup(&request).await
        })
        .await;
        let advice =
            "It is not known whether the session was cleared: list_colab_variables shows it.";
        cleanup
            .map(|cleanup| Report(cleanup.into()))
            .map_err(|error| unclear_first(error, advice))
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
                if adopted.is_some() {
                    let question = Question {
                        about: format!("restart {name}"),
                        text: format!(
                            "Restart the kernel of a notebook (session {name})? What runs there is ended, and its variables are lost, the user's own too."
                        ),
                        costs_units: false,
                    };
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
