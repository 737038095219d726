//! The Python environment of the local executor: made at first use, used without any network from then on.
//!
//! An environment cannot be moved, so each is made in a new folder, and a marker that names the folder is written once it is complete. A folder
//! that no marker names is incomplete. A marker's name changes with the requirements, so a new version of the bridge makes a new environment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::time::sleep;

use super::Say;
use super::fault::Fault;
use super::install::{self, Tool};
use super::layout::Environment;
use super::package::Package;
use super::python;
use crate::edge::lock::FileLock;
use crate::edge::store;

const LOCK_RETRY_DELAY: Duration = Duration::from_millis(300);

#[derive(Serialize, Deserialize)]
struct Marker {
    /// Beside the marker.
    folder: String,
    python_version: String,
}

/// Returns the environment under `folder` for `package`, and makes it if need be. Of several bridges at once, one makes it and the others wait.
///
/// # Errors
/// If there is no Python, or the packages could not be installed; with a remedy by the cause.
pub(super) async fn ready(
    folder: &Path,
    package: &Package,
    search_path: &OsStr,
    say: &Say<'_>,
) -> Result<Environment, Fault> {
    let marker = marker(folder, &package.requirements_id);
    let in_use = marker.with_extension("lock");
    if let Some(environment) = complete(folder, &marker).await? {
        // An installer may outlive a killed bridge and bring back the folder that was removed under it.
        if let Ok(Some(_lock)) = FileLock::try_take(&in_use) {
            remove_incomplete(folder, &marker, &package.requirements_id).await;
        }
        return Ok(environment);
    }
    let _lock = lock(&in_use, say).await?;
    if let Some(environment) = complete(folder, &marker).await? {
        return Ok(environment);
    }
    remove_incomplete(folder, &marker, &package.requirements_id).await;
    make(folder, &marker, package, search_path, say).await
}

/// The environment under `folder` that a start would use as it is; none if it would make one. Changes nothing.
///
/// # Errors
/// If the folder cannot be read.
pub(super) async fn existing(folder: &Path, id: &str) -> Result<Option<Environment>, Fault> {
    complete(folder, &marker(folder, id)).await
}

fn marker(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.json"))
}

/// The environment that the marker names, if its Python still runs: an upgrade of the system may have removed it or changed its version.
async fn complete(folder: &Path, path: &Path) -> Result<Option<Environment>, Fault> {
    let bytes = store::read_if_there(path).map_err(|error| Fault::disk(path, &error))?;
    let Some(marker) = bytes.and_then(|bytes| serde_json::from_slice::<Marker>(&bytes).ok()) else {
        return Ok(None);
    };
    let environment = Environment::at(&folder.join(&marker.folder));
    match python::ask(&environment.python, &[]).await {
        Ok(python) if python.matches_environment_of(&marker.python_version) => {
            Ok(Some(environment))
        }
        Ok(python) => {
            let version = python.version_text();
            tracing::warn!(
                folder = marker.folder,
                version,
                "making the Python environment again: its packages are gone or for another Python"
            );
            Ok(None)
        }
        // A machine under load is no reason to make it again.
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Ok(Some(environment)),
        Err(error) => {
            tracing::warn!(folder = marker.folder, %error, "making the Python environment again: it is damaged");
            Ok(None)
        }
    }
}

async fn lock(path: &Path, say: &Say<'_>) -> Result<FileLock, Fault> {
    let mut waiting = false;
    loop {
        match FileLock::try_take(path).map_err(|error| Fault::disk(path, &error))? {
            Some(lock) => return Ok(lock),
            None if !waiting => {
                say("waiting for another smart-colab process, which is installing the packages")
            }
            None => {}
        }
        waiting = true;
        sleep(LOCK_RETRY_DELAY).await;
    }
}

/// Removes incomplete environments. One that cannot be removed only takes space.
async fn remove_incomplete(folder: &Path, marker: &Path, id: &str) {
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
    let (best, other) = install::tools(search_path).await?;
    let attempt = async |tool: Tool| {
        // Removed again when anything below fails.
        let place = TempDir::with_prefix_in(format!("{}-", package.requirements_id), folder)
            .map_err(|error| Fault::disk(folder, &error))?;
        let environment = Environment::at(place.path());
        let requirements = &package.requirements;
        tool.fill(place.path(), &environment, requirements, search_path, say)
            .await?;
        mark(marker, place.path(), &environment).await?;
        let _ = place.keep();
        Ok::<_, Fault>(environment)
    };
    match (attempt(best).await, other) {
        (Err(fault), Some(other)) => {
            tracing::warn!("{}", fault.detail);
            attempt(other).await
        }
        (made, _) => made,
    }
}

async fn mark(marker: &Path, folder: &Path, environment: &Environment) -> Result<(), Fault> {
    let python = python::ask(&environment.python, &[])
        .await
        .map_err(|error| Fault::disk(&environment.python, &error))?;
    let name = folder.file_name().unwrap_or_default();
    let text = Marker {
        folder: name.to_string_lossy().into_owned(),
        python_version: python.version_text(),
    };
    serde_json::to_vec(&text)
        .map_err(std::io::Error::from)
        .and_then(|bytes| store::write_atomic(marker, &bytes))
        .map_err(|error| Fault::disk(marker, &error))
}
