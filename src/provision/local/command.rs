//! Child processes: without variables that would mislead them, bounded in time, killed when dropped.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::edge::env;

/// Variables that child processes do not inherit. They point Python at another library or pip at another environment; the address and token of a
/// remote executor would reach user code.
const REMOVED_VARIABLES: &[&str] = &[
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONINSPECT",
    "PYTHONUSERBASE",
    "__PYVENV_LAUNCHER__",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
    "UV_PROJECT_ENVIRONMENT",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_DRY_RUN",
    env::COLAB_URL,
    env::COLAB_TOKEN,
    env::EXECUTOR_TOKEN,
    env::ALLOWED_IPS,
];

/// Status and output of a finished program.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Finished {
    /// The last `count` lines that are not blank, of stderr if it has any, or else of stdout.
    pub(super) fn last_lines(&self, count: usize) -> String {
        let said = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        let lines: Vec<_> = said
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

/// `program` in a process group of its own (Ctrl-C in a terminal is for the bridge alone), without a window on Windows.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in REMOVED_VARIABLES {
        command.env_remove(name);
    }
    #[cfg(unix)]
    command.process_group(0);
    #[cfg(windows)]
    command.creation_flags(CREATE_NO_WINDOW);
    command
}

/// From the Windows API, "Process Creation Flags".
#[cfg(windows)]
const CREATE_NO_WINDOW: u32 = 0x0800_0000;

/// Runs a program to its end and returns its output. It is killed when dropped.
///
/// # Errors
/// If the program cannot be started; `TimedOut` after `limit`.
pub(super) async fn run(mut command: Command, limit: Duration) -> io::Result<Finished> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(limit, output)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it did not end in time"))??;
    Ok(Finished {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// `folder` before `search_path`.
pub(super) fn path_with(folder: &Path, search_path: &OsStr) -> OsString {
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(search_path));
    std::env::join_paths(folders).unwrap_or_else(|_| search_path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::command;

    #[test]
    fn variables_that_would_mislead_python_are_not_inherited() {
        let command = command(Path::new("python"));
        let removed: Vec<_> = command
            .as_std()
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.to_str().unwrap().to_owned())
            .collect();
        for name in [
            "PYTHONHOME",
            "PYTHONPATH",
            "VIRTUAL_ENV",
            "PIP_USER",
            "COLAB_TOKEN",
        ] {
            assert!(removed.iter().any(|other| other == name), "{removed:?}");
        }
    }
}
