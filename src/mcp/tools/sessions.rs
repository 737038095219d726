//! What the kernels hold, and setting it free.

use std::sync::Arc;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;

use super::MAIN;
use crate::mcp::call;
use crate::mcp::convert::Fault;
use crate::mcp::server::Server;
use crate::runtime::error::Reach;
use crate::runtime::{Runtime, RuntimeResult, retry};
use crate::wire::session::{Cleanup, CleanupRequest, Variables};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VariablesArgs {
    /// `main` unless given.
    session: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CleanupArgs {
    /// `main` unless given.
    session: Option<String>,
    /// Also delete *.tmp, *.temp and *.pyc under the content root; no unless given.
    temp_files: Option<bool>,
}

#[tool_router(router = session_router)]
impl Server {
    #[tool(
        title = "List variables",
        description = "The variables of a session: name, type, shape or length, bytes, a short repr. Works while code is running. Use it to see what \
            earlier code left, instead of printing things again.",
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn list_colab_variables(
        &self,
        Parameters(args): Parameters<VariablesArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<Variables>, Fault> {
        let session = args.session.unwrap_or_else(|| MAIN.to_owned());
        let budget = self.budget(&context);
        let variables: RuntimeResult<Variables> = call::ask(self, &context, budget, async |call| {
            let session = session.as_str();
            let question =
                |runtime: Arc<dyn Runtime>| async move { runtime.variables(session).await };
            self.connection().ask(call.deadline, question).await
        })
        .await;
        Ok(Json(variables?))
    }

    #[tool(
        title = "Clean up",
        description = "Free memory: deletes all user variables of a session, collects garbage, empties the CUDA cache, closes figures. Ask the user \
            first: the variables are gone for good. Deletes no files, except temporary ones (*.tmp, *.temp, *.pyc) when temp_files is true, \
            each named in the report. Fails with busy while code is running in the session.",
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
        let session = args.session.unwrap_or_else(|| MAIN.to_owned());
        let request = CleanupRequest {
            session,
            temp_files: args.temp_files.unwrap_or(false),
        };
        let budget = self.budget(&context);
        let cleanup: RuntimeResult<Cleanup> = call::ask(self, &context, budget, async |call| {
            let runtime = self.connection().runtime(call.deadline).await?;
            // Done once: what a second run would report is not what the first one did.
            retry::until_sent(call.deadline, runtime.address(), || {
                runtime.cleanup(&request)
            })
            .await
        })
        .await;
        cleanup.map(Json).map_err(|error| {
            let is_clear = error.reach() != Reach::Unknown;
            let fault = Fault::from(error);
            if is_clear {
                fault
            } else {
                fault.first("It is not known whether the session was cleared: list_colab_variables shows it.")
            }
        })
    }
}

impl Server {
    pub(super) fn session_tools() -> ToolRouter<Self> {
        Self::session_router()
    }
}
