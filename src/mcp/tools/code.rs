//! Tools for running code and reading its output.

use std::time::Duration;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::log::LogArgs;
use crate::base::ids::JobId;
use crate::base::text::{Pattern, Room};
use crate::caller::Progress;
use crate::checkpoints::{CheckpointError, Name, Named};
use crate::chunked::Outcome;
use crate::jobs::Reading;
use crate::jobs::until::Until;
use crate::jobs::view::View;
use crate::mcp::args;
use crate::mcp::call;
use crate::mcp::clients::Client;
use crate::mcp::convert::{self, execution, log_range};
use crate::mcp::fault::Fault;
use crate::mcp::reply;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::words;
use crate::mirror::order::Work;
use crate::runtime::RuntimeError;
use crate::tasks::{Seen, TaskError};
use crate::wire::job::JobRequest;
use crate::wire::limits::MAX_TIMEOUT_SEC;

/// For reading the log after its job was followed.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
const QUICK_TIMEOUT_SEC: u64 = 120;
const LONG_TIMEOUT_SEC: u64 = 600;

#[derive(Debug, Deserialize, JsonSchema)]
struct QuickArgs {
    /// Python code, as in a notebook cell: magics, `!commands` and top-level `await` work; the last expression's value is shown.
    code: String,
    /// The kernel to use, by name; default `main`; `notebook:PATH` is that of a notebook open on the Jupyter Server.
    session: Option<String>,
    /// Seconds to wait for its end; 0 starts it and returns at once.
    wait_sec: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct LongArgs {
    /// Python code, as in a notebook cell.
    code: String,
    /// Keep the result under this name, for get_checkpoint.
    checkpoint_name: Option<String>,
    /// Seconds the code may run, up to 43,200 (12 h); default 600.
    timeout_sec: Option<u64>,
    /// The kernel to use, by name; default `main`.
    session: Option<String>,
    /// Seconds to wait for its end; 0 starts it and returns at once.
    wait_sec: Option<u64>,
    /// A folder there to bring home meanwhile, as mirror_folder does.
    mirror: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OutputArgs {
    /// The job_id from an earlier answer; also of a download or upload. Or a checkpoint_name: what runs under it.
    job_id: String,
    /// The cursor `next` from an earlier answer: only newer output.
    after: Option<u64>,
    /// Seconds to wait for a running job; by default and at most as long as a call may take.
    wait_sec: Option<u64>,
    /// Waits for a line of the output that matches this regular expression, or the end; `matched` is the line.
    until: Option<String>,
    #[serde(flatten)]
    log: LogArgs,
}

#[tool_router(router = code_router)]
impl Server {
    #[tool(
        title = "Run code",
        input_schema = schema::input::<QuickArgs>(),
        description = "Run Python that takes up to 2 minutes, in a kernel that keeps variables between calls. Shows the printed output, the last \
            expression's value, tables as text and plots as pictures, after a first line of JSON with success, state, job_id. If the code has not finished \
            when the call must answer, it runs on to its limit: call get_output with the job_id. Only the user's stop of a call ends its code. Each call \
            runs its code once; after an unclear error \
            call get_output before sending it again. For longer work use run_code_long, for many steps run_chunked_operation.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = false,
            open_world_hint = true
        )
    )]
    async fn run_code_quick(
        &self,
        Parameters(args): Parameters<QuickArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let answers = self.can_ask(&context);
        let request = request(args.code, args.session, QUICK_TIMEOUT_SEC, answers)?;
        self.run_code(JobId::fresh(), &request, args.wait_sec, &context)
            .await
            .map(|view| execution(view, self.client(&context)))
    }

    #[tool(
        title = "Run long code",
        input_schema = schema::input::<LongArgs>(),
        description = "Run Python that may take minutes to hours (training, downloads, installs; to 12 h by timeout_sec). The call answers in time \
            with the output so far, \"state\":\"running\" and a job_id; the code keeps running, survives lost connections and cancelled calls (the user's stop ends it), and get_output shows the rest. \
            After timeout_sec the code is interrupted. With checkpoint_name, the code, its whole output and its pictures are kept for get_checkpoint. For a \
            loop that must be resumable after a lost VM use run_chunked_operation.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = false,
            open_world_hint = true
        )
    )]
    async fn run_code_long(
        &self,
        Parameters(args): Parameters<LongArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let timeout_sec = args.timeout_sec.unwrap_or(LONG_TIMEOUT_SEC);
        if !(1..=MAX_TIMEOUT_SEC).contains(&timeout_sec) {
            return Err(Fault::invalid(format!(
                "timeout_sec is {timeout_sec}: it must be 1 to {MAX_TIMEOUT_SEC}"
            )));
        }
        let answers = self.can_ask(&context);
        let request = request(args.code, args.session, timeout_sec, answers)?;
        let (id, deadline) = (JobId::fresh(), Instant::now() + self.budget(&context));
        let work = match &args.checkpoint_name {
            Some(name) => Work::Named(Name::new(name)?),
            None => Work::Job(id),
        };
        let mirror = self
            .begin_mirror(args.mirror, work, false, deadline)
            .await?;
        let view = match args.checkpoint_name {
            Some(name) => {
                self.run_kept(&name, &request, args.wait_sec, &context)
                    .await
            }
            None => self.run_code(id, &request, args.wait_sec, &context).await,
        };
        let view = match view {
            Ok(view) => view,
            Err(fault) => {
                if let Some(mirror) = mirror {
                    mirror.withdraw();
                }
                return Err(fault);
            }
        };
        let has_ended = view.job.as_ref().is_some_and(|job| job.state.is_final());
        let mut result = execution(view, self.client(&context));
        self.note_begun(mirror, has_ended, deadline, &mut result)
            .await;
        Ok(result)
    }

    #[tool(
        title = "Get output",
        input_schema = schema::input::<OutputArgs>(),
        description = "Follow a running job, download or upload, or read the output of an old one. Waits for new output or the end, as long as a call may \
            take, or until a line; wait_sec 0 returns at once. Shows head and tail of all output or, with `next` from the last answer as `after`, of what \
            is new. grep, tail_lines and from_byte search and read the whole log, what was omitted too (with `after`: what is new), and do not wait \
            without `after` or `until`. Never changes or stops the job.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn get_output(
        &self,
        Parameters(args): Parameters<OutputArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let wait = args.wait_sec.map(Duration::from_secs);
        let client = self.client(&context);
        let room = client.room(args.log.chars()?);
        let query = args.log.query(args.after.is_some(), args.until.is_some())?;
        let until = args.until.as_deref().map(Pattern::new).transpose();
        let until = until
            .map_err(|error| {
                Fault::invalid(format!(
                    "until is not a regular expression that can be waited for: {error}"
                ))
            })?
            .map(Until::new);
        let waits = args.after.is_some() || until.is_some();
        let run = self.floors.notebook_runs.find(&args.job_id);
        if let Some(run) = run.filter(|_| !waits && query.is_none()) {
            return self.follow_notebook(run, wait, &context).await;
        }
        let id = match self.floors.checkpoints.named(&args.job_id)? {
            Named::Job(id) => id,
            Named::Operation(name) if !waits && query.is_none() => {
                return self.follow(&name, wait, room, &context).await;
            }
            Named::Operation(_) => {
                return Err(Fault::invalid(
                    "after, until, grep, tail_lines and from_byte need the job_id that an answer named: by its name, an operation is followed",
                ));
            }
        };
        if (waits || query.is_some()) && self.floors.downloads.is_transfer(id) {
            return Err(Fault::invalid(
                "after, until, grep, tail_lines and from_byte read the output of code, and this is a download or an upload: job_id alone follows it",
            ));
        }
        let jobs = &self.floors.jobs;
        let query = match query {
            Some(query) if !waits => {
                let range = call::ask(self, &context, self.budget(&context), async |call| {
                    query.read(jobs, id, room, call.deadline).await
                });
                return Ok(log_range(range.await?, client));
            }
            query => query,
        };
        let reading = args.after.map_or(Reading::Whole, Reading::From);
        let seen = self.look(id, reading, until, wait, room, &context);
        let (view, query) = match (seen.await, query) {
            (Ok(Seen::Job(view)), Some(query)) => (view, query),
            // Only without a cursor: what follows one is not known from the copy's end.
            (Err(TaskError::Runtime(error)), None) if args.after.is_none() => {
                let copy = jobs.read_old_copy(id, room, error).await;
                return Ok(log_range(copy?, client));
            }
            (seen, _) => {
                let mut result = seen_as(seen?, client);
                if let Some(said) = self.floors.documents.unwritten(id) {
                    reply::note(&mut result, "outputs", said);
                }
                self.note_mirror(&id.to_string(), &mut result);
                return Ok(result);
            }
        };
        let query = match args.after {
            Some(_) => query.of_new(view.log_at.unwrap_or(u64::MAX)),
            None => query,
        };
        let range = call::ask(self, &context, READ_TIMEOUT, async |call| {
            query.read(jobs, id, room, call.deadline).await
        });
        Ok(log_range(range.await?.with(&view.summary), client))
    }
}

