//! Tools for running the cells of notebooks on the runtime.

use std::time::Duration;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use crate::base::text::Room;
use crate::caller::{DEFAULT_CHARS, Progress};
use crate::document::{DocumentError, Plan, RunReport, TAB, TabRun, Target, session_of};
use crate::mcp::fault::Fault;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call, cells};
use crate::wire::limits::MAX_TIMEOUT_SEC;

/// Seconds that a cell may run by default.
const TIMEOUT_SEC: u64 = 600;
/// Cells that share a reply's room equally; more get the room of one of as many.
const MAX_SHARES: usize = 8;

#[derive(Debug, Deserialize, JsonSchema)]
struct RunCellArgs {
    /// From get_cells.
    cell_id: Option<String>,
    /// For a cell without an id of its own.
    cell_index: Option<usize>,
    /// The cell's version as read: refused if it has changed.
    expect: Option<String>,
    /// Default the opened one.
    notebook: Option<String>,
    /// Default one of the notebook's own.
    session: Option<String>,
    /// Seconds it may run, up to 43,200; default 600.
    timeout_sec: Option<u64>,
    /// Seconds to wait for its end.
    wait_sec: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RunCellsArgs {
    /// First index; default 0.
    from: Option<usize>,
    /// Last index; default the last cell.
    to: Option<usize>,
    /// Default the opened one.
    notebook: Option<String>,
    /// Default one of the notebook's own.
    session: Option<String>,
    /// Seconds each may run, up to 43,200; default 600.
    timeout_sec: Option<u64>,
    /// Seconds to wait for the end.
    wait_sec: Option<u64>,
}

/// What is to run, and where.
enum Planned {
    Jobs(Plan),
    /// The cell, and its version, in the tab of Colab.
    InTab(Target, Option<String>),
}

enum Ran {
    Jobs(RunReport),
    InTab(TabRun),
}

/// The arguments that both tools have.
struct Options {
    session: Option<String>,
    timeout_sec: Option<u64>,
    wait_sec: Option<u64>,
}

#[tool_router(router = cell_run_router)]
impl Server {
    #[tool(
        title = "Run code cell",
        input_schema = schema::input::<RunCellArgs>(),
        description = "Run a code cell of a notebook on the runtime, like run_code_long, and write its outputs into the cell, also when they come \
            after this call: get_output follows the job_id.",
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn run_code_cell(
        &self,
        Parameters(args): Parameters<RunCellArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let documents = &self.floors.documents;
        let target = Target {
            id: args.cell_id,
            index: args.cell_index,
        };
        let plan = async |deadline| {
            let path = documents.named(args.notebook.clone())?;
            if path == TAB {
                return Ok(Planned::InTab(target, args.expect));
            }
            let planned = documents.plan_one(&path, &target, args.expect.as_deref(), deadline);
            planned.await.map(Planned::Jobs)
        };
        let options = Options {
            session: args.session,
            timeout_sec: args.timeout_sec,
            wait_sec: args.wait_sec,
        };
        self.run_plan(plan, options, &context).await
    }

    #[tool(
        title = "Run cells",
        input_schema = schema::input::<RunCellsArgs>(),
        description = "Run a notebook's code cells in order, up to the first error, each like run_code_cell. What is not done when the call answers \
            goes on.",
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn run_cells(
        &self,
        Parameters(args): Parameters<RunCellsArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let documents = &self.floors.documents;
        let plan = async |deadline| {
            let path = documents.named(args.notebook.clone())?;
            if path == TAB {
                return Err(DocumentError::InTab);
            }
            let planned = documents.plan(&path, args.from.unwrap_or(0), args.to, deadline);
            planned.await.map(Planned::Jobs)
        };
        let options = Options {
            session: args.session,
            timeout_sec: args.timeout_sec,
            wait_sec: args.wait_sec,
        };
        self.run_plan(plan, options, &context).await
    }
}

impl Server {
    pub(super) fn cell_run_tools() -> ToolRouter<Self> {
        Self::cell_run_router()
    }

    async fn run_plan(
        &self,
        plan: impl AsyncFnOnce(Instant) -> Result<Planned, DocumentError>,
        options: Options,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let timeout_sec = options.timeout_sec.unwrap_or(TIMEOUT_SEC);
        if !(1..=MAX_TIMEOUT_SEC).contains(&timeout_sec) {
            return Err(Fault::invalid(format!(
                "timeout_sec is {timeout_sec}: it must be 1 to {MAX_TIMEOUT_SEC}"
            )));
        }
        let session = options.session.map(args::session).transpose()?;
        let (budget, client) = (self.budget(context), self.client(context));
        let documents = &self.floors.documents;
        let ran: Result<Ran, DocumentError> = call::run(self, context, budget, async |call| {
            call.await_turn().await;
            let planned = plan(call.deadline).await?;
            let report = |progress: Progress<'_>| call.report(progress);
            let wait = options.wait_sec.map_or(Duration::MAX, Duration::from_secs);
            let caller = call.caller(&report).at_most(wait);
            let mut plan = match planned {
                Planned::Jobs(plan) => plan,
                Planned::InTab(cell, expect) => {
                    call.say("running in the tab of Colab");
                    let ran = documents.run_in_tab(&cell, expect.as_deref(), &caller);
                    return ran.await.map(Ran::InTab);
                }
            };
            plan.session = session.unwrap_or_else(|| session_of(&plan.path));
            plan.timeout_sec = timeout_sec;
            let caller = match plan.len().clamp(1, MAX_SHARES) {
                1 => caller,
                shares => caller.with_room(share(client.room(DEFAULT_CHARS), shares)),
            };
            Ok(Ran::Jobs(documents.run(plan, &caller).await))
        })
        .await;
        match ran? {
            Ran::Jobs(report) => cells::runs(report, client),
            Ran::InTab(run) => Ok(cells::tab_run(run, client)),
        }
    }
}

fn share(room: Room, shares: usize) -> Room {
    Room {
        chars: room.chars / shares,
        json_bytes: room.json_bytes / shares,
    }
}
