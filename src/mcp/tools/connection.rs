//! Tools for checking the connection and probing the machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rmcp::handler::server::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::browser::tab::Run;
use crate::connection::Checked;
use crate::document::TAB;
use crate::machine::{self, Concern};
use crate::mcp::call;
use crate::mcp::fault::Fault;
use crate::mcp::report::Report;
use crate::mcp::roots::roots;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::tools::browser::second_tab;
use crate::mcp::tools::sessions::SessionFacts;
use crate::runtime::{Machine, RuntimeError};
use crate::wire::machine::{Compute, Gpu, Platform, Probe, Storage};

/// The check always answers within 10 s.
const CHECK_TIMEOUT: Duration = Duration::from_secs(9);

/// The state of the connection.
#[derive(Debug, Serialize)]
pub(super) struct ConnectionReport {
    /// `connected` or `disconnected`.
    status: &'static str,
    /// The address, without its token.
    url: Option<String>,
    latency_ms: Option<f64>,
    uptime_minutes: Option<f64>,
    memory_available_gb: Option<f64>,
    memory_used_pct: Option<f64>,
    executor_version: Option<String>,
    /// The runtime's kernels, and the jobs running in them.
    sessions: Vec<SessionFacts>,
    /// The stable code of the error.
    code: Option<String>,
    /// The error as a sentence.
    problem: Option<String>,
    /// The next step.
    suggestion: String,
}

/// The runtime, and what this server may do for the client.
#[derive(Debug, Serialize)]
struct CheckReport {
    #[serde(flatten)]
    connection: ConnectionReport,
    /// Where downloads, pictures, logs and notebooks are kept on this computer.
    save_dir: String,
    /// Folders on this computer that files may be uploaded from.
    upload_dirs: Vec<String>,
    /// Seconds within which every call answers; code that takes longer runs on.
    call_limit_sec: u64,
    /// The tab of Colab that is connected.
    tab: Option<TabFacts>,
}

/// The notebook in a tab of Colab.
#[derive(Debug, Serialize)]
struct TabFacts {
    /// Its name in the calls of the cell tools.
    notebook: &'static str,
    /// Whether they mean it where none is named.
    is_default: bool,
    connected_minutes: f64,
    /// What was opened from here last.
    opened: String,
    /// Cells that were run from here and are still running.
    running_cells: usize,
    /// The tab's own tools.
    tools: Vec<String>,
    /// Which calls go there, and whether another tab was turned away.
    hint: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ProbeArgs {
    /// Show the versions of these packages, `["torch", "cv2"]`, instead of the well-known ones.
    packages: Option<Vec<String>>,
}

/// What matters of a probe, with recommendations.
#[derive(Debug, Serialize)]
struct ProbeReport {
    platform: String,
    python: String,
    /// Relative paths start here.
    root: String,
    compute: Compute,
    gpu: Vec<Gpu>,
    /// Why `gpu` is empty.
    gpu_note: Option<String>,
    storage: Vec<Storage>,
    packages: BTreeMap<String, String>,
    package_count: u64,
    /// Advice for working on this machine.
    recommendations: Vec<String>,
}

#[tool_router(router = connection_router)]
impl Server {
    #[tool(
        title = "Check connection",
        description = "Check whether the Colab runtime (or local Python) is reachable, with its free memory and sessions, a connected tab of Colab, the save folder, the folders that \
            uploads may come from, and the seconds that a call may take. Use it after a connection error: its suggestion says what to do. No other tool \
            needs a check before it.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn check_colab_connection(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Report<CheckReport> {
        let limit = self.budget(&context);
        let checking = call::run(self, &context, limit.min(CHECK_TIMEOUT), async |call| {
            call.say("asking the executor");
            self.check(call.deadline).await
        });
        let (connection, roots) = tokio::join!(checking, roots(&context));
        let shown = |folder: &PathBuf| folder.display().to_string();
        Report(CheckReport {
            connection,
            save_dir: shown(&self.floors.save_dir),
            upload_dirs: self
                .floors
                .uploads
                .folders(&roots)
                .iter()
                .map(shown)
                .collect(),
            call_limit_sec: limit.as_secs(),
            tab: self.tab_facts(),
        })
    }

    #[tool(
        title = "Probe environment",
        input_schema = schema::input::<ProbeArgs>(),
        description = "Describe the machine: CPU, memory, every GPU, storage, Python and the versions of packages. Use it before choosing batch sizes, \
            devices or libraries. Imports nothing.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn probe_colab_environment(
        &self,
        Parameters(args): Parameters<ProbeArgs>,
        context: RequestContext<RoleServer>,
    ) -> Result<Report<ProbeReport>, Fault> {
        let budget = self.budget(&context);
        let packages = args.packages.unwrap_or_default();
        let probe = call::ask(self, &context, budget, async |call| {
            let until = self.connection().until(call.deadline);
            until.probe(&packages).await
        });
        let probe: Probe = probe.await.map_err(Fault::from)?;
        Ok(Report(ProbeReport::of(probe)))
    }
}

impl Server {
    pub(super) fn connection_tools() -> ToolRouter<Self> {
        Self::connection_router()
    }

