//! The kernels of a server, by its REST API.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::error::JupyterError;
use super::server::{ANSWER_TIMEOUT, Server, accepted, json_of};

/// A kernel's start, on a slow machine.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(60);
/// For a kernel whose start was not answered to be there. What comes later, the next start finds by its record.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

impl Server {
    /// Returns the name of the kernel to run Python with: the default if that is Python.
    ///
    /// # Errors
    /// [`JupyterError::NoKernels`] if there are none, or none for Python.
    pub async fn python_kernel(&self) -> Result<String, JupyterError> {
        let none = |status| {
            let detail = format!("it answered {status} for its list of kernels");
            Err(JupyterError::NoKernels(detail))
        };
        let found = match self.get(&["api", "kernelspecs"]).await {
            Ok(found) => found,
            Err(JupyterError::NotFound) => return none(404),
            Err(JupyterError::Unauthorized) => {
                // Whether the token is right, a Jupyter Server says elsewhere; a Kernel Gateway has no such route.
                return match self.get(&["api", "status"]).await {
                    Ok(_) => none(403),
                    Err(_) => Err(JupyterError::Unauthorized),
                };
            }
            Err(error) => return Err(error),
        };
        let specs = found["kernelspecs"].as_object();
        let is_python = |name: &str| {
            let language = specs.and_then(|specs| specs.get(name)?["spec"]["language"].as_str());
            language.is_some_and(|language| language.eq_ignore_ascii_case("python"))
        };
        let names = specs.into_iter().flat_map(|specs| specs.keys());
        let all: Vec<&str> = names.map(String::as_str).collect();
        let default = found["default"].as_str().filter(|name| is_python(name));
        let chosen = default.or_else(|| all.iter().copied().find(|name| is_python(name)));
        chosen.map(str::to_owned).ok_or_else(|| {
            JupyterError::NoKernels(if all.is_empty() {
                "its list of kernels is empty".to_owned()
            } else {
                format!("none for Python, only {}", all.join(", "))
            })
        })
    }

    /// Starts a kernel and returns its id: `wanted`, or another where the server chooses it. After a lost answer it is looked for by that id, so that
    /// none is left behind.
    ///
    /// # Errors
    /// The error of whatever answers; a kernel may have been started, as `wanted`, if it is not [`JupyterError::Unreachable`].
    pub async fn start_kernel(&self, name: &str, wanted: &str) -> Result<String, JupyterError> {
        // In the folder of the server's files: without a path it starts where the server was started.
        let named = json!({"name": name, "kernel_id": wanted, "path": ""});
        let started = match self.post_kernel(&named).await {
            // With `--gateway-url` it looks for that kernel on the other server, and starts none.
            Ok(None) => self.post_kernel(&json!({"name": name, "path": ""})).await?,
            Err(error @ (JupyterError::Broken(_) | JupyterError::TimedOut)) => {
                return self.find_started(wanted).await.ok_or(error);
            }
            started => started?,
        };
        started.ok_or_else(|| JupyterError::Refused("a kernel without an id".to_owned()))
    }

    async fn post_kernel(&self, body: &Value) -> Result<Option<String>, JupyterError> {
        let call = self.request(Method::POST, &["api", "kernels"]);
        let call = call.json(body).timeout(KERNEL_TIMEOUT);
        let kernel = json_of(accepted(call.send().await).await?).await?;
        Ok(kernel["id"].as_str().map(str::to_owned))
    }

    /// Returns the id if the server has such a kernel by now, or soon: it may still be starting.
    async fn find_started(&self, wanted: &str) -> Option<String> {
        let looking = async {
            while self.has_kernel(wanted).await != Ok(true) {
                sleep(LOOK_INTERVAL).await;
            }
        };
        let found = timeout(LOOK_TIMEOUT, looking).await;
        found.is_ok().then(|| wanted.to_owned())
    }

    /// Whether the server knows a kernel.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn has_kernel(&self, id: &str) -> Result<bool, JupyterError> {
        match self.get(&["api", "kernels", id]).await {
            Ok(_) => Ok(true),
            Err(JupyterError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns what a kernel is doing (`idle`, `busy`, `dead` …); none if the server does not know it.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn kernel_state(&self, id: &str) -> Result<Option<String>, JupyterError> {
        match self.get(&["api", "kernels", id]).await {
            Ok(kernel) => Ok(kernel["execution_state"].as_str().map(str::to_owned)),
            Err(JupyterError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Raises `KeyboardInterrupt` in what a kernel runs.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn interrupt_kernel(&self, id: &str) -> Result<(), JupyterError> {
        let call = self.request(Method::POST, &["api", "kernels", id, "interrupt"]);
        accepted(call.timeout(ANSWER_TIMEOUT).send().await)
            .await
            .map(drop)
    }

    /// Ends a kernel's process and starts another under its id. Sent once.
    ///
    /// # Errors
    /// The error of whatever answers; it may have been restarted after [`JupyterError::Broken`] and [`JupyterError::TimedOut`].
    pub async fn restart_kernel(&self, id: &str) -> Result<(), JupyterError> {
        let call = self.request(Method::POST, &["api", "kernels", id, "restart"]);
        accepted(call.timeout(KERNEL_TIMEOUT).send().await)
            .await
            .map(drop)
    }

    /// Ends a kernel and its sessions.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn delete_kernel(&self, id: &str) -> Result<(), JupyterError> {
        let call = self.request(Method::DELETE, &["api", "kernels", id]);
        accepted(call.timeout(ANSWER_TIMEOUT).send().await)
            .await
            .map(drop)
    }
}
