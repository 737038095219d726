//! Finding a Python that can run the executor.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use which::which_in_global;

use super::command::{command, run};
use super::fault::Fault;
use crate::base::advice::Advice;
use crate::edge::python::MIN_VERSION;

const NAMES: &[&str] = &[
    "python3",
    "python3.13",
    "python3.12",
    "python3.14",
    "python3.11",
    "python",
];
/// A shim may start slowly; a Python that needs longer than this is of no use.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Rejected Pythons that the error names.
const MAX_NAMED: usize = 6;
const INSTALL: &str = "Install Python 3.11 or newer from https://www.python.org/downloads/ (or with your package manager, or `uv`), \
     or set SMART_COLAB_PYTHON to a Python that has the packages flask, waitress and ipykernel; then call again.";

/// Answers with one line of JSON in every Python, even 2.7.
const PROBE: &str = r#"
import json, sys
def there(name):
    try:
        import importlib.util
        return importlib.util.find_spec(name) is not None
    except Exception:
        return False
modules = ["flask", "waitress", "ipykernel", "IPython", "jupyter_client", "zmq", "psutil"]
print(json.dumps({
    "executable": sys.executable,
    "version": list(sys.version_info[:3]),
    "cpython": sys.version.find("PyPy") < 0,
    "sqlite": there("_sqlite3"),
    "makes_environments": there("venv") and there("ensurepip"),
    "missing": [name for name in modules if not there(name)],
}))
"#;

/// A Python, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Python {
    pub(super) executable: PathBuf,
    pub(super) version: (u32, u32, u32),
    cpython: bool,
    /// It was built with SQLite, which some that are compiled from source are not.
    sqlite: bool,
    /// It has `venv` and what that needs.
    #[serde(rename = "makes_environments")]
    venv: bool,
    /// Modules that the executor needs and that are not installed.
    missing: Vec<String>,
}

impl Python {
    pub(super) fn version_text(&self) -> String {
        let (major, minor, patch) = self.version;
        format!("{major}.{minor}.{patch}")
    }

    /// True if all packages are installed and for this minor version.
    pub(super) fn matches_environment_of(&self, version: &str) -> bool {
        let (major, minor, _) = self.version;
        self.missing.is_empty() && version.starts_with(&format!("{major}.{minor}."))
    }

    pub(super) fn makes_environments(&self) -> bool {
        self.venv
    }

    fn too_old(&self) -> bool {
        (self.version.0, self.version.1) < MIN_VERSION
    }

    /// Why no environment can be made with it; none if one can.
    fn rejection_reason(&self, venv_needed: bool) -> Option<String> {
        let version = self.version_text();
        if self.too_old() {
            Some(format!("{version} is too old"))
        } else if !self.cpython {
            Some(format!("{version} is PyPy, but CPython is needed"))
        } else if !self.sqlite {
            Some(format!("{version} was built without sqlite3"))
        } else if venv_needed && !self.venv {
            let (major, minor, _) = self.version;
            Some(format!(
                "{version} lacks venv (on Debian and Ubuntu: apt install python{major}.{minor}-venv)"
            ))
        } else {
            None
        }
    }
}

/// Finds the first suitable Python on `search_path`; `venv_needed` if nothing else can make an environment.
///
/// # Errors
/// Names the Pythons that were found, why each is unsuitable, and how to get one.
pub(super) async fn find(search_path: &OsStr, venv_needed: bool) -> Result<Python, Fault> {
    let mut rejected = Vec::new();
    for (path, args) in candidates(search_path) {
        let reason = match ask(&path, args).await {
            Ok(python) => match python.rejection_reason(venv_needed) {
                None => {
                    tracing::debug!(path = %path.display(), version = python.version_text(), "found a Python");
                    return Ok(python);
                }
                Some(reason) => reason,
            },
            Err(error) => format!("does not run ({error})"),
        };
        rejected.push(format!("{}: {reason}", path.display()));
    }
    let found = match rejected.len() {
        0 => "none was found".to_owned(),
        count if count > MAX_NAMED => {
            format!(
                "found {}; and {} more",
                rejected[..MAX_NAMED].join("; "),
                count - MAX_NAMED
            )
        }
        _ => format!("found {}", rejected.join("; ")),
    };
    Err(Fault::new(
        format!("it needs Python 3.11 or newer on this machine: {found}"),
        INSTALL,
    ))
}

/// Returns the Python that the user named, if it has what the executor needs.
///
/// # Errors
/// If there is no such program, it is too old, or packages are missing: the remedy says how to install them.
pub(super) async fn named(python: &Path, search_path: &OsStr) -> Result<Python, Fault> {
    let fault = |what: &str, remedy: Advice| {
        Fault::new(
            format!("SMART_COLAB_PYTHON is {}: {what}", python.display()),
            remedy,
        )
    };
    const CORRECT: &str = "Correct SMART_COLAB_PYTHON, or remove it so that smart-colab makes its own environment; then restart the client.";
    let path = which_in_global(python, Some(search_path))
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| fault("there is no such program", CORRECT.into()))?;
    let found = ask(&path, &[])
        .await
        .map_err(|error| fault(&format!("it does not run ({error})"), CORRECT.into()))?;
    if found.too_old() {
        let what = format!(
            "it is {}, but 3.11 is the oldest supported version",
            found.version_text()
        );
        return Err(fault(&what, CORRECT.into()));
    }
    if !found.sqlite {
        return Err(fault("it was built without sqlite3", CORRECT.into()));
    }
    if !found.missing.is_empty() {
        let what = format!("it has no {}", found.missing.join(", "));
        let remedy = format!(
            "Run `{} -m pip install flask waitress ipykernel jupyter_client psutil nvidia-ml-py`, or remove SMART_COLAB_PYTHON: then \
             smart-colab makes its own environment; then call again.",
            path.display()
        );
        return Err(fault(&what, remedy.into()));
    }
    // Kept as it was named: a wrapper may set up more than the executable itself knows of.
    Ok(Python {
        executable: path,
        ..found
    })
}

