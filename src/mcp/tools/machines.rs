//! Tools for machines that Colab assigns to the user's account.

use std::sync::Arc;
use std::time::Duration;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout_at;

use crate::colab::machines::table;
use crate::colab::{self, ColabError, Machines, Plane, Wanted};
use crate::edge::limits::{Limits, amount};
use crate::edge::settings::Endpoint;
use crate::mcp::call::{self, Call};
use crate::mcp::fault::Fault;
use crate::mcp::report::{List, Report};
use crate::mcp::schema;
use crate::mcp::server::Server;

/// Left of a call's time for its answer.
const RESERVE: Duration = Duration::from_secs(2);

#[derive(Debug, Deserialize, JsonSchema)]
struct AssignArgs {
    /// A GPU or TPU by Colab's name (T4, L4, A100, V5E1 …); default none.
    accelerator: Option<String>,
    /// More memory.
    high_ram: Option<bool>,
    /// Give it back after so many hours, whatever runs.
    max_hours: Option<f64>,
    /// The same at so many compute units.
    max_units: Option<f64>,
    /// The user has agreed to the cost.
    confirm: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct UnassignArgs {
    /// From list_colab_runtimes.
    name: String,
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
        description = "Have Colab assign a machine to the user's Google account, and run code there from then on. It costs compute units until \
            unassign_colab_runtime gives it back: ask the user first.",
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = false, open_world_hint = true)
    )]
    async fn assign_colab_runtime(
        &self,
        Parameters(args): Parameters<AssignArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<AssignReport>, Fault> {
        let plane = self.plane()?;
        let limits = limits(args.max_hours, args.max_units)?.and(self.floors.limits);
        if args.confirm != Some(true) {
            let quota = self.ask_colab(&context, plane.quota()).await?;
            return Err(Fault::new(
                "invalid_argument",
                format!("a machine costs compute units until it is given back ({limits}): {quota}"),
                "Ask the user. If they agree, call again with confirm: true. Nothing was done.",
                false,
            ));
        }
        let wanted = Wanted::named(args.accelerator, args.high_ram.unwrap_or(false));
        let budget = self.budget(&context);
        let done = call::run(self, &context, budget, async |call| {
            self.assign(plane, wanted, limits, &call).await
        });
        done.await.map(Report)
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
        let (machines, quota) = self.ask_colab(&context, looking).await?;
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
    ) -> Result<Report<UnassignReport>, Fault> {
        let (plane, machines) = (self.plane()?, self.machines());
        let name = args.name.trim_start_matches("colab:").to_owned();
        let giving_back = async {
            let assigned = machines.look(&*plane).await?;
            if !assigned.iter().any(|(machine, _)| machine.endpoint == name) {
                return Err(ColabError::Unknown(name.clone()));
            }
            machines.unassign(&*plane, &name).await
        };
        self.ask_colab(&context, giving_back).await?;
        Ok(Report(UnassignReport {
            success: true,
            name,
        }))
    }
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

    /// Asks Colab as long as the call may take.
    async fn ask_colab<T>(
        &self,
        context: &RequestContext<RoleServer>,
        asking: impl Future<Output = Result<T, ColabError>>,
    ) -> Result<T, Fault> {
        let budget = self.budget(context);
        let asked = call::run(self, context, budget, async |call| {
            let asked = timeout_at(call.deadline - RESERVE, asking).await;
            asked.unwrap_or_else(|_| Err(ColabError::TimedOut("Colab".to_owned())))
        });
        Ok(asked.await?)
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
