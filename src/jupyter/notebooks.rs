//! What a Jupyter Server knows of its notebooks: whether it shares them among its clients, and where they are open.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::error::JupyterError;
use super::room::Room;
use super::server::{ANSWER_TIMEOUT, Server, accepted, json_of};
use crate::base::text::ends_with_path;

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

    /// Joins the room of a notebook, whose path begins at the server's root, as `name`.
    ///
    /// # Errors
    /// [`JupyterError::NotFound`] if there is no such notebook; the error of whatever answers.
    pub async fn join(&self, path: &str, name: &str) -> Result<Room, JupyterError> {
        // A room whose file cannot be read takes all others with it: the server then sends their changes to nobody. A document without a file is
        // one that a tab has, or had when we joined its room.
        let was_joined = self.joined.lock().contains(path);
        if !was_joined && self.look(path).await?.is_none() && !self.is_open(path).await? {
            return Err(JupyterError::NotFound);
        }
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
        let room = Room::over(socket, session, name).await?;
        self.joined.lock().insert(path.to_owned());
        Ok(room)
    }

    /// Whether a client has a notebook open together with its kernel, or may have. The path may begin above the server's root.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn is_open(&self, path: &str) -> Result<bool, JupyterError> {
        // Of kernels behind a gateway the connections are counted when they are listed. One that lists none knows nothing of them.
        let are_counted = self.get(&["api", "kernels"]).await.is_ok();
        let is_it = |notebook: &OpenNotebook| {
            let is_connected = notebook.kernel.connections > 0 || !are_counted;
            is_connected && ends_with_path(path, &notebook.path)
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