impl Server {
    pub(super) fn code_tools() -> ToolRouter<Self> {
        Self::code_router()
    }

    async fn look(
        &self,
        id: JobId,
        reading: Reading,
        until: Option<Until>,
        wait: Option<Duration>,
        room: Room,
        context: &RequestContext<RoleServer>,
    ) -> Result<Seen, TaskError> {
        let budget = self.budget(context);
        let wait = wait.unwrap_or(budget).min(budget);
        call::run(self, context, budget, async |call| {
            let report = |progress: Progress<'_>| call.report(progress);
            let caller = call.caller(&report).with_room(room);
            let tasks = &self.floors.tasks;
            tasks.look(id, reading, until, wait, &caller).await
        })
        .await
    }

    async fn follow(
        &self,
        name: &Name,
        wait: Option<Duration>,
        room: Room,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let budget = self.budget(context);
        let outcome: Result<Outcome, CheckpointError> =
            call::run(self, context, budget, async |call| {
                let report = |progress: Progress<'_>| call.report(progress);
                let caller = call.caller(&report).at_most(wait.unwrap_or(budget));
                let caller = caller.with_room(room);
                self.floors.chunked.follow(name, &caller).await
            })
            .await;
        let outcome = outcome?;
        // A failed operation is not a failure of looking at it.
        let has_failed = outcome.is_troubled;
        let mut result = convert::operation(outcome, has_failed, self.client(context));
        self.note_mirror(name.as_str(), &mut result);
        Ok(result)
    }

