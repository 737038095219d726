//! Tools for the variables of sessions: listing, deleting, restarting.

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mcp::fault::Fault;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call};
use crate::runtime::error::Reach;
use crate::runtime::{Machine, RuntimeError, RuntimeResult, Sessions};
use crate::wire::session::{Cleanup, CleanupRequest, Session, Variables};

#[derive(Debug, Deserialize, JsonSchema)]
struct VariablesArgs {
    /// The session; default `main`.
    session: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CleanupArgs {
    /// The session; default `main`.
    session: Option<String>,
    /// Only the variables of these names, `["df", "model"]`; default all.
    variables: Option<Vec<String>>,
    /// Also delete *.tmp, *.temp and *.pyc under the content root; default false.
    temp_files: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RestartArgs {
    /// The session; default `main`.
    session: Option<String>,
    /// Remove the session instead of restarting it, which frees its memory; default false.
    remove: Option<bool>,
}

/// The result of a restart.
#[derive(Debug, Serialize, JsonSchema)]
struct RestartReport {
    /// The session with its new kernel; null if it was removed.
    session: Option<Session>,
    /// Running and queued jobs that were ended.
    ended_jobs: Vec<String>,
    /// The result, and the next step.
    message: String,
}

#[tool_router(router = session_router)]
impl Server {
    #[tool(
        title = "List variables",
        input_schema = schema::input::<VariablesArgs>(),
        output_schema = schema::output::<Variables>(),
        description = "List the variables of a session: name, type, shape or length, bytes, a short repr. Works while code is running. Use it to see the \
            results of earlier code, instead of printing them again.",
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn list_colab_variables(
        &self,
        Parameters(args): Parameters<VariablesArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<Variables>, Fault> {
        let session = args::session_or_main(args.session)?;
        let budget = self.budget(&context);
        let variables: RuntimeResult<Variables> = call::ask(self, &context, budget, async |call| {
            let until = self.connection().until(call.deadline);
            until.variables(&session).await
        })
        .await;
        Ok(Json(variables?))
    }

    #[tool(
        title = "Clean up",
        input_schema = schema::input::<CleanupArgs>(),
        output_schema = schema::output::<Cleanup>(),
        description = "Free memory: delete the variables of a session, all of them or those named in variables, and the results shown of them \
            (_, Out), collect garbage, empty the CUDA cache; without variables, close figures too. freed_mb is what its Python process \
            freed. Ask the user first: the variables cannot be recovered. Deletes no files, except temporary ones (*.tmp, *.temp, *.pyc) if \
            temp_files is true, each listed in the report. Fails with busy while code is running in the session.",
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
    ) -> Result<Json<Cleanup>, Fault> {
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
            .map(Json)
            .map_err(|error| unclear_first(error, advice))
    }

    #[tool(
        title = "Restart session",
        input_schema = schema::input::<RestartArgs>(),
        output_schema = schema::output::<RestartReport>(),
        description = "End a session's Python process with all its running and queued code, and start a new one. All of its variables are lost, \
            files stay. Use it if interrupt_execution does not stop code, if memory or the GPU is not released, or after an install that \
            needs a restart. With remove the session is removed and its memory freed. Ask the user first if the variables took long to compute.",
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
    ) -> Result<Json<RestartReport>, Fault> {
        let name = args::session_or_main(args.session)?;
        let remove = args.remove.unwrap_or(false);
        let budget = self.budget(&context);
        let report: RuntimeResult<RestartReport> =
            call::ask(self, &context, budget, async |call| {
                call.await_turn().await;
                let jobs = &self.floors.jobs;
                if remove {
                    let ended_jobs = jobs.remove_session(&name, call.deadline).await?;
                    let message =
                        format!("Session {name} was removed. Running code in it creates it again.");
                    return Ok(RestartReport {
                        session: None,
                        ended_jobs,
                        message,
                    });
                }
                call.say("restarting the session");
                let restarted = jobs.restart_session(&name, call.deadline).await?;
                let message = format!(
                    "Session {name} has a new Python process and no variables: run the setup again."
                );
                Ok(RestartReport {
                    session: Some(restarted.session),
                    ended_jobs: restarted.ended_jobs,
                    message,
                })
            })
            .await;
        let advice = "It is not known whether the session was restarted: check_colab_connection shows its kernel_id and started_at.";
        report
            .map(Json)
            .map_err(|error| unclear_first(error, advice))
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
