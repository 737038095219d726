//! The Python environment of the local executor: made at first use, used without any network from then on.
//!
//! An environment cannot be moved, so each is made in a new folder, and a marker that names the folder is written when all is in it. A folder
//! that no marker names is half made. A marker's name changes with the requirements, so a new version of the bridge makes a new environment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::sleep;
use which::which_in_global;

use super::Say;
use super::command::{command, path_with, run};
use super::fault::Fault;
use super::package::Package;
use super::python::{self, Python};
use crate::edge::lock::FileLock;
use crate::edge::store;

/// Some 100 MB over a slow line.
const INSTALL: Duration = Duration::from_secs(20 * 60);
const CREATE: Duration = Duration::from_secs(5 * 60);
const LOCK_PAUSE: Duration = Duration::from_millis(300);
const LINES_SHOWN: usize = 6;

/// A Python that has the executor's packages.
#[derive(Debug, Clone)]
pub(super) struct Environment {
    pub(super) python: PathBuf,
    /// Where its `pip` and the like are.
    pub(super) programs: PathBuf,
    /// What to do when the executor does not start with it.
    pub(super) remedy: String,
}

#[derive(Serialize, Deserialize)]
struct Marker {
    /// Beside the marker.
    folder: String,
    python_version: String,
}

/// The environment under `folder` for `package`, made if need be. Of several bridges that come at once, one makes it and the others wait.
///
/// # Errors
/// No Python, or the packages could not be installed; with a hint by the cause.
pub(super) async fn ready(
    folder: &Path,
    package: &Package,
    search_path: &OsStr,
    say: &Say<'_>,
) -> Result<Environment, Fault> {
    let marker = folder.join(format!("{}.json", package.requirements_id));
    if let Some(environment) = complete(folder, &marker).await? {
        return Ok(environment);
    }
    let _lock = lock(&marker.with_extension("lock"), say).await?;
    if let Some(environment) = complete(folder, &marker).await? {
        return Ok(environment);
    }
    remove_half_made(folder, &marker, &package.requirements_id).await;
    make(folder, &marker, package, search_path, say).await
}

/// What the marker names, if its Python still runs: an upgrade of the system may have taken it away or made it another version.
async fn complete(folder: &Path, path: &Path) -> Result<Option<Environment>, Fault> {
    let bytes = store::read_if_there(path).map_err(|error| Fault::disk(path, &error))?;
    let Some(marker) = bytes.and_then(|bytes| serde_json::from_slice::<Marker>(&bytes).ok()) else {
        return Ok(None);
    };
    let environment = Environment::at(&folder.join(&marker.folder));
    match python::ask(&environment.python, &[]).await {
        Ok(python) if python.runs_what_was_made_for(&marker.python_version) => {
            Ok(Some(environment))
        }
        Ok(python) => {
            let version = python.version_text();
            tracing::warn!(
                folder = marker.folder,
                version,
                "packages are gone or for another Python: the environment is made again"
            );
            Ok(None)
        }
        // A machine under load is no reason to make everything anew.
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Ok(Some(environment)),
        Err(error) => {
            tracing::warn!(folder = marker.folder, %error, "the Python environment is damaged and is made again");
            Ok(None)
        }
    }
}

async fn lock(path: &Path, say: &Say<'_>) -> Result<FileLock, Fault> {
    let mut waiting = false;
    loop {
        match FileLock::try_take(path).map_err(|error| Fault::disk(path, &error))? {
            Some(lock) => return Ok(lock),
            None if !waiting => say("waiting for another smart-colab that installs the packages"),
            None => {}
        }
        waiting = true;
        sleep(LOCK_PAUSE).await;
    }
}

/// What cannot be removed only takes space.
async fn remove_half_made(folder: &Path, marker: &Path, id: &str) {
    let named = store::read_if_there(marker)
        .ok()
        .flatten()
        .and_then(|bytes| serde_json::from_slice::<Marker>(&bytes).ok())
        .map(|marker| marker.folder);
    let prefix = format!("{id}-");
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix) && Some(&name) != named.as_ref() {
            let _ = tokio::fs::remove_dir_all(entry.path()).await;
        }
    }
}

