//! The tool for resumable loops.

use std::time::Duration;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use crate::caller::Progress;
use crate::checkpoints::plan::DEFAULT_NAME;
use crate::checkpoints::{CheckpointError, Name};
use crate::chunked::Outcome;
use crate::chunked::order::Order;
use crate::mcp::convert::operation;
use crate::mcp::fault::Fault;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call};
use crate::mirror::order::Work;
use crate::wire::job::OnError;

#[derive(Debug, Deserialize, JsonSchema)]
struct ChunkedArgs {
    /// Runs once before the first iteration, and again on a new kernel: imports, data, the model.
    setup_code: Option<String>,
    /// The body of `for i in range(n_iterations)`. The value of its last expression is kept as the iteration's result.
    loop_code: Option<String>,
    /// Total number of iterations.
    n_iterations: Option<u64>,
    /// Iterations per batch, which together may take 5 minutes; default 10.
    batch_size: Option<u64>,
    /// The operation's name, which alone resumes it; default `chunked_op`.
    checkpoint_name: Option<String>,
    /// Whether a failing iteration stops the operation (the default) or is recorded and skipped.
    on_error: Option<OnError>,
    /// Run on dask workers: `local` (one a core), `local:N`, a `tcp://` address, or a cluster's variable in setup_code.
    cluster: Option<String>,
    /// Discard the results of an earlier operation of this name and start over.
    restart: Option<bool>,
    /// Continue with changed code: finished iterations count.
    keep_done: Option<bool>,
    /// Run the skipped iterations again, then go on.
    retry_skipped: Option<bool>,
    /// The kernel to use, by name; default `main`.
    session: Option<String>,
    /// Seconds to wait; 0 starts it and returns at once.
    wait_sec: Option<u64>,
    /// A folder there to bring home meanwhile, as mirror_folder does.
    mirror: Option<String>,
}

#[tool_router(router = chunked_router)]
impl Server {
    #[tool(
        title = "Run chunked operation",
        input_schema = schema::input::<ChunkedArgs>(),
        description = "Run a loop of many iterations in batches, with a checkpoint after each: epochs, files, parameter sweeps. It runs on by \
            itself when nothing calls or a call is cancelled, until the user stops it; get_output with its name as job_id follows it. Survives lost connections, restarted clients and replaced \
            VMs: called with checkpoint_name alone it resumes, and finished iterations do not run again. A failing iteration stops the loop \
            (unless on_error is skip), and the hint names the choices. setup_code must define everything that loop_code needs; loop_code must \
            itself save what has to outlive the VM. A different plan under the same name is refused unless keep_done or restart is true.",
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
        let order = Order {
            name: Name::new(args.checkpoint_name.as_deref().unwrap_or(DEFAULT_NAME))?,
            setup_code: args.setup_code,
            loop_code: args.loop_code,
            n_iterations: args.n_iterations,
            batch_size: args.batch_size,
            on_error: args.on_error,
            session: args
                .session
                .map(|name| args::session_or_main(Some(name)))
                .transpose()?,
            cluster: args.cluster,
            restart: args.restart.unwrap_or(false),
            keep_done: args.keep_done.unwrap_or(false),
            retry_skipped: args.retry_skipped.unwrap_or(false),
        };
        let work = Work::Named(order.name.clone());
        let budget = self.budget(&context);
        let deadline = Instant::now() + budget;
        let resumes = !order.restart && self.floors.checkpoints.is_operation(&order.name);
        let mirror = self
            .begin_mirror(args.mirror, work, resumes, deadline)
            .await?;
        let wait = args.wait_sec.map_or(budget, Duration::from_secs);
        let outcome: Result<Outcome, CheckpointError> =
            call::run(self, &context, budget, async |call| {
                let report = |progress: Progress<'_>| call.report(progress);
                let caller = call.caller(&report).at_most(wait);
                self.floors.chunked.run(&order, &caller).await
            })
            .await;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                if let Some(mirror) = mirror {
                    mirror.withdraw();
                }
                return Err(error.into());
            }
        };
        let has_failed = !outcome.facts.success;
        let has_ended = self.floors.checkpoints.job_of(&order.name).is_none();
        let mut result = operation(outcome, has_failed, self.client(&context));
        self.note_begun(mirror, has_ended, deadline, &mut result)
            .await;
        Ok(result)
    }
}

impl Server {
    pub(super) fn chunked_tools() -> ToolRouter<Self> {
        Self::chunked_router()
    }
}
