//! The tools, a file for each family, which is a toolset. Each method is one tool: its description, its arguments, and the floor that it calls.

mod browser;
mod cell_runs;
mod cells;
mod checkpoints;
mod chunked;
mod code;
mod connection;
mod files;
mod jobs;
mod log;
mod machines;
pub(super) mod mirrors;
mod notebook;
mod notebook_runs;
mod pairing;
mod reading;
mod saved;
mod sessions;
mod uploads;
mod variables;

use rmcp::handler::server::tool::ToolRouter;

use super::server::Server;
use crate::edge::toolsets::{Toolset, Toolsets};

impl Server {
    pub(super) fn offered_tools(toolsets: &Toolsets) -> ToolRouter<Self> {
        let offered = Toolset::ALL
            .iter()
            .filter(|toolset| toolsets.has(**toolset));
        let families = offered.map(|toolset| Self::tools_of(*toolset));
        families.fold(ToolRouter::new(), |all, family| all + family)
    }

    /// Whether no tool that `text` names is switched off.
    pub(super) fn offers_what_it_names(toolsets: &Toolsets, text: &str) -> bool {
        let mut off = Toolset::ALL
            .iter()
            .filter(|toolset| !toolsets.has(**toolset));
        !off.any(|toolset| {
            let tools = Self::tools_of(*toolset);
            let mut words = text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
            words.any(|word| tools.has_route(word))
        })
    }

    pub(super) fn tools_of(toolset: Toolset) -> ToolRouter<Self> {
        match toolset {
            Toolset::Connection => Self::connection_tools(),
            Toolset::Pairing => Self::pairing_tools(),
            Toolset::Code => Self::code_tools(),
            Toolset::Jobs => Self::job_tools(),
            Toolset::Chunked => Self::chunked_tools(),
            Toolset::Checkpoints => Self::checkpoint_tools(),
            Toolset::Notebook => Self::notebook_tools(),
            Toolset::Cells => Self::cell_tools(),
            Toolset::CellRuns => Self::cell_run_tools(),
            Toolset::Browser => Self::tab_tools(),
            Toolset::Machines => Self::machine_tools(),
            Toolset::NotebookRuns => Self::notebook_run_tools(),
            Toolset::Files => Self::file_tools() + Self::mirror_tools(),
            Toolset::Reading => Self::reading_tools(),
            Toolset::Uploads => Self::upload_tools(),
            Toolset::Sessions => Self::session_tools() + Self::saved_tools(),
            Toolset::Variables => Self::variable_tools(),
        }
    }
}