async fn make(
    folder: &Path,
    marker: &Path,
    package: &Package,
    search_path: &OsStr,
    say: &Say<'_>,
) -> Result<Environment, Fault> {
    say("looking for Python");
    let uv = which_in_global("uv", Some(search_path))
        .ok()
        .and_then(|mut found| found.next());
    let Some(uv) = uv else {
        let python = python::find(search_path, true).await?;
        return attempt(folder, marker, package, Tool::Pip(python), search_path, say).await;
    };
    // Without any Python, uv brings one of its own.
    let python = python::find(search_path, false).await.ok();
    let venv = python.clone().filter(Python::makes_environments);
    let by_uv = attempt(
        folder,
        marker,
        package,
        Tool::Uv(uv, python),
        search_path,
        say,
    )
    .await;
    match (by_uv, venv) {
        // pip may know an index or a proxy that uv was not told of.
        (Err(fault), Some(python)) => {
            tracing::warn!("{}; trying pip", fault.detail);
            attempt(folder, marker, package, Tool::Pip(python), search_path, say).await
        }
        (result, _) => result,
    }
}

/// What makes environments: uv where it is there, for it is ten times as fast; otherwise what Python brings along.
enum Tool {
    Uv(PathBuf, Option<Python>),
    Pip(Python),
}

async fn attempt(
    folder: &Path,
    marker: &Path,
    package: &Package,
    tool: Tool,
    search_path: &OsStr,
    say: &Say<'_>,
) -> Result<Environment, Fault> {
    // Removed again when anything below fails.
    let place = TempDir::with_prefix_in(format!("{}-", package.requirements_id), folder)
        .map_err(|error| Fault::disk(folder, &error))?;
    let environment = Environment::at(place.path());
    let step = |what: &'static str, mut command: Command, limit: Duration| {
        command
            // Neither tool shall find the configuration of a project that the client happens to be in.
            .current_dir(place.path())
            .env("PATH", path_with(&environment.programs, search_path));
        step(what, command, limit)
    };
    say("making a Python environment (first use)");
    step(
        "making the Python environment",
        tool.create(place.path()),
        CREATE,
    )
    .await?;
    say("installing packages (first use, about a minute)");
    let install = tool.install(&environment.python, &package.requirements);
    step("installing the packages", install, INSTALL).await?;

    let python = python::ask(&environment.python, &[])
        .await
        .map_err(|error| Fault::disk(&environment.python, &error))?;
    let text = Marker {
        folder: place
            .path()
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        python_version: python.version_text(),
    };
    serde_json::to_vec(&text)
        .map_err(std::io::Error::from)
        .and_then(|bytes| store::write_atomic(marker, &bytes))
        .map_err(|error| Fault::disk(marker, &error))?;
    let _ = place.keep();
    Ok(environment)
}

impl Tool {
    fn create(&self, place: &Path) -> Command {
        let mut command = match self {
            Self::Uv(uv, python) => {
                let mut command = command(uv);
                // Seeded, so that `%pip install` works in the user's code.
                command.args([
                    "venv",
                    "--seed",
                    "--allow-existing",
                    "--no-project",
                    "--python",
                ]);
                command.arg(
                    python
                        .as_ref()
                        .map_or(Path::new(">=3.11"), |python| &python.executable),
                );
                command
            }
            Self::Pip(python) => {
                let mut command = command(&python.executable);
                command.args(["-m", "venv"]);
                command
            }
        };
        command.arg(place);
        command
    }

    fn install(&self, python: &Path, requirements: &Path) -> Command {
        let mut command = match self {
            Self::Uv(uv, _) => {
                let mut command = command(uv);
                command.args(["pip", "install", "--python"]).arg(python);
                command
            }
            Self::Pip(_) => {
                let mut command = command(python);
                command.args([
                    "-m",
                    "pip",
                    "install",
                    "--no-input",
                    "--disable-pip-version-check",
                ]);
                command
            }
        };
        command.arg("-r").arg(requirements);
        command
    }
}

