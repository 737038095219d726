//! The floors below, for the faces: MCP and the command line.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::browser::Browser;
use crate::checkpoints::Checkpoints;
use crate::chunked::Chunked;
use crate::connection::Connection;
use crate::document::Documents;
use crate::edge::google::Google;
use crate::edge::limits::Limits;
use crate::edge::settings::Confirm;
use crate::edge::toolsets::Toolsets;
use crate::jobs::Jobs;
use crate::lease::Lease;
use crate::machine::lifetime::Lifetime;
use crate::mirror::Mirrors;
use crate::notebook::Notebooks;
use crate::notebook_run::NotebookRuns;
use crate::tasks::Tasks;
use crate::transfer::download::Downloads;
use crate::transfer::upload::Uploads;

/// The work floors that the faces call.
pub struct Floors {
    pub connection: Arc<Connection>,
    pub jobs: Arc<Jobs>,
    pub checkpoints: Checkpoints,
    pub chunked: Chunked,
    pub downloads: Arc<Downloads>,
    pub mirrors: Mirrors,
    pub notebooks: Notebooks,
    pub documents: Arc<Documents>,
    pub notebook_runs: NotebookRuns,
    pub browser: Arc<Browser>,
    /// How the user's Google account is reached.
    pub google: Google,
    /// The user's, for machines that are assigned from now on.
    pub limits: Limits,
    pub lease: Arc<Lease>,
    pub lifetime: Lifetime,
    /// The program that opens addresses, in place of the system's.
    pub opener: Option<PathBuf>,
    pub tasks: Tasks,
    pub uploads: Arc<Uploads>,
    /// The user's own call budget.
    pub call_budget: Option<Duration>,
    /// Whose yes counts for what costs compute units.
    pub confirm: Confirm,
    /// The tools that the client is offered.
    pub toolsets: Toolsets,
    /// The user's folder for results.
    pub save_dir: PathBuf,
    /// The bridge's own folder.
    pub data_dir: PathBuf,
}
