//! The tool that runs whole notebooks, and how other tools follow and end their runs.

use std::time::Duration;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::ids::JobId;
use crate::caller::Progress;
use crate::document::{DocumentError, TAB};
use crate::mcp::fault::Fault;
use crate::mcp::notebook_runs::notebook_run;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call};
use crate::notebook_run::order::{NewCell, Order, Source};
use crate::notebook_run::{OnError, Options, Report, RunError};
use crate::runtime::RuntimeError;
use crate::wire::limits::MAX_TIMEOUT_SEC;

/// Seconds that a cell may run by default.
const TIMEOUT_SEC: u64 = 600;
const MAX_RETRIES: u32 = 2;
const MOST_RETRIES: u32 = 20;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Code,
    Markdown,
}

// Without descriptions, which would take room in the list of tools.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Policy {
    Stop,
    SkipDependents,
    Continue,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CellArgs {
    source: String,
    /// Default code.
    r#type: Option<Kind>,
    tags: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct NotebookArgs {
    /// Default the opened one.
    notebook: Option<String>,
    /// Or of a new one, with ids cell-1, cell-2 …
    cells: Option<Vec<CellArgs>>,
    /// Set after the cell tagged `parameters`.
    parameters: Option<Map<String, Value>>,
    /// Seconds each cell may run, up to 43,200; default 600.
    timeout_sec: Option<u64>,
    /// Attempts after errors that may pass; default 2.
    max_retries: Option<u32>,
    /// Regex on `EName: evalue` for more such errors.
    retry_on: Option<String>,
    /// After a failure; default `skip_dependents`.
    on_error: Option<Policy>,
    /// Start here: id or index.
    from_cell: Option<String>,
    /// Restart the session first.
    restart: Option<bool>,
    /// Default one of the notebook's own.
    session: Option<String>,
    /// Seconds to wait; 0 returns at once.
    wait_sec: Option<u64>,
}

#[tool_router(router = notebook_run_router)]
impl Server {
    #[tool(
        title = "Run notebook",
        input_schema = schema::input::<NotebookArgs>(),
        description = "Run a whole notebook on the runtime, with outputs written into it cell by cell, and a copy in the save folder at the end. It runs on by \
            itself: get_output with its name as job_id follows it, interrupt_execution ends it. Errors that may pass (connection, rate limit, GPU \
            memory) are retried; what depends on a failed cell is skipped. Tags of cells: depends_on:X (the id or a tag of an earlier cell), force, skip-execution.",
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn run_notebook(
        &self,
        Parameters(args): Parameters<NotebookArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let wait_sec = args.wait_sec;
        let order = self.order(args)?;
        let budget = self.budget(&context);
        let wait = wait_sec.map_or(budget, Duration::from_secs);
        let report: Result<Report, RunError> = call::run(self, &context, budget, async |call| {
            call.await_turn().await;
            let report = |progress: Progress<'_>| call.report(progress);
            let caller = call.caller(&report).at_most(wait);
            self.floors.notebook_runs.run(order, &caller).await
        })
        .await;
        Ok(notebook_run(report?, false, self.client(&context)))
    }
}

impl Server {
    pub(super) fn notebook_run_tools() -> ToolRouter<Self> {
        Self::notebook_run_router()
    }

    fn order(&self, args: NotebookArgs) -> Result<Order, Fault> {
        let timeout_sec = args.timeout_sec.unwrap_or(TIMEOUT_SEC);
        if !(1..=MAX_TIMEOUT_SEC).contains(&timeout_sec) {
            return Err(Fault::invalid(format!(
                "timeout_sec is {timeout_sec}: it must be 1 to {MAX_TIMEOUT_SEC}"
            )));
        }
        let max_retries = args.max_retries.unwrap_or(MAX_RETRIES);
        if max_retries > MOST_RETRIES {
            return Err(Fault::invalid(format!(
                "max_retries is {max_retries}: it must be 0 to {MOST_RETRIES}"
            )));
        }
        let source = match (args.cells, args.notebook) {
            (Some(_), Some(_)) => {
                return Err(Fault::invalid(
                    "both notebook and cells are given: cells makes a new notebook, give one of them",
                ));
            }
            (Some(cells), None) => Source::New(cells.into_iter().map(new_cell).collect()),
            (None, notebook) => match self.floors.documents.named(notebook)? {
                path if path == TAB => return Err(DocumentError::InTab.into()),
                path => Source::Notebook(path),
            },
        };
        Ok(Order {
            source,
            parameters: args.parameters,
            from_cell: args.from_cell,
            restart: args.restart.unwrap_or(false),
            session: args.session.map(args::session).transpose()?,
            ends_session: false,
            copy_of: None,
            options: Options {
                timeout_sec,
                max_retries,
                retry_on: args.retry_on,
                on_error: match args.on_error {
                    Some(Policy::Stop) => OnError::Stop,
                    Some(Policy::Continue) => OnError::Continue,
                    Some(Policy::SkipDependents) | None => OnError::SkipDependents,
                },
            },
        })
    }

    /// Waits for more of a run.
    pub(super) async fn follow_notebook(
        &self,
        run: JobId,
        wait: Option<Duration>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let budget = self.budget(context);
        let report = call::run(self, context, budget, async |call| {
            let report = |progress: Progress<'_>| call.report(progress);
            let caller = call.caller(&report).at_most(wait.unwrap_or(budget));
            self.floors.notebook_runs.follow(run, &caller).await
        });
        self.seen_run(report.await, context)
    }

    /// Ends a run.
    pub(super) async fn stop_notebook(
        &self,
        run: JobId,
        wait: Duration,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let budget = self.budget(context);
        let report = call::run(self, context, budget, async |call| {
            call.say("interrupting");
            let report = |progress: Progress<'_>| call.report(progress);
            let caller = call.caller(&report).at_most(wait);
            self.floors.notebook_runs.stop(run, &caller).await
        });
        self.seen_run(report.await, context)
    }

    fn seen_run(
        &self,
        report: Option<Report>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let report = report.ok_or_else(|| Fault::from(RuntimeError::UnknownJob))?;
        Ok(notebook_run(report, true, self.client(context)))
    }
}

fn new_cell(cell: CellArgs) -> NewCell {
    NewCell {
        is_code: !matches!(cell.r#type, Some(Kind::Markdown)),
        source: cell.source,
        tags: cell.tags.unwrap_or_default(),
    }
}
