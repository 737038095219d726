//! Filling a folder with a Python environment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use which::which_in_global;

use super::Say;
use super::command::{command, path_with, run};
use super::fault::Fault;
use super::layout::Environment;
use super::python::{self, Python};

/// Some 100 MB over a slow line.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(20 * 60);
const CREATE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const MAX_SHOWN_LINES: usize = 6;

/// A tool that makes environments: uv if it is installed, as it is several times as fast; otherwise Python's own venv and pip.
pub(super) enum Tool {
    /// Without any Python, uv fetches one.
    Uv(PathBuf, Option<Python>),
    Pip(Python),
}

/// The best tool, and the one to try if that fails.
///
/// # Errors
/// If there is neither uv nor a Python with `venv`.
pub(super) async fn tools(search_path: &OsStr) -> Result<(Tool, Option<Tool>), Fault> {
    let uv = which_in_global("uv", Some(search_path))
        .ok()
        .and_then(|mut found| found.next());
    let Some(uv) = uv else {
        let python = python::find(search_path, true).await?;
        return Ok((Tool::Pip(python), None));
    };
    let python = python::find(search_path, false).await.ok();
    // pip may be configured for an index or a proxy that uv does not know.
    let pip = python.clone().filter(Python::makes_environments);
    Ok((Tool::Uv(uv, python), pip.map(Tool::Pip)))
}

impl Tool {
    /// Makes `environment` in the empty folder `place` and installs what the file `requirements` names.
    ///
    /// # Errors
    /// The last lines of the program that failed, and a remedy by its output.
    pub(super) async fn fill(
        &self,
        place: &Path,
        environment: &Environment,
        requirements: &Path,
        search_path: &OsStr,
        say: &Say<'_>,
    ) -> Result<(), Fault> {
        let path = path_with(&environment.programs, search_path);
        // Neither tool may find the configuration of a project that the client happens to be in.
        let ready = |mut command: Command| {
            command.current_dir(place).env("PATH", &path);
            command
        };
        say("making a Python environment (first use)");
        let create = ready(self.create(place));
        step("making the Python environment", create, CREATE_TIMEOUT).await?;
        say("installing packages (first use, about a minute)");
        let install = ready(self.install(&environment.python, requirements));
        step("installing the packages", install, INSTALL_TIMEOUT).await
    }

    fn create(&self, place: &Path) -> Command {
        let mut made = match self {
            Self::Uv(uv, python) => {
                let mut made = command(uv);
                // Seeded, so that `%pip install` works in the user's code.
                made.args(["venv", "--seed", "--allow-existing", "--no-project"]);
                let python = python.as_ref().map(|python| python.executable.as_path());
                made.arg("--python")
                    .arg(python.unwrap_or(Path::new(">=3.11")));
                made
            }
            Self::Pip(python) => {
                let mut made = command(&python.executable);
                made.args(["-m", "venv"]);
                made
            }
        };
        made.arg(place);
        made
    }

    fn install(&self, python: &Path, requirements: &Path) -> Command {
        let mut made = match self {
            Self::Uv(uv, _) => {
                let mut made = command(uv);
                made.args(["pip", "install", "--python"]).arg(python);
                made
            }
            Self::Pip(_) => {
                let mut made = command(python);
                made.args(["-m", "pip", "install", "--no-input"]);
                // Compiling every module takes as long as installing it; Python compiles the few that are imported.
                made.args(["--disable-pip-version-check", "--no-compile"]);
                made
            }
        };
        // The file names every package that is needed.
        made.arg("--no-deps").arg("-r").arg(requirements);
        made
    }
}

async fn step(what: &str, command: Command, limit: Duration) -> Result<(), Fault> {
    let finished = run(command, limit)
        .await
        .map_err(|error| Fault::new(format!("{what} failed: {error}"), remedy_for("")))?;
    tracing::debug!("{what}: {}", finished.stdout);
    if finished.status.success() {
        return Ok(());
    }
    let said = format!("{}\n{}", finished.stdout, finished.stderr);
    let last = finished.last_lines(MAX_SHOWN_LINES);
    Err(Fault::new(
        format!("{what} failed: {last}"),
        remedy_for(&said),
    ))
}

/// Chooses the remedy by the output of pip or uv. Only the words of the hint depend on it.
fn remedy_for(said: &str) -> &'static str {
    let has = |marks: &[&str]| marks.iter().any(|mark| said.contains(mark));
    if has(&["No space left", "Disk quota", "not enough space"]) {
        "The disk is full: free some space (about 500 MB are needed), then call again."
    } else if has(&[
        "CERTIFICATE_VERIFY_FAILED",
        "SSLError",
        "invalid peer certificate",
        "UnknownIssuer",
    ]) {
        "The certificate of the package index is not trusted, as behind a company's proxy: set PIP_CERT (or SSL_CERT_FILE for uv) \
         to the company's certificates in the client's config, restart the client, and call again."
    } else if has(&["ProxyError", "407 Proxy", "Tunnel connection failed"]) {
        "The proxy refused the connection: correct HTTPS_PROXY in the client's config, restart the client, and call again."
    } else if has(&[
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
    } else if has(&[
        "No matching distribution",
        "No solution found",
        "Failed building wheel",
        "Failed to build",
    ]) {
        "A package is not available for this Python: install Python 3.12 or 3.13 beside it, or set SMART_COLAB_PYTHON to a Python that has \
         flask, waitress and ipykernel; then call again."
    } else {
        "Call again to try once more, or set SMART_COLAB_PYTHON to a Python that has the packages flask, waitress and ipykernel."
    }
}

#[cfg(test)]
mod tests {
    use super::remedy_for;

    #[test]
    fn the_remedy_fits_the_output_of_pip() {
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
            assert!(
                remedy_for(said).contains(word),
                "{said}: {}",
                remedy_for(said)
            );
        }
    }
}
