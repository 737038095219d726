//! The tool for resumable loops.

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::caller::Progress;
use crate::checkpoints::{CheckpointError, Name};
use crate::chunked::Outcome;
use crate::chunked::plan::{DEFAULT_BATCH_SIZE, DEFAULT_NAME, Plan};
use crate::mcp::convert::operation;
use crate::mcp::fault::Fault;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call};
use crate::wire::job::OnError;

#[derive(Debug, Deserialize, JsonSchema)]
struct ChunkedArgs {
    /// Runs once before the first iteration, and again on a new kernel: imports, data, the model.
    setup_code: String,
    /// The body of `for i in range(n_iterations)`. The value of its last expression is kept as the iteration's result.
    loop_code: String,
    /// Total number of iterations.
    n_iterations: u64,
    /// Iterations between two checkpoints, which together may take 5 minutes; default 10.
    batch_size: Option<u64>,
    /// The operation's name; default `chunked_op`.
    checkpoint_name: Option<String>,
    /// Whether a failing iteration stops the operation (the default) or is recorded and skipped.
    on_error: Option<OnError>,
    /// Discard the results of an earlier operation of this name and start over.
    restart: Option<bool>,
    /// The kernel to use, by name; default `main`.
    session: Option<String>,
}

#[tool_router(router = chunked_router)]
impl Server {
    #[tool(
        title = "Run chunked operation",
        input_schema = schema::input::<ChunkedArgs>(),
        description = "Run a loop of many iterations in batches, with a checkpoint after each: epochs, files, parameter sweeps. Survives lost \
            connections, a restarted client and a replaced VM: call again with the same arguments as long as the answer has a \
            next_command; finished iterations do not run again. A failing iteration stops the loop (unless on_error is skip), and the hint names \
            the choices: the same call only repeats the failure. setup_code must define everything that loop_code \
            needs; loop_code must itself save what has to outlive the VM. A different plan under the same name is refused unless restart is true.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = false,
            open_world_hint = true
        )
    )]
    async fn run_chunked_operation(
        &self,
        Parameters(args): Parameters<ChunkedArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let plan = Plan {
            name: Name::new(args.checkpoint_name.as_deref().unwrap_or(DEFAULT_NAME))?,
            setup_code: args.setup_code,
            loop_code: args.loop_code,
            n_iterations: args.n_iterations,
            batch_size: args.batch_size.unwrap_or(DEFAULT_BATCH_SIZE),
            on_error: args.on_error.unwrap_or_default(),
            session: args::session_or_main(args.session)?,
        };
        let restart = args.restart.unwrap_or(false);
        let budget = self.budget(&context);
        let outcome: Result<Outcome, CheckpointError> =
            call::run(self, &context, budget, async |call| {
                let report = |progress: Progress<'_>| call.report(progress);
                let caller = call.caller(&report);
                self.floors.chunked.run(&plan, restart, &caller).await
            })
            .await;
        Ok(operation(outcome?))
    }
}

impl Server {
    pub(super) fn chunked_tools() -> ToolRouter<Self> {
        Self::chunked_router()
    }
}
