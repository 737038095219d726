//! Tools for sessions whose variables outlive their machine: saving them to a file, loading them from it.

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::caller::Progress;
use crate::jobs::saved::Saved;
use crate::mcp::convert::execution;
use crate::mcp::fault::Fault;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call};

#[derive(Debug, Deserialize, JsonSchema)]
struct SaveArgs {
    /// Default `main`.
    session: Option<String>,
    /// The file there; default `saved_sessions/SESSION.zip`.
    path: Option<String>,
    /// Only these variables.
    names: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct LoadArgs {
    /// The file there.
    path: String,
    /// Default `main`.
    session: Option<String>,
    /// Only these variables, and what their functions use.
    names: Option<Vec<String>>,
    /// Replace variables of the same names.
    overwrite: Option<bool>,
}

#[tool_router(router = saved_router)]
impl Server {
    #[tool(
        title = "Save session",
        input_schema = schema::input::<SaveArgs>(),
        description = "Write a session's variables, functions and imports to one file there, so that they outlive the VM: bring it home with \
            download_from_colab, or name a path in a mounted Drive. Lists each with its size, or why it cannot be saved. Replaces the file only once all is written. \
            Runs as code: get_output follows it.",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn save_session(
        &self,
        Parameters(args): Parameters<SaveArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let session = args::session_or_main(args.session)?;
        let path = args
            .path
            .unwrap_or_else(|| format!("saved_sessions/{session}.zip"));
        self.saved_session(Saved::Save, &session, &path, args.names, &context)
            .await
    }

    #[tool(
        title = "Load session",
        input_schema = schema::input::<LoadArgs>(),
        description = "Set the variables that save_session wrote, in another session or on a new VM. Each is loaded alone, or refused with the reason: \
            another version of Python (for functions) or of a library, a name that is taken. Loading runs code that the file holds: only load files that you or the user saved.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn load_session(
        &self,
        Parameters(args): Parameters<LoadArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let session = args::session_or_main(args.session)?;
        let what = Saved::Load {
            overwrite: args.overwrite == Some(true),
        };
        self.saved_session(what, &session, &args.path, args.names, &context)
            .await
    }
}

impl Server {
    pub(super) fn saved_tools() -> ToolRouter<Self> {
        Self::saved_router()
    }

    async fn saved_session(
        &self,
        what: Saved,
        session: &str,
        path: &str,
        names: Option<Vec<String>>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        if names.as_ref().is_some_and(Vec::is_empty) {
            return Err(Fault::invalid(
                "names is empty: name one variable at least, or leave it out for all of them",
            ));
        }
        let budget = self.budget(context);
        let view = call::run(self, context, budget, async |call| {
            let report = |progress: Progress<'_>| call.report(progress);
            let caller = call.caller(&report);
            let jobs = &self.floors.jobs;
            jobs.saved_session(what, session, path, names.as_deref(), &caller)
                .await
        });
        Ok(execution(view.await?, self.client(context)))
    }
}
