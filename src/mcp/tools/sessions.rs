//! Tools for the variables of sessions: listing, deleting, restarting.

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mcp::fault::Fault;
use crate::mcp::report::{List, MAX_LIST_BYTES, Report};
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call};
use crate::render::rows::{Rows, shorten};
use crate::runtime::error::Reach;
use crate::runtime::{Machine, RuntimeError, RuntimeResult, Sessions};
use crate::wire::session::{Cleanup, CleanupRequest, Session, Variable, VariableSource, Variables};

const MAX_VARIABLES: u64 = 500;
/// Characters of a value, in a list and where some are named.
const VALUE_CHARS: usize = 60;
const MAX_VALUE_CHARS: usize = 200;
/// Room for the names of variables that have no row.
const MAX_NAMES_BYTES: usize = 2_000;

#[derive(Debug, Deserialize, JsonSchema)]
struct VariablesArgs {
    /// Default `main`.
    session: Option<String>,
    /// Only names that match, as `df` or `model_*`; shows more of their values.
    name: Option<String>,
    /// Rows, up to 500; default: what fits a page.
    top: Option<u64>,
}

/// The listed session.
#[derive(Debug, Serialize)]
struct VariablesFacts {
    session: String,
    /// Variables whose names match.
    total: u64,
    /// Where they come from, unless the kernel has just listed them.
    source: Option<VariableSource>,
    as_of: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CleanupArgs {
    /// Default `main`.
    session: Option<String>,
    /// Only these, `["df", "model"]`; default all.
    variables: Option<Vec<String>>,
    /// Also delete *.tmp, *.temp and *.pyc under the content root.
    temp_files: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RestartArgs {
    /// Default `main`.
    session: Option<String>,
    /// Remove the session instead, which frees its memory.
    remove: Option<bool>,
}

/// The result of a restart.
#[derive(Debug, Serialize)]
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
        description = "List the variables of a session, the largest first: name, type, shape or length, bytes with what they hold, value. Works while \
            code is running. Use it to see results of earlier code, or what fills the memory.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn list_colab_variables(
        &self,
        Parameters(args): Parameters<VariablesArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<List<VariablesFacts>, Fault> {
        let session = args::session_or_main(args.session)?;
        let top = args::top(args.top, MAX_VARIABLES)?;
        let value_chars = match args.name {
            Some(_) => MAX_VALUE_CHARS,
            None => VALUE_CHARS,
        };
        let budget = self.budget(&context);
        let variables: RuntimeResult<Variables> = call::ask(self, &context, budget, async |call| {
            let until = self.connection().until(call.deadline);
            until.variables(&session, args.name.as_deref()).await
        })
        .await;
        let found = variables?;
        let is_live = found.source == VariableSource::Live;
        Ok(List {
            table: table(&found, top, value_chars),
            facts: VariablesFacts {
                session: found.session,
                total: found.total,
                source: (!is_live).then_some(found.source),
                as_of: found.as_of.filter(|_| !is_live),
            },
        })
    }

    #[tool(
        title = "Clean up",
        input_schema = schema::input::<CleanupArgs>(),
        description = "Free memory: delete the variables of a session, all of them or those named, with the results shown of them (_, Out), collect garbage, \
            empty the CUDA cache; without names, close figures too. freed_mb is what its Python process gave back. Variables cannot be recovered: \
            ask the user first. Deletes no files but, with temp_files, temporary ones, each listed. Fails with busy while the session runs code.",
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
    ) -> Result<Report<Cleanup>, Fault> {
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
            .map(Report)
            .map_err(|error| unclear_first(error, advice))
    }

    #[tool(
        title = "Restart session",
        input_schema = schema::input::<RestartArgs>(),
        description = "End a session's Python process with all its running and queued code, and start a new one: variables are lost, files stay. Use it if \
            interrupt_execution does not stop code, if memory or the GPU is not released, or after an install that needs it. Ask the user first if \
            the variables took long to compute.",
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
    ) -> Result<Report<RestartReport>, Fault> {
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
            .map(Report)
            .map_err(|error| unclear_first(error, advice))
    }
}

/// The variables as rows; the names of those without one follow, as many as there is room for.
fn table(found: &Variables, top: Option<u64>, value_chars: usize) -> String {
    let row = |variable: &Variable| {
        let shape = match (&variable.shape, variable.length) {
            (Some(shape), _) => shape
                .iter()
                .map(u64::to_string)
                .collect::<Vec<_>>()
                .join("x"),
            (None, Some(length)) => length.to_string(),
            (None, None) => String::new(),
        };
        [
            variable.name.clone(),
            variable.type_name.clone(),
            shape,
            variable
                .bytes
                .map_or_else(String::new, |bytes| bytes.to_string()),
            shorten(value(variable), value_chars),
        ]
    };
    let heading = ["name", "type", "shape", "bytes", "value"];
    let rows = Rows::new(heading, found.variables.iter().map(row));
    let count = top.map_or_else(
        || rows.fitting(MAX_LIST_BYTES - MAX_NAMES_BYTES),
        |top| usize::try_from(top).unwrap_or(usize::MAX),
    );
    let rest = found.variables.iter().skip(count);
    let mut table = rows.first(count).render();
    let more = found.total.saturating_sub(count as u64);
    if more > 0 {
        let mut names = String::new();
        for name in rest.map(|variable| &variable.name) {
            if names.len() + name.len() > MAX_NAMES_BYTES {
                names += ", …";
                break;
            }
            let gap = if names.is_empty() { "" } else { ", " };
            names = names + gap + name;
        }
        table += &format!("\n[{more} smaller ones: {names}]");
    }
    table
}

/// The variable's repr, without the type and the shape that have columns of their own.
fn value(variable: &Variable) -> &str {
    let repr = variable.repr.as_str();
    let inner = repr
        .strip_prefix('<')
        .and_then(|rest| rest.strip_prefix(&*variable.type_name));
    let Some(inner) = inner.filter(|rest| rest.starts_with([' ', '>'])) else {
        return repr;
    };
    let facts = inner.strip_suffix('>').unwrap_or(inner).trim_start();
    match facts
        .strip_prefix("shape=(")
        .and_then(|rest| rest.split_once(')'))
    {
        Some((_, rest)) => rest.trim_start_matches(", "),
        None => facts,
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
