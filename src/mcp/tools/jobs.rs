//! Tools for listing and interrupting jobs.

use std::time::Duration;

use jiff::Timestamp;
use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::fault::Fault as _;
use crate::base::ids::JobId;
use crate::caller::Progress;
use crate::connection::State;
use crate::document::TAB;
use crate::jobs::overview::{Row, Source, Wanted};
use crate::mcp::fault::Fault;
use crate::mcp::report::{List, Report};
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{args, call, convert};
use crate::render::rows::{Rows, short_time, shorten};
use crate::runtime::RuntimeResult;
use crate::tasks::{Interrupted, Stopped, Target};
use crate::wire::state::{JobState, Reason};

const DEFAULT_SHOWN: u64 = 20;
const MAX_SHOWN: u64 = 200;
/// About the size of a list, which the lines of code share; and the least and the most characters of a line.
const MAX_JOBS_BYTES: usize = 7_700;
/// Unfinished runs of notebooks that are named.
const MAX_NOTEBOOK_RUNS: usize = 5;
const MIN_CODE_CHARS: usize = 16;
const MAX_CODE_CHARS: usize = 80;
/// After this time the list is answered from this computer's records.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for interrupted code to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

#[derive(Debug, Deserialize, JsonSchema)]
struct ListArgs {
    /// Only jobs in this state.
    state: Option<JobState>,
    /// Only jobs of this session.
    session: Option<String>,
    /// Rows, up to 200; default 20.
    top: Option<u64>,
}

/// The list of jobs.
#[derive(Debug, Serialize)]
struct JobsFacts {
    /// Jobs in the list.
    shown: usize,
    /// Jobs for which there is no room.
    left_out: Option<usize>,
    /// The notebooks that are being run, by the ids that get_output takes.
    notebook_runs: Option<Vec<String>>,
    /// The session of all of them, where it is one.
    session: Option<String>,
    /// The stable code of the error, if the runtime did not answer.
    code: Option<String>,
    /// The error as a sentence; then the jobs are those recorded on this computer, in their last known states.
    problem: Option<String>,
    /// The next step, where there is one.
    suggestion: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct InterruptArgs {
    /// Or the checkpoint_name under which it runs; default: the one running in `session`.
    job_id: Option<String>,
    /// Default `main`; `colab:tab` for the tab of Colab.
    session: Option<String>,
}

/// The result of an interrupt.
#[derive(Debug, Serialize)]
struct InterruptReport {
    /// The interrupted job; null if none was running.
    job_id: Option<String>,
    /// Its current state.
    state: Option<JobState>,
    session: String,
    /// Number of jobs queued in the session now; null if unknown.
    queued_jobs: Option<u64>,
    /// The result, and the next step.
    message: String,
}

#[tool_router(router = job_router)]
impl Server {
    #[tool(
        title = "List jobs",
        input_schema = schema::input::<ListArgs>(),
        description = "List the jobs (runs of code), also of earlier conversations and closed clients: running and queued ones first, then the newest, \
            with a telling line of their code. Use it to find code that still runs (`next` is its cursor for get_output), or a job_id that you do not \
            have. Without the runtime it lists the jobs recorded on this computer.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn list_jobs(
        &self,
        Parameters(args): Parameters<ListArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<List<JobsFacts>, Fault> {
        let top = args::top(args.top, MAX_SHOWN)?.unwrap_or(DEFAULT_SHOWN);
        let limit = usize::try_from(top).unwrap_or(usize::MAX);
        let wanted = Wanted {
            state: args.state,
            session: args.session.map(args::session).transpose()?,
            limit,
        };
        let budget = self.budget(&context).min(ANSWER_TIMEOUT);
        let overview: RuntimeResult<_> = call::ask(self, &context, budget, async |call| {
            Ok(self.floors.jobs.list(&wanted, call.deadline).await)
        })
        .await;
        let overview = overview?;
        let is_part = wanted.session.is_some() || wanted.state.is_some();
        let none = match overview.rows.is_empty() {
            true if is_part => {
                Some("There are no such jobs. Omit session and state to list all jobs.")
            }
            true => Some("There are no jobs yet. run_code_quick or run_code_long starts one."),
            false => None,
        };
        let unfinished = self.floors.notebook_runs.unfinished();
        let unfinished: Vec<_> = (unfinished.iter().take(MAX_NOTEBOOK_RUNS))
            .map(|run| format!("{}: {}", run.id, run.path))
            .collect();
        let fault = overview.trouble.map(Fault::from);
        let hint = fault.as_ref().map(|fault| fault.hint.clone());
        let first = overview.rows.first().map(|row| row.session.clone());
        let session = first.filter(|first| overview.rows.iter().all(|row| row.session == *first));
        let rows = rows(&overview.rows, session.is_none());
        let shown = rows.fitting(self.client(&context).list_bytes());
        let left_out = Some(rows.len() - shown).filter(|count| *count > 0);
        let cut = left_out.map(|_| {
            format!("There is room for the first {shown} only: state or session selects others.")
        });
        Ok(List {
            table: rows.first(shown).render(),
            facts: JobsFacts {
                shown,
                left_out,
                notebook_runs: (!unfinished.is_empty()).then_some(unfinished),
                session,
                code: fault.as_ref().map(|fault| fault.code.clone()),
                problem: fault.map(|fault| fault.error),
                suggestion: hint.or(cut).or(none.map(str::to_owned)),
            },
        })
    }

