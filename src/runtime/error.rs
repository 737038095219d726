//! The errors between the bridge and the code.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::base::advice::{Advice, Step};
use crate::wire::problem::Problem;

pub type RuntimeResult<T> = Result<T, RuntimeError>;

/// The error of the transport, whichever it is.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Cap on Retry-After; longer values are treated as bogus.
pub(super) const MAX_RETRY_AFTER_SEC: u64 = 24 * 3600;

/// How far a failed request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It was not sent, or nothing received it.
    Nowhere,
    /// It was received, and nothing was done.
    Refused,
    /// It may have been carried out.
    Unknown,
}

/// A failed request. `Display` is a sentence for people, without its source's text.
#[derive(Debug, Error)]
pub enum RuntimeError {
    #[error("no Colab runtime is configured")]
    NotConfigured,
    /// A later call finds it ready.
    #[error("{what} is not ready yet: {doing}")]
    Starting {
        what: &'static str,
        doing: String,
        remedy: Advice,
    },
    #[error("{what} could not be started: {detail}")]
    StartFailed {
        what: &'static str,
        detail: String,
        remedy: Advice,
    },
    /// This bridge stopped its local executor, which ends all code there.
    #[error("the executor was stopped (with `local` it ends with its client)")]
    EndedWithClient,
    #[error("{url} cannot be reached")]
    Unreachable {
        url: String,
        #[source]
        source: Cause,
        /// How to see what is there.
        remedy: Step,
    },
    #[error("the connection to {url} broke before the whole response arrived")]
    Broken {
        url: String,
        #[source]
        source: Cause,
        /// How to see what is there.
        remedy: Step,
    },
    #[error("{url} did not answer in time")]
    TimedOut { url: String },
    /// A tunnel answers in place of the executor; `what` names it and the meaning of its answer.
    #[error("{what} (at {url})")]
    TunnelOffline {
        url: String,
        what: String,
        reach: Reach,
        /// How long the tunnel asks to wait.
        retry_after: Option<Duration>,
    },
    #[error("ngrok forwards nothing: a limit of its plan is used up ({sign}, at {url})")]
    TunnelLimited {
        url: String,
        sign: String,
        /// How long ngrok asks to wait; none for a monthly limit.
        retry_after: Option<Duration>,
    },
    #[error("the call was cancelled")]
    Cancelled,
    #[error("{url} {}", if *remedy == Step::GiveJupyterToken { "wants a token, and none was given" } else { "refused the token" })]
    Unauthorized {
        url: String,
        /// How to supply the current token.
        remedy: Step,
    },
    #[error("the server at {url} cannot be used: {detail}")]
    Incompatible {
        url: String,
        detail: String,
        remedy: Advice,
    },
    /// Another server answers in place of the executor. If it is a gateway, the executor may have received the request all the same.
    #[error("the server at {url} is not a smart-colab executor: {detail}")]
    Stranger {
        url: String,
        detail: String,
        reach: Reach,
    },
    #[error("the file {path} changed while it was read")]
    Changed { path: String },
    #[error(
        "the machine that this job was sent to has been replaced by another, which does not know it"
    )]
    Replaced,
    /// The executor is the one that ran it.
    #[error("the records of this job were removed from the executor's state folder")]
    Removed,
    #[error("this job was sent to {place}, but the connection now leads to {now}")]
    Elsewhere { place: String, now: String },
    #[error("this machine knows no job with that id")]
    UnknownJob,
    /// The job is in the state folder of another local executor on this computer, and has not ended as far as is known.
    #[error(
        "this job was sent to the local executor of another client on this computer, and may be running there"
    )]
    OtherClient {
        /// The file with the job's whole output.
        log: PathBuf,
    },
    #[error("there is no session {name:?}")]
    UnknownSession { name: String, known: Vec<String> },
    #[error("no notebook {name:?} has a kernel where code runs")]
    UnknownNotebook { name: String, known: Vec<String> },
    #[error("the Jupyter Server has no kernel {id}")]
    UnknownKernel { id: String, known: Vec<String> },
    #[error("{}", .0.detail)]
    Refused(Problem),
}