    async fn run_code(
        &self,
        id: JobId,
        request: &JobRequest,
        wait_sec: Option<u64>,
        context: &RequestContext<RoleServer>,
    ) -> Result<View, Fault> {
        let budget = self.budget(context);
        let view = call::run(self, context, budget, async |call| {
            let report = |progress: Progress<'_>| call.report(progress);
            let caller = call.caller(&report).at_most(wait(wait_sec));
            let jobs = &self.floors.jobs;
            jobs.run(id, request, &caller).await
        });
        view.await.map_err(did_not_run)
    }

    /// Follows code whose question was answered, for the call that sent it.
    pub(in crate::mcp) async fn follow_sent(
        &self,
        id: JobId,
        wait_sec: Option<u64>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let budget = self.budget(context);
        let wait = wait(wait_sec).min(budget);
        let seen = call::run(self, context, budget, async |call| {
            let report = |progress: Progress<'_>| call.report(progress);
            let caller = call.caller(&report);
            let tasks = &self.floors.tasks;
            tasks.look(id, Reading::Whole, None, wait, &caller).await
        });
        let mut seen = seen.await?;
        if let Seen::Job(view) = &mut seen {
            view.has_failed = !view.summary.success;
        }
        Ok(seen_as(seen, self.client(context)))
    }
}

fn seen_as(seen: Seen, client: Client) -> CallToolResult {
    match seen {
        Seen::Job(view) => execution(*view, client),
        Seen::Transfer(look) => convert::transfer(look, client),
    }
}

/// How long a run is waited for; by default as long as the call may take.
pub(super) fn wait(wait_sec: Option<u64>) -> Duration {
    wait_sec.map_or(Duration::MAX, Duration::from_secs)
}

fn request(
    code: String,
    session: Option<String>,
    timeout_sec: u64,
    answers: bool,
) -> Result<JobRequest, Fault> {
    if code.trim().is_empty() {
        return Err(Fault::invalid("code is empty"));
    }
    Ok(JobRequest {
        code,
        session: args::session_or_main(session)?,
        timeout_sec,
        iterations: None,
        kernel_id: None,
        folder: None,
        answers,
    })
}

pub(super) fn did_not_run(error: RuntimeError) -> Fault {
    let hint = words::say(&error.next_step());
    let mut fault = Fault::from(error);
    fault.hint = hint;
    fault.first("The code did not run.")
}
