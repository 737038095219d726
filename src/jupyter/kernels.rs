//! Notebooks that have a kernel.

use serde::Deserialize;

use super::error::JupyterError;
use super::server::Server;

/// A notebook, or a console, with its kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OpenNotebook {
    /// From the server's root, with `/`.
    pub path: String,
    pub kernel: KernelId,
}

/// A kernel, as a session names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KernelId {
    pub id: String,
}

impl Server {
    /// Returns the notebooks that have a kernel; none on a Kernel Gateway, which has no sessions.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn notebooks(&self) -> Result<Vec<OpenNotebook>, JupyterError> {
        let sessions = match self.get(&["api", "sessions"]).await {
            Err(JupyterError::NotFound | JupyterError::Unauthorized) => return Ok(Vec::new()),
            answer => answer?,
        };
        let sessions = sessions.as_array().into_iter().flatten();
        Ok(sessions
            .filter_map(|session| OpenNotebook::deserialize(session).ok())
            .collect())
    }
}
