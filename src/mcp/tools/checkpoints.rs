//! Tools for checkpoints and named results.

use std::time::Duration;

use jiff::Timestamp;
use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::code::{did_not_run, wait};
use crate::base::advice::Advice;
use crate::base::fault::Fault as _;
use crate::caller::Progress;
use crate::checkpoints::CheckpointError;
use crate::checkpoints::report::{CheckpointReport, Kind};
use crate::checkpoints::shelf::{Deleted, Row};
use crate::jobs::view::View;
use crate::mcp::convert;
use crate::mcp::fault::Fault;
use crate::mcp::report::{List, MAX_LIST_BYTES, Report};
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call, words};
use crate::render::rows::{Rows, short_time};
use crate::wire::job::JobRequest;

/// Rows of a list, by default and at most.
const DEFAULT_SHOWN: u64 = 50;
const MAX_SHOWN: u64 = 500;

#[derive(Debug, Deserialize, JsonSchema)]
struct CheckpointArgs {
    /// Its checkpoint_name.
    operation: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ShelfArgs {
    /// Rows, up to 500; default 50.
    top: Option<u64>,
}

/// All kept checkpoints.
#[derive(Debug, Serialize)]
struct ShelfFacts {
    total: u64,
    message: Option<String>,
}

#[tool_router(router = checkpoint_router)]
impl Server {
    #[tool(
        title = "Get checkpoint",
        input_schema = schema::input::<CheckpointArgs>(),
        description = "Show a chunked operation's progress, plan, newest results, skipped iterations and why it stopped; or what run_code_long kept under a \
            checkpoint_name: code, output, times, and the files with all of it. While that code runs, its earlier result is shown as previous. \
            Works without the runtime. For an unknown name it lists the known ones.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn get_checkpoint(
        &self,
        Parameters(args): Parameters<CheckpointArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let budget = self.budget(&context);
        let report: Result<CheckpointReport, CheckpointError> =
            call::run(self, &context, budget, async |call| {
                let report = |progress: Progress<'_>| call.report(progress);
                let caller = call.caller(&report).at_most(Duration::ZERO);
                self.floors.checkpoints.get(&args.operation, &caller).await
            })
            .await;
        Ok(convert::report(&report?, self.client(&context)))
    }

    #[tool(
        title = "List checkpoints",
        input_schema = schema::input::<ShelfArgs>(),
        description = "List what is kept under a checkpoint_name on this computer, newest first: chunked operations with their progress, results of \
            run_code_long, and unreadable ones with the reason. Works without the runtime.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn list_checkpoints(
        &self,
        Parameters(args): Parameters<ShelfArgs>,
    ) -> Result<List<ShelfFacts>, Fault> {
        let top = args::top(args.top, MAX_SHOWN)?;
        let limit = usize::try_from(top.unwrap_or(DEFAULT_SHOWN)).unwrap_or(usize::MAX);
        let (checkpoints, total) = self.floors.checkpoints.list(limit).await;
        let mut rows = rows(checkpoints);
        if top.is_none() {
            let count = rows.fitting(MAX_LIST_BYTES);
            rows = rows.first(count);
        }
        let message = match total.saturating_sub(rows.len()) {
            _ if total == 0 => Some("There are no checkpoints yet.".to_owned()),
            0 => None,
            more => Some(format!("{more} older ones are not shown: raise top.")),
        };
        Ok(List {
            table: rows.render(),
            facts: ShelfFacts {
                total: total as u64,
                message,
            },
        })
    }

    #[tool(
        title = "Delete checkpoint",
        input_schema = schema::input::<CheckpointArgs>(),
        description = "Delete a checkpoint from this computer, readable or not: a chunked operation with its results, or a result of run_code_long with output \
            and pictures. This cannot be undone: ask the user first. Fails with busy while its code runs (interrupt_execution ends that). Files on \
            the runtime stay.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    async fn delete_checkpoint(
        &self,
        Parameters(args): Parameters<CheckpointArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<Deleted>, Fault> {
        let budget = self.budget(&context);
        let deleted: Result<Deleted, CheckpointError> =
            call::run(self, &context, budget, async |call| {
                let chunked = &self.floors.chunked;
                chunked.delete(&args.operation, call.deadline).await
            })
            .await;
        Ok(Report(deleted?))
    }
}

fn rows(checkpoints: Vec<Row>) -> Rows<8> {
    let now = Timestamp::now();
    let row = |row: Row| {
        let done = row.completed.zip(row.n_iterations);
        [
            row.operation,
            match row.kind {
                Kind::Chunked => "chunked",
                Kind::Result => "result",
            }
            .to_owned(),
            row.state,
            done.map_or_else(String::new, |(done, all)| format!("{done}/{all}")),
            row.session.unwrap_or_default(),
            row.size_bytes.to_string(),
            short_time(&row.changed_at, now),
            row.fault
                .map_or_else(String::new, |fault| words::say(&fault)),
        ]
    };
    let heading = [
        "operation",
        "kind",
        "state",
        "done",
        "session",
        "bytes",
        "changed",
        "fault",
    ];
    Rows::new(heading, checkpoints.into_iter().map(row))
}

impl Server {
    /// Runs code whose result is kept under `name`.
    pub(super) async fn run_kept(
        &self,
        name: &str,
        request: &JobRequest,
        wait_sec: Option<u64>,
        context: &RequestContext<RoleServer>,
    ) -> Result<View, Fault> {
        let budget = self.budget(context);
        let run = call::run(self, context, budget, async |call| {
            let report = |progress: Progress<'_>| call.report(progress);
            let caller = call.caller(&report).at_most(wait(wait_sec));
            self.floors.checkpoints.run(name, request, &caller).await
        });
        let mut run = match run.await {
            Err(CheckpointError::Runtime(error)) => return Err(did_not_run(error)),
            run => run?,
        };
        run.view.summary.notes.extend(run.unkept.map(|error| {
            Advice::from(format!("the result is not kept as {name}: {error}.")).then(error.remedy())
        }));
        Ok(run.view)
    }

    pub(super) fn checkpoint_tools() -> ToolRouter<Self> {
        Self::checkpoint_router()
    }
}
