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
use crate::wire::problem::Problem;

impl Connection {
    /// Returns the id of the kernel of a notebook on the runtime's Jupyter Server, by its path or the end of it.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownNotebook`]; [`RuntimeError::Refused`] if the name fits more than one; why the server's notebooks are not known by `deadline`.
    pub async fn notebook_kernel(&self, name: &str, deadline: Instant) -> RuntimeResult<String> {
        let open = self.notebooks(deadline).await?;
        kernel_of(name, &open)
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

/// Returns the kernel of the notebook at this path, or of the only one whose path ends so; the error names those to choose from.
fn kernel_of(name: &str, open: &[OpenNotebook]) -> RuntimeResult<String> {
    let wanted = name.trim_start_matches('/');
    if let Some(exact) = open.iter().find(|notebook| notebook.path == wanted) {
        return Ok(exact.kernel.id.clone());
    }
    let others = open
        .iter()
        .filter(|notebook| ends_with_path(&notebook.path, wanted));
    match *others.collect::<Vec<_>>() {
        [only] => Ok(only.kernel.id.clone()),
        [] => Err(RuntimeError::UnknownNotebook {
            name: name.to_owned(),
            known: open.iter().map(|notebook| notebook.path.clone()).collect(),
        }),
        ref several => Err(ambiguous(name, several)),
    }
}

fn ambiguous(name: &str, several: &[&OpenNotebook]) -> RuntimeError {
    let sessions = several
        .iter()
        .map(|notebook| format!("notebook:{}", notebook.path));
    RuntimeError::Refused(Problem {
        status: 400,
        code: "invalid_argument".to_owned(),
        detail: format!("more than one notebook {name:?} has a kernel"),
        hint: format!(
            "Name one of them: {}.",
            sessions.collect::<Vec<_>>().join(", ")
        ),
        retryable: false,
        retry_after_sec: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::kernel_of;
    use crate::jupyter::OpenNotebook;
    use crate::runtime::RuntimeError;

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
                Some(kernel) => assert_eq!(found.unwrap(), kernel, "{name}"),
                None => assert!(found.is_err(), "{name}"),
            }
        }
        let Err(RuntimeError::Refused(problem)) = kernel_of("c.ipynb", &open) else {
            panic!("there are two");
        };
        let hint = "Name one of them: notebook:other/c.ipynb, notebook:books/c.ipynb.";
        assert_eq!(problem.hint, hint);
    }
}