impl Environment {
    fn at(folder: &Path) -> Self {
        let (programs, python) = if cfg!(windows) {
            ("Scripts", "python.exe")
        } else {
            ("bin", "python")
        };
        let programs = folder.join(programs);
        Self {
            python: programs.join(python),
            programs,
            remedy: format!(
                "Call again. If it fails again, delete the folder {} to have its packages installed anew, then call again.",
                folder.display()
            ),
        }
    }

    /// The Python that the user named, used as it is.
    pub(super) fn named(python: &Python) -> Self {
        let python = python.executable.clone();
        Self {
            programs: python.parent().unwrap_or(Path::new("")).to_owned(),
            remedy: format!(
                "Run `{} -m pip install --upgrade flask waitress ipykernel jupyter_client`, or remove SMART_COLAB_PYTHON to have an environment \
                 made by itself; then call again.",
                python.display()
            ),
            python,
        }
    }
}

async fn step(what: &str, command: Command, limit: Duration) -> Result<(), Fault> {
    let finished = run(command, limit)
        .await
        .map_err(|error| Fault::new(format!("{what} failed: {error}"), cause("")))?;
    tracing::debug!("{what}: {}", finished.stdout);
    if finished.status.success() {
        return Ok(());
    }
    let said = format!("{}\n{}", finished.stdout, finished.stderr);
    let last = finished.last_lines(LINES_SHOWN);
    Err(Fault::new(format!("{what} failed: {last}"), cause(&said)))
}

/// What helps, by what pip or uv said. Only the words of the hint hang on this.
fn cause(said: &str) -> &'static str {
    let says = |marks: &[&str]| marks.iter().any(|mark| said.contains(mark));
    if says(&["No space left", "Disk quota", "not enough space"]) {
        "The disk is full: free some space (about 500 MB are needed), then call again."
    } else if says(&[
        "CERTIFICATE_VERIFY_FAILED",
        "SSLError",
        "invalid peer certificate",
        "UnknownIssuer",
    ]) {
        "The package index was reached with a certificate that is not trusted, as behind a company's proxy: set PIP_CERT (or SSL_CERT_FILE for uv) \
         to the company's certificates in the client's config, restart the client, and call again."
    } else if says(&["ProxyError", "407 Proxy", "Tunnel connection failed"]) {
        "The proxy refused: correct HTTPS_PROXY in the client's config, restart the client, and call again."
    } else if says(&[
        "NewConnectionError",
        "Failed to establish a new connection",
        "ConnectTimeout",
        "Connection refused",
        "name resolution",
        "dns error",
        "Could not connect",
        "Failed to fetch",
        "error sending request",
    ]) {
        "The package index cannot be reached. The first use needs the network once: connect (behind a proxy, set HTTPS_PROXY in the client's config), \
         then call again."
    } else if says(&[
        "No matching distribution",
        "No solution found",
        "Failed building wheel",
        "Failed to build",
    ]) {
        "A package is not to be had for this Python: install Python 3.12 or 3.13 beside it, or set SMART_COLAB_PYTHON to a Python that has \
         flask, waitress and ipykernel; then call again."
    } else {
        "Call again to try once more, or set SMART_COLAB_PYTHON to a Python that has the packages flask, waitress and ipykernel."
    }
}

#[cfg(test)]
mod tests {
    use super::cause;

    #[test]
    fn the_hint_fits_what_pip_said() {
        for (said, word) in [
            ("ERROR: [Errno 28] No space left on device", "disk is full"),
            (
                "WARNING: … NewConnectionError('… Connection refused')\nERROR: No matching distribution found for flask",
                "cannot be reached",
            ),
            (
                "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'",
                "PIP_CERT",
            ),
            ("ProxyError('Cannot connect to proxy.', …)", "HTTPS_PROXY"),
            (
                "error: Failed to fetch: `https://…`\n  Caused by: dns error",
                "cannot be reached",
            ),
            (
                "ERROR: No matching distribution found for numpy==2.5.5",
                "Python 3.12",
            ),
            ("Segmentation fault", "Call again"),
        ] {
            assert!(cause(said).contains(word), "{said}: {}", cause(said));
        }
    }
}
