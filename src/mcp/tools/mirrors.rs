//! The tool for mirroring folders, and the mirrors of runs.

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::mcp::fault::Fault;
use crate::mcp::report::Report;
use crate::mcp::server::Server;
use crate::mcp::{reply, schema, words};
use crate::mirror::Begun;
use crate::mirror::order::{Order, Work};
use crate::mirror::report::MirrorReport;

#[derive(Debug, Deserialize, JsonSchema)]
struct MirrorArgs {
    /// Absolute or relative to the content root.
    remote_path: Option<String>,
    /// A folder in the save folder; default: the remote name.
    to: Option<String>,
    /// Bytes to download in all; default 2 GiB.
    max_bytes: Option<u64>,
    /// End it.
    stop: Option<bool>,
}

#[derive(Debug, Serialize)]
struct MirrorsReport {
    mirrors: Vec<MirrorReport>,
}

#[tool_router(router = mirror_router)]
impl Server {
    #[tool(
        title = "Mirror folder",
        input_schema = schema::input::<MirrorArgs>(),
        description = "Bring a folder's results home while code runs: what changes there is downloaded into LOCAL_SAVE_DIR as it settles, in the background, \
            whole and checked by SHA-256, until stop. Newer files replace older ones; deletions are not followed. Without arguments, lists the mirrors.",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn mirror_folder(
        &self,
        Parameters(args): Parameters<MirrorArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<MirrorsReport>, Fault> {
        let deadline = Instant::now() + self.budget(&context);
        let mirrors = &self.floors.mirrors;
        let order = Order {
            remote: args.remote_path.clone().unwrap_or_default(),
            to: args.to,
            max_bytes: args.max_bytes,
            until: None,
        };
        let is_list = args.remote_path.is_none() && order.to.is_none();
        let mirrors = match (args.stop, is_list) {
            (Some(true), _) => mirrors.stop(&order, deadline).await?,
            (_, true) => mirrors.list(),
            (_, false) => {
                let begun = mirrors.start(order, deadline).await?;
                vec![begun.first_look(deadline).await?]
            }
        };
        Ok(Report(MirrorsReport { mirrors }))
    }
}

impl Server {
    pub(super) fn mirror_tools() -> ToolRouter<Self> {
        Self::mirror_router()
    }

    /// Starts the mirror that a run of code asks for, or that the resumed work had, before the code is sent.
    pub(super) async fn begin_mirror(
        &self,
        folder: Option<String>,
        work: Work,
        resumes: bool,
        deadline: Instant,
    ) -> Result<Option<Begun>, Fault> {
        let named = folder.map(|remote| Order {
            remote,
            until: Some(work.clone()),
            ..Order::default()
        });
        let earlier = || self.floors.mirrors.earlier(&work).filter(|_| resumes);
        let Some(order) = named.or_else(earlier) else {
            return Ok(None);
        };
        let started = self.floors.mirrors.start(order, deadline).await;
        let refused = |error| Fault::from(error).first("The code did not run.");
        started.map(Some).map_err(refused)
    }

    /// Adds the state of the run's mirror to its reply; waits for the last pass if the run has ended.
    pub(super) async fn note_begun(
        &self,
        begun: Option<Begun>,
        has_ended: bool,
        deadline: Instant,
        result: &mut CallToolResult,
    ) {
        if let Some(begun) = begun {
            let report = begun.last_pass(has_ended, deadline).await;
            note(&report, result);
        }
    }

    /// Adds the state of the mirror of a job or an operation to a reply, if it has one.
    pub(super) fn note_mirror(&self, work: &str, result: &mut CallToolResult) {
        if let Some(report) = self.floors.mirrors.of(work) {
            note(&report, result);
        }
    }
}

/// Adds a mirror's state to a reply, and what keeps it from its work.
fn note(report: &MirrorReport, result: &mut CallToolResult) {
    reply::note(result, "mirror", report.message.as_str());
    if let Some(problem) = &report.problem {
        let hint = report.hint.as_ref().map(words::say);
        let said = format!("{problem}. {}", hint.unwrap_or_default());
        reply::note(result, "mirror_problem", said.trim_end());
    }
}

/// A mirror's state as a sentence.
pub(in crate::mcp) fn said(report: &MirrorReport) -> String {
    match &report.problem {
        Some(problem) => format!("{} {problem}.", report.message),
        None => report.message.clone(),
    }
}
