//! Claude Code's own command for its servers: a running Claude Code would overwrite what another program writes into its config.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use which::which_in_global;

use crate::edge::settings::Settings;
use crate::install::{Client, Config, Entry, NAME};

/// The command, if it is installed.
pub(super) fn command(settings: &Settings) -> Option<PathBuf> {
    which_in_global("claude", Some(&settings.search_path))
        .ok()?
        .next()
}

/// Has Claude Code change its config; false if it is for another client, there is no such command, or it did not do so.
pub(super) fn apply(config: &Config, entry: Option<&Entry>, settings: &Settings) -> bool {
    if config.client != Client::ClaudeCode {
        return false;
    }
    let Some(claude) = command(settings) else {
        return false;
    };
    let run = |arguments: &[&str]| {
        Command::new(&claude)
            .arg("mcp")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if config.has_entry() && !run(&["remove", "--scope", "user", NAME]) {
        return false;
    }
    let Some(entry) = entry else {
        return true;
    };
    let fields = json!(entry.fields(Client::ClaudeCode)).to_string();
    run(&["add-json", "--scope", "user", NAME, &fields])
}
