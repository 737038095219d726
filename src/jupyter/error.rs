//! Why a Jupyter Server did not do what it was asked.

use thiserror::Error;

use crate::base::causes::sentence;

/// A failed request. `Display` follows the server's address; it never shows the token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JupyterError {
    /// Nothing was sent.
    #[error("cannot be reached ({0})")]
    Unreachable(String),
    #[error("did not answer in time")]
    TimedOut,
    /// What was sent may have arrived.
    #[error("lost its connection ({0})")]
    Broken(String),
    #[error("has a certificate that is not trusted ({0})")]
    Untrusted(String),
    #[error("refused the token")]
    Unauthorized,
    /// A `JupyterHub` answers in place of a server that is not running.
    #[error("is stopped: its JupyterHub answers {0}")]
    Stopped(u16),
    /// Something else answers.
    #[error("is not a Jupyter Server: {0}")]
    Stranger(String),
    #[error("offers no kernels ({0})")]
    NoKernels(String),
    /// A kernel that was deleted or culled, or a route that this server lacks.
    #[error("does not know what was asked for (404)")]
    NotFound,
    #[error("answered {0}")]
    Refused(String),
}

impl JupyterError {
    pub(super) fn from_request(error: reqwest::Error) -> Self {
        // The address may hold what is not to be shown, and is known to the reader.
        let is_https = error.url().is_some_and(|url| url.scheme() == "https");
        let error = error.without_url();
        if error.is_timeout() && !error.is_connect() {
            return Self::TimedOut;
        }
        let text = sentence(&error);
        // What does not speak TLS answers in its own way, or waits for more.
        let is_odd = error.is_timeout() || text.contains("corrupt message") || text.contains("eof");
        if error.is_connect() && text.contains("peer certificate") {
            Self::Untrusted(text)
        } else if error.is_connect() && is_https && is_odd {
            Self::Unreachable(format!("{text}: it may speak http:// there, not https://"))
        } else if error.is_connect() {
            Self::Unreachable(text)
        } else {
            Self::Broken(text)
        }
    }
}
