//! Tools for machines that Colab assigns to the user's account.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResponse, CallToolResult};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::colab::machines::table;
use crate::colab::{self, ColabError, Machines, Plane, Wanted};
use crate::edge::limits::{Limits, amount};
use crate::edge::settings::Endpoint;
use crate::mcp::call::{self, Call};
use crate::mcp::consent::{Consent, Question, Stake};
use crate::mcp::fault::Fault;
use crate::mcp::report::{List, Report};
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::wire::session::Session;

/// Left of a call's time for its answer.
const RESERVE: Duration = Duration::from_secs(2);
/// Jobs in a question, at most.
const MAX_NAMED: usize = 5;
/// For a machine to say what runs there.
const LOOK_TIMEOUT: Duration = Duration::from_secs(8);

#[derive(Debug, Deserialize, JsonSchema)]
struct AssignArgs {
    /// A GPU or TPU by Colab's name (T4, L4, A100, V5E1 …); default none.
    accelerator: Option<String>,
    /// More memory.
    high_ram: Option<bool>,
    /// Give it back after so many hours.
    max_hours: Option<f64>,
    /// The same at so many compute units.
    max_units: Option<f64>,
    /// The user has agreed.
    confirm: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct UnassignArgs {
    /// From list_colab_runtimes.
    name: String,
    /// The user has agreed.
    confirm: Option<bool>,
}

/// A machine that was assigned.
#[derive(Debug, Serialize)]
struct AssignReport {
    success: bool,
    name: String,
    accelerator: Option<String>,
    /// When it is given back by itself.
    ends: Option<String>,
    /// `connected`, or `starting`.
    state: &'static str,
    hint: String,
}

#[derive(Debug, Serialize)]
struct UnassignReport {
    success: bool,
    name: String,
}

#[derive(Debug, Serialize)]
struct ListFacts {
    success: bool,
    machines: usize,
    quota: String,
}

#[tool_router(router = machine_router)]
impl Server {
    #[tool(
        title = "Assign a Colab machine",
        input_schema = schema::input::<AssignArgs>(),
        description = "Have Colab assign a machine to the user's Google account, and run code there. It costs compute units until \
            unassign_colab_runtime gives it back: the user is asked.",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = false, open_world_hint = true)
    )]
    async fn assign_colab_runtime(
        &self,
        Parameters(args): Parameters<AssignArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, Fault> {
        let (plane, budget) = (self.plane()?, self.budget(&context));
        let limits = limits(args.max_hours, args.max_units)?.and(self.floors.limits);
        let wanted = Wanted::named(args.accelerator, args.high_ram.unwrap_or(false));
        call::run(self, &context, budget, async |call| {
            let quota = in_time(&call, plane.quota()).await?;
            let memory = if wanted.high_ram { " and more memory" } else { "" };
            let question = Question {
                about: format!("assign {wanted}{memory} ({limits})"),
                text: format!(
                    "Have Colab assign {wanted}{memory}? It costs compute units until it is given back ({limits}). {quota}"
                ),
                stake: Stake::Units,
            };
            let confirmed = args.confirm == Some(true);
            match self.consent(&context, &call, &question, confirmed).await? {
                Consent::Given => {}
                Consent::Asking(asking) => return Ok((*asking).into()),
            }
            let assigned = self.assign(plane, wanted, limits, &call).await?;
            Ok(CallToolResult::from(Report(assigned)).into())
        })
        .await
    }

    #[tool(
        title = "List Colab machines",
        description = "List the machines that Colab has assigned to the user's account, and the compute units left.",
        annotations(read_only_hint = true, open_world_hint = true)
    )]
    async fn list_colab_runtimes(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Fault> {
        let (plane, machines) = (self.plane()?, self.machines());
        let looking = async { Ok((machines.look(&*plane).await?, plane.quota().await?)) };
        let budget = self.budget(&context);
        let asked = call::run(self, &context, budget, async |call| {
            in_time(&call, looking).await
        });
        let (machines, quota) = asked.await?;
        let facts = ListFacts {
            success: true,
            machines: machines.len(),
            quota: quota.to_string(),
        };
        let table = table(&machines).render();
        Ok(List { facts, table }.into())
    }

    #[tool(
        title = "Give a Colab machine back",
        input_schema = schema::input::<UnassignArgs>(),
        description = "Give a machine back to Colab. Its files, variables and running code are lost.",
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = true, open_world_hint = true)
    )]
    async fn unassign_colab_runtime(
        &self,
        Parameters(args): Parameters<UnassignArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, Fault> {
        let (plane, machines, budget) = (self.plane()?, self.machines(), self.budget(&context));
        let name = args.name.trim_start_matches("colab:").to_owned();
        call::run(self, &context, budget, async |call| {
            let assigned = in_time(&call, machines.look(&*plane)).await?;
            if !assigned.iter().any(|(machine, _)| machine.endpoint == name) {
                return Err(ColabError::Unknown(name).into());
            }
            if let Some(work) = self.work_on(&name, &call).await {
                let question = Question {
                    about: format!("unassign {name}"),
                    text: format!(
                        "Give the machine {name} back to Colab? {work}; its files and variables are lost."
                    ),
                    stake: Stake::Work,
                };
                let confirmed = args.confirm == Some(true);
                match self.consent(&context, &call, &question, confirmed).await? {
                    Consent::Given => {}
                    Consent::Asking(asking) => return Ok((*asking).into()),
                }
            }
            in_time(&call, machines.unassign(&*plane, &name)).await?;
            let report = UnassignReport {
                success: true,
                name,
            };
            Ok(CallToolResult::from(Report(report)).into())
        })
        .await
    }
}

