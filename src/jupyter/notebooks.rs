//! What a Jupyter Server knows of its notebooks: whether it shares them among its clients, what is on the disk, and where they are open.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::JupyterError;
use super::room::Room;
use super::server::{ANSWER_TIMEOUT, Server, accepted, json_of};

/// A name in the configuration that JupyterLab's page carries. With collaboration it stands there, and is false.
const SWITCH: &str = "\"disableRTC\"";
/// For JupyterLab's page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(15);

/// A notebook, or a console, with its kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OpenNotebook {
    /// From the server's root, with `/`.
    pub path: String,
    pub kernel: OpenKernel,
}

/// A kernel, as a session names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OpenKernel {
    pub id: String,
    /// Clients that are connected to it.
    #[serde(default)]
    pub connections: u64,
}

impl Server {
    /// Whether the server shares its notebooks among its clients by rooms. That it opens sessions of rooms proves nothing: it does so also if
    /// that is switched off.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn is_collaborative(&self) -> Result<bool, JupyterError> {
        let call = self.request(Method::GET, &["lab"]).timeout(PAGE_TIMEOUT);
        let response = call.send().await.map_err(JupyterError::from_request)?;
        if response.status() != StatusCode::OK {
            return Ok(false);
        }
        let page = response.text().await.map_err(JupyterError::from_request)?;
        Ok(is_switched_on(&page))
    }

    /// Joins the room of a notebook, whose path begins at the server's root.
    ///
    /// # Errors
    /// [`JupyterError::NotFound`] if there is no such notebook; the error of whatever answers.
    pub async fn join(&self, path: &str) -> Result<Room, JupyterError> {
        let mut route = vec!["api", "collaboration", "session"];
        route.extend(path.split('/'));
        let call = self.request(Method::PUT, &route);
        let call = call.json(&json!({"format": "json", "type": "notebook"}));
        let session = json_of(accepted(call.timeout(ANSWER_TIMEOUT).send().await).await?).await?;
        let text = |name: &str| session[name].as_str().unwrap_or_default();
        let room = format!("json:notebook:{}", text("fileId"));
        let route = ["api", "collaboration", "room", &room];
        let session = text("sessionId");
        let socket = self.socket(&route, &[("sessionId", session)]).await?;
        Room::over(socket, session).await
    }

    /// The digest of a file's content on the disk; none if there is no such file.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn digest(&self, path: &str) -> Result<Option<String>, JupyterError> {
        let call = self
            .request(Method::GET, &contents(path))
            .query(&[("content", "0"), ("hash", "1")]);
        match accepted(call.timeout(ANSWER_TIMEOUT).send().await).await {
            Ok(response) => {
                let found = json_of(response).await?;
                Ok(found["hash"].as_str().map(str::to_owned))
            }
            Err(JupyterError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates a notebook, where there is none.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn create_notebook(&self, path: &str, content: &Value) -> Result<(), JupyterError> {
        let body = json!({"type": "notebook", "format": "json", "content": content});
        let call = self.request(Method::PUT, &contents(path)).json(&body);
        accepted(call.timeout(ANSWER_TIMEOUT).send().await)
            .await
            .map(drop)
    }

    /// Whether a client has a notebook open together with its kernel. The path may begin above the server's root.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn is_open(&self, path: &str) -> Result<bool, JupyterError> {
        let is_it = |notebook: &OpenNotebook| {
            let above = path.strip_suffix(&*notebook.path);
            let is_path =
                above.is_some_and(|above| above.is_empty() || above.ends_with(['/', '\\']));
            is_path && notebook.kernel.connections > 0
        };
        Ok(self.sessions().await?.iter().any(is_it))
    }

    /// Returns the notebooks that have a kernel; none on a Kernel Gateway, which has no sessions.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn notebooks(&self) -> Result<Vec<OpenNotebook>, JupyterError> {
        match self.sessions().await {
            Err(JupyterError::NotFound | JupyterError::Unauthorized) => Ok(Vec::new()),
            answer => answer,
        }
    }

    async fn sessions(&self) -> Result<Vec<OpenNotebook>, JupyterError> {
        let sessions = self.get(&["api", "sessions"]).await?;
        let sessions = sessions.as_array().into_iter().flatten();
        Ok(sessions
            .filter_map(|session| OpenNotebook::deserialize(session).ok())
            .collect())
    }
}

fn contents(path: &str) -> Vec<&str> {
    ["api", "contents"]
        .into_iter()
        .chain(path.split('/'))
        .collect()
}

fn is_switched_on(page: &str) -> bool {
    let after = page.split_once(SWITCH).map(|(_, after)| after);
    let value = after.map(|after| after.trim_start_matches([':', ' ', '\n', '\t']));
    value.is_some_and(|value| value.starts_with("false"))
}

#[cfg(test)]
mod tests {
    use super::is_switched_on;

    #[test]
    fn collaboration_is_known_by_the_page_of_the_lab() {
        for (page, expected) in [
            (
                "{\"appName\": \"JupyterLab\", \"disableRTC\": false, \"x\": true}",
                true,
            ),
            ("{\"disableRTC\":false}", true),
            ("{\"disableRTC\": true}", false),
            ("{\"appName\": \"JupyterLab\"}", false),
            ("", false),
        ] {
            assert_eq!(is_switched_on(page), expected, "{page}");
        }
    }
}