    #[tool(
        title = "Interrupt",
        input_schema = schema::input::<InterruptArgs>(),
        description = "Stop running or queued code: the job with this job_id, or the one running in a session. Raises KeyboardInterrupt in it, so variables \
            are kept, and waits a few seconds for its end. Code that does not stop (a long C call) needs restart_session. Does nothing to a \
            finished job. With the job_id of a download or upload, stops that; what has arrived is kept.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn interrupt_execution(
        &self,
        Parameters(args): Parameters<InterruptArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        if args.job_id.is_some() && args.session.is_some() {
            return Err(Fault::invalid(
                "both job_id and session are given: give only one of them",
            ));
        }
        if let Some(run) = args
            .job_id
            .as_deref()
            .and_then(|id| self.floors.notebook_runs.find(id))
        {
            return self.stop_notebook(run, STOP_TIMEOUT, &context).await;
        }
        if args.session.as_deref() == Some(TAB) {
            return Ok(Report(
                self.interrupt_tab()
                    .unwrap_or_else(InterruptReport::idle_tab),
            )
            .into());
        }
        let is_default = args.job_id.is_none() && args.session.is_none();
        if is_default
            && self.connection().state() == State::NotConfigured
            && let Some(report) = self.interrupt_tab()
        {
            return Ok(Report(report).into());
        }
        let job = args.job_id.as_deref();
        let job = job.map(|id| self.floors.checkpoints.job_named(id));
        let job = job.transpose()?;
        let target = match job {
            Some(id) => Target::Job(id),
            None => Target::Session(args::session_or_main(args.session)?),
        };
        let budget = self.budget(&context);
        let done = call::run(self, &context, budget, async |call| {
            call.say("interrupting");
            let report = |progress: Progress<'_>| {
                if let Progress::Job { job, .. } = progress {
                    call.say(job.state.as_str());
                }
            };
            let caller = call.caller(&report);
            self.floors
                .tasks
                .interrupt(target, STOP_TIMEOUT, &caller)
                .await
        });
        let done = done.await;
        if done
            .as_ref()
            .is_err_and(|error| error.code() == "not_found")
            && let Some(id) = job
            && let Some(session) = self.floors.chunked.stop_unsent(id)
        {
            return Ok(Report(InterruptReport::unsent(id, session)).into());
        }
        Ok(match done? {
            Stopped::Code(done) if is_default && done.job.is_none() => {
                let in_tab = self.interrupt_tab();
                Report(in_tab.unwrap_or_else(|| InterruptReport::of(*done))).into()
            }
            Stopped::Code(done) => Report(InterruptReport::of(*done)).into(),
            Stopped::Transfer(look) => convert::stopped_transfer(look, self.client(&context)),
        })
    }
}

