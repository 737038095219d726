//! The tool for exporting a session as a notebook.

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::advice::Step;
use crate::caller::Progress;
use crate::mcp::fault::Fault;
use crate::mcp::report::Report;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::words;
use crate::mcp::{args, call};
use crate::notebook::export::MAX_JOBS;
use crate::notebook::{self, NotebookError, Wanted};

#[derive(Debug, Deserialize, JsonSchema)]
struct ExportArgs {
    /// Default `main`.
    session: Option<String>,
    /// Its name in the save folder; default `session-NAME-DAY.ipynb`.
    filename: Option<String>,
    /// Only this many of the newest jobs, up to 1,000, the default.
    last: Option<u64>,
}

#[tool_router(router = notebook_router)]
impl Server {
    #[tool(
        title = "Export notebook",
        input_schema = schema::input::<ExportArgs>(),
        description = "Export the code run in a session, oldest first, with text, tables, plots and errors, as a Jupyter notebook (.ipynb) in the local save \
            folder: one cell per run of code, one per loop of run_chunked_operation. Use it when the user wants to keep, share or rerun the work. \
            An existing file is kept and the new one gets another name. Very long output is cut. If the call runs out of time, the message says \
            which `last` exports the rest.",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    async fn export_notebook(
        &self,
        Parameters(args): Parameters<ExportArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<notebook::Report>, Fault> {
        if let Some(last) = args.last
            && !(1..=MAX_JOBS).contains(&last)
        {
            return Err(Fault::invalid(format!(
                "last is {last}: it must be 1 to {MAX_JOBS}"
            )));
        }
        let wanted = Wanted {
            session: args::session_or_main(args.session)?,
            filename: args.filename,
            last: args.last,
            loop_title: words::word(&Step::RunChunked).into_owned(),
        };
        let budget = self.budget(&context);
        let report: Result<notebook::Report, NotebookError> =
            call::run(self, &context, budget, async |call| {
                let report = |progress: Progress<'_>| call.report(progress);
                let caller = call.caller(&report);
                self.floors.notebooks.export(&wanted, &caller).await
            })
            .await;
        Ok(Report(report?))
    }
}

impl Server {
    pub(super) fn notebook_tools() -> ToolRouter<Self> {
        Self::notebook_router()
    }
}
