//! Why there is no executor on the Jupyter Server, and the remedy.

use std::io;
use std::path::Path;

use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault as _;
use crate::colab::ColabError;
use crate::edge::settings::Endpoint;
use crate::jupyter::JupyterError;
use crate::provision::colab::BOOTING;
use crate::runtime::RuntimeError;

/// The name of the executor in errors.
pub(super) const WHAT: &str = "the executor on the Jupyter Server";

/// The first step of a start.
pub(in crate::provision) const CONNECTING: &str = "connecting to the Jupyter Server";

/// The same on a machine of Colab.
const MACHINE: &str = "the executor on the machine of Colab";

/// A failed start, cloned for every call that waited for it.
#[derive(Debug, Clone)]
pub(in crate::provision) enum Fault {
    /// The server's own.
    Server(JupyterError),
    /// No server runs on this computer.
    NotRunning,
    /// Of the account, or of Colab.
    Colab(ColabError),
    /// No executor can run there, whatever is tried again.
    NoExecutor { reason: String },
    /// The executor did not start there.
    Start { detail: String, remedy: Advice },
}

impl Fault {
    pub(super) fn start(detail: impl Into<String>, remedy: impl Into<Advice>) -> Self {
        Self::Start {
            detail: detail.into(),
            remedy: remedy.into(),
        }
    }

    /// The fault for a file of this program that cannot be read or written.
    pub(super) fn disk(path: &Path, error: &io::Error) -> Self {
        Self::start(
            format!("{}: {error}", path.display()),
            "Make the folder writable, or set SMART_COLAB_DATA_DIR to one that is; then call again.",
        )
    }

    /// The error of a call that waited for the start: nothing of it was sent.
    pub(super) fn into_error(self, address: &str, has_token: bool) -> RuntimeError {
        let url = address.to_owned();
        let unreachable = |source: String, remedy| RuntimeError::Unreachable {
            url: address.to_owned(),
            source: source.into(),
            remedy,
        };
        let failed = |detail, remedy| RuntimeError::StartFailed {
            what: WHAT,
            detail,
            remedy,
        };
        let error = match self {
            Self::NotRunning => {
                let source = "no Jupyter Server is running on this computer".to_owned();
                return unreachable(source, Step::StartJupyter);
            }
            Self::Start { detail, remedy } => return failed(detail, remedy),
            Self::Colab(error) => {
                return RuntimeError::StartFailed {
                    what: MACHINE,
                    detail: error.to_string(),
                    remedy: error.remedy(),
                };
            }
            Self::NoExecutor { reason } => return failed(reason, Advice::default()),
            Self::Server(error) => error,
        };
        let remedy = match &error {
            JupyterError::Unreachable(cause) => {
                return unreachable(cause.clone(), Step::CheckJupyter);
            }
            JupyterError::TimedOut | JupyterError::Broken(_) | JupyterError::NotFound => {
                return unreachable(format!("it {error}"), Step::CheckJupyter);
            }
            JupyterError::Unauthorized => {
                let remedy = match has_token {
                    true => Step::RenewJupyterToken,
                    false => Step::GiveJupyterToken,
                };
                return RuntimeError::Unauthorized { url, remedy };
            }
            JupyterError::Untrusted(_) => {
                "If it is the server's own certificate, set SSL_CERT_FILE to its file (PEM) in the client's config and restart the client."
            }
            JupyterError::Stopped(_) => {
                "Open the hub in a browser and start the server, then call again."
            }
            JupyterError::Stranger(_) => {
                "Open the address in a browser: a sign-in page or a proxy may be in between. The address has to be the one below which \
                 the Jupyter Server has its /api; then call again."
            }
            JupyterError::NoKernels(_) => {
                "Install ipykernel in a Python 3.11 or newer that the server offers as a kernel, then call again."
            }
            JupyterError::Refused(_) => "Look at the server's log for the reason, then call again.",
        };
        failed(format!("the server at {url} {error}"), remedy.into())
    }
}

impl From<ColabError> for Fault {
    fn from(error: ColabError) -> Self {
        Self::Colab(error)
    }
}

impl From<JupyterError> for Fault {
    fn from(error: JupyterError) -> Self {
        Self::Server(error)
    }
}

/// The error of a request to the Jupyter Server at an address, with its remedy.
#[must_use]
pub fn explained(error: JupyterError, endpoint: &Endpoint) -> RuntimeError {
    let has_token = !endpoint.token.expose().is_empty();
    Fault::from(error).into_error(&endpoint.address(), has_token)
}

/// The error of a call while a start is at this step.
pub(super) fn not_ready(doing: &str) -> RuntimeError {
    let remedy = match doing {
        CONNECTING => {
            "The server has not answered yet. Call again; if it does not answer then either, check that a Jupyter Server runs at this address."
        }
        BOOTING => {
            "A new machine boots within minutes, and is waited for in the background. Nothing was sent. Call again in half a minute."
        }
        _ => "It starts in seconds. Call again.",
    };
    RuntimeError::Starting {
        what: WHAT,
        doing: doing.to_owned(),
        remedy: remedy.into(),
    }
}