impl RuntimeError {
    /// The error for a server that follows no known version of the API.
    #[must_use]
    pub fn incompatible(url: &str, detail: &str) -> Self {
        Self::Incompatible {
            url: url.to_owned(),
            detail: detail.to_owned(),
            remedy: Step::CheckAddressOrUpdate.into(),
        }
    }

    /// True if the same request may succeed when it is sent again. Whether it may be sent again depends on the request: see [`super::Runtime`].
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::TunnelOffline { .. }
            | Self::Starting { .. } => true,
            Self::Refused(problem) => problem.retryable,
            Self::TunnelLimited { retry_after, .. } => retry_after.is_some(),
            Self::Stranger { reach, .. } => *reach == Reach::Unknown,
            Self::NotConfigured
            | Self::StartFailed { .. }
            | Self::EndedWithClient
            | Self::Cancelled
            | Self::Unauthorized { .. }
            | Self::Incompatible { .. }
            | Self::Replaced
            | Self::Removed
            | Self::UnknownJob
            | Self::OtherClient { .. }
            | Self::UnknownSession { .. }
            | Self::UnknownNotebook { .. }
            | Self::UnknownKernel { .. }
            | Self::Elsewhere { .. }
            | Self::Changed { .. } => false,
        }
    }

    /// True if more tries within seconds will hardly help: nothing is there, or not an executor.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Stranger { .. }
                | Self::TunnelOffline {
                    reach: Reach::Nowhere,
                    retry_after: None,
                    ..
                }
        )
    }

    /// True if something else answered, and the executor may have received the request.
    #[must_use]
    pub fn hides_executor(&self) -> bool {
        let is_answer = matches!(
            self,
            Self::Stranger { .. } | Self::TunnelOffline { .. } | Self::Incompatible { .. }
        );
        is_answer && self.reach() == Reach::Unknown
    }

    /// How long the other side asks to wait before the request is repeated.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused(problem) = self {
            let seconds = problem.retry_after_sec?;
            return Some(Duration::from_secs(seconds.min(MAX_RETRY_AFTER_SEC)));
        }
        let (Self::TunnelOffline { retry_after, .. } | Self::TunnelLimited { retry_after, .. }) =
            self
        else {
            return None;
        };
        *retry_after
    }

    /// True if the address or the token may be outdated.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self {
            Self::NotConfigured
            | Self::Unreachable { .. }
            | Self::TunnelOffline { .. }
            | Self::TunnelLimited { .. }
            | Self::Unauthorized { .. }
            | Self::Incompatible { .. }
            | Self::Stranger { .. }
            | Self::TimedOut { .. } => true,
            Self::Starting { .. }
            | Self::StartFailed { .. }
            | Self::EndedWithClient
            | Self::Broken { .. }
            | Self::Cancelled
            | Self::Replaced
            | Self::Removed
            | Self::UnknownJob
            | Self::OtherClient { .. }
            | Self::UnknownSession { .. }
            | Self::UnknownNotebook { .. }
            | Self::UnknownKernel { .. }
            | Self::Elsewhere { .. }
            | Self::Changed { .. }
            | Self::Refused(_) => false,
        }
    }

    /// True if the executor answered that it does not know the requested item.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Replaced | Self::Removed | Self::UnknownJob)
            || matches!(self, Self::Refused(problem) if problem.status == 404)
    }

    /// Whether the request may have been carried out in spite of the error.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match self {
            Self::NotConfigured
            | Self::Starting { .. }
            | Self::StartFailed { .. }
            | Self::EndedWithClient
            | Self::Unreachable { .. } => Reach::Nowhere,
            Self::TunnelOffline { reach, .. } | Self::Stranger { reach, .. } => *reach,
            Self::Refused(problem) if problem.status == 500 => Reach::Unknown,
            Self::Refused(_)
            | Self::TunnelLimited { .. }
            | Self::Unauthorized { .. }
            | Self::Replaced
            | Self::Removed
            | Self::UnknownJob
            | Self::OtherClient { .. }
            | Self::UnknownSession { .. }
            | Self::UnknownNotebook { .. }
            | Self::UnknownKernel { .. }
            | Self::Elsewhere { .. }
            | Self::Changed { .. } => Reach::Refused,
            Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled
            | Self::Incompatible { .. } => Reach::Unknown,
        }
    }
}