/// Asks the Python at `path` to describe itself.
///
/// # Errors
/// If it does not start, fails, prints something else, or takes too long.
pub(super) async fn ask(path: &Path, args: &[&str]) -> io::Result<Python> {
    let mut command = command(path);
    command.args(args).args(["-c", PROBE]);
    let finished = run(command, ANSWER_TIMEOUT).await?;
    if !finished.status.success() {
        let said = finished.last_lines(1);
        return Err(io::Error::other(format!("{}: {said}", finished.status)));
    }
    // A site hook may print before it.
    let line = finished.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).map_err(io::Error::other)
}

fn candidates(search_path: &OsStr) -> Vec<(PathBuf, &'static [&'static str])> {
    let mut found: Vec<(PathBuf, &[&str])> = Vec::new();
    let mut add = |name: &str, args: &'static [&'static str]| {
        for path in which_in_global(name, Some(search_path))
            .into_iter()
            .flatten()
        {
            // Apple's own Python is older than 3.11, and without the developer tools it opens a dialog.
            let apples = cfg!(target_os = "macos") && path.starts_with("/usr/bin");
            if !apples && found.iter().all(|(other, _)| *other != path) {
                found.push((path, args));
            }
        }
    };
    for name in NAMES {
        add(name, &[]);
    }
    if cfg!(windows) {
        add("py", &["-3"]);
    }
    found
}

#[cfg(all(test, unix))]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::{find, named};

    fn fake(folder: &Path, name: &str, script: &str) {
        let text = folder.join(format!("{name}.txt"));
        std::fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        // Copied by another process: a file that was open for writing here may be "busy" for a child.
        let mut install = Command::new("install");
        install
            .args(["-m", "755"])
            .arg(&text)
            .arg(folder.join(name));
        assert!(install.status().unwrap().success());
    }

    fn says(version: &str, missing: &str) -> String {
        format!(
            r#"echo 'hello from a site hook'; echo '{{"executable":"/x/python","version":{version},"cpython":true,"sqlite":true,"makes_environments":true,"missing":[{missing}]}}'"#
        )
    }

    #[tokio::test]
    async fn old_and_broken_pythons_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        fake(folder.path(), "python3", &says("[3,9,18]", ""));
        fake(
            folder.path(),
            "python3.13",
            "echo 'pyenv: command not found' >&2; exit 127",
        );
        fake(folder.path(), "python3.12", &says("[3,12,1]", r#""flask""#));
        let python = find(folder.path().as_os_str(), true).await.unwrap();
        assert_eq!(python.version, (3, 12, 1));
    }

    #[tokio::test]
    async fn without_a_python_the_error_says_how_to_get_one() {
        let folder = tempfile::tempdir().unwrap();
        let fault = find(folder.path().as_os_str(), true).await.unwrap_err();
        assert!(fault.detail.contains("none was found"), "{fault:?}");
        assert!(format!("{fault:?}").contains("python.org"), "{fault:?}");
    }

    #[tokio::test]
    async fn unsuitable_pythons_are_named_with_their_reasons() {
        let folder = tempfile::tempdir().unwrap();
        fake(folder.path(), "python3", &says("[3,9,18]", ""));
        let compiled = says("[3,12,1]", "").replace(r#""sqlite":true"#, r#""sqlite":false"#);
        fake(folder.path(), "python3.12", &compiled);
        fake(
            folder.path(),
            "python",
            "echo 'no such version' >&2; exit 127",
        );
        let fault = find(folder.path().as_os_str(), true).await.unwrap_err();
        assert!(fault.detail.contains("3.9.18 is too old"), "{fault:?}");
        assert!(
            fault.detail.contains("3.12.1 was built without sqlite3"),
            "{fault:?}"
        );
        assert!(fault.detail.contains("no such version"), "{fault:?}");
    }

    #[tokio::test]
    async fn a_named_python_without_the_packages_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine");
        fake(
            folder.path(),
            "mine",
            &says("[3,12,1]", r#""flask", "zmq""#),
        );
        let fault = named(&path, "".as_ref()).await.unwrap_err();
        assert!(fault.detail.ends_with("it has no flask, zmq"), "{fault:?}");
        assert!(
            format!("{fault:?}").contains("mine -m pip install flask waitress ipykernel"),
            "{fault:?}"
        );
        let fault = named(&folder.path().join("absent"), "".as_ref())
            .await
            .unwrap_err();
        assert!(fault.detail.contains("no such program"), "{fault:?}");
    }
}
