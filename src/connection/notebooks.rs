//! Kernels of the notebooks on the runtime's Jupyter Server.

use std::future::Future;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::Connection;
use crate::base::text::ends_with_path;
use crate::jupyter::{JupyterError, OpenNotebook, Server};
use crate::provision::Host;
use crate::runtime::kernel::server_error;
use crate::runtime::{RuntimeError, RuntimeResult};

impl Connection {
    /// Returns the id of the kernel of a notebook on the runtime's Jupyter Server, by its path or the end of it.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownNotebook`]; why the server's notebooks are not known by `deadline`.
    pub async fn notebook_kernel(&self, name: &str, deadline: Instant) -> RuntimeResult<String> {
        let open = self.notebooks(deadline).await?;
        kernel_of(name, &open).map_err(|known| unknown(name, known))
    }

    /// Returns the runtime's Jupyter Server if it has this kernel; none if the runtime is not on one.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownKernel`]; why that is not known by `deadline`.
    pub async fn server_of(
        &self,
        kernel: &str,
        deadline: Instant,
    ) -> RuntimeResult<Option<Arc<Server>>> {
        let Some(Host { server, .. }) = self.jupyter(deadline).await? else {
            return Ok(None);
        };
        if self.asked(server.has_kernel(kernel), deadline).await? {
            return Ok(Some(server));
        }
        let open = self.notebooks(deadline).await?;
        let session = |one: OpenNotebook| format!("notebook:{}", one.path);
        Err(RuntimeError::UnknownKernel {
            id: kernel.to_owned(),
            known: open.into_iter().map(session).collect(),
        })
    }

    /// Waits until `deadline` for the answer of the runtime's Jupyter Server.
    ///
    /// # Errors
    /// Its error; [`RuntimeError::reach`] says whether the request may have been carried out.
    pub async fn asked<T>(
        &self,
        answer: impl Future<Output = Result<T, JupyterError>>,
        deadline: Instant,
    ) -> RuntimeResult<T> {
        let url = self.place().unwrap_or_default();
        let answer = timeout_at(deadline, answer).await;
        let answer = answer.unwrap_or(Err(JupyterError::TimedOut));
        answer.map_err(|error| server_error(error, url))
    }

    async fn notebooks(&self, deadline: Instant) -> RuntimeResult<Vec<OpenNotebook>> {
        let provisioner = self.provisioner();
        let listed = timeout_at(deadline, provisioner.notebooks()).await;
        let url = || provisioner.place().unwrap_or_default();
        listed.unwrap_or_else(|_| Err(RuntimeError::TimedOut { url: url() }))
    }
}

fn unknown(name: &str, known: Vec<String>) -> RuntimeError {
    RuntimeError::UnknownNotebook {
        name: name.to_owned(),
        known,
    }
}

/// Returns the kernel of the notebook at this path, or of the only one whose path ends so; otherwise the paths to choose from.
fn kernel_of(name: &str, open: &[OpenNotebook]) -> Result<String, Vec<String>> {
    let wanted = name.trim_start_matches('/');
    let exact = open.iter().find(|notebook| notebook.path == wanted);
    let mut others = open
        .iter()
        .filter(|notebook| ends_with_path(&notebook.path, wanted));
    let found = match (exact, others.next(), others.next()) {
        (Some(exact), _, _) => exact,
        (None, Some(only), None) => only,
        (None, _, _) => return Err(open.iter().map(|notebook| notebook.path.clone()).collect()),
    };
    Ok(found.kernel.id.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::kernel_of;
    use crate::jupyter::OpenNotebook;

    #[test]
    fn a_notebook_is_named_by_its_path_or_by_an_end_that_only_it_has() {
        let open: Vec<OpenNotebook> = serde_json::from_value(json!([
            {"path": "a.ipynb", "kernel": {"id": "1"}},
            {"path": "books/a.ipynb", "kernel": {"id": "2"}},
            {"path": "books/deep/b.ipynb", "kernel": {"id": "3"}},
            {"path": "other/c.ipynb", "kernel": {"id": "4"}},
            {"path": "books/c.ipynb", "kernel": {"id": "5"}},
        ]))
        .unwrap();
        for (name, kernel) in [
            ("a.ipynb", Some("1")),
            ("/books/a.ipynb", Some("2")),
            ("b.ipynb", Some("3")),
            ("deep/b.ipynb", Some("3")),
            ("c.ipynb", None),
            ("other/c.ipynb", Some("4")),
            ("ipynb", None),
            ("", None),
        ] {
            let found = kernel_of(name, &open);
            match kernel {
                Some(kernel) => assert_eq!(found.as_deref(), Ok(kernel), "{name}"),
                None => assert_eq!(found.unwrap_err().len(), open.len(), "{name}"),
            }
        }
    }
}
