//! The tools, a file for each family. Each method is one tool: its description, its arguments, and the floor that it calls.

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
mod notebook;
mod notebook_runs;
mod pairing;
mod reading;
mod sessions;
mod uploads;
mod variables;

use rmcp::handler::server::tool::ToolRouter;

use super::server::Server;

impl Server {
    pub(super) fn all_tools() -> ToolRouter<Self> {
        Self::connection_tools()
            + Self::pairing_tools()
            + Self::code_tools()
            + Self::job_tools()
            + Self::chunked_tools()
            + Self::checkpoint_tools()
            + Self::notebook_tools()
            + Self::cell_tools()
            + Self::cell_run_tools()
            + Self::tab_tools()
            + Self::machine_tools()
            + Self::notebook_run_tools()
            + Self::file_tools()
            + Self::reading_tools()
            + Self::upload_tools()
            + Self::session_tools()
            + Self::variable_tools()
    }
}
