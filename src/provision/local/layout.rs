//! The paths of a Python environment.

use std::path::{Path, PathBuf};

use super::python::Python;

/// A Python that has the executor's packages.
#[derive(Debug, Clone)]
pub(super) struct Environment {
    pub(super) python: PathBuf,
    /// The folder of `pip` and the like.
    pub(super) programs: PathBuf,
    /// The remedy if the executor does not start with it.
    pub(super) remedy: String,
}

impl Environment {
    /// An environment in a folder of its own.
    pub(super) fn at(folder: &Path) -> Self {
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
                "Call again. If it fails again, delete the folder {} so that its packages are installed again, then call again.",
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
                "Run `{} -m pip install --upgrade flask waitress ipykernel jupyter_client`, or remove SMART_COLAB_PYTHON: then \
                 smart-colab makes its own environment; then call again.",
                python.display()
            ),
            python,
        }
    }
}