/// Asks Colab as long as the call may take.
async fn in_time<T>(
    call: &Call,
    asking: impl Future<Output = Result<T, ColabError>>,
) -> Result<T, ColabError> {
    let asked = timeout_at(call.deadline - RESERVE, asking).await;
    asked.unwrap_or_else(|_| Err(ColabError::TimedOut("Colab".to_owned())))
}

impl Server {
    pub(super) fn machine_tools() -> ToolRouter<Self> {
        Self::machine_router()
    }

    fn plane(&self) -> Result<Arc<dyn Plane>, ColabError> {
        colab::plane(&self.floors.google, &self.floors.data_dir)
    }

    fn machines(&self) -> Machines {
        Machines::new(&self.floors.data_dir)
    }

    /// What is to be said of the work on a machine, if there may be any: by its own word where this process is connected to it, and by the records
    /// of this computer.
    async fn work_on(&self, name: &str, call: &Call) -> Option<String> {
        let is_connected = self.connection().place() == Some(format!("colab:{name}"));
        let mut sessions = Vec::new();
        if is_connected {
            let until = call.deadline.min(Instant::now() + LOOK_TIMEOUT);
            if let Ok((_, checked)) = self.connection().check(until).await {
                let works = |one: &Session| one.running_job.is_some() || one.queued_jobs > 0;
                sessions = checked.sessions;
                sessions.retain(works);
                if sessions.is_empty() {
                    return None;
                }
            }
        }
        let recorded = self.floors.lease.unfinished(name).into_iter();
        let recorded = recorded.map(|record| (record.job_id.to_string(), record.session));
        let running = sessions.into_iter().map(|session| {
            let job = session.running_job.unwrap_or_else(|| "a job".to_owned());
            (job, session.name)
        });
        let jobs: BTreeMap<_, _> = running.chain(recorded).collect();
        if jobs.is_empty() {
            let unknown = "It does not say what runs there; whatever does is ended";
            return is_connected.then(|| unknown.to_owned());
        }
        let named = jobs.iter().take(MAX_NAMED);
        let named: Vec<_> = named
            .map(|(job, session)| format!("{job} in session {session}"))
            .collect();
        let more = match jobs.len().saturating_sub(MAX_NAMED) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let named = named.join(", ");
        Some(format!(
            "Code runs or waits there, as far as is known, and is ended ({named}{more})"
        ))
    }

    /// Has a machine assigned, and connects to it as far as the call's time allows.
    async fn assign(
        &self,
        plane: Arc<dyn Plane>,
        wanted: Wanted,
        limits: Limits,
        call: &Call,
    ) -> Result<AssignReport, Fault> {
        call.say("asking Colab for a machine");
        let (machines, google) = (self.machines(), self.floors.google.clone());
        // Not given up with the call: whatever comes of it is recorded.
        let (lease, ignored) = (self.floors.lease.clone(), wanted.ignored());
        let assigning = tokio::spawn(async move {
            let assigned = machines.assign(&*plane, wanted, google, limits).await;
            lease.look();
            assigned
        });
        let Ok(assigned) = timeout_at(call.deadline - RESERVE, assigning).await else {
            return Err(Fault::new(
                "timed_out",
                "Colab has not answered in time, and is still asked for the machine",
                "Call list_colab_runtimes to see whether it is there, before you call again: each call has one more assigned.",
                false,
            ));
        };
        let machine = assigned.map_err(|_| Fault::internal("the assignment"))??;
        call.say("starting an executor on the machine");
        let name = machine.endpoint;
        let endpoint = Endpoint::machine(&name).map_err(Fault::invalid)?;
        let turned = self
            .connection()
            .turn_to(endpoint, call.deadline - RESERVE)
            .await;
        let (state, mut hint) = match turned {
            Ok(()) => (
                "connected",
                format!(
                    "Code runs there now. Call unassign_colab_runtime with name {name} when it is no longer needed."
                ),
            ),
            Err(error) => {
                let fault = Fault::from(error);
                let hint = format!(
                    "It is not ready yet ({}). {} Code runs there from then on. Until unassign_colab_runtime gives it back, it costs compute units.",
                    fault.error, fault.hint
                );
                ("starting", hint)
            }
        };
        if let Some(ignored) = ignored {
            hint = format!("Note: {ignored}. {hint}");
        }
        let ends = (!limits.is_none()).then(|| format!("after {limits}"));
        Ok(AssignReport {
            success: true,
            name,
            accelerator: machine.accelerator,
            ends,
            state,
            hint,
        })
    }
}

/// The limits of a call.
fn limits(hours: Option<f64>, units: Option<f64>) -> Result<Limits, Fault> {
    for (name, given) in [("max_hours", hours), ("max_units", units)] {
        if let Some(given) = given {
            amount(&given.to_string())
                .map_err(|fault| Fault::invalid(format!("{name} {fault}")))?;
        }
    }
    Ok(Limits { hours, units })
}