fn rows(jobs: &[Row], with_sessions: bool) -> Rows<10> {
    let now = Timestamp::now();
    let row = |row: &Row| {
        let number = |number: Option<u64>| number.map_or_else(String::new, |n| n.to_string());
        [
            row.job_id.clone(),
            row.shown_state(),
            reason(row).unwrap_or_default(),
            Some(row.session.clone())
                .filter(|_| with_sessions)
                .unwrap_or_default(),
            short_time(&row.created_at, now),
            row.execution_time_sec.map_or_else(String::new, seconds),
            number(row.queue_position),
            number(row.next.filter(|_| !row.has_ended)),
            match row.source {
                Source::Runtime => String::new(),
                Source::Memory => "memory".to_owned(),
                Source::LastKnown => "memory, last known".to_owned(),
            },
            row.code_head.clone(),
        ]
    };
    let mut cells: Vec<_> = jobs.iter().map(row).collect();
    let others = |row: &[String; 10]| {
        let cells = row[..9].iter().filter(|cell| !cell.is_empty());
        cells.map(|cell| cell.len() + 1).sum::<usize>()
    };
    let room = MAX_JOBS_BYTES.saturating_sub(cells.iter().map(others).sum());
    let chars = (room / cells.len().max(1)).clamp(MIN_CODE_CHARS, MAX_CODE_CHARS);
    for row in &mut cells {
        row[9] = shorten(&row[9], chars);
    }
    let heading = [
        "job_id", "state", "reason", "session", "created", "sec", "position", "next", "source",
        "code",
    ];
    Rows::new(heading, cells)
}

/// Why the job ended, unless its state says so.
fn reason(row: &Row) -> Option<String> {
    let reason = row.reason?;
    let is_said = matches!(
        reason,
        Reason::PythonError | Reason::Timeout | Reason::Interrupted
    );
    let name = serde_json::to_value(reason).ok()?;
    (!is_said).then(|| name.as_str().map(str::to_owned))?
}

fn seconds(seconds: f64) -> String {
    let digits = usize::from(seconds < 10.0);
    format!("{seconds:.digits$}")
}

impl InterruptReport {
    fn idle_tab() -> Self {
        Self {
            job_id: None,
            state: None,
            session: TAB.to_owned(),
            queued_jobs: None,
            message: "No cell that was run from here is running in a tab of Colab. A cell that the user runs there is stopped in Colab.".to_owned(),
        }
    }

    fn unsent(id: JobId, session: String) -> Self {
        Self {
            job_id: Some(id.to_string()),
            state: None,
            session,
            queued_jobs: None,
            message: "It was stopped before its code reached the runtime; if that is on its way, it is interrupted there. get_checkpoint shows what is done."
                .to_owned(),
        }
    }

    fn of(done: Interrupted) -> Self {
        let Interrupted {
            job,
            session,
            queued_jobs,
        } = done;
        let message = match &job {
            None => "Nothing was running in this session. list_jobs shows the existing jobs.",
            Some(job) if !job.state.is_final() => {
                "It was interrupted, but has not stopped yet. Call again in a moment; if it does not stop, restart_session ends it and loses \
                 the session's variables."
            }
            Some(job) if job.state == JobState::Interrupted && job.started_at.is_none() => {
                "It was removed from the queue before it started: none of it ran."
            }
            Some(job) if job.state == JobState::Interrupted && !job.variables_lost => {
                "It has stopped; variables are kept. get_output shows what it printed."
            }
            Some(job) if job.variables_lost => {
                "It has ended, and the session's variables are lost. get_output shows what it printed and why it ended."
            }
            Some(_) => "It has ended. get_output shows what it printed.",
        };
        Self {
            job_id: job.as_ref().map(|job| job.id.to_string()),
            state: job.map(|job| job.state),
            session,
            queued_jobs,
            message: message.to_owned(),
        }
    }
}

impl Server {
    /// Asks the tab of Colab to cancel the cells that were run from here; none if it runs none of them.
    fn interrupt_tab(&self) -> Option<InterruptReport> {
        let tab = self.floors.browser.tab()?;
        let cells = tab.cancel_runs();
        if cells.is_empty() {
            return None;
        }
        let interrupts = |name: &str| ["interrupt", "stop"].iter().any(|word| name.contains(word));
        let mut names = tab.tools().into_iter().map(|tool| tool.name);
        let way = match names.find(|name| interrupts(name)) {
            Some(tool) => format!("call call_colab_tool with name {tool:?}, which the tab offers"),
            None => "the tab offers no tool that interrupts, so ask the user to press Stop at the cell in Colab".to_owned(),
        };
        Some(InterruptReport {
            job_id: None,
            state: None,
            session: TAB.to_owned(),
            queued_jobs: None,
            message: format!(
                "Running in the tab of Colab: {}. The tab was sent a cancellation, which Colab may ignore: {way}. get_cells shows the outputs.",
                cells.join(", ")
            ),
        })
    }

    pub(super) fn job_tools() -> ToolRouter<Self> {
        Self::job_router()
    }
}
