//! What a start on this machine would find, without a start.

use super::install::{self, Tool};
use super::python::Python;
use super::{environment, package, python};
use crate::edge::settings::Settings;
use crate::runtime::RuntimeResult;

/// The Python for code on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// For people: its version, and where it is.
    pub python: String,
    /// Whether the executor's packages are there. If not, the first use makes an environment with them.
    pub is_ready: bool,
}

/// Looks for the Python that a start would use. Changes nothing.
///
/// # Errors
/// Why none can be used, as a start would report it.
pub async fn look(settings: &Settings) -> RuntimeResult<Found> {
    let search_path = &settings.search_path;
    if let Some(named) = &settings.python {
        let python = python::named(named, search_path).await?;
        let python = shown(&python);
        let is_ready = true;
        return Ok(Found { python, is_ready });
    }
    let folder = settings.data_dir.join("executor").join("environment");
    if let Some(existing) = environment::existing(&folder, &package::requirements_id()).await? {
        return Ok(Found {
            python: existing.python.display().to_string(),
            is_ready: true,
        });
    }
    let (tool, _) = install::tools(search_path).await?;
    let python = match tool {
        Tool::Uv(_, Some(python)) | Tool::Pip(python) => shown(&python),
        Tool::Uv(uv, None) => format!("none; {} fetches one at the first use", uv.display()),
    };
    let is_ready = false;
    Ok(Found { python, is_ready })
}

fn shown(python: &Python) -> String {
    let place = python.executable.display();
    format!("{} ({place})", python.version_text())
}