    fn tab_facts(&self) -> Option<TabFacts> {
        let browser = &self.floors.browser;
        let tab = browser.tab()?;
        let is_default = self
            .floors
            .documents
            .named(None)
            .is_ok_and(|name| name == TAB);
        let named = if is_default {
            ""
        } else {
            " if their notebook is colab:tab"
        };
        let mut hint = format!(
            "get_cells, add_code_cell, add_text_cell, update_cell, delete_cell, move_cell and run_code_cell work in this tab{named}, call_colab_tool reaches its \
             own tools; all other code runs on the runtime. A tab that was connected by hand may show another notebook than `opened`."
        );
        if let Some(second) = second_tab(browser) {
            hint = format!("{hint} {second}");
        }
        let running = |(_, run): &(String, Run)| matches!(run, Run::Running { .. });
        Some(TabFacts {
            notebook: TAB,
            is_default,
            connected_minutes: (tab.since.elapsed().as_secs_f64() / 6.0).round() / 10.0,
            opened: browser.opened(),
            running_cells: tab.runs().values().filter(|run| running(run)).count(),
            tools: (tab.tools().into_iter().map(|tool| tool.name.into_owned())).collect(),
            hint,
        })
    }

    async fn check(&self, deadline: Instant) -> ConnectionReport {
        match self.connection().check(deadline).await {
            Ok((url, checked)) => {
                let mut report = ConnectionReport::connected(url, checked);
                if let Some(reason) = self.floors.jobs.lacks_requirements() {
                    report.suggestion = format!("Connected, but code is refused. {reason}");
                }
                report
            }
            Err(error) => ConnectionReport::failed(self.connection().place(), error),
        }
    }
}

impl ProbeReport {
    fn of(probe: Probe) -> Self {
        let recommendations = machine::concerns(&probe).iter().map(word).collect();
        let Platform {
            system,
            release,
            machine,
            ..
        } = probe.platform;
        let version = |version: Option<String>| version.unwrap_or("not installed".to_owned());
        Self {
            platform: format!("{system} {release} {machine}"),
            python: probe.python.version,
            root: probe.executor.root,
            compute: probe.compute,
            gpu: probe.gpu,
            gpu_note: probe.gpu_note,
            storage: probe.storage,
            packages: (probe.packages.into_iter())
                .map(|(name, found)| (name, version(found)))
                .collect(),
            package_count: probe.package_count,
            recommendations,
        }
    }
}

impl ConnectionReport {
    pub(super) fn connected(url: String, checked: Checked) -> Self {
        let Checked {
            health,
            latency,
            sessions,
            lacks_executor,
        } = checked;
        let version = lacks_executor.is_none().then_some(health.version.clone());
        let suggestion = if let Some(reason) = lacks_executor {
            format!(
                "Ready for code, files and notebooks. No executor can run there ({reason}), so lists of variables, chunked operations, previews of binary files and the \
                 machine's state are refused, and a reply with output_complete: false may lack output."
            )
        } else if machine::is_memory_short(&health) {
            "Memory is nearly used up: delete large variables or call cleanup_colab before running more.".to_owned()
        } else {
            "Ready. Use run_code_quick for short code, run_code_long for anything over a minute."
                .to_owned()
        };
        Self {
            status: "connected",
            url: Some(url),
            latency_ms: Some((latency.as_secs_f64() * 10_000.0).round() / 10.0),
            uptime_minutes: Some(health.uptime_minutes),
            memory_available_gb: health.memory_available_gb,
            memory_used_pct: health.memory_used_pct,
            executor_version: version,
            sessions: sessions.into_iter().map(SessionFacts::from).collect(),
            code: None,
            problem: None,
            suggestion,
        }
    }

    fn failed(url: Option<String>, error: RuntimeError) -> Self {
        let fault = Fault::from(error);
        Self {
            status: "disconnected",
            url,
            latency_ms: None,
            uptime_minutes: None,
            memory_available_gb: None,
            memory_used_pct: None,
            executor_version: None,
            sessions: Vec::new(),
            code: Some(fault.code),
            problem: Some(fault.error),
            suggestion: fault.hint,
        }
    }
}

fn word(concern: &Concern) -> String {
    match concern {
        Concern::NoGpu { why } => format!(
            "No GPU ({}). Keep models small, or choose a GPU runtime in Colab (Runtime > Change runtime type).",
            why.as_deref().unwrap_or("none found")
        ),
        Concern::FullGpu {
            index,
            used_gb,
            total_gb,
        } => format!(
            "GPU {index} is nearly full ({used_gb:.1} of {total_gb:.1} GB): call cleanup_colab or restart the session."
        ),
        Concern::LittleMemory { available_gb } => format!(
            "Only {available_gb:.1} GB of memory are free: process data in parts, delete large variables, or call cleanup_colab."
        ),
        Concern::LittleDisk { path, free_gb } => format!(
            "Only {free_gb:.1} GB are free on {path}: delete files before saving checkpoints."
        ),
        Concern::Temporary => "This is a Colab VM: its files are lost with it. Save what must last with download_from_colab or to Drive.".to_owned(),
    }
}
